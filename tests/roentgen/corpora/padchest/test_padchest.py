"""PadChest: trees made of rows of its real table."""

import csv
import gzip
import importlib.util
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roentgen.corpora.padchest.labels import (
    default_meanings,
    parse_labels,
    parse_sides,
    to_findings,
)
from roentgen.corpora.padchest.padchest import TABLE, PadchestConfig, PadchestReader
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.errors import InputError
from roentgen.imaging.images import decode
from roentgen.record.finding import Finding
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree

FOUND = importlib.util.find_spec("torchxrayvision")
DATA = Path(FOUND.origin or "").parent / "data" if FOUND else Path("none")
HALVES = SplitRules(fractions=Fractions(train=0.5, validate=0, test=0.5))

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's tables")
Table = list[list[str]]


@pytest.fixture(scope="module")
def real() -> Table:
    """The header, the first rows, and some with rare projections."""
    with gzip.open(DATA / f"{TABLE}.gz", "rt", newline="") as file:
        rows = list(islice(csv.reader(file), 12000))
    rare = [row for row in rows[120:] if row[9] in ("AP", "AP_horizontal", "COSTAL", "EXCLUDE")]
    return [*rows[:120], *rare[:20]]


def tree(root: Path, table: Table, *, flat: bool = True) -> PadchestConfig:
    for number, row in enumerate(table[1:]):
        folder = root if flat else root / row[2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 65536, (12, 16), dtype=np.uint16)
        Image.fromarray(pixels).save(folder / row[1])
    with gzip.open(root / f"{TABLE}.gz", "wt", newline="") as file:
        csv.writer(file).writerows(table)
    return PadchestConfig(root=root)


def reader(config: PadchestConfig, split: SplitRules = HALVES) -> PadchestReader:
    return PadchestReader(config, split, 8, "pad", 0)


def reasons(plan: CorpusPlan) -> Counter[tuple[str, bool]]:
    return Counter((item.reason, not item.is_bad) for item in plan.excluded)


@pytest.mark.parametrize("flat", [True, False])
def test_real_rows_become_radiographs(tmp_path: Path, real: Table, flat: bool) -> None:
    it = reader(tree(tmp_path, real, flat=flat))
    plan = it.plan()
    films = [it.read(item)[0] for item in plan.items[:30]]
    first = films[0]
    assert first.id == "20536686640136348236148679891455886468_k6ga29"
    assert first.patient_id == "839860488694292331637988235681460987"
    assert (first.view, first.age, first.sex) == ("PA", 84, "F")
    assert first.findings == (Finding(name="No Finding"),)
    assert first.report is not None
    assert first.report.findings == "sin hallazg patolog edad pacient ."
    assert decode(first.image).max() > 128  # 16 bits are scaled, not cut
    views = Counter(row[9] for row in real[1:] if "exclude" not in row[31])
    assert Counter(item.view for item in plan.items) == {
        "PA": views["PA"],
        "LATERAL": views["L"],
        "AP": views["AP"] + views["AP_horizontal"],
    }
    assert {expected for _, expected in reasons(plan)} <= {True}
    for word in ("COSTAL", "EXCLUDE"):
        excluded = reasons(plan)[f"view {word!r} is excluded by name", True]
        assert excluded == sum(row[9] == word for row in real)
    assert len({item.split for item in plan.items}) == 2
    assert not it.licenses[0].may_share


