"""The program that annotates reports, from the command line and in process."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roentgen.annotate.annotating import annotate, make_job
from roentgen.annotate.config import AnnotateConfig
from roentgen.config import config_from_dict
from roentgen.dataset.annotations import ReportReading, open_annotations
from roentgen.dataset.dataset import DatasetWriter
from roentgen.errors import InputError
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.statement import Extent
from roentgen.statements.maplez import read_maplez
from roentgen.verify import verify
from tests.conftest import LICENSE

ROOT = Path(__file__).parents[3]
ROWS = [
    ("a", "FINDINGS: Small left effusion.\nNo pneumothorax.\n\nIMPRESSION: Likely pneumonia."),
    ("b", "Heart size is normal. Lungs are clear."),
    ("empty", ""),
    ("es", "Derrame pleural izquierdo con cardiomegalia en el estudio."),
    ("b2", "Heart size is normal. Lungs are clear."),
]
NAMES = ["annotations.parquet", "chexpert.csv", "excluded.csv", "faults.csv", "maplez.csv"]


def table(path: Path, rows: Sequence[Sequence[str]] = ROWS, header: str = "id,text") -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([header.split(","), *rows])
    path.write_text(text.getvalue())
    return path


def settings(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    found = {
        "output": str(tmp_path / "out"),
        "table": {"file": str(tmp_path / "t.csv"), "license": LICENSE},
        "rules": {"language": "en"},
        "exports": ["maplez_csv", "chexpert_csv"],
    }
    return {key: value for key, value in (found | changes).items() if value is not None}


def run(tmp_path: Path, **changes: Any) -> str:
    config = config_from_dict(AnnotateConfig, settings(tmp_path, **changes))
    return annotate(make_job(config))


def write_dataset(folder: Path, reports: dict[str, Report | None]) -> Path:
    with DatasetWriter(folder, licenses=[LICENSE], provenance={}) as writer:
        for name, report in reports.items():
            writer.add(
                Radiograph(
                    id=name,
                    patient_id=f"p{name}",
                    study_id=f"s{name}",
                    split="test" if name.startswith("t") else "train",
                    image=b"",
                    report=report,
                    source="drawn",
                    license="CC0-1.0",
                )
            )
    return folder


def test_the_program_reads_a_table_and_is_verified(tmp_path: Path) -> None:
    table(tmp_path / "t.csv")
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(settings(tmp_path)))
    command = [sys.executable, "-m", "roentgen.annotate", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "reports: 5 of 3 texts; read 3, empty 1, other language 1" in done.stdout
    assert "of 4 reports 1 are in Spanish: no findings are read from them" in done.stdout
    assert "present: No Finding 2, Pleural Effusion 1, Pneumonia 1" in done.stdout
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.stdout.startswith("already made: ")
    assert verify(tmp_path / "out").damaged == []

    found = open_annotations(tmp_path / "out")
    rows = {row.id: row.reading for row in found}
    assert [*rows] == [name for name, _ in ROWS]
    effusion, pneumothorax, pneumonia = rows["a"].statements
    assert (effusion.finding, effusion.state) == ("pleural effusion", "present")
    assert effusion.extents == (Extent("left", "small"),)
    assert (pneumothorax.state, pneumonia.probability) == ("absent", 0.8)
    assert rows["b"] == rows["b2"]
    assert rows["b"].no_finding
    assert (rows["empty"].outcome, rows["es"].outcome) == ("empty", "other language")
    assert found.manifest["licenses"] == [LICENSE]
    assert found.manifest["counts"] == {"empty": 1, "other language": 1, "read": 3}


def test_no_text_of_a_report_is_in_the_output(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", [("a", "FINDINGS: Zyxwvu noted. Small left effusion with Qwertz.")])
    run(tmp_path)
    names = {path.name for path in (tmp_path / "out").iterdir()} - {"roentgen.json"}
    assert names == {*NAMES, "checksums.json"}
    content = b"".join(path.read_bytes().lower() for path in (tmp_path / "out").iterdir())
    content += str(pq.read_table(tmp_path / "out/annotations.parquet").to_pylist()).lower().encode()
    assert b"zyxwvu" not in content
    assert b"qwertz" not in content


def test_the_exports_are_the_tables_of_maplez_and_chexpert(tmp_path: Path) -> None:
    table(tmp_path / "t.csv")
    run(tmp_path)
    back = {report.id: report.statements for report in read_maplez(tmp_path / "out/maplez.csv")}
    effusion = next(one for one in back["a"] if one.finding == "pleural effusion")
    assert effusion.extents == (Extent("left", "small"),)
    with (tmp_path / "out/chexpert.csv").open(newline="") as file:
        labels = {row["id"]: row for row in csv.DictReader(file)}
    assert len(labels["a"]) == 15
    stated = {name: value for name, value in labels["a"].items() if value and name != "id"}
    assert stated == {"Pleural Effusion": "1", "Pneumothorax": "0", "Pneumonia": "1"}
    assert labels["b"]["No Finding"] == "1"
    assert set(labels["es"].values()) == {"es", ""}


def test_reports_with_the_same_text_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "t.csv", [(str(i), f"Effusion on the {'left' * (i % 3)}.") for i in range(9)])
    job = make_job(config_from_dict(AnnotateConfig, settings(tmp_path)))
    read: list[Report] = []
    ours = job.reader.read

    def count(report: Report) -> ReportReading:
        read.append(report)
        return ours(report)

    monkeypatch.setattr(job.reader, "read", count)
    annotate(job)
    assert len(read) == len({*read}) == 3
    assert len(open_annotations(tmp_path / "out").places) == 9


def test_a_dataset_is_read_by_radiograph_and_split(tmp_path: Path) -> None:
    reports = {"1": Report(findings="Edema."), "t2": Report(impression="Pneumonia."), "3": None}
    folder = write_dataset(tmp_path / "data", reports)
    summary = run(tmp_path, table=None, dataset={"folder": str(folder)})
    assert "reports: 3 of 2 texts; read 2, empty 1" in summary
    found = open_annotations(tmp_path / "out")
    assert found.manifest["ids"] == "radiograph"
    assert found.manifest["provenance"]["made_from"]["dataset"]["kind"] == "dataset"
    run(tmp_path, table=None, dataset={"folder": str(folder), "split": "test"}, overwrite=True)
    assert [row.id for row in open_annotations(tmp_path / "out")] == ["t2"]


def test_reports_of_corpora_are_read_without_images(tmp_path: Path) -> None:
    place = tmp_path / "mimic/files/p10/p10000032"
    place.mkdir(parents=True)
    (place / "s50414267.txt").write_text("FINDINGS: Large right effusion.")
    (place / "s50414268.txt").write_bytes(b"FINDINGS: \xff\xfe effusion.")
    (place / "index.html").write_text("no report")
    corpus = {"name": "mimic_cxr", "reports": str(tmp_path / "mimic")}
    summary = run(tmp_path, table=None, corpus=corpus, max_bad_share=0.5)
    assert "excluded: 1 (excluded.csv)" in summary
    found = open_annotations(tmp_path / "out")
    assert [row.id for row in found] == ["50414267"]
    assert found.manifest["ids"] == "study"
    assert "PhysioNet" in found.manifest["licenses"][0]["name"]
    with pytest.raises(InputError, match=r"1 of 2 items are bad, more than max_bad_share=0\.1"):
        run(tmp_path, table=None, corpus=corpus, max_bad_share=0.1, overwrite=True)


def columns_of_parquet(path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"], "words": ["x"]}), path)


BAD = {
    "has no text to read, of 0 reports": [],
    "has no text to read, of 1 reports": [("a", "")],
    "id 'a' is there twice, with different texts": [("a", "Edema."), ("a", "No edema.")],
}


@pytest.mark.parametrize("words", BAD)
def test_bad_tables_are_refused_with_a_line(tmp_path: Path, words: str) -> None:
    table(tmp_path / "t.csv", BAD[words])
    with pytest.raises(InputError, match=words):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_missing_columns_and_bad_rows_are_named(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", header="id,report")
    with pytest.raises(InputError, match="has no column 'text'; it has: id, report"):
        run(tmp_path)
    columns_of_parquet(tmp_path / "t.parquet")
    parquet = {"file": str(tmp_path / "t.parquet"), "license": LICENSE}
    with pytest.raises(InputError, match="has no column 'text'; it has: id, words"):
        run(tmp_path, table=parquet)
    table(tmp_path / "t.csv", [("a", "Edema."), ("b",), ("", "Edema."), ("a", "Edema.")])
    summary = run(tmp_path, max_bad_share=0.9)
    assert "excluded: 2 (excluded.csv)" in summary
    assert "1 rows repeat an id with its text" in summary


WRONG: dict[str, dict[str, Any]] = {
    "give exactly one reader; of: rules": {"rules": None},
    "give exactly one input; of: dataset": {"table": None},
    "give exactly one input, not 2: dataset, table": {"dataset": {"folder": "x"}},
    "table does not go with maplez": {
        "rules": None,
        "maplez": {"file": "x.csv", "license": LICENSE},
    },
    "max_bad_share is 2.0": {"max_bad_share": 2.0},
    "part_reports is 0": {"part_reports": 0},
}


@pytest.mark.parametrize("words", WRONG)
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, words: str) -> None:
    with pytest.raises(InputError, match=words):
        config_from_dict(AnnotateConfig, settings(tmp_path, **WRONG[words]))


def test_a_dataset_without_reports_or_without_the_split_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", {"1": None})
    with pytest.raises(InputError, match="has no text to read, of 1 reports"):
        run(tmp_path, table=None, dataset={"folder": str(folder)})
    with pytest.raises(InputError, match="has no split 'test'"):
        run(tmp_path, table=None, dataset={"folder": str(folder), "split": "test"})
