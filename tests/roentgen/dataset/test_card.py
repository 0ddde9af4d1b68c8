"""Dataset cards: whose images they hold, and what the hub and `datasets` make of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from roentgen.cards.markdown import PLACE
from roentgen.dataset.card import patients_notice
from roentgen.dataset.dataset import DatasetWriter
from roentgen.imaging.images import encode_png
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph

ROOT = Path(__file__).parents[3]
OPEN = {"name": "CC0-1.0", "data_use": None, "may_share": True}
CLOSED = {"name": "DUA", "data_use": None, "may_share": False}


def counts(source: str, reports: bool) -> dict[str, dict[str, object]]:
    sources = [{"source": source, "license": "x", "radiographs": 3}]
    return {"train": {"sources": sources, "reports": {"impression": 2} if reports else {}}}


def test_a_card_says_that_it_holds_patients() -> None:
    assert patients_notice(counts("phantom", True), [OPEN]) is None
    assert patients_notice(counts("synthetic", False), [CLOSED]) is None
    assert patients_notice(counts("MIMIC-CXR", True), [OPEN, CLOSED]) == (
        "This holds 3 radiographs of patients and words of their reports: it must not be passed on."
    )
    assert patients_notice(counts("NIH", False), [OPEN]) == (
        "This holds 3 radiographs of patients: it may be passed on."
    )


def test_no_html_of_licenses_and_sources_reaches_a_card(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\n# x"
    terms = {"name": bad, "data_use": bad, "may_share": True}
    with DatasetWriter(tmp_path / "set", licenses=[terms], provenance={}) as writer:
        writer.add(
            Radiograph(
                id="a",
                patient_id="a",
                study_id="a",
                split="train",
                image=encode_png(np.zeros((8, 8), np.uint8)),
                source=bad,
                license=bad,
            )
        )
        writer.exclude("x", bad)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "<script" not in card
    assert "\n# x" not in card
    assert card.count("&#60;script&#62;") == 5


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A dataset of 3 training, 2 validation and 1 test radiographs."""
    with DatasetWriter(tmp_path / "set", licenses=[OPEN], provenance={}) as writer:
        for number, split in enumerate(("train",) * 3 + ("validate",) * 2 + ("test",)):
            radiograph = Radiograph(
                id=str(number),
                patient_id=str(number),
                study_id=str(number),
                split=split,  # type: ignore[arg-type]
                view="PA",
                sex="F",
                findings=(Finding(name="Edema", side="left"),),
                image=encode_png(np.full((8, 8), number, np.uint8)),
                source="phantom",
                license="CC0",
            )
            writer.add(radiograph)
    return tmp_path / "set"


def test_datasets_loads_all_splits(
    written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load_dataset(str(written), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {
        "train": 3,
        "validate": 2,
        "test": 1,
    }
    row = loaded["validate"][1]
    assert np.asarray(row["image"]).tolist() == np.full((8, 8), 4).tolist()
    assert row["findings"][0]["side"] == "left"
    assert "gnoring" not in caplog.text  # of entries of the card that cannot be read


def test_the_hub_reads_the_card(written: Path) -> None:
    data = DatasetCard.load(written / "README.md").data
    assert (data.license, data.size_categories) == ("cc0-1.0", ["n<1K"])
    assert data.task_categories == ["text-to-image", "image-classification"]
    assert set(data.tags) >= {"chest-x-ray", "simulated"}
    splits = {split["name"]: split["num_examples"] for split in data.dataset_info["splits"]}
    assert splits == {"train": 3, "validate": 2, "test": 1}


@pytest.mark.parametrize("library", ["datasets", "roentgen"])
def test_the_code_of_the_card_runs(written: Path, library: str, tmp_path: Path) -> None:
    card = (written / "README.md").read_text()
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if library in c[:20])
    script = code.replace(PLACE, str(written))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Edema" in done.stdout
