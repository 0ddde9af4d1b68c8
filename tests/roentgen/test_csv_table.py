"""No cell of a CSV begins as a formula does, and numbers stay what they are."""

import csv
import io

import pytest

from roentgen.csv_table import CsvTable


def written(*cells: object) -> list[str]:
    buffer = io.StringIO(newline="")
    CsvTable(buffer, [f"column {i}" for i, _ in enumerate(cells)]).add(*cells)
    _, row = csv.reader(io.StringIO(buffer.getvalue(), newline=""))
    return row


@pytest.mark.parametrize(
    "formula",
    ['=HYPERLINK("http://x","y")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\n=1"],
)
def test_a_text_that_begins_as_a_formula_follows_an_apostrophe(formula: str) -> None:
    assert written(formula) == ["'" + formula]


def test_numbers_and_other_texts_are_unchanged() -> None:
    assert written(-1.0, "-1.0", "+3", None, "no effusion", "a=b", "", True) == [
        *("-1.0", "-1.0", "+3", "", "no effusion", "a=b", "", "True")
    ]


def test_line_ends_do_not_break_rows() -> None:
    assert written("a\rb", "c\r\nd", "e\nf", "\r=1") == ["a\nb", "c\nd", "e\nf", "'\n=1"]


def test_a_header_is_no_formula_either() -> None:
    buffer = io.StringIO(newline="")
    CsvTable(buffer, ["=1", "b"])
    assert buffer.getvalue() == "'=1,b\n"
