"""MAPLEZ's four-row table: writing, reading, aggregation."""

import csv
import io
import random
from dataclasses import replace
from pathlib import Path

import pytest

from roentgen.errors import InputError
from roentgen.record.finding import SEVERITIES, FindingName, Severity
from roentgen.record.statement import STATEMENT_STATES, Extent, Statement
from roentgen.statements.hierarchy import findings
from roentgen.statements.labels import chexpert_row
from roentgen.statements.maplez import (
    COLUMNS,
    Annotation,
    aggregate,
    annotations_of,
    read_maplez,
    write_maplez,
)

HEADER = ["subjectid_studyid", "report", "type_annotation", *COLUMNS]
NOTHING = {
    "labels": ["-2"] * 13,
    "probability": ["0"] * 13,
    "location": ["-1"] * 13,
    "severity": ["-1"] * 13,
}


def table_text(*reports: tuple[str, list[Statement]]) -> str:
    file = io.StringIO()
    assert write_maplez(file, reports) == len(reports)
    return file.getvalue()


def theirs(path: Path, **cells: dict[str, str]) -> Path:
    """A table in MAPLEZ's own form with one report, "10_20", by row and column."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEADER)
        for kind, blank in NOTHING.items():
            row = dict(zip(COLUMNS, blank, strict=True)) | cells.get(kind, {})
            table.writerow(["10_20", 'the report, "quoted"', kind, *row.values()])
    return path


def test_columns_are_maplez_own() -> None:
    assert list(COLUMNS) == [
        *("enlarged cardiomediastinum", "cardiomegaly", "atelectasis", "consolidation"),
        *("lung edema", "fracture", "lung lesion", "pleural effusion", "pneumonia"),
        *("pneumothorax", "support device", "lung opacity", "pleural other"),
    ]


def test_statements_become_four_rows() -> None:
    statements = [
        Statement(
            finding="pleural effusion",
            probability=0.97,
            extents=(Extent("left", "small"), Extent("right", "moderate", ("basal",))),
        ),
        Statement(finding="pneumonia", state="uncertain", extents=(Extent("left"),)),
        Statement(finding="pneumothorax", state="absent", extents=(Extent("left", "large"),)),
        Statement(finding="cardiomegaly", state="stable"),
        Statement(finding="emphysema"),
    ]
    rows = list(csv.DictReader(io.StringIO(table_text(("10_20", statements)))))
    assert [row["subjectid_studyid"] for row in rows] == ["10_20"] * 4
    assert "report" not in rows[0]
    found = {
        row["type_annotation"]: {
            name: row[name]
            for number, name in enumerate(COLUMNS)
            if row[name] != NOTHING[row["type_annotation"]][number]
        }
        for row in rows
    }
    assert found == {
        "labels": {
            **{"cardiomegaly": "-3", "consolidation": "-1", "pleural effusion": "1"},
            **{"pneumonia": "-1", "pneumothorax": "0", "lung opacity": "-1"},
        },
        "probability": {
            **{"cardiomegaly": "101", "consolidation": "50", "pleural effusion": "97"},
            **{"pneumonia": "50", "lung opacity": "50"},
        },
        "location": {
            "consolidation": "left",
            "pleural effusion": "left;right basal",
            "pneumonia": "left",
            "lung opacity": "left",
        },
        "severity": {"pleural effusion": "2"},
    }


def test_their_table_becomes_statements(tmp_path: Path) -> None:
    path = theirs(
        tmp_path / "mimic.csv",
        labels={
            **{"lung edema": "1", "fracture": "0", "pneumothorax": "-1", "cardiomegaly": "-3"},
            "pleural other": "1.0",
        },
        probability={
            **{"lung edema": "93", "fracture": "4", "pneumothorax": "35", "cardiomegaly": "101"},
            "pleural other": "90",
        },
        location={"lung edema": "bibasilar;central-ish", "pneumothorax": "left;apical"},
        severity={"lung edema": "3"},
    )
    (report,) = read_maplez(path)
    assert (report.id, report.unread) == ("10_20", ("central-ish",))
    basal = tuple(Extent(side, "large", ("basal",)) for side in ("left", "right"))
    assert report.statements == (
        Statement(finding="cardiomegaly", state="stable", source="mimic.csv"),
        Statement(finding="edema", probability=0.93, extents=basal, source="mimic.csv"),
        Statement(finding="fracture", state="absent", probability=0.04, source="mimic.csv"),
        Statement(
            finding="pneumothorax",
            state="uncertain",
            probability=0.35,
            extents=(Extent("left", None, ("apical",)),),
            source="mimic.csv",
        ),
        Statement(finding="pleural abnormality", probability=0.9, source="mimic.csv"),
    )


def test_rows_of_reports_may_be_mixed(tmp_path: Path) -> None:
    """MAPLEZ's threads append the rows of several reports in turn."""
    lines = table_text(("a", []), ("b", [Statement(finding="edema")])).splitlines()
    order = [0, 1, 5, 2, 6, 3, 7, 8, 4]
    path = tmp_path / "mixed.csv"
    path.write_text("\n".join(lines[i] for i in order) + "\n")
    assert [report.id for report in read_maplez(path)] == ["b", "a"]


# Rows: the label itself; columns: its part; order -3 -2 -1 0 1.
MAXIMA = {
    -3: [-3, -3, -1, -3, 1],
    -2: [-3, -2, -1, -2, 1],
    -1: [-1, -1, -1, -1, 1],
    0: [0, 0, -1, 0, 1],
    1: [1, 1, 1, 1, 1],
}


