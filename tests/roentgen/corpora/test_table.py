"""The table corpus: what each cell becomes, what is excluded, what is refused."""

import csv
import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.row_filter import MaskTable, RowFilter
from roentgen.corpora.table import ReportColumns, TableConfig, TableReader
from roentgen.errors import InputError
from roentgen.imaging.images import decode, encode_png
from roentgen.manifest import License
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.splits import Fractions, SplitRules, split_of_patient
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree, radiographs_of

SHARED = Path(__file__).parents[3] / "../shared/cxr"
HALVES = SplitRules(fractions=Fractions(train=0.5, validate=0, test=0.5))
CC0 = License(name="CC0-1.0", data_use=None, may_share=True)


def corpus(root: Path, rows: list[dict[str, str]], name: str = "t.csv") -> TableConfig:
    """A folder with a table and an image for each row."""
    root.mkdir(exist_ok=True)
    for number, row in enumerate(rows):
        image = np.random.default_rng(number).integers(0, 256, (12, 16), dtype=np.uint8)
        if "/" not in row["image"]:
            (root / row["image"]).write_bytes(encode_png(image))
    opener = gzip.open if name.endswith(".gz") else open
    delimiter = "\t" if ".tsv" in name else ","
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), root / name)
    else:
        with opener(root / name, "wt", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return TableConfig(
        root=root, file=name, licenses=(CC0,), image="image", patient_id="patient", source="drawn"
    )


def reader(config: TableConfig, split: SplitRules = HALVES, **changes: Any) -> TableReader:
    return replace(TableReader(config, split, 8, "pad", 0), **changes)


def read_all(config: TableConfig, split: SplitRules = HALVES) -> list[Radiograph]:
    it = reader(config, split)
    return [radiograph for item in it.plan().items for radiograph in radiographs_of(it, item)]


def reasons(plan: CorpusPlan) -> list[tuple[str, str]]:
    return [(item.id, item.reason) for item in plan.excluded]


ROWS = [
    {"image": "a.png", "patient": "1", "view": "PA", "said": "Effusion;Odd", "age": "63"},
    {"image": "b.png", "patient": "1", "view": "", "said": "", "age": ""},
    {"image": "c.png", "patient": "2", "view": "AP_SUPINE", "said": "Hernia; Mass", "age": "007Y"},
]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.parquet"])
def test_each_cell_becomes_what_it_means(tmp_path: Path, name: str) -> None:
    config = replace(
        corpus(tmp_path, ROWS, name),
        view="view",
        views={"AP_SUPINE": "AP"},
        findings="said",
        meanings={
            "Effusion": Finding(name="Pleural Effusion"),
            "Mass": Finding(name="Lung Lesion", detail="mass"),
            "Hernia": None,
        },
        age="age",
    )
    a, b, c = read_all(config)
    assert (a.id, a.patient_id, a.study_id, a.view, a.age) == ("a", "1", "a", "PA", 63)
    assert (b.view, b.findings, b.age, b.report) == (None, (), None, None)
    assert (c.view, c.age) == ("AP", 7)
    assert a.findings == (Finding(name="Pleural Effusion"),)
    assert c.findings == (Finding(name="Lung Lesion", detail="mass"),)
    assert a.split == b.split == split_of_patient("1", 0, HALVES.fractions)  # type: ignore[arg-type]
    assert decode(a.image).shape == (8, 8)
    assert (a.source, a.license) == ("drawn", "CC0-1.0")
    unmapped = reader(config).plan().unmapped
    assert unmapped == {
        Unmapped("finding", "Odd", "no meaning is given"): 1,
        Unmapped("finding", "Hernia", "excluded by name"): 1,
    }


def test_finding_columns_keep_all_four_states(tmp_path: Path) -> None:
    cells = ["1.0", "0", "-1", "", "2"]
    rows = [{"image": f"{i}.png", "patient": "1", "E": cell} for i, cell in enumerate(cells)]
    config = replace(corpus(tmp_path, rows), finding_columns={"E": "Edema"})
    it = reader(config)
    items = it.plan().items
    found = [radiographs_of(it, item)[0].findings for item in items[:4]]
    assert [f[0].state if f else None for f in found] == ["present", "absent", "uncertain", None]
    with pytest.raises(InputError, match="E is '2': expected 1, 0, -1 or blank"):
        it.read(items[4])


def test_report_sex_and_licences_are_taken(tmp_path: Path) -> None:
    row = {"image": "a.png", "patient": "1", "imp": " Clear. ", "ind": " ", "s": "female", "l": "X"}
    unknown = row | {"image": "b.png", "l": "Y"}
    terms = License(name="X", data_use="Ask.", may_share=False)
    config = replace(
        corpus(tmp_path, [row, unknown]),
        report=ReportColumns(impression="imp", indication="ind"),
        sex="s",
        license_column="l",
        licenses=(CC0, terms),
    )
    one, other = read_all(config)
    assert one.report == Report(impression="Clear.")
    assert (one.sex, one.license, other.license) == ("F", "X", "Y")
    # A name without terms has the strictest.
    own = License(name="Y", data_use=None, may_share=False)
    assert reader(config).licenses == (CC0, terms, own)
    assert [t.name for t in reader(replace(config, licenses=())).licenses] == ["X", "Y"]
    blank = corpus(tmp_path, [row, row | {"image": "c.png", "l": ""}])
    plan = reader(replace(blank, license_column="l")).plan()
    assert ("c", "l is blank: the terms of the image are not known") in reasons(plan)
    with pytest.raises(InputError, match=r"table\.licenses is empty"):
        replace(config, license_column=None, licenses=())


def test_patients_that_differ_in_zeros_or_case_alone_are_counted(tmp_path: Path) -> None:
    patients = ["001", "1", "01", "1.0", "10", "100", "A1", "a01", "2", "P101", "p101", "P102"]
    rows = [{"image": f"{k}.png", "patient": name} for k, name in enumerate(patients)]
    plan = reader(corpus(tmp_path, rows)).plan()
    why = "ids that differ in zeros or case alone are different patients: misspelled?"
    assert plan.unmapped == {
        Unmapped("patient", "001, 01, 1, 1.0", why): 4,
        Unmapped("patient", "P101, p101", why): 2,
    }


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.jsonl"])
def test_ids_lose_the_white_space_around_them(tmp_path: Path, name: str) -> None:
    patients = ["P101", "P101 ", "P101\xa0", "\tP101"]
    rows = [
        {"image": f"{k}.png", "patient": patient, "study": f" s{k % 2}\xa0", "id": f"i{k} "}
        for k, patient in enumerate(patients)
    ]
    config = corpus(tmp_path, rows, "t.csv" if name == "t.jsonl" else name)
    if name == "t.jsonl":
        (tmp_path / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    plan = reader(replace(config, file=name, id="id", study_id="study")).plan()
    assert [(item.id, item.patient, item.study) for item in plan.items] == [
        (f"i{k}", "P101", f"s{k % 2}") for k in range(4)
    ]


@pytest.mark.parametrize("word", ["dark;distorted", " dark", "dark "])
def test_a_word_that_no_cell_can_hold_is_refused(tmp_path: Path, word: str) -> None:
    for rule in ({"any_of": (word,)}, {"none_of": (word,)}):
        with pytest.raises(InputError, match="is never found"):
            RowFilter(column="quality", **rule)
    config = corpus(tmp_path, [{"image": "a.png", "patient": "1", "said": "a"}])
    with pytest.raises(InputError, match=r"table\.meanings has 'a;b', which is never found"):
        replace(config, findings="said", meanings={"a;b": None})


def test_images_without_a_row_are_listed(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in ("x/a.png", "x/extra.png", "x/notes.txt", "x/mask.png", "extra.PNG"):
        (tmp_path / name).write_bytes(encode_png(np.zeros((12, 16), np.uint8)))
    rows = [{"image": "x/a.png", "patient": "1"}, {"image": "b.png", "patient": "2"}]
    config = corpus(tmp_path, rows)
    (tmp_path / "m.csv").write_text("image,mask,structure\nx/a.png,x/mask.png,lungs\n")
    plan = reader(replace(config, masks=MaskTable(root=tmp_path, file="m.csv"))).plan()
    assert [item.id for item in plan.items] == ["x/a", "b"]
    assert reasons(plan) == [("extra.PNG", "not in t.csv"), ("x/extra.png", "not in t.csv")]
    assert not any(item.is_bad for item in plan.excluded)


def test_a_missing_image_is_bad_only_where_the_corpus_is_complete(tmp_path: Path) -> None:
    names = ("a.png", "./e.png", "b.png", "x/c.png", "../d.png")
    config = corpus(tmp_path, [{"image": name, "patient": "1"} for name in names])
    (tmp_path / "b.png").rename(tmp_path / "e.png")
    for complete in (False, True):
        plan = reader(replace(config, complete=complete)).plan()
        assert [item.id for item in plan.items] == ["a", "e"]
        *missing, outside = plan.excluded
        assert [(item.id, item.reason) for item in missing] == [
            ("b", "file missing"),
            ("x/c", "file missing"),
        ]
        assert {(item.missing, item.is_bad) for item in missing} == {(not complete, complete)}
        assert (outside.missing, outside.is_bad) == (False, True)
    (tmp_path / "y").mkdir()
    with pytest.raises(InputError, match=r"expected the images of \.\./t\.csv, found nothing$"):
        reader(replace(config, root=tmp_path / "y", file="../t.csv")).plan()


@pytest.mark.parametrize("rule", ["any_of", "none_of"])
def test_a_word_that_no_row_has_is_refused(tmp_path: Path, rule: str) -> None:
    qualities = ["", "good", "dark; good", *map(str, range(20))]
    rows = [{"image": f"{n}.png", "patient": "1", "q": q} for n, q in enumerate(qualities)]
    config = corpus(tmp_path, rows)
    told = r"where: no row of .*\.csv has 'Good' in column 'q', which has: '', '0', .*'16', \.\.\.;"
    for words in (("", "good", "dark"), ("Good", "good")):
        where = (RowFilter(column="q", **{rule: words}),)
        masks = MaskTable(root=tmp_path, file="m.csv", mask="image", structure="q", where=where)
        (tmp_path / "m.csv").write_text((tmp_path / "t.csv").read_text())
        for changed in (replace(config, where=where), replace(config, masks=masks)):
            if "Good" in words:
                with pytest.raises(InputError, match=told):
                    reader(changed).plan()
            else:
                assert reader(changed).plan().items
    empty = replace(config, where=where, file="empty.csv")
    (tmp_path / "empty.csv").write_text("image,patient,q\n")
    assert reader(empty).plan().items == []


def test_bad_cells_are_bad_items(tmp_path: Path) -> None:
    good = {"image": "a.png", "patient": "1", "view": "PA", "age": "50", "sex": "M", "said": ""}
    for column, cell, message in [
        ("view", "LL", "unknown view 'LL'"),
        ("age", "old", "age 'old' is not a number"),
        ("age", "411", "age '411' is not between"),
        ("sex", "Q", "unknown sex 'Q'"),
        ("said", "No Finding;Mass", "No Finding is present beside Lung Lesion"),
    ]:
        config = replace(
            corpus(tmp_path, [good | {column: cell}]),
            view="view",
            age="age",
            sex="sex",
            findings="said",
            meanings={
                "Mass": Finding(name="Lung Lesion"),
                "No Finding": Finding(name="No Finding"),
            },
        )
        it = reader(config)
        with pytest.raises(InputError, match=message):
            it.read(it.plan().items[0])


def test_rows_are_excluded_with_the_reason(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "patient": "1", "quality": ""},
        {"image": "b.png", "patient": "1", "quality": "dark;distorted"},
        {"image": "../secret.png", "patient": "1", "quality": ""},
        {"image": "/etc/secret.png", "patient": "1", "quality": ""},
        {"image": "c.png", "patient": "", "quality": ""},
        {"image": "a.png", "patient": "1", "quality": ""},
        {"image": "d.png", "patient": "1", "quality": "distorted_224"},
    ]
    config = corpus(tmp_path, rows)
    where = (RowFilter(column="quality", none_of=("distorted",)),)
    plan = reader(replace(config, where=where)).plan()
    assert [item.id for item in plan.items] == ["a", "d"]
    assert [item.expected for item in plan.excluded] == [True, False, False, False, False]
    assert reasons(plan) == [
        ("b", "quality has 'distorted'"),
        ("../secret", "path '../secret.png' leads out of the corpus folder"),
        ("/etc/secret", "path '/etc/secret.png' leads out of the corpus folder"),
        ("c", "patient is blank: the split needs the patient"),
        ("a", "the id appears twice in the table"),
    ]
    only = (RowFilter(column="quality", any_of=("", "dark")),)
    plan = reader(replace(config, where=only)).plan()
    assert ("d", "quality is 'distorted_224'") in reasons(plan)


def test_missing_column_names_file_column_and_what_there_is(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet"):
        config = replace(corpus(tmp_path, ROWS, name), view="View Position")
        with pytest.raises(InputError, match=rf"{name} has no column 'View Position'; it has: im"):
            reader(config).plan()


def test_damaged_tables_are_told(tmp_path: Path) -> None:
    config = corpus(tmp_path, ROWS * 50, "t.csv.gz")
    whole = (tmp_path / "t.csv.gz").read_bytes()
    for content in (whole[:60], b"no gzip", b""):
        (tmp_path / "t.csv.gz").write_bytes(content)
        with pytest.raises(InputError, match=r"t\.csv\.gz"):
            reader(config).plan()
    (tmp_path / "t.csv").write_bytes("image,patient\nä.png,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="not text in UTF-8"):
        reader(replace(config, file="t.csv")).plan()
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match=r"t\.parquet cannot be read"):
        reader(replace(config, file="t.parquet")).plan()
    with pytest.raises(InputError, match=r"no such table: .*other\.csv"):
        reader(replace(config, file="other.csv")).plan()
    with pytest.raises(InputError, match=r"table\.root .*nowhere is not a folder"):
        reader(replace(config, root=tmp_path / "nowhere")).plan()


def test_a_row_of_another_length_is_excluded(tmp_path: Path) -> None:
    config = corpus(tmp_path, ROWS[:1])
    (tmp_path / "t.csv").write_text("\ufeffimage,patient\na.png,1\nb.png\n\nc.png,2,3\n")
    plan = reader(config).plan()
    assert [item.id for item in plan.items] == ["a"]
    assert [item.id for item in plan.excluded] == ["t.csv row 2", "t.csv row 3"]


def test_split_by_column(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "patient": "1", "set": "train"},
        {"image": "b.png", "patient": "2", "set": "valid"},
        {"image": "c.png", "patient": "3", "set": "odd"},
    ]
    rules = SplitRules(column="set", words={"valid": "validate"})
    plan = reader(corpus(tmp_path, rows), rules).plan()
    assert [item.split for item in plan.items] == ["train", "validate"]
    assert "unknown split 'odd'" in plan.excluded[0].reason
    rows[1]["patient"] = "1"
    with pytest.raises(InputError, match="patient '1' is in both train and validate"):
        reader(corpus(tmp_path, rows), rules).plan()


def test_hashed_split_has_its_shares_and_no_history() -> None:
    fractions = Fractions(train=0.6, validate=0.1, test=0.3)
    splits = Counter(split_of_patient(f"p{i}", 3, fractions) for i in range(20000))
    assert splits["train"] == pytest.approx(12000, abs=300)
    assert splits["validate"] == pytest.approx(2000, abs=150)
    # Written once: another answer would move patients between the splits of existing models.
    golden = ["validate", "train", "test", "validate", "train", "test", "train", "test"]
    assert [split_of_patient(f"p{i}", 0, fractions) for i in range(6, 14)] == golden
    assert any(
        split_of_patient(f"p{i}", 0, fractions) != split_of_patient(f"p{i}", 1, fractions)
        for i in range(20)
    )


def test_impossible_configurations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"add up to 0\.9"):
        Fractions(train=0.5, validate=0.1, test=0.3)
    with pytest.raises(InputError, match=r"needs one of split\.column, split\.fractions"):
        SplitRules()
    config = corpus(tmp_path, ROWS)
    with pytest.raises(InputError, match=r"set table\.license_column"):
        replace(config, licenses=(CC0, replace(CC0, name="X")))
    with pytest.raises(InputError, match=r"table\.licenses is empty"):
        replace(config, licenses=())


def test_masks_join_and_follow_the_image(tmp_path: Path) -> None:
    config = corpus(tmp_path, ROWS)
    mask = np.zeros((12, 16), np.uint8)
    mask[:, :8] = 255
    (tmp_path / "m.png").write_bytes(encode_png(mask))
    (tmp_path / "small.png").write_bytes(encode_png(mask[:6]))
    (tmp_path / "masks.csv").write_text(
        "image,mask,structure,valid_region\n"
        "a.png,m.png,lungs,full\na.png,m.png,lungs,full\na.png,m.png,heart,centre_square\n"
        "b.png,small.png,lungs,full\nc.png,../m.png,lungs,full\n"
    )
    masks = MaskTable(root=tmp_path, file="masks.csv", valid_region="valid_region")
    it = reader(replace(config, masks=masks))
    plan = it.plan()
    assert [item.reason for item in plan.excluded] == [
        "second mask of lungs for one image",
        "mask excluded: it covers the centre_square only, but fit is pad",
    ]
    (a,) = radiographs_of(it, plan.items[0])
    expected = np.zeros((8, 8), np.uint8)
    expected[1:7, :4] = 255
    assert list(a.masks) == ["lungs"]
    assert np.array_equal(decode(a.masks["lungs"]), expected)
    with pytest.raises(InputError, match=r"mask small\.png is 16x6, its image 16x12"):
        it.read(plan.items[1])
    with pytest.raises(InputError, match="leads out of the corpus folder"):
        it.read(plan.items[2])
    cropped = reader(replace(config, masks=masks), fit="crop")
    (a,) = radiographs_of(cropped, cropped.plan().items[0])
    assert sorted(a.masks) == ["heart", "lungs"]
    # A mask at the edge is cropped away: its radiograph stays, and it is counted.
    edge = np.zeros((12, 16), np.uint8)
    edge[:, 0] = 255
    (tmp_path / "m.png").write_bytes(encode_png(edge))
    one, *lost = cropped.read(plan.items[0])
    assert isinstance(one, Radiograph)
    assert not one.masks
    assert lost == [Unmapped("mask", "lungs", "no pixel in the prepared image: left unknown")]


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
def test_real_masks_cover_the_dark_lungs() -> None:
    config = TableConfig(
        root=SHARED / "films",
        file="metadata.csv",
        licenses=(CC0,),
        image="image",
        patient_id="patient_id",
        masks=MaskTable(
            root=SHARED / "masks",
            file="masks.csv",
            where=(
                RowFilter(column="structure", any_of=("lungs",)),
                RowFilter(column="source", none_of=("lungvae",)),
            ),
        ),
    )
    it = TableReader(config, HALVES, 64, "crop", 0)
    masked = [item for item in it.plan().items if item.masks]
    assert len(masked) == 66
    darker = 0
    for item in masked[::3]:
        (film,) = radiographs_of(it, item)
        inside = decode(film.masks["lungs"]) >= 128
        image = decode(film.image)
        darker += image[inside].mean() < image[16:48, 28:36].mean()  # than the mediastinum
    assert darker >= 18


TREE_RECIPE = """
output: out
size: 16
split: {fractions: {train: 0.5, validate: 0.0, test: 0.5}}
table:
  root: .
  file: films.csv.gz
  image: image
  patient_id: patient
  view: view
  licenses: [{name: CC0-1.0, data_use: null, may_share: true}]
"""


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    corpus = CorpusTree("table", "png", root, root / "films.csv.gz", ["image", "patient", "view"])
    for number in range(IMAGES):
        corpus.add(f"a/{number}", f"a/{number}.png", [f"a/{number}.png", f"p{number}", "PA"])
    (root / "recipe.yaml").write_text(TREE_RECIPE)
    return corpus


@pytest.mark.parametrize("cell", [".", "/", "./", "..", "//.", "", "a\0b", "../a.png", "a" * 5000])
def test_a_cell_that_names_no_image_is_a_bad_row(cell: str, tmp_path: Path) -> None:
    config = corpus(tmp_path, [{"image": "a.png", "patient": "p1"}])
    for rows, column in (("image,patient\n{},p2\n", None), ("image,patient,id\n{},p2,x\n", "id")):
        good = "a.png,p1" + (",y" if column else "") + "\n"
        (tmp_path / "t.csv").write_text(rows.format(cell) + good)
        found = reader(replace(config, id=column))
        plan = found.plan()
        bad = [item for item in plan.items if item.path == cell]  # one that is only absent
        assert len(plan.excluded) + len(bad) == 1
        assert len(plan.items) - len(bad) == 1
        assert all("\n" not in exclusion.reason for exclusion in plan.excluded)
        for item in bad:
            with pytest.raises(InputError):
                found.read(item)
