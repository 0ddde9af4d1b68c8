"""MIMIC-CXR-JPG: a small tree with the published tables' headers, names and quirks."""

import csv
import gzip
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.corpora.mimic.mimic_cxr_jpg import MimicCxrJpgConfig, MimicCxrJpgReader
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.errors import InputError, UnwantedError
from roentgen.imaging.images import encode_png
from roentgen.record.finding import FINDING_NAMES, Finding
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.chexpert.test_chexpert import LABELS_OF_TREE
from tests.roentgen.corpora.corpus_tree import IMAGES as TREE_IMAGES
from tests.roentgen.corpora.corpus_tree import CorpusTree, write_table
from tests.roentgen.corpora.mimic.test_mimic_cxr import TREE_REPORT, mimic_names

OFFICIAL = SplitRules(published="official")
METADATA = [
    *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription"),
    *("ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime"),
    *("ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning"),
    "PatientOrientationCodeSequence_CodeMeaning",
]
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 FINDINGS:

 There is no focal consolidation, pleural effusion or pneumothorax.

 IMPRESSION:

 No acute cardiopulmonary process.
"""


def image_id(number: int) -> str:
    return "-".join(f"{number * 7919 + part:08x}" for part in range(5))


# (subject, study, view, date, split), the image's number being the place
IMAGES = [
    ("10000032", "50414267", "PA", "21800506", "train"),
    ("10000032", "50414267", "LATERAL", "21800506", "train"),
    ("10000032", "53189527", "AP", "21800626", "train"),
    ("11000011", "50000001", "LL", "21500101", "validate"),
    ("19000019", "50000002", "PA", "21320101", "test"),
    ("19000019", "50000003", "LAO", "21320102", "test"),
    ("19000019", "50000004", "", "21320103", "test"),
]


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_labels(path: Path, studies: dict[str, dict[str, str]]) -> None:
    names = sorted(FINDING_NAMES)
    rows = [["10000032", s, *(said.get(n, "") for n in names)] for s, said in studies.items()]
    write_csv(path, ["subject_id", "study_id", *names], rows)


def tree(root: Path, images: list[tuple[str, str, str, str, str]] = IMAGES) -> MimicCxrJpgConfig:
    root.mkdir(exist_ok=True)
    rows, splits = [], []
    for number, (subject, study, view, date, split) in enumerate(images):
        name = image_id(number)
        folder = root / f"files/p{subject[:2]}/p{subject}/s{study}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16), dtype=np.uint8)
        (folder / f"{name}.jpg").write_bytes(encode_png(pixels))
        time = "213014.53100000002"
        rows.append([name, subject, study, "CHEST (PA AND LAT)", view, 3056, 2544, date, time])
        rows[-1] += ["CHEST (PA AND LAT)", "postero-anterior", "Erect"]
        splits.append([name, study, subject, split])
    write_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, rows)
    split_header = ["dicom_id", "study_id", "subject_id", "split"]
    write_csv(root / "mimic-cxr-2.0.0-split.csv.gz", split_header, splits)
    write_labels(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz",
        {
            "50414267": {"No Finding": "1.0", "Support Devices": "1.0"},
            "53189527": {"Pleural Effusion": "1.0", "Edema": "-1.0", "Pneumothorax": "0.0"},
            "50000001": {"No Finding": "1.0"},
            "50000002": {"Cardiomegaly": "1.0"},
        },
    )
    return MimicCxrJpgConfig(root=root)


def reader(config: MimicCxrJpgConfig, split: SplitRules = OFFICIAL) -> MimicCxrJpgReader:
    return MimicCxrJpgReader(config, split, 8, "pad", 0)


def reasons(plan: CorpusPlan) -> Counter[tuple[str, bool]]:
    return Counter((item.reason, not item.is_bad) for item in plan.excluded)


def test_rows_become_radiographs(tmp_path: Path) -> None:
    it = reader(tree(tmp_path))
    plan = it.plan()
    assert [item.view for item in plan.items] == ["PA", "LATERAL", "AP", "LATERAL", "PA"]
    films = [it.read(item)[0] for item in plan.items]
    assert [film.split for film in films] == ["train"] * 3 + ["validate", "test"]
    assert (films[0].id, films[0].patient_id, films[0].study_id) == (
        image_id(0),
        "10000032",
        "50414267",
    )
    assert films[0].findings == (Finding(name="No Finding"), Finding(name="Support Devices"))
    assert {(f.name, f.state) for f in films[2].findings} == {
        ("Pleural Effusion", "present"),
        ("Edema", "uncertain"),
        ("Pneumothorax", "absent"),
    }
    assert films[0].report is None
    assert films[0].license == it.licenses[0].name
    assert not it.licenses[0].may_share
    assert reasons(plan) == {
        ("view 'LAO' is excluded by name", True): 1,
        ("view not given", True): 1,
    }
    assert not plan.unmapped.keys() - {Unmapped("labels", "", "the study's images are taken")}


def test_views_are_chosen(tmp_path: Path) -> None:
    config = tree(tmp_path)
    plan = reader(replace(config, views=("PA",), accept_unknown_view=True)).plan()
    assert [item.view for item in plan.items] == ["PA", "PA", None]
    plan = reader(replace(config, view_words={"LAO": "LATERAL"})).plan()
    assert len(plan.items) == 6
    rows = [(*IMAGES[0][:2], "ODD", *IMAGES[0][3:])]
    plan = reader(tree(tmp_path / "odd", rows)).plan()
    assert reasons(plan) == {
        ("unknown view 'ODD': give its meaning in view_words", False): 1,
        ("study without images", True): 3,  # the table of labels has them
    }


def test_splits_keep_patients_whole(tmp_path: Path) -> None:
    config = tree(tmp_path)
    p19 = reader(config, SplitRules(published="p19")).plan()
    assert [item.split for item in p19.items] == ["train"] * 4 + ["test"]
    shares = SplitRules(published="p19", validate_share=0.5)
    plan = reader(config, shares).plan()
    assert len({item.split for item in plan.items if item.patient == "10000032"}) == 1
    halves = SplitRules(fractions=Fractions(train=0, validate=0, test=1))
    assert {item.split for item in reader(config, halves).plan().items} == {"test"}
    with pytest.raises(InputError, match=r"unknown split\.published 'p18'; this corpus's: off"):
        reader(config, SplitRules(published="p18")).plan()
    broken = [*IMAGES, ("10000032", "53911762", "PA", "21800723", "test")]
    with pytest.raises(InputError, match="subject '10000032' is in both train and test"):
        reader(tree(tmp_path / "b", broken)).plan()
    only = reader(tree(tmp_path / "c"))
    header = ["dicom_id", "study_id", "subject_id", "split"]
    write_csv(tmp_path / "c/mimic-cxr-2.0.0-split.csv.gz", header, [["x", "y", "19000019", "test"]])
    plan = only.plan()
    assert [item.patient for item in plan.items] == ["19000019"]
    assert ("the official split does not contain patient '10000032'", False) in reasons(plan)


def test_reports_from_folders_and_zip_are_alike(tmp_path: Path) -> None:
    config = tree(tmp_path / "jpg")
    text = tmp_path / "reports/files/p10/p10000032/s50414267.txt"
    text.parent.mkdir(parents=True)
    text.write_text(REPORT)
    (tmp_path / "reports/files/p19").mkdir()
    archive = tmp_path / "mimic-cxr-reports.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("files/p10/p10000032/s53189527.txt", "other")
        file.write(text, "files/p10/p10000032/s50414267.txt")
    for source in (tmp_path / "reports", tmp_path / "reports/files", archive, tmp_path):
        it = reader(replace(config, reports=source))
        plan = it.plan()
        (film,) = it.read(plan.items[0])
        assert film.report is not None
        assert film.report.impression == "No acute cardiopulmonary process."
        assert plan.unmapped[Unmapped("report", "", "the study's images are taken")] in (2, 3)
    needed = reader(replace(config, reports=tmp_path / "reports", require_report=True)).plan()
    assert len(needed.items) == 2
    assert reasons(needed)["the study has no report", True] == 3


def test_damaged_reports_are_bad_items_or_told(tmp_path: Path) -> None:
    config = tree(tmp_path / "jpg")
    with pytest.raises(InputError, match=r"no such folder or zip of reports: .*nothing"):
        reader(replace(config, reports=tmp_path / "nothing")).plan()
    archive = tmp_path / "r.zip"
    archive.write_bytes(b"PK\x03\x04 half a zip")
    with pytest.raises(InputError, match=r"r\.zip is not a complete zip"):
        reader(replace(config, reports=archive)).plan()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("files/p10/p10000032/s50414267.txt", REPORT)
        file.writestr("files/p10/p10000032/s53189527.txt", b"\xff\xfe\x00")
    it = reader(replace(config, reports=archive))
    items = it.plan().items
    with pytest.raises(InputError, match="not text in UTF-8"):
        it.read(items[2])
    for text, encoding in (
        ("左侧少量胸腔积液，未见气胸。".encode("gbk"), "GBK"),
        ("Sin neumotórax.".encode("latin-1"), "Latin-1"),
        ("Clear.".encode("utf-16"), "UTF-16"),
    ):
        with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
            file.writestr("files/p10/p10000032/s53189527.txt", text)
        other = reader(replace(config, reports=tmp_path / "other.zip"))
        with pytest.raises(InputError, match=f"not text in UTF-8, but perhaps in {encoding}"):
            other.read(other.plan().items[2])
    data = bytearray(archive.read_bytes())
    data[80:120] = bytes(40)
    archive.write_bytes(bytes(data))
    with pytest.raises(InputError, match="the report"):
        it.read(items[0])
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("other.txt", "text")
    with pytest.raises(InputError, match=r"expected files/p10.*found other\.txt"):
        reader(replace(config, reports=archive)).plan()


def test_demographics_follow_mimic_iv(tmp_path: Path) -> None:
    config = tree(tmp_path)
    write_csv(
        tmp_path / "patients.csv.gz",
        ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"],
        [
            ["10000032", "F", 52, 2180, "2014 - 2016", "2180-09-09"],
            ["11000011", "M", 60, 2155, "2014 - 2016", ""],
            ["19000019", "M", 91, 2300, "2014 - 2016", ""],
        ],
    )
    admissions = [
        ["10000032", "22595853", "WHITE - RUSSIAN"],
        ["10000032", "22841357", "UNKNOWN"],
        ["11000011", "22841358", "BLACK/CAPE VERDEAN"],
        ["19000019", "22841359", "ASIAN - CHINESE"],
        ["19000019", "22841360", "WHITE"],
        ["19000019", "22841361", "MULTIPLE RACE/ETHNICITY"],
    ]
    write_csv(tmp_path / "admissions.csv.gz", ["subject_id", "hadm_id", "race"], admissions)
    tables: dict[str, Any] = {
        name: tmp_path / f"{name}.csv.gz" for name in ("patients", "admissions")
    }
    it = reader(replace(config, **tables))
    plan = it.plan()
    films = [it.read(item)[0] for item in plan.items]
    # 60 in 2155 is 55 in 2150; the last patient would be born after the film.
    assert [film.age for film in films] == [52, 52, 52, 55, None]
    assert [film.sex for film in films] == ["F", "F", "F", "M", "M"]
    black = "black or african american"
    assert [film.race for film in films] == ["white"] * 3 + [black, None]
    assert {(lost.field, lost.word): n for lost, n in plan.unmapped.items()} == {
        ("race", "asian / white"): 1,
        ("race", "MULTIPLE RACE/ETHNICITY"): 1,
        ("age", "2209 to 21320101"): 1,
    }


def test_labels_of_a_radiologist_stand_in(tmp_path: Path) -> None:
    config = tree(tmp_path)
    names = [n for n in FINDING_NAMES if n not in ("No Finding", "Lung Opacity")]
    header = ["study_id", "Airspace Opacity", *names]
    row = ["50000002", "1.0", *("" for _ in names)]
    write_csv(tmp_path / "mimic-cxr-2.1.0-test-set-labeled.csv", header, [row])
    it = reader(replace(config, test_labels="mimic-cxr-2.1.0-test-set-labeled.csv"))
    (film,) = it.read(it.plan().items[4])
    assert film.findings == (Finding(name="Lung Opacity"),)
    plan = reader(replace(config, labels=None)).plan()
    assert {item.findings for item in plan.items} == {()}
    with pytest.raises(InputError, match=r"no such table: .*negbio\.csv\.gz"):
        reader(replace(config, labels="negbio")).plan()


def test_bad_rows_are_excluded(tmp_path: Path) -> None:
    config = tree(tmp_path)
    table = tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz"
    with gzip.open(table, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    twice, odd = list(rows[0]), list(rows[2])
    odd[4] = "PA"
    escape, blank = list(rows[0]), list(rows[0])
    escape[0], blank[0] = "../../../../etc/passwd", ""
    gone = [image_id(99), "17000017", "50000099", *rows[0][3:]]
    write_csv(table, header, [*rows, twice, odd, escape, blank, ["short"], gone])
    splits = tmp_path / "mimic-cxr-2.0.0-split.csv.gz"
    with gzip.open(splits, "at", newline="") as file:
        csv.writer(file).writerow([image_id(99), "50000099", "17000017", "train"])
    plan = reader(config).plan()
    assert image_id(2) not in [item.id for item in plan.items]
    found = reasons(plan)
    assert found["the id appears twice in the table", False] == 1
    assert found["the id appears twice, with different rows", False] == 2
    assert found["'../../../../etc/passwd' is not a dicom_id of MIMIC-CXR", False] == 1
    assert found["'' is not a dicom_id of MIMIC-CXR", False] == 1
    assert found["the row has not as many fields as the header", False] == 1
    assert found["file missing", True] == 1
    assert reasons(reader(replace(config, complete=True)).plan())["file missing", False] == 1


def test_bad_labels_cost_their_study_only(tmp_path: Path) -> None:
    config = tree(tmp_path)
    table = tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz"
    labels = {"50414267": {"Edema": "2.0"}, "53189527": {"No Finding": "1.0", "Edema": "1.0"}}
    write_labels(table, labels)
    plan = reader(config).plan()
    assert [item.patient for item in plan.items] == ["11000011", "19000019"]
    found = reasons(plan)
    assert found["Edema is '2.0': expected 1, 0, -1 or blank", False] == 2
    assert found["No Finding is present beside Edema", False] == 1
    assert plan.unmapped[Unmapped("labels", "", "the study's images are taken")] == 2


def test_half_a_tree_is_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    config = tree(tmp_path)
    (tmp_path / "files/p10").rename(tmp_path / "p10")
    plan = reader(config).plan()
    assert [item.patient for item in plan.items] == ["11000011", "19000019"]
    assert reasons(plan)["file missing", True] == 3


def test_wrong_roots_and_tables_are_told(tmp_path: Path) -> None:
    config = tree(tmp_path / "jpg")
    wrong = replace(config, root=tmp_path)
    with pytest.raises(InputError, match=r"mimic_cxr_jpg\.root .* expected files/ and .*found jpg"):
        reader(wrong).plan()
    with pytest.raises(InputError, match="is not a folder"):
        reader(replace(config, root=tmp_path / "nowhere")).plan()
    table = tmp_path / "jpg/mimic-cxr-2.0.0-metadata.csv.gz"
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"metadata\.csv\.gz cannot be read"):
        reader(config).plan()
    write_csv(table, ["dicom_id", "subject_id", "study_id", "View", "StudyDate"], [])
    with pytest.raises(InputError, match=r"metadata\.csv\.gz has no column 'ViewPosition'"):
        reader(config).plan()
    table.write_bytes(whole)
    for group in ("p10", "p11", "p19"):
        (tmp_path / f"jpg/files/{group}").rename(tmp_path / group)
    (tmp_path / "jpg/files/p10").mkdir()
    with pytest.raises(InputError, match=r"expected images as files/p10/p10000032/s50414267/"):
        reader(config).plan()


def test_an_unpacked_table_serves(tmp_path: Path) -> None:
    config = tree(tmp_path)
    table = tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz"
    table.with_suffix("").write_bytes(gzip.decompress(table.read_bytes()))
    table.unlink()
    assert len(reader(config).plan().items) == 5


def test_unwanted_is_an_input_error() -> None:
    assert issubclass(UnwantedError, InputError)


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate"]
    table = root / "mimic-cxr-2.0.0-metadata.csv.gz"
    corpus = CorpusTree("mimic_cxr_jpg", "jpeg", root, table, header)
    splits, labels, patients, races = [], [], [], []
    for number in range(TREE_IMAGES):
        subject, study, image, path = mimic_names(number)
        corpus.add(image, f"{path}.jpg", [image, subject, study, "PA", "21800506"])
        splits.append([image, study, subject, "train"])
        labels.append([subject, study, "1.0", *[""] * 13])
        patients.append([subject, "F", "52", "2180"])
        races.append([subject, "WHITE"])
        report = root / f"{path}".rpartition("/")[0]
        report.with_suffix(".txt").write_text(TREE_REPORT)
    for name, columns, rows in (
        ("mimic-cxr-2.0.0-split.csv.gz", ["dicom_id", "study_id", "subject_id", "split"], splits),
        ("mimic-cxr-2.0.0-chexpert.csv.gz", ["subject_id", "study_id", *LABELS_OF_TREE], labels),
        ("patients.csv.gz", ["subject_id", "gender", "anchor_age", "anchor_year"], patients),
        ("admissions.csv.gz", ["subject_id", "race"], races),
    ):
        write_table(root / name, columns, rows)
    corpus.arguments = [
        f"--mimic_cxr_jpg.{name}={root / file}"
        for name, file in (
            ("reports", ""),
            ("patients", "patients.csv.gz"),
            ("admissions", "admissions.csv.gz"),
        )
    ]
    # All that the reader can do, where the recipe is narrower.
    corpus.arguments += ["--mimic_cxr_jpg.views=[PA, AP, LATERAL]", "--filter=null"]
    corpus.arguments += ["--split.published=official", "--split.validate_share=0"]
    return corpus
