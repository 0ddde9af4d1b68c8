"""NIH ChestX-ray14: trees made of rows of its real tables."""

import csv
import gzip
import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roentgen.corpora.nih import NihConfig, NihReader
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.record.finding import Finding
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import HALVES, IMAGES, CorpusTree

FOUND = importlib.util.find_spec("torchxrayvision")
DATA = Path(FOUND.origin or "").parent / "data" if FOUND else Path("none")
ALL_TRAIN = SplitRules(fractions=Fractions(train=1, validate=0, test=0))
OFFICIAL = SplitRules(published="official")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's tables")


def read(name: str) -> list[list[str]]:
    with gzip.open(DATA / name, "rt", newline="") as file:
        return list(csv.reader(file))


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def real() -> tuple[list[list[str]], list[list[str]]]:
    """Tables with their headers: the first images and those of the first boxes; the boxes."""
    header, *rows = read("Data_Entry_2017_v2020.csv.gz")
    boxes = read("BBox_List_2017.csv.gz")
    infiltrate = [row for row in boxes[1:] if row[1] == "Infiltrate"][:2]
    some = [*boxes[1:6], *infiltrate]
    boxed = {row[0] for row in some}
    taken = [*rows[:30], *(row for row in rows[30:] if row[0] in boxed)]
    return [header, *taken], [boxes[0], *some]


def tree(root: Path, real: tuple[list[list[str]], list[list[str]]], size: int = 64) -> NihConfig:
    table, boxes = real
    for number, row in enumerate(table[1:]):
        folder = root / f"images_{number % 12 + 1:03d}/images"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
        (folder / row[0]).write_bytes(encode_png(pixels))
    write(root / "Data_Entry_2017_v2020.csv", table)
    write(root / "BBox_List_2017.csv", boxes)
    return NihConfig(root=root)


def reader(config: NihConfig, split: SplitRules = ALL_TRAIN) -> NihReader:
    return NihReader(config, split, 32, "pad", 0)


def reasons(plan: CorpusPlan) -> Counter[tuple[str, bool]]:
    return Counter((item.reason, not item.is_bad) for item in plan.excluded)


def test_real_rows_become_radiographs(
    tmp_path: Path, real: tuple[list[list[str]], list[list[str]]]
) -> None:
    it = reader(tree(tmp_path, real))
    plan = it.plan()
    assert not plan.excluded
    films = {film.id: film for item in plan.items for film in it.read(item)}
    assert len(films) == len(real[0]) - 1
    second = films["00000001_001"]
    assert (second.patient_id, second.study_id) == ("00000001", "00000001-1")
    assert (second.view, second.age, second.sex) == ("PA", 58, "M")
    assert second.findings == (Finding(name="Cardiomegaly"),)  # Emphysema is none of the 14
    assert plan.unmapped[Unmapped("finding", "Emphysema", "excluded by name")] >= 1
    assert it.licenses[0].may_share


def test_boxes_are_scaled_to_the_prepared_image(
    tmp_path: Path, real: tuple[list[list[str]], list[list[str]]]
) -> None:
    it = reader(tree(tmp_path, real))
    films = {film.id: film for item in it.plan().items for film in it.read(item)}
    for row in real[1][1:]:
        x, y, w, h = map(float, row[2:6])
        boxes = films[row[0].removesuffix(".png")].boxes
        edges = [(box.left, box.top, box.right, box.bottom) for box in boxes]
        expected = (x / 32, y / 32, (x + w) / 32, (y + h) / 32)  # 1024 pixels become 32
        assert any(edge == pytest.approx(expected) for edge in edges)
        if row[1] == "Infiltrate":
            assert "infiltration" in {box.structure for box in boxes}
    assert sum(len(film.boxes) for film in films.values()) == len(real[1]) - 1
    none = reader(replace(it.config, boxes=None))
    assert not any(item.boxes for item in none.plan().items)


