"""CANDID-PTX: reports, three kinds of masks, patients from file names."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.corpora.candid_ptx import CandidPtxConfig, CandidPtxReader
from roentgen.errors import InputError
from roentgen.imaging.images import decode, encode_png
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree

RULES = SplitRules(fractions=Fractions(train=0.5, validate=0, test=0.5))
SQUARE = " ".join([f"{304 + 1024 * 304} 304"] + ["720 304"] * 303)
COLUMNS = ("filename", "SOPInstanceUID", "StudyInstanceUID", "EncodedPixels", "Report")


def reader(root: Path, **config: Any) -> CandidPtxReader:
    return CandidPtxReader(CandidPtxConfig(root=root, **config), RULES, 64, "pad", 0)


def films(it: CandidPtxReader, items: Iterable[Any]) -> list[Radiograph]:
    return [one for item in items for one in it.read(item) if isinstance(one, Radiograph)]


def corpus(root: Path, *rows: tuple[str, ...]) -> None:
    pixels = np.full((1024, 1024), 20, np.uint8)
    pixels[304:608, 304:608] = 220
    (root / "dataset").mkdir()
    for name in {row[1] for row in rows} - {""}:
        (root / "dataset" / name).write_bytes(encode_png(pixels))  # a bare UID, as released
    with (root / "Pneumothorax_reports.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def test_report_masks_and_patient(tmp_path: Path) -> None:
    text = "CHEST\n\nSmall right apical pneumothorax, chest tube in place.\n"
    corpus(
        tmp_path,
        ("P0012_1.dcm", "1.2.3", "9.1", SQUARE, text),
        ("P0012_2.dcm", "1.2.4", "9.2", "-1", ""),
        ("P0100_1.dcm", "1.2.5", "9.3", "", "Clear."),
    )
    (tmp_path / "chest_tube.csv").write_text("anon_SOPUID,annotation_ref,mask_rle\n1.2.3,x,5 10\n")
    (tmp_path / "Rib_fracture_mask_rle.csv").write_text("anon_SOPUID,mask_rle\n1.2.4,-1\n")
    it = reader(tmp_path)
    plan = it.plan()
    assert not plan.excluded
    assert [item.patient for item in plan.items] == ["12", "12", "100"]
    one = replace(plan.items[0], runs=plan.items[0].runs | {"chest tube": (SQUARE,)})
    a, b, c = films(it, (one, *plan.items[1:]))
    assert a.findings == (
        Finding(name="Pneumothorax"),
        Finding(name="Support Devices", detail="chest tube"),
    )
    assert sorted(a.masks) == ["chest tube", "pneumothorax"]
    lit = decode(a.image) >= 120
    assert all(np.array_equal(decode(mask) > 0, lit) for mask in a.masks.values())
    assert a.report is not None
    assert "apical pneumothorax" in str(a.report)
    assert b.findings == (Finding(name="Pneumothorax", state="absent"),)
    assert (b.report, b.masks, c.findings) == (None, {}, ())
    assert a.split == b.split
    assert plan.items[0].runs["chest tube"] == ("5 10",)
    # A tube of a few pixels is one at 64 pixels.
    (thin,) = films(it, plan.items[:1])
    assert sorted(thin.masks) == ["chest tube", "pneumothorax"]
    assert (decode(thin.masks["chest tube"]) > 0).sum() == 1
    assert {item.patient for item in reader(tmp_path, patient=None).plan().items} == {
        *("9.1", "9.2", "9.3")
    }


def test_what_contradicts_itself_is_excluded(tmp_path: Path) -> None:
    corpus(
        tmp_path,
        ("P1_1", "a", "s1", "-1", "One."),
        ("P1_1", "a", "s1", "1 2", "One."),
        ("P2_1", "b", "s2", "-1", "One."),
        ("P3_1", "b", "s2", "-1", "One."),
        ("P4_1", "c", "s4", "-1", "One."),
        ("P4_1", "c", "s4", "-1", "Two."),
        ("x", "d", "s5", "-1", ""),
        ("P5_1", "", "s5", "-1", ""),
        ("P6_1", "e", "s6", "1 x", ""),
    )
    (tmp_path / "dataset" / "stray").write_bytes(b"x")
    it = reader(tmp_path)
    plan = it.plan()
    assert {item.id: item.reason for item in plan.excluded} == {
        "d": "filename does not begin with a patient, as P0001_",
        "Pneumothorax_reports.csv row 8": "SOPInstanceUID or StudyInstanceUID is blank",
        "a": "one row has a mask, another -1 for none",
        "b": "the image is in two studies",
        "c": "the image has two reports",
        "stray": "not in Pneumothorax_reports.csv",
    } | {"d": "not in Pneumothorax_reports.csv"}
    with pytest.raises(InputError, match="run-length has 'x'"):
        it.read(plan.items[0])


def test_wrong_roots_and_columns_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"candid_ptx\.root .*expected Pneumothorax_reports\.csv"):
        reader(tmp_path).plan()
    corpus(tmp_path, ("P1_1", "a", "s", "-1", ""))
    with pytest.raises(InputError, match="has no column 'patient'"):
        reader(tmp_path, patient="patient").plan()
    (tmp_path / "chest_tube.csv").write_text("SOP,mask_rle\n")
    with pytest.raises(InputError, match=r"chest_tube\.csv has no column 'anon_SOPUID'"):
        reader(tmp_path).plan()


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["filename", "SOPInstanceUID", "StudyInstanceUID", "EncodedPixels", "Report"]
    corpus = CorpusTree("candid_ptx", "dicom", root, root / "Pneumothorax_reports.csv", header)
    for number in range(IMAGES):
        row = [f"P{number}_1", f"1.2.{number}", f"1.9.{number}", "-1", "IMPRESSION: Clear."]
        corpus.add(f"1.2.{number}", f"dataset/1.2.{number}", row)
    return corpus
