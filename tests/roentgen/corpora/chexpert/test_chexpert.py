"""CheXpert: trees made of rows of its real table."""

import csv
import gzip
import importlib.util
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roentgen.corpora.chexpert.chexpert import ChexpertConfig, ChexpertReader
from roentgen.corpora.chexpert.chexpert_plus import PlusColumns
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.record.finding import Finding
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree, write_table

FOUND = importlib.util.find_spec("torchxrayvision")
TABLE = Path(FOUND.origin or "").parent / "data/chexpert_train.csv.gz" if FOUND else Path("none")
OFFICIAL = SplitRules(published="official")
PLUS = [
    *("path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id"),
    *("patient_report_date_order", "report", "section_clinical_history", "section_comparison"),
    *("section_findings", "section_impression", "age", "sex", "race", "ethnicity", "split"),
]

pytestmark = pytest.mark.skipif(not TABLE.is_file(), reason="needs torchxrayvision's tables")


@pytest.fixture(scope="module")
def real() -> tuple[list[str], list[list[str]]]:
    """The header; the first rows, and the rare ones: LL, RL, age 0, unknown sex."""
    with gzip.open(TABLE, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    sideways = [row for row in rows if row[4] in ("LL", "RL")]
    unknown = [row for row in rows if row[2] == "0" or row[1] == "Unknown"]
    return header, [*rows[:40], *sideways[:3], *unknown]


def image() -> bytes:
    return encode_png(np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8))


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def tree(root: Path, real: tuple[list[str], list[list[str]]]) -> ChexpertConfig:
    header, rows = real
    small = root / "CheXpert-v1.0-small"
    for row in rows:
        path = root / row[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image())
    valid = "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg"
    (root / valid).parent.mkdir(parents=True)
    (root / valid).write_bytes(image())
    write(small / "train.csv", [header, *rows])
    write(small / "valid.csv", [header, [valid, "Male", "73", "Frontal", "AP", *["0.0"] * 14]])
    return ChexpertConfig(root=small)


def reader(config: ChexpertConfig, split: SplitRules = OFFICIAL) -> ChexpertReader:
    return ChexpertReader(config, split, 8, "pad", 0)


def reasons(plan: CorpusPlan) -> Counter[tuple[str, bool]]:
    return Counter((item.reason, not item.is_bad) for item in plan.excluded)


def test_real_rows_become_radiographs(
    tmp_path: Path, real: tuple[list[str], list[list[str]]]
) -> None:
    it = reader(tree(tmp_path, real))
    plan = it.plan()
    films = {film.id: film for item in plan.items for film in it.read(item)}
    first = films["train/patient00001/study1/view1_frontal"]
    assert (first.patient_id, first.study_id) == ("patient00001", "patient00001/study1")
    assert (first.view, first.age, first.sex, first.split) == ("AP", 68, "F", "train")
    assert first.findings == (
        Finding(name="No Finding"),
        Finding(name="Pneumothorax", state="absent"),
        Finding(name="Support Devices"),
    )
    second = films["train/patient00002/study2/view1_frontal"]
    uncertain = {f.name for f in second.findings if f.state == "uncertain"}
    assert uncertain == {
        "Cardiomegaly",
        "Edema",
        "Consolidation",
        "Atelectasis",
        "Pleural Effusion",
    }
    assert films["valid/patient64541/study1/view1_frontal"].split == "validate"
    rows = real[1]
    odd = sum(row[3] == "Frontal" and row[4] in ("LL", "RL") for row in rows)
    assert odd
    excluded = reasons(plan)
    assert sum(excluded[f"view {w!r} is excluded by name", True] for w in ("LL", "RL")) == odd
    assert len(films) == len(rows) + 1 - odd
    laterals = sum(row[3] == "Lateral" for row in rows)
    assert sum(film.view == "LATERAL" for film in films.values()) == laterals > 0
    zero = [film for film in films.values() if film.age is None]
    assert len(zero) == plan.unmapped[Unmapped("age", "0", "of adults: left unknown")] > 0
    assert not it.licenses[0].may_share


def test_the_whole_of_batches_as_downloaded_is_found(
    tmp_path: Path, real: tuple[list[str], list[list[str]]]
) -> None:
    config = tree(tmp_path, real)
    (config.root / "train").rename(config.root / "CheXpert-v1.0 batch 2 (train 1)")
    batch = config.root / "CheXpert-v1.0 batch 1 (validate & csv)"
    batch.mkdir()
    (config.root / "valid").rename(batch / "valid")
    plan = reader(config).plan()
    assert "file missing" not in {item.reason for item in plan.excluded}
    assert {item.split for item in plan.items} == {"train", "validate"}


