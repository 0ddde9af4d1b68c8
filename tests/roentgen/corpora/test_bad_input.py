"""Bad input, corpus by corpus, through the program: told, counted, and never the end of a run."""

import csv
import gzip
import io
import json
import os
import re
import shutil
import struct
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest

from roentgen.dataset.dataset import open_dataset
from roentgen.errors import run_program
from roentgen.preparation.config import READERS
from roentgen.prepare import main
from roentgen.record.radiograph import Radiograph, Report
from tests.roentgen.corpora.corpus_tree import CorpusTree

CONFIGS = Path(__file__).parents[3] / "configs/data"
HUGE = (20000, 10000)  # width, height: 200 megapixels
Make = Callable[[str], CorpusTree]
every_corpus = pytest.mark.parametrize("name", READERS)


@dataclass(frozen=True)
class Ended:
    """How the program ended, and what it wrote."""

    code: int
    out: str
    errors: list[str]  # lines, without the progress bar
    folder: Path

    @property
    def excluded(self) -> dict[str, tuple[str, str]]:
        """(reason, expected) by id; of an id that stands twice the last."""
        return {name: (reason, expected) for name, reason, expected in self._table("excluded")}

    @property
    def unmapped(self) -> dict[tuple[str, str], int]:
        """Count by field and word."""
        return {(about, word): int(n) for about, word, n, _ in self._table("unmapped")}

    @property
    def radiographs(self) -> dict[str, Radiograph]:
        """By id."""
        dataset = open_dataset(self.folder)
        return {row.id: row for name in dataset.splits for row in dataset.split(name)}

    def check(self) -> None:
        """Whether the run came to its end, and summary, card and manifest count what it left."""
        assert self.code == 0, self.errors
        reasons = [reason for _, reason, _ in self._table("excluded")]
        assert f"excluded: {len(reasons)} (excluded.csv)" in self.out
        manifest = open_dataset(self.folder).manifest
        assert sum(manifest["excluded"].values()) == len(reasons)
        counted = Counter(reasons)
        card = (self.folder / "README.md").read_text()
        for reason, count in manifest["excluded"].items():
            assert counted.get(reason, count) == count
            assert f"  {count}: {reason}" in self.out
            assert f"- {count}: {reason}" in card

    def _table(self, name: str) -> list[list[str]]:
        with (self.folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))[1:]


Prepare = Callable[..., Ended]


