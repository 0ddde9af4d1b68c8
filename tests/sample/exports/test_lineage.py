"""What of identifiers and report words leaves with an export, in every byte of every format."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from roentgen.config import load_config
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.imaging.images import encode_png
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report, Synthesis
from roentgen.record.statement import Statement
from sample.export import export
from sample.exports.config import FORMATS, ExportConfig
from sample.exports.lineage import LineageFilter, lineage_of
from sample.exports.serialization import radiograph_fields

SECRETS = (
    *("source-77123", "patient-90210", "own-55555", "study-44444", "Zanzibar", "Quixote"),
    *("Dulcinea", "Rocinante"),
)
EFFUSION = Finding(name="Pleural Effusion", side="left", severity="small")
PIXELS = encode_png(np.arange(1024, dtype=np.uint8).reshape(32, 32))


def synthetic(name: str, prompt: str) -> Radiograph:
    synthesis = Synthesis(
        prompt=prompt,
        negative_prompt=None,
        seed=1,
        guidance_scale=2,
        steps=3,
        scheduler="ddim",
        model="0123456789abcdef",
        from_radiograph="source-77123",
        from_patient="patient-90210",
    )
    return Radiograph(
        id=name,
        patient_id=name,
        study_id=name,
        split="train",
        image=PIXELS,
        view="PA",
        age=63,
        sex="F",
        findings=(EFFUSION,),
        source="synthetic",
        license="terms",
        synthesis=synthesis,
    )


def real(number: int) -> Radiograph:
    return replace(
        synthetic("", ""),
        id=f"own-55555-{number}",
        patient_id="patient-90210",
        study_id=f"study-44444-{number}",
        source="hospital",
        report=Report(impression="Quixote has an effusion."),
        statements=(Statement(finding="effusion of Dulcinea"),),
        context=(ContextValue(name="Rocinante", value=38.6, unit="C", minutes_before=5),),
        synthesis=None,
    )


LABELS = "<view-pa> small left pleural effusion"
QUOTE = "<view-pa> Small left effusion, as in Zanzibar."


@pytest.fixture(scope="module")
def secret_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secret") / "set"
    terms = {"name": "Credentialed", "data_use": None, "may_share": False}
    with DatasetWriter(folder, licenses=[terms], provenance={}) as writer:
        for radiograph in (synthetic("a", LABELS), synthetic("b", QUOTE), real(0), real(1)):
            writer.add(radiograph)
        writer.exclude("c", "no image")
    return folder


@pytest.fixture
def exported(secret_set: Path, tmp_path: Path) -> Callable[..., Path]:
    def run(**settings: Any) -> Path:
        values = {"dataset": str(secret_set), "output": str(tmp_path / "out"), **settings}
        recipe = tmp_path / "export.yaml"
        recipe.write_text(yaml.safe_dump(values | {name: {} for name in FORMATS}))
        return export(load_config(ExportConfig, [str(recipe)]))

    return run


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All bytes of an export by path: names, files, members of archives, texts of images."""
    for path in folder.rglob("*"):
        yield f"name of {path}", path.relative_to(folder).as_posix().encode()
        if path.is_dir():
            continue
        data = path.read_bytes()
        yield str(path), gzip.decompress(data) if path.suffix == ".gz" else data
        members = [(path.name, data)]
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                members = [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
        for name, content in members:
            yield name, content
            if name.endswith(("png", "jpg")):
                yield name, str(Image.open(io.BytesIO(content)).info).encode()


def found(folder: Path) -> set[str]:
    return {secret for _, data in contents(folder) for secret in SECRETS if secret.encode() in data}


def test_nothing_leaves_of_credentialed_data_by_default(
    exported: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = exported()
    assert found(out) == set()
    (line,) = (li for li in capsys.readouterr().out.splitlines() if "lineage none" in li)
    assert "lineage=full writes all" in line
    assert "Lineage none" in (out / "folder" / "README.md").read_text()


def test_everything_leaves_on_request(exported: Callable[..., Path]) -> None:
    assert found(exported(lineage="full")) == set(SECRETS)


def test_hashes_group_what_belongs_together_and_name_nothing(
    exported: Callable[..., Path],
) -> None:
    out = exported(lineage="hashed", overwrite=True)
    assert found(out) == set()
    (folder,) = (out / "webdataset").rglob("*.tar")
    with tarfile.open(folder) as archive:
        rows = [
            json.load(archive.extractfile(m))  # type: ignore[arg-type]
            for m in archive
            if m.name.endswith("json")
        ]
    a, b, first, second = rows
    assert a["from_patient"] == b["from_patient"] == first["patient_id"] == second["patient_id"]
    assert len(a["from_patient"]) == 16
    assert a["from_radiograph"] != a["from_patient"]
    assert first["id"] != second["id"]
    again = LineageFilter("hashed")(real(0)).patient_id
    assert again != first["patient_id"]  # another export, another key: no table of hashes serves


def test_prompts_made_of_labels_stay_and_quotes_of_reports_go() -> None:
    lineage = LineageFilter("none")
    kept, gone = (lineage(synthetic("a", text)).synthesis for text in (LABELS, QUOTE))
    assert kept is not None
    assert gone is not None
    assert (kept.prompt, gone.prompt) == (LABELS, "")
    more = lineage(synthetic("a", f"{LABELS}, emphysema")).synthesis
    assert more is not None
    assert more.prompt == ""
    table = synthetic("a", QUOTE)  # of a table of prompts, which may be reports as well
    assert table.synthesis is not None
    table = replace(
        table, synthesis=replace(table.synthesis, from_radiograph=None, from_patient=None)
    )
    of_table = lineage(table).synthesis
    assert of_table is not None
    assert of_table.prompt == ""


@pytest.mark.parametrize(
    "prompt",
    [
        "<view-pa> large left pleural effusion",  # not the labels of this image
        "<view-pa> 64 year old woman, small left pleural effusion",
        "<view-pa> 63 year old zanzibari woman, small left pleural effusion",
        "<view-pa> small left pleural effusion, seen on March 3",
        "<view-pa> small left pleural effusion (Zanzibar)",
    ],
)
def test_a_prompt_that_says_more_than_the_labels_goes(prompt: str) -> None:
    synthesis = LineageFilter("none")(synthetic("a", prompt)).synthesis
    assert synthesis is not None
    assert synthesis.prompt == ""


def test_words_of_the_context_stay_with_their_images() -> None:
    context = (ContextValue(name="febrile", value=0), ContextValue(name="after a fall", value=1))
    prompt = "<view-pa> 63 year old woman, afebrile, after a fall, small left pleural effusion"
    image = replace(synthetic("a", prompt), context=context)
    for given, written in ((image, prompt), (replace(image, context=context[1:]), "")):
        left = LineageFilter("none")(given)
        assert left.synthesis is not None
        assert (left.synthesis.prompt, left.context) == (written, given.context)
    fields = radiograph_fields(image)
    assert fields["context"][0] == {"name": "febrile", "value": 0, "unit": "", "imputed": False}


def test_real_patients_are_numbered_in_order_and_stay_together() -> None:
    lineage = LineageFilter("none")
    other = replace(real(2), patient_id="someone")
    names = [(r.id, r.patient_id, r.study_id) for r in map(lineage, (real(0), other, real(1)))]
    assert names == [
        ("image-0000001", "patient-0000001", "study-0000001"),
        ("image-0000002", "patient-0000002", "study-0000002"),
        ("image-0000003", "patient-0000001", "study-0000003"),
    ]


def test_the_default_follows_the_licenses(secret_set: Path) -> None:
    (closed,) = open_dataset(secret_set).licenses
    open_ = closed | {"may_share": True}
    assert lineage_of(None, [open_]) == "full"
    assert lineage_of(None, [open_, closed]) == "none"
    assert lineage_of("hashed", [open_]) == "hashed"
    assert lineage_of("full", [closed]) == "full"