def test_labels_become_findings_with_their_side() -> None:
    labels = parse_labels("['pleural effusion', ' laminar atelectasis ', 'kyphosis', 'normal', '']")
    sides = parse_sides(
        "[['laminar atelectasis', 'loc basal', 'loc left'], ['pleural effusion', 'loc pleural', "
        "'loc right'], ['kyphosis', 'normal', 'loc left']]"
    )
    findings, unmapped = to_findings(labels, sides, default_meanings())
    assert findings == (
        Finding(name="Pleural Effusion", side="right"),
        Finding(name="Atelectasis", side="left", detail="laminar"),
    )
    assert unmapped == [
        Unmapped("finding", "kyphosis", "no meaning is given"),
        Unmapped("finding", "normal", "beside other labels"),
    ]
    unchanged = to_findings(parse_labels("['normal', 'unchanged']"), {}, default_meanings())
    assert unchanged[0] == (Finding(name="No Finding"),)
    both = "[['nodule', 'loc left'], ['nodule', 'loc right'], ['mass', 'nodule', 'loc left']]"
    assert parse_sides(both) == {}
    assert parse_labels("nan") == parse_labels("") == ()
    for text in ("['a'", "{'a': 1}", "__import__('os')", "[1]", "(" * 500):
        with pytest.raises(InputError, match="Labels is not a list"):
            parse_labels(text)


def test_bad_rows_are_excluded(tmp_path: Path, real: Table) -> None:
    config = tree(tmp_path, real)
    header, *rows = real
    place = {name: number for number, name in enumerate(header)}

    def changed(row: list[str], **cells: str) -> list[str]:
        return [cells.get(name, row[place[name]]) for name in header]

    table = [
        header,
        rows[0],
        rows[0],
        changed(rows[1], Labels="['pneumonia'"),
        changed(rows[2], PatientID=""),
        changed(rows[3], ImageID="../x.png"),
        changed(rows[4], ImageDir=".."),
        changed(rows[5], Projection="OBLIQUE"),
        changed(rows[6], Labels="['exclude', 'nodule']"),
        changed(rows[7], ImageID="gone.png"),
        changed(rows[8], PatientBirth="1700.0", Labels="nan"),
        ["short"],
    ]
    with gzip.open(tmp_path / f"{TABLE}.gz", "wt", newline="") as file:
        csv.writer(file).writerows(table)
    plan = reader(config).plan()
    found = reasons(plan)
    assert len(plan.items) == 2
    assert plan.items[1].age is None
    assert plan.unmapped[Unmapped("labels", "", "the image is taken")] == 1
    assert found["the id appears twice in the table", False] == 1
    assert found["PatientID is blank: the split needs the patient", False] == 1
    assert found["unknown view 'OBLIQUE': give its meaning in view_words", False] == 1
    assert found["label 'exclude': its images are excluded", True] == 1
    assert found["file missing", True] == 1
    assert sum(n for (r, _), n in found.items() if "not a file name" in r or "leads out" in r) == 2
    assert sum(n for (r, _), n in found.items() if r.startswith("Labels is not a list")) == 1


def test_broken_images_are_bad_items(tmp_path: Path, real: Table) -> None:
    config = tree(tmp_path, real)
    it = reader(config)
    item = it.plan().items[0]
    whole = (tmp_path / item.path).read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (tmp_path / item.path).write_bytes(content)
        with pytest.raises(InputError, match=item.id):
            it.read(item)


def test_wrong_roots_splits_and_tables_are_told(tmp_path: Path, real: Table) -> None:
    config = tree(tmp_path / "padchest", real)
    with pytest.raises(InputError, match=r"padchest\.root .*expected PADCHEST.*found padchest"):
        reader(replace(config, root=tmp_path)).plan()
    with pytest.raises(
        InputError, match=r"unknown split\.published 'official'; this corpus's: none"
    ):
        reader(config, SplitRules(published="official")).plan()
    table = tmp_path / "padchest" / f"{TABLE}.gz"
    table.write_bytes(table.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"csv\.gz cannot be read"):
        reader(config).plan()


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["ImageID", "ImageDir", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM"]
    header += ["StudyDate_DICOM", "Projection", "Labels", "LabelsLocalizationsBySentence", "Report"]
    table = root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    corpus = CorpusTree("padchest", "png16", root, table, header)
    for number in range(IMAGES):
        said = ["20140915", "PA", "['normal']", "[['normal']]", "sin hallazg ."]
        row = [f"f{number}.png", "0", f"s{number}", f"p{number}", "1930.0", "F", *said]
        corpus.add(f"f{number}", f"0/f{number}.png", row)
    return corpus