@pytest.fixture
def prepare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Prepare:
    """Runs roentgen.prepare on a corpus with its recipe, as the command line does."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def run(corpus: CorpusTree, *overrides: str) -> Ended:
        recipe = CONFIGS / f"{corpus.name}.yaml"
        if corpus.name == "table":
            recipe = corpus.root / "recipe.yaml"
        arguments = [str(recipe), f"--output={tmp_path / 'out'}", "--size=16", "--workers=1"]
        arguments += [f"--{corpus.name}.root={corpus.root}", *corpus.arguments, *overrides]
        monkeypatch.setattr("sys.argv", ["roentgen.prepare", *arguments])
        code = 0
        try:
            run_program(main)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        lines = [line for line in re.split(r"[\r\n]+", said.err) if line]
        errors = [line for line in lines if not line.startswith("preparing:")]
        return Ended(code, said.out, errors, tmp_path / "out")

    return run


def bomb(corpus: CorpusTree) -> bytes:
    """A few bytes whose header promises 200 megapixels."""
    data = bytearray(corpus.film(0))
    width, height = HUGE
    if corpus.kind == "dicom":
        return with_tags(bytes(data), Columns=width, Rows=height)
    if corpus.kind == "jpeg":
        frame = data.index(b"\xff\xc0")  # length, precision, height, width
        data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    else:
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def with_tags(film: bytes, **tags: object) -> bytes:
    """A DICOM with other elements; None removes one."""
    dataset = pydicom.dcmread(io.BytesIO(film))
    for tag, value in tags.items():
        if value is None:
            del dataset[tag]
        else:
            setattr(dataset, tag, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def damages(corpus: CorpusTree) -> list[tuple[bytes, str]]:
    """Contents of a bad file, and what is to be said of each."""
    whole = corpus.film(0)
    flat = corpus.encode(np.full((48, 64), 90, np.uint8))
    found = [
        (b"", r"is empty \(0 bytes\)"),
        (whole[: len(whole) // 2], "truncated|cut off|cannot be decoded"),
        (flat, "has no contrast"),
        (bomb(corpus), r"200000000 pixels|has 20000x10000 pixels"),
        (b"<html>404 Not Found</html>", "not an image of a known format|no readable DICOM"),
    ]
    if corpus.kind == "dicom":
        found.append((with_tags(whole, PixelData=None), "is DICOM without pixels"))
    return found


@every_corpus
def test_bad_files_are_told_and_end_a_run_only_if_they_are_many(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    said = {}
    for film, (content, reason) in zip(corpus.films, damages(corpus), strict=False):
        corpus.films[film].write_bytes(content)
        said[film] = reason
    ended = prepare(corpus)
    (line,) = ended.errors
    bad = f"{len(said)} of {len(corpus.films)} items are bad"
    begin = f"error: {bad}, more than max_bad_share=0.05;"
    assert (ended.code, line[: len(begin)]) == (2, begin)
    assert not ended.folder.exists()
    ended = prepare(corpus, "--max_bad_share=0.5")
    ended.check()
    assert ended.excluded.keys() == said.keys()
    for film, reason in said.items():
        told, expected = ended.excluded[film]
        assert re.search(reason, told), told
        assert corpus.films[film].name in told
        assert expected == "no"
    assert ended.radiographs.keys() == corpus.films.keys() - said.keys()


@every_corpus
def test_reasons_in_a_dataset_name_no_folder_of_this_machine(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    pipe, folder = list(corpus.films.values())[1:3]
    for path in (pipe, folder):
        path.unlink()
    os.mkfifo(pipe)
    folder.mkdir()
    ended = prepare(corpus, "--max_bad_share=1")
    ended.check()
    reasons = [reason for reason, _ in ended.excluded.values()]
    assert any(
        reason.endswith("it is a pipe or a device, not a regular file") for reason in reasons
    )
    assert not [reason for reason in reasons if str(corpus.root) in reason]
    assert str(corpus.root) not in (ended.folder / "README.md").read_text()
    excluded = json.loads((ended.folder / "roentgen.json").read_text())["excluded"]
    assert str(corpus.root) not in json.dumps(excluded)


@every_corpus
def test_a_renamed_column_is_named(name: str, make_corpus: Make, prepare: Prepare) -> None:
    corpus = make_corpus(name)
    for column in (0, len(corpus.header) - 1):
        if name == "drr_rate" and column:
            column = 1
        lost = corpus.header[column]
        corpus.header[column] = "Renamed"
        corpus.write()
        ended = prepare(corpus)
        (line,) = ended.errors
        assert ended.code == 2
        assert line.startswith(f"error: {corpus.table} has no column {lost!r}")
        assert "Renamed" in line
        assert not ended.folder.exists()
        corpus.header[column] = lost


@every_corpus
def test_a_wrong_root_says_what_was_expected_and_found(
    name: str, make_corpus: Make, prepare: Prepare, tmp_path: Path
) -> None:
    corpus = make_corpus(name)
    corpus.arguments = [a for a in corpus.arguments if str(corpus.root) not in a]
    corpus.root = tmp_path / "elsewhere"
    corpus.root.mkdir()
    (corpus.root / "holiday.txt").touch()
    if name == "table":
        (tmp_path / "corpus/recipe.yaml").rename(corpus.root / "recipe.yaml")
    ended = prepare(corpus)
    (line,) = ended.errors
    assert ended.code == 2
    if name == "table":
        assert line == f"error: no such table: {corpus.root / 'films.csv.gz'}"
    else:
        assert f"{name}.root {corpus.root}: expected " in line
        assert line.endswith("found holiday.txt")


GZIPPED = {
    "mimic_cxr_jpg": (
        *("mimic-cxr-2.0.0-metadata.csv.gz", "mimic-cxr-2.0.0-split.csv.gz"),
        *("mimic-cxr-2.0.0-chexpert.csv.gz", "patients.csv.gz", "admissions.csv.gz"),
    ),
    "mimic_cxr": ("cxr-record-list.csv.gz", "cxr-study-list.csv.gz"),
    "padchest": ("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",),
    "open_i": ("nlmcxr_dicom_metadata.csv.gz",),
    "table": ("films.csv.gz",),
}


@pytest.mark.parametrize("name", GZIPPED)
def test_a_truncated_table_is_named(name: str, make_corpus: Make, prepare: Prepare) -> None:
    corpus = make_corpus(name)
    for file in GZIPPED[name]:
        table = corpus.root / file
        whole = table.read_bytes()
        table.write_bytes(whole[: len(whole) * 2 // 3])
        ended = prepare(corpus)
        (line,) = ended.errors
        assert ended.code == 2
        assert line.startswith(f"error: table {table} cannot be read: ")
        assert not ended.folder.exists()
        table.write_bytes(whole)
    assert prepare(corpus).code == 0


# The column that leads to a film, and what is said of "../secret" there.
OUTSIDE = {
    "mimic_cxr": ("path", "path '../secret' leads out of the corpus folder"),
    "mimic_cxr_jpg": ("dicom_id", "'../secret' is not a dicom_id of MIMIC-CXR"),
    "chexpert": ("Path", "path '../secret' leads out of the corpus folder"),
    "nih": ("Image Index", "Image Index is not as 00000001_000.png"),
    "padchest": ("ImageID", "ImageID '../secret' in '0' is not a file name"),
    "drr_rate": ("ImageName", "ImageName is not as train_1_a_1"),
    "image_folder": ("file_name", "path '../secret' leads out of the corpus folder"),
    "table": ("image", "path '../secret' leads out of the corpus folder"),
    # Films of these are found by their names alone.
    "vindr": ("image_id", "file missing"),
    "siim_acr": ("ImageId", "file missing"),
    "rsna": ("patientId", "file missing"),
    "candid_ptx": ("SOPInstanceUID", "file missing"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_out_of_the_corpus_is_not_followed(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    for suffix in ("", ".png", ".jpg", ".dcm", ".dicom"):
        (corpus.root.parent / f"secret{suffix}").write_bytes(corpus.film(99))
    column, reason = OUTSIDE[name]
    row = list(corpus.rows[0])
    row[corpus.header.index(column)] = "../secret"
    corpus.rows.append(row)
    corpus.write()
    ended = prepare(corpus, "--max_bad_share=0.5")
    ended.check()
    ((told, _),) = ended.excluded.values()
    assert told == reason
    assert ended.radiographs.keys() == corpus.films.keys()


def test_a_path_out_of_the_corpus_in_a_report_is_not_followed(
    make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus("open_i")
    (corpus.root / "secret.png").write_bytes(corpus.film(99))
    report = corpus.root / "ecgen-radiology/0.xml"
    image = '<parentImage id="../secret"/></eCitation>'
    report.write_text(report.read_text().replace("</eCitation>", image))
    ended = prepare(corpus)
    ended.check()
    assert ended.excluded == {"../secret": ("file missing", "missing")}
    assert ended.radiographs.keys() == corpus.films.keys()


TWICE = ("mimic_cxr", "mimic_cxr_jpg", "chexpert", "nih", "padchest", "drr_rate", "table")


@pytest.mark.parametrize("name", [*TWICE, "image_folder"])
def test_an_id_that_stands_twice_is_taken_once(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    corpus.rows.append(corpus.rows[3])
    corpus.write()
    ended = prepare(corpus, "--max_bad_share=0.5")
    ended.check()
    ((told, expected),) = ended.excluded.values()
    assert (told, expected) == ("the id appears twice in the table", "no")
    assert ended.radiographs.keys() == corpus.films.keys()


# A column whose other word makes another radiograph of a row.
DIFFERENT = {
    "mimic_cxr": ("path", "files/another.dcm"),
    "mimic_cxr_jpg": ("ViewPosition", "AP"),
    "chexpert": ("AP/PA", "AP"),
    "nih": ("View Position", "AP"),
    "padchest": ("Projection", "AP"),
    "drr_rate": ("Cardiomegaly", "1"),
    "rsna": ("Target", "1"),
    "siim_acr": (" EncodedPixels", "1 2"),
    "candid_ptx": ("Report", "Pneumothorax."),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_of_rows_that_contradict_each_other_none_is_taken(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    column, word = DIFFERENT[name]
    if name == "mimic_cxr":
        (corpus.root / word).write_bytes(corpus.film(99))
    row = list(corpus.rows[3])
    row[corpus.header.index(column)] = word
    corpus.rows.append(row)
    corpus.write()
    ended = prepare(corpus, "--max_bad_share=0.5")
    ended.check()
    film = list(corpus.films)[3]
    assert ended.excluded[film][1] == "no"
    assert ended.radiographs.keys() == corpus.films.keys() - {film}


@pytest.mark.parametrize("name", ["vindr", "siim_acr", "rsna", "candid_ptx", "drr_rate", "open_i"])
def test_of_two_files_of_one_name_none_is_taken(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    film, path = list(corpus.films.items())[3]
    (path.parent / "again").mkdir()
    (path.parent / "again" / path.name).write_bytes(corpus.film(99))
    ended = prepare(corpus, "--max_bad_share=0.5")
    ended.check()
    ((told, expected),) = ended.excluded.values()
    assert told.startswith("several files of one name: ")
    assert expected == "no"
    assert ended.radiographs.keys() == corpus.films.keys() - {film}


PLUS = ("indication", "comparison", "age", "sex", "race")
IMPRESSION = "--filter={section: impression, min_characters: 3}"


@pytest.mark.parametrize("name", ["mimic_cxr", "mimic_cxr_jpg"])
def test_studies_of_mimic_that_lack_something(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    films = list(corpus.films)
    reports = [path.parent.with_suffix(".txt") for path in corpus.films.values()]
    reports[0].write_text("FINAL REPORT\n FINDINGS:\n\n Clear lungs.\n")
    reports[1].unlink()
    reports[2].write_bytes(b"\xff\xfe impression")
    table, rest = "cxr-study-list.csv.gz", ",p"
    if name == "mimic_cxr_jpg":
        table, rest = "mimic-cxr-2.0.0-chexpert.csv.gz", "," * 14
    with gzip.open(corpus.root / table, "at") as file:
        file.write(f"19999999,59999999{rest}\n")
    limit = "--max_bad_share=0.5"
    ended = prepare(corpus, limit, IMPRESSION, f"--{name}.require_report=true")
    ended.check()
    damaged = ("the report is not text in UTF-8, but perhaps in UTF-16: convert it", "no")
    assert ended.excluded == {
        films[0]: ("report has no impression", "yes"),
        films[1]: ("the study has no report", "yes"),
        films[2]: damaged,
        "s59999999": ("study without images", "missing"),
    }
    whole = (f"--{name}.complete=true", f"--{name}.require_report=false", "--filter=null")
    ended = prepare(corpus, limit, "--overwrite=true", *whole)
    ended.check()
    assert ended.excluded == {films[2]: damaged, "s59999999": ("study without images", "no")}
    assert ended.unmapped["report", ""] == 1
    assert ended.radiographs[films[1]].report is None
    assert ended.radiographs[films[0]].report == Report(findings="Clear lungs.")


def test_reports_and_films_of_open_i_that_lack_something(
    make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus("open_i")
    films = list(corpus.films)
    folder = corpus.root / "ecgen-radiology"
    said = (folder / "0.xml").read_text()
    (folder / "0.xml").write_text(said.replace("No acute process.", ""))
    (folder / "1.xml").unlink()
    (folder / "2.xml").write_text(said[: len(said) // 2])
    (folder / "3.xml").write_bytes(b"")
    alone = said.replace("CXR0", "CXR77").replace('<parentImage id="CXR77_IM-1"/>', "")
    (folder / "77.xml").write_text(alone)
    ended = prepare(corpus, "--max_bad_share=0.5", IMPRESSION)
    ended.check()
    assert ended.unmapped == {("report", ""): 1}
    no_report = ("no report names the image", "no")
    assert ended.excluded == {
        films[0]: ("report has no impression", "yes"),
        **dict.fromkeys(films[1:4], no_report),
        "2.xml": (ended.excluded["2.xml"][0], "no"),
        "3.xml": ("3.xml is empty or cannot be read", "no"),
        "CXR77": ("report without images", "missing"),
    }
    assert ended.excluded["2.xml"][0].startswith("2.xml cannot be read as XML: ")
    archive = corpus.root / "NLMCXR_reports.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "ecgen-radiology")
    shutil.rmtree(folder)
    archive.write_bytes(archive.read_bytes()[:-200])
    (line,) = prepare(corpus, "--overwrite=true").errors
    assert line.startswith(f"error: archive {archive} cannot be read: ")


def test_images_of_chexpert_plus_that_lack_something(make_corpus: Make, prepare: Prepare) -> None:
    corpus = make_corpus("chexpert")
    films = list(corpus.films)
    said = [["Clear lungs.", "Normal."], ["Clear lungs.", ""], ["", "nan"], ["", "Normal."]]
    plus = corpus.root / "plus.csv"
    header = ["path_to_image", "frontal_lateral", "ap_pa", "section_findings", "section_impression"]
    paths = [f"{film}.jpg,Frontal,PA" for film in films[:4]]
    rows = [",".join([path, *texts]) for path, texts in zip(paths, said, strict=True)]
    rows.append("train/patient99999/study1/view1_frontal.jpg,Frontal,PA,Clear.,Normal.")
    plus.write_text("\n".join([",".join(header), *rows, "half a row"]) + "\n")
    unknown = [f"--chexpert.plus_columns.{name}=null" for name in PLUS]
    plus_too = (f"--chexpert.plus={plus}", *unknown, "--max_bad_share=0.5")
    ended = prepare(corpus, *plus_too, IMPRESSION)
    ended.check()
    assert ended.excluded == {
        films[1]: ("report has no impression", "yes"),
        films[2]: ("report has no impression", "yes"),
        "train/patient99999/study1/view1_frontal": ("file missing", "missing"),
        "plus.csv row 6": ("the row has not as many fields as the header", "no"),
    }
    assert ended.unmapped == {("report", ""): 1}
    ended = prepare(corpus, *plus_too, "--overwrite=true", "--chexpert.require_report=true")
    assert ended.excluded[films[2]] == ("the image has no report", "yes")
    (line,) = prepare(corpus, plus_too[0], "--overwrite=true").errors
    assert line.startswith(f"error: {plus} has no column 'section_clinical_history': name it in")


def test_reports_of_candid_that_lack_something(make_corpus: Make, prepare: Prepare) -> None:
    corpus = make_corpus("candid_ptx")
    films = list(corpus.films)
    for row, text in zip(corpus.rows, ["FINDINGS: Clear lungs.", ""], strict=False):
        row[-1] = text
    corpus.write()
    ended = prepare(corpus, IMPRESSION)
    ended.check()
    no_impression = ("report has no impression", "yes")
    assert ended.excluded == dict.fromkeys(films[:2], no_impression)
    assert ended.unmapped == {("report", ""): 1}


@pytest.mark.parametrize("name", ["vindr", "siim_acr", "rsna", "candid_ptx"])
def test_words_of_headers_that_mean_nothing_are_counted(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    strange = {"ViewPosition": "LAO", "PatientAge": "411Y", "PatientSex": "X"}
    for path in list(corpus.films.values())[:3]:
        path.write_bytes(with_tags(path.read_bytes(), **strange))
    ended = prepare(corpus)
    ended.check()
    counts = {("view", "LAO"): 3, ("age", "411Y"): 3, ("sex", "X"): 3}
    assert {key: ended.unmapped.get(key) for key in counts} == counts
    assert "  3: view LAO: no known view: left unknown" in ended.out
    films = list(ended.radiographs.values())
    assert Counter((f.view, f.age, f.sex) for f in films)[None, None, None] == 3


@pytest.mark.parametrize("name", ["siim_acr", "vindr", "open_i"])
def test_a_file_whose_name_is_no_text_is_told(
    name: str, make_corpus: Make, prepare: Prepare
) -> None:
    corpus = make_corpus(name)
    film = next(iter(corpus.films.values()))
    odd = os.fsencode(film.parent) + b"/caf\xe9" + os.fsencode(film.suffix)
    Path(os.fsdecode(odd)).write_bytes(corpus.film(99))
    ended = prepare(corpus, "--max_bad_share=0.5")
    ended.check()
    assert list(ended.excluded) == [r"caf\udce9"]


def test_rows_whose_cells_no_file_or_dataset_can_hold(make_corpus: Make, prepare: Prepare) -> None:
    corpus = make_corpus("image_folder")
    corpus.table.unlink()
    rows = [dict(zip(corpus.header, row, strict=True)) for row in corpus.rows]
    bad = [rows[0] | {"file_name": "a\0.jpg"}, rows[0] | {"patient_id": "\ud800"}]
    lines = [json.dumps(row) for row in [*rows, *bad]]
    corpus.table.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")
    ended = prepare(corpus, "--max_bad_share=0.5")
    ended.check()
    assert ended.excluded == {
        "train/a\0": (r"path 'a\x00.jpg' is not a file name", "no"),
        "train/metadata.jsonl row 14": ("the row is not a JSON object of texts", "no"),
    }
    assert ended.radiographs.keys() == corpus.films.keys()
