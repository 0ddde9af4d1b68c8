"""A tenth of a set spoilt is told from a clean set, by the metric that is meant for it.

Of 500 images, 50 are labelled as others are, blurred, or copied from the training films with
another contrast, a shift and grain; or no image shows one finding. The sets differ in nothing else.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from roentgen.corpora.phantom import PhantomConfig
from roentgen.data.dataset import DatasetWriter, open_dataset
from roentgen.data.findings import FindingName, states
from roentgen.data.images import encode_png
from roentgen.data.radiograph import Radiograph
from roentgen.prepare import PrepareConfig, prepare
from roentgen.randomness import numpy_generator

N, SPOILT = 500, 50
MISSING: FindingName = "Pleural Effusion"
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
Image = NDArray[np.uint8]
Row = tuple[Radiograph, Image]
Fault = Literal["clean", "mislabelled", "blurred", "copied", "missing"]


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
    if fault == "mislabelled":
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


def phantoms(place: Path) -> tuple[Path, list[Row]]:
    """A real set and a pool of further patients, 128 pixels a side."""
    for name, seed, train, test in (("real", 1, 500, 320), ("pool", 2, 450, 0)):
        drawn = PhantomConfig(train=train, validate=0, test=test)
        prepare(PrepareConfig(output=place / name, size=128, seed=seed, phantom=drawn))
    return place / "real", rows_of(place / "pool", "train")
