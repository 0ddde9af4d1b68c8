"""A tenth of a set spoilt is told from a clean set, by the metric that is meant for it.

Of 500 images, 50 are labeled as others are, blurred, or copied from the training films with
another contrast, a shift and grain; or no image shows one finding. The sets differ in nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from eval.config import (
    EvaluateConfig,
    ExtractorConfig,
    FidelityConfig,
    PrivacyConfig,
    ReferenceSetConfig,
)
from eval.evaluation import evaluate
from roentgen.corpora.phantom import PhantomConfig
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.imaging.images import encode_png
from roentgen.preparation.config import PrepareConfig
from roentgen.prepare import prepare
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName, states
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import train_classifier
from roentgen.vision.network_settings import ClassifierConfig
from roentgen.weights import EXTRACTOR

N, SPOILT = 500, 50
MISSING: FindingName = "Pleural Effusion"
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
Image = NDArray[np.uint8]
Row = tuple[Radiograph, Image]
Fault = Literal["clean", "mislabeled", "blurred", "copied", "missing"]
FAULTS: tuple[Fault, ...] = get_args(Fault)


def rows_of(folder: Path, split: str) -> list[Row]:
    opened = open_dataset(folder).split(split)
    records = list(opened.without_images())
    return list(zip(records, opened.images(range(len(records))), strict=True))


def shows(radiograph: Radiograph) -> bool:
    return states(radiograph.findings).get(MISSING) == "present"


def spoilt(fault: Fault, pool: list[Row], train: list[Row]) -> list[Row]:
    """The first N of the pool; of these a tenth, or all that show the finding, spoilt."""
    rows = pool[:N]
    generator = numpy_generator(0, "spoilt")
    chosen = generator.permutation(N)[:SPOILT].tolist()
    if fault == "mislabeled":
        others = [rows[i][0].findings for i in (*chosen[1:], chosen[0])]
        for i, findings in zip(chosen, others, strict=True):
            rows[i] = replace(rows[i][0], findings=findings), rows[i][1]
    elif fault == "blurred":
        for i in chosen:
            sigma = rows[i][1].shape[0] / 40
            rows[i] = rows[i][0], gaussian_filter(rows[i][1], sigma)
    elif fault == "copied":
        for i, source in zip(chosen, generator.permutation(len(train)).tolist(), strict=False):
            moved = shift(
                train[source][1].astype(float), generator.uniform(-1, 1, 2), mode="nearest"
            )
            image = moved * generator.uniform(0.8, 1.1) + generator.normal(0, 3, moved.shape)
            rows[i] = train[source][0], image.clip(0, 255).round().astype(np.uint8)
    elif fault == "missing":
        without = [row for row in pool[N:] if not shows(row[0])]
        rows = [without.pop() if shows(row[0]) else row for row in rows]
    return rows


def write_set(folder: Path, rows: list[Row], preparation: dict[str, object]) -> Path:
    with DatasetWriter(
        folder,
        licenses=[LICENSE],
        provenance={"program": "drawn", "made_from": {}},
        preparation=preparation,
    ) as writer:
        for i, (record, image) in enumerate(rows):
            new = {"id": str(i), "patient_id": str(i), "study_id": str(i), "split": "train"}
            writer.add(replace(record, **new, image=encode_png(image), masks={}))  # type: ignore[arg-type]
    return folder


@dataclass(frozen=True)
class Source:
    """Where images come from, and what they are judged with."""

    real: Path
    pool: list[Row]  # further patients
    findings: tuple[FindingName, ...]
    classifier: ClassifierConfig
    extractor: str


def phantoms(place: Path, _: Any) -> Source:
    """Phantoms of 128 pixels a side: two minutes' work."""
    for name, seed, train, test in (("real", 1, 500, 320), ("pool", 2, 450, 0)):
        drawn = PhantomConfig(train=train, validate=0, test=test, masks=False)
        prepare(PrepareConfig(output=place / name, size=128, seed=seed, phantom=drawn))
    return Source(
        place / "real",
        rows_of(place / "pool", "train"),
        ("Cardiomegaly", MISSING, "Pneumothorax", "Consolidation"),
        ClassifierConfig(pretrained="embedded", steps=300),
        str(EXTRACTOR),
    )