def test_the_first_release_reads_the_same(
    tmp_path: Path, real: tuple[list[list[str]], list[list[str]]]
) -> None:
    new = reader(tree(tmp_path, real)).plan()
    header, *rows = real[0]
    # A blank column at the end, and ages in DICOM's form.
    old = [[*row[:4], f"{int(row[4]):03d}Y", *row[5:], ""] for row in rows]
    write(tmp_path / "Data_Entry_2017.csv", [[*header, ""], *old])
    (tmp_path / "Data_Entry_2017_v2020.csv").unlink()
    assert reader(NihConfig(root=tmp_path)).plan() == new
    header = ["Patient Sex" if name == "Patient Gender" else name for name in header]
    write(tmp_path / "Data_Entry_2017.csv", [header, *rows])
    assert reader(NihConfig(root=tmp_path)).plan() == new
    rows[0] = [*rows[0][:4], "414Y", *rows[0][5:]]
    rows[1] = [*rows[1][:4], "006M", *rows[1][5:]]
    write(tmp_path / "Data_Entry_2017.csv", [header, *rows])
    plan = reader(NihConfig(root=tmp_path)).plan()
    assert [item.age for item in plan.items[:2]] == [None, 0.5]
    assert plan.unmapped[Unmapped("age", "414Y", "no age in years: left unknown")] == 1


def test_the_official_split(tmp_path: Path, real: tuple[list[list[str]], list[list[str]]]) -> None:
    config = tree(tmp_path, real)
    with pytest.raises(InputError, match=r"cannot read the official split's .*train_val_list\.txt"):
        reader(config, OFFICIAL).plan()
    names = [row[0] for row in real[0][1:]]
    test = [name for name in names if name.startswith("00000003")]
    train = [name for name in names if name not in test]
    (tmp_path / "train_val_list.txt").write_text("\n".join(train))
    (tmp_path / "test_list.txt").write_text("\n".join(test))
    plan = reader(config, OFFICIAL).plan()
    assert {item.patient for item in plan.items if item.split == "test"} == {"00000003"}
    third = SplitRules(published="official", validate_share=0.3)
    splits = {item.split for item in reader(config, third).plan().items}
    assert splits == {"train", "validate", "test"}
    (tmp_path / "test_list.txt").write_text("\n".join([*test, train[0]]))
    with pytest.raises(InputError, match="is in both train_val_list"):
        reader(config, OFFICIAL).plan()


def test_bad_rows_and_boxes_are_excluded(
    tmp_path: Path, real: tuple[list[list[str]], list[list[str]]]
) -> None:
    config = tree(tmp_path, real)
    header, *rows = real[0]
    away = ["../00000001_000.png", *rows[0][1:]]
    other = [rows[1][0], *rows[1][1:3], "2", *rows[1][4:]]
    oblique = [rows[2][0], *rows[2][1:6], "LAO", *rows[2][7:]]
    gone = ["00099999_000.png", *rows[0][1:3], "99999", *rows[0][4:]]
    table = [header, rows[0], rows[0], away, other, oblique, gone, ["short"]]
    write(tmp_path / "Data_Entry_2017_v2020.csv", table)
    bad = [["a.png", "Hernia", "1", "1", "1", "1"], ["a.png", "Mass", "1", "1", "0", "nan"]]
    write(tmp_path / "BBox_List_2017.csv", [real[1][0], *bad])
    found = reasons(reader(config).plan())
    assert found["Image Index is not as 00000001_000.png", False] == 1
    assert found["Patient ID is '2', which is not the image's patient", False] == 1
    assert found["unknown view 'LAO': give its meaning in view_words", False] == 1
    assert found["file missing", True] == 1
    assert found["the id appears twice in the table", False] == 1
    assert sum("box" in reason for reason, _ in found) == 2


def test_wrong_roots_are_told(
    tmp_path: Path, real: tuple[list[list[str]], list[list[str]]]
) -> None:
    config = tree(tmp_path / "nih", real)
    with pytest.raises(InputError, match=r"nih\.root .*expected Data_Entry.* found nih"):
        reader(replace(config, root=tmp_path)).plan()
    write(tmp_path / "nih/BBox_List_2017.csv", [["image", "box"]])
    with pytest.raises(InputError, match=r"BBox_List_2017\.csv begins with 'image,box'"):
        reader(config).plan()
    (tmp_path / "nih/BBox_List_2017.csv").unlink()
    with pytest.raises(InputError, match=r"set nih\.boxes to null"):
        reader(config).plan()


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"]
    header += ["Patient Gender", "View Position"]
    corpus = CorpusTree("nih", "png", root, root / "Data_Entry_2017_v2020.csv", header)
    for number in range(IMAGES):
        name = f"{number + 1:08d}_000"
        row = [f"{name}.png", "Effusion", "0", str(number + 1), "60", "F", "PA"]
        corpus.add(name, f"images/{name}.png", row)
    corpus.arguments = [HALVES, "--nih.boxes=null"]
    return corpus