def test_filters_splits_and_bad_rows(
    tmp_path: Path, real: tuple[list[str], list[list[str]]]
) -> None:
    config = tree(tmp_path, real)
    assert {item.view for item in reader(replace(config, views=("PA",))).plan().items} == {"PA"}
    test = SplitRules(fractions=Fractions(train=0, validate=0, test=1))
    assert {item.split for item in reader(config, test).plan().items} == {"test"}
    header, rows = real
    good = rows[0]
    away = ["CheXpert-v1.0-small/train/../../x.jpg", *good[1:]]
    named = ["CheXpert-v1.0-small/train/nobody.jpg", *good[1:]]
    other = [rows[1][0], "Wizard", *good[2:]]
    gone = [good[0].replace("patient00001", "patient99999"), *good[1:]]
    write(config.root / "train.csv", [header, good, good, away, named, other, gone, ["a", "b"]])
    found = reasons(reader(config).plan())
    assert found["the id appears twice in the table", False] == 1
    assert found["file missing", True] == 1
    assert found["the row has not as many fields as the header", False] == 1
    assert found["unknown sex 'Wizard': expected F, M or blank", False] == 1
    assert sum(n for (reason, _), n in found.items() if "leads out" in reason) == 1
    assert sum(n for (reason, _), n in found.items() if "the path is not as train/" in reason) == 1


def test_wrong_roots_and_columns_are_told(
    tmp_path: Path, real: tuple[list[str], list[list[str]]]
) -> None:
    config = tree(tmp_path, real)
    with pytest.raises(InputError, match=r"expected train\.csv and valid\.csv.* found CheXpert-v1"):
        reader(replace(config, root=tmp_path)).plan()
    header, rows = real
    renamed = ["Front" if name == "Frontal/Lateral" else name for name in header]
    write(config.root / "train.csv", [renamed, *rows])
    with pytest.raises(InputError, match=r"train\.csv has no column 'Frontal/Lateral'"):
        reader(config).plan()


def plus_row(path: str, view: str, findings: str, impression: str, race: str) -> list[str]:
    patient = path.split("/")[1]
    lateral = "Lateral" if not view else "Frontal"
    said = ["NARRATIVE:\nlong", "66-year-old", "None.", findings, impression]
    return [path, path, lateral, view, patient, "1", *said, "66.0", "Female", race, "", "train"]


def test_plus_brings_reports(tmp_path: Path, real: tuple[list[str], list[list[str]]]) -> None:
    config = tree(tmp_path, real)
    one, two = (row[0].partition("/")[2] for row in real[1][:2])
    rows = [
        PLUS,
        plus_row(
            one, "AP", "Lungs are \nclear, “all of them”.", "1. Normal.", "White, non-Hispanic"
        ),
        plus_row(two, "AP", "", "nan", "Other"),
        ["too", "short"],
    ]
    table = tmp_path / "df_chexpert_plus_240401.csv"
    table.write_bytes(b"\xef\xbb\xbf")
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    with table.open("ab") as file:
        file.write(text.getvalue().encode())
    it = reader(replace(config, plus=table))
    plan = it.plan()
    films = [it.read(item)[0] for item in plan.items]
    assert films[0].report is not None
    assert films[0].report.findings == "Lungs are \nclear, “all of them”."
    assert films[0].report.impression == "1. Normal."
    assert (films[0].age, films[0].race, films[0].sex) == (66, "white", "F")
    assert films[0].findings[0] == Finding(name="No Finding")
    assert films[1].report is None
    assert plan.unmapped[Unmapped("report", "", "the image is taken")] == 1
    assert plan.unmapped[Unmapped("race", "Other", "no race that prompts name: left unknown")] == 1
    assert reasons(plan)["the row has not as many fields as the header", False] == 1
    needed = reader(replace(config, plus=table, require_report=True)).plan()
    assert reasons(needed)["the image has no report", True] == 1
    (config.root / one).rename((config.root / one).with_suffix(".png"))
    assert reader(replace(config, plus=table)).plan().items[0].path.endswith(".png")
    missing = replace(config, plus=table, plus_columns=PlusColumns(race="RACE"))
    with pytest.raises(InputError, match=r"240401\.csv has no column 'RACE': name it in chexpert"):
        reader(missing).plan()
    table.write_text(",".join(PLUS))
    changed = r"^table df_chexpert_plus_240401\.csv has changed since it was scanned$"
    with pytest.raises(InputError, match=changed):
        it.read(plan.items[0])


LABELS_OF_TREE = [
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
]


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS_OF_TREE]
    corpus = CorpusTree("chexpert", "jpeg", root, root / "train.csv", header)
    for number in range(IMAGES):
        film = f"train/patient{number:05d}/study1/view1_frontal"
        path = f"{film}.jpg"
        said = ["Female", "60", "Frontal", "PA", "1.0", *[""] * 13]
        corpus.add(film, path, [f"CheXpert-v1.0-small/{path}", *said])
    write_table(root / "valid.csv", header, [])
    return corpus
