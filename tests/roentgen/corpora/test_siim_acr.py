"""SIIM-ACR: rows of run-lengths become one mask a film, in the film's place."""

import csv
import gzip
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.corpora.siim_acr import SiimAcrConfig, SiimAcrReader
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, decode, encode_png
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree

RULES = SplitRules(fractions=Fractions(train=0.5, validate=0, test=0.5))
_FOUND = importlib.util.find_spec("torchxrayvision")
DATA = Path(_FOUND.origin).parent / "data" if _FOUND and _FOUND.origin else Path("absent")
needs_tables = pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's data")
# Rows 304 to 607 of columns 304 to 607: whole pixels at a 16th of the size.
SQUARE = " ".join([f"{304 + 1024 * 304} 304"] + ["720 304"] * 303)


def film(path: Path) -> None:
    """Bright in rows and columns 304 to 607."""
    pixels = np.full((1024, 1024), 20, np.uint8)
    pixels[304:608, 304:608] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))


def reader(root: Path, fit: Fit = "pad", **config: Any) -> SiimAcrReader:
    return SiimAcrReader(SiimAcrConfig(root=root, **config), RULES, 64, fit, 0)


def films(it: SiimAcrReader, items: Iterable[Any]) -> list[Radiograph]:
    return [one for item in items for one in it.read(item) if isinstance(one, Radiograph)]


def corpus(root: Path, *rows: tuple[str, str], header: str = "ImageId, EncodedPixels") -> None:
    for name in {name for name, _ in rows}:
        film(root / "dicom-images-train" / f"study{name}" / "series" / f"{name}.png")
    lines = [header, *(",".join(row) for row in rows)]
    (root / "train-rle.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("header", ["ImageId, EncodedPixels", "ImageId,EncodedPixels"])
def test_masks_cover_what_they_were_drawn_on(tmp_path: Path, header: str) -> None:
    left = " " + " ".join(SQUARE.split()[:300])  # 150 columns
    right = f" {304 + 1024 * 454} 304" + " 720 304" * 153
    rows = [("1.2.9", left), ("1.2.9", right), ("1.2.10", " -1")]
    corpus(tmp_path, *rows, header=header)
    it = reader(tmp_path)
    plan = it.plan()
    assert not plan.excluded
    one, none = films(it, plan.items)
    assert one.findings == (Finding(name="Pneumothorax"),)
    assert np.array_equal(decode(one.masks["pneumothorax"]) > 0, decode(one.image) >= 120)
    assert none.findings == (Finding(name="Pneumothorax", state="absent"),)
    assert (none.masks, none.patient_id, none.view) == ({}, "1.2.10", None)
    assert not it.licenses[0].may_share


def test_bad_rows_leave_their_film_out(tmp_path: Path) -> None:
    rows = [
        ("a", "-1"),
        ("b", "1 2"),
        ("b", "-1"),
        ("c", ""),
        ("", "-1"),
        ("e", "-1,1"),
        ("f", "5 x"),
    ]
    corpus(tmp_path, *rows)
    film(tmp_path / "dicom-images-train" / "other.png")
    film(tmp_path / "dicom-images-train" / "again" / "a.png")
    it = reader(tmp_path)
    plan = it.plan()
    told = {item.id: (item.reason, not item.is_bad) for item in plan.excluded}
    assert told["b"][0] == "one row has a mask, another -1 for none"
    assert told["c"][0].startswith("EncodedPixels is blank")
    assert told["train-rle.csv row 5"][0] == "ImageId is blank"
    assert told["train-rle.csv row 6"][0] == "the row has not as many fields as the header"
    assert told["other"] == ("not in train-rle.csv", True)
    assert told["a"][0].startswith("several files of one name: dicom-images-train/again/a.png")
    assert [item.id for item in plan.items] == ["f"]
    with pytest.raises(InputError, match="has 'x': expected whole numbers"):
        it.read(plan.items[0])


def test_wrong_folders_and_columns_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"siim_acr\.root .*expected train-rle\.csv.*found nothing"
    ):
        reader(tmp_path).plan()
    corpus(tmp_path, ("a", "-1"), header="ImageId,Pixels")
    with pytest.raises(InputError, match=r"train-rle\.csv has no column ' EncodedPixels'"):
        reader(tmp_path).plan()
    (tmp_path / "train-rle.csv").write_text("ImageId,EncodedPixels\nz,-1\n")
    with pytest.raises(InputError, match=r"expected the images of train-rle\.csv, found studya"):
        reader(tmp_path).plan()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected <ImageId>\.dcm in any folder, found nothing"):
        reader(tmp_path, images="empty").plan()


@needs_tables
def test_real_rows_are_read(tmp_path: Path) -> None:
    with gzip.open(DATA / "siim-pneumothorax-train-rle.csv.gz", "rt", newline="") as file:
        rows = [tuple(row) for _, row in zip(range(400), csv.reader(file), strict=False)][1:]
    lines = [("ImageId", " EncodedPixels"), *((name, f" {pixels}") for name, pixels in rows)]
    (tmp_path / "train-rle.csv").write_text("\n".join(",".join(line) for line in lines) + "\n")
    positive = [name for name, pixels in rows if pixels.strip() != "-1"][:2]
    for name in positive:
        film(tmp_path / "dicom-images-train" / f"{name}.png")
    it = reader(tmp_path)
    plan = it.plan()
    assert sorted(item.id for item in plan.items) == sorted(set(positive))
    names = {name for name, _ in rows}
    assert len(plan.items) + len(plan.excluded) == len(names)
    for item in plan.items:
        (radiograph,) = films(it, [item])
        lit = (decode(radiograph.masks["pneumothorax"]) > 0).mean()
        runs = [p for name, p in rows if name == item.id]
        drawn = sum(sum(map(int, p.split()[1::2])) for p in runs) / 1024**2
        assert lit == pytest.approx(drawn, rel=0.1)  # masks of one film hardly overlap


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    table = root / "train-rle.csv"
    corpus = CorpusTree("siim_acr", "dicom", root, table, ["ImageId", " EncodedPixels"])
    for number in range(IMAGES):
        path = f"dicom-images-train/s{number}/1.2.{number}.dcm"
        corpus.add(f"1.2.{number}", path, [f"1.2.{number}", " -1"])
    return corpus