def test_labels_are_aggregated_case_by_case() -> None:
    nothing = annotations_of([])
    for own, row in MAXIMA.items():
        for part, expected in zip((-3, -2, -1, 0, 1), row, strict=True):
            given = nothing | {
                "Consolidation": Annotation(label=own),
                "Pneumonia": Annotation(label=part),
            }
            assert aggregate(given)["Consolidation"].label == expected, (own, part)
            for name in ("Atelectasis", "Consolidation", "Edema", "Lung Lesion", "Pneumonia"):
                names: dict[FindingName, Annotation] = {
                    "Lung Opacity": Annotation(label=own),
                    name: Annotation(label=part),
                }
                assert aggregate(nothing | names)["Lung Opacity"].label == expected
            for other in ("Pleural Effusion", "Fracture", "Support Devices"):
                alone = nothing | {"Lung Opacity": Annotation(own), other: Annotation(part)}
                assert aggregate(alone)["Lung Opacity"].label == own


def test_other_rows_are_aggregated() -> None:
    given = annotations_of([]) | {
        "Consolidation": Annotation(-3, 101, ("left", "base"), -1),
        "Pneumonia": Annotation(1, 40, ("base", "right"), 2),
        "Edema": Annotation(1, 95, ("central",), 3),
    }
    found = aggregate(given)
    assert found["Consolidation"] == Annotation(1, 101, ("left", "base", "right"), 2)
    assert found["Lung Opacity"] == Annotation(1, 95, ("left", "base", "central", "right"), 3)
    assert found["Pneumonia"] == given["Pneumonia"]
    draw = random.Random(4)
    for _ in range(300):
        random_cells = {
            name: Annotation(draw.choice((-3, -2, -1, 0, 1)), draw.randrange(102))
            for name in COLUMNS.values()
        }
        once = aggregate(random_cells)
        assert aggregate(once) == once


def random_statements(draw: random.Random) -> list[Statement]:
    severities: list[Severity | None] = [None, *SEVERITIES]
    sites = ((), ("basal",), ("upper lobe", "apical"), ("third rib",))
    result = []
    for finding in draw.sample(list(findings()), draw.randrange(12)):
        grade, site = draw.choice(severities), draw.choice(sites)
        extents = draw.choice(
            (
                (Extent(None, grade, site),),
                (Extent("left", grade, site),),
                (Extent("left", grade, site), Extent("right", grade)),
            )
        )
        state = draw.choice(STATEMENT_STATES)
        result.append(Statement(finding=finding, state=state, extents=extents))
    return result


def test_tables_survive_reading_and_writing(tmp_path: Path) -> None:
    draw = random.Random(5)
    given = [(f"{i}_image.png", random_statements(draw)) for i in range(200)]
    path = tmp_path / "ours.csv"
    path.write_text(table_text(*given))
    read = list(read_maplez(path))
    assert [report.id for report in read] == [report_id for report_id, _ in given]
    assert not any(report.unread for report in read)
    for report, (_, statements) in zip(read, given, strict=True):
        labels, before = chexpert_row(report.statements), chexpert_row(statements)
        for name in set(COLUMNS.values()) - {"Consolidation", "Lung Opacity"}:
            assert labels[name] == before[name]
    path.write_text(table_text(*((report.id, list(report.statements)) for report in read)))
    again = list(read_maplez(path))
    assert [replace(r, statements=()) for r in again] == [replace(r, statements=()) for r in read]
    assert [annotations_of(r.statements) for r in again] == [
        annotations_of(r.statements) for r in read
    ]


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        ("labels", "fracture", "2", "row 2, column 'fracture': '2' is not one of -3, -2, -1, 0, 1"),
        ("labels", "fracture", "", "column 'fracture': '' is not"),
        ("labels", "pneumonia", "yes", "column 'pneumonia': 'yes' is not"),
        ("labels", "pneumonia", "nan", "column 'pneumonia': 'nan' is not"),
        ("probability", "lung edema", "102", "row 3, column 'lung edema': '102' is not one"),
        ("probability", "lung edema", "12.5", "'12.5' is not"),
        ("probability", "lung edema", "-1", "'-1' is not"),
        ("location", "lung edema", " ", "row 4, column 'lung edema': ' ' is not one of phrases"),
        ("severity", "atelectasis", "0", "row 5, column 'atelectasis': '0' is not one of -1, 1"),
        ("severity", "atelectasis", "mild", "'mild' is not"),
    ],
)
def test_malformed_cells_are_named(
    tmp_path: Path, row: str, column: str, value: str, message: str
) -> None:
    path = theirs(tmp_path / "bad.csv", **{row: {column: value}})
    with pytest.raises(InputError, match=message) as error:
        list(read_maplez(path))
    assert str(path) in str(error.value)


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    text = theirs(tmp_path / "good.csv").read_text()
    lines = text.splitlines()
    cases = {
        "no column 'pneumonia'": text.replace("pneumonia", "penumonia"),
        "no column 'subjectid_studyid'": "",
        "'10_20' has no row 'severity'": "\n".join(lines[:-1]),
        "row 6: report '10_20' has a second row 'labels'": "\n".join([*lines, lines[1]]),
        "row 3: report '10_20' has a second row 'labels'": "\n".join([*lines[:2], lines[1]]),
        "row 2, column 'type_annotation': 'label' is": text.replace(",labels,", ",label,"),
        "row 4: 17 cells, but 16 columns": text.replace(",location,-1", ",location,left, mid"),
        "cannot be read": text + 'x,"',
    }
    path = tmp_path / "bad.csv"
    for message, content in cases.items():
        path.write_text(content)
        with pytest.raises(InputError, match=message) as error:
            list(read_maplez(path))
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    path.write_bytes(text.encode().replace(b"quoted", b"\xff"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_maplez(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_maplez(tmp_path / "none.csv"))


def test_a_report_is_written_once() -> None:
    with pytest.raises(InputError, match="report 'a' is given twice"):
        table_text(("a", []), ("a", []))
