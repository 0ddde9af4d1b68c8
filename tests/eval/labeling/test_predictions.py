from pathlib import Path

import pytest

from eval.labeling.cases import Case
from eval.labeling.predictions import predict
from eval.labeling.reading import Reading, reading_of
from roentgen.errors import InputError
from roentgen.record.radiograph import Report
from roentgen.record.statement import Extent, Statement
from roentgen.statements.maplez import write_maplez


def case(number: str) -> Case:
    report = Report(findings="Small left effusion.")
    return Case(id=number, patient=number, report=report, gold=Reading(states={}))


def test_another_labelers_table_is_read_by_id(tmp_path: Path) -> None:
    table = tmp_path / "annotations.csv"
    pneumonia = Statement(
        finding="pneumonia",
        state="uncertain",
        extents=(Extent("right", "moderate", ("lower lobe",)),),
    )
    with table.open("w", newline="") as file:
        write_maplez(file, [("b", [pneumonia]), ("a", []), ("c", [])])
    first, second = predict([case("a"), case("b")], table, "en")
    assert first == reading_of([])
    assert second.states["Pneumonia"] == "uncertain"
    assert second.locations("Pneumonia") == {"right", "lower"}
    assert second.severity("Pneumonia", "right") == "moderate"
    with pytest.raises(InputError, match=r"no annotations of 1 of 2 reports, such as \['d'\]"):
        predict([case("a"), case("d")], table, "en")


def test_without_a_table_the_rule_labeler_reads() -> None:
    (read,) = predict([case("a")], None, "en")
    assert read.states == {"Pleural Effusion": "present"}
    assert read.locations("Pleural Effusion") == {"left"}