def drawings(place: Path, write_drawn: Any) -> Source:
    """Discs and rings of 32 pixels a side, and an extractor that has seen others of them."""
    write_drawn(place / "real", {"train": 500, "test": 500}, 1)
    write_drawn(place / "pool", {"train": 1100}, 2)
    write_drawn(place / "others", {"train": 300}, 3)
    findings: tuple[FindingName, ...] = (MISSING, "Pneumothorax")
    small = ClassifierConfig(steps=150, widths=(8, 16, 32))
    others = rows_of(place / "others", "train")
    records = [record for record, _ in others]
    train_classifier(
        np.stack([image for _, image in others]),
        label_matrix(records, findings),
        view_indices(records),
        findings=findings,
        config=small,
        seed=0,
    ).save(place / "extractor")
    pool = rows_of(place / "pool", "train")
    return Source(place / "real", pool, findings, small, str(place / "extractor"))


MAKERS = {"drawings": drawings, "phantoms": phantoms}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in MAKERS]
)
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, write_drawn: Any
) -> dict[str, Any]:
    """All sets beside each other."""
    place = tmp_path_factory.mktemp("sensitivity")
    source = MAKERS[request.param](place, write_drawn)
    preparation = open_dataset(source.real).manifest["preparation"]
    train = rows_of(source.real, "train")
    sets: dict[str, Path] = {
        fault: write_set(place / fault, spoilt(fault, source.pool, train), preparation)
        for fault in FAULTS
    }
    extractor = ExtractorConfig(weights=source.extractor)
    config = EvaluateConfig(
        reference=ReferenceSetConfig.of(source.real),
        synthetic=sets,
        main="clean",
        findings=source.findings,
        output=place / "results",
        classifier=source.classifier,
        extractors=(extractor,),
        fidelity=FidelityConfig(bootstrap=40, min_subgroup_patients=500),
        privacy=PrivacyConfig(membership_images=None),
        diversity=None,
        utility=None,
    )
    evaluate(config)
    loaded: dict[str, Any] = json.loads((config.output / "results.json").read_text())
    return loaded


def fidelity(results: Mapping[str, Any]) -> dict[str, Any]:
    """On the only extractor."""
    found: dict[str, Any] = results["fidelity"]["roentgen"]
    return found


def test_wrong_labels_lower_what_is_as_asked(results: dict[str, Any]) -> None:
    clean, spoiled = (results["alignment"][s]["mean_auroc"] for s in ("clean", "mislabeled"))
    assert spoiled["value"] < clean["low"]
    fid = fidelity(results)["fid"]
    assert fid["mislabeled"]["value"] == fid["clean"]["value"]  # the images are the same


def test_blurred_images_are_counted(results: dict[str, Any]) -> None:
    soft = results["fidelity"]["sharpness"]["all"]["detail"]["below"]
    assert soft["clean"]["high"] < soft["blurred"]["low"]
    assert soft["blurred"]["low"] < SPOILT / N + soft["clean"]["value"]
    assert soft["blurred"]["high"] > SPOILT / N
    for fault in ("mislabeled", "missing"):
        assert soft[fault]["value"] < soft["blurred"]["low"]


def test_copies_are_counted(results: dict[str, Any]) -> None:
    copies = results["privacy"]["pixels"]["near_duplicates"]
    assert copies["clean"]["high"] < copies["copied"]["low"]
    assert copies["copied"]["low"] < SPOILT / N + copies["clean"]["value"]
    assert copies["copied"]["high"] > SPOILT / N
    for fault in ("mislabeled", "blurred", "missing"):
        assert copies[fault]["value"] < copies["copied"]["low"]


def test_real_films_have_no_like_where_their_finding_is_missing(results: dict[str, Any]) -> None:
    coverage, fid = (fidelity(results)[metric] for metric in ("coverage", "fid"))
    assert coverage["missing"]["high"] < coverage["clean"]["low"]
    assert fid["missing"]["value"] > fid["clean"]["high"]
    auroc = results["alignment"]["missing"]["auroc"][MISSING]
    assert auroc["value"] is None
    assert auroc["note"].startswith("not measured: no positives")
