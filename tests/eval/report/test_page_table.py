"""Tables on the page: digits, n, marks and missing numbers, on cells with known answers."""

from dataclasses import replace

import pytest

from eval.report.page_table import MARKS, PageTable, page_table
from eval.report.section import Better, Cell, Table, cell_text, rounded
from roentgen.metrics.estimates import Estimate, NotMeasured


def estimate(value: float, half: float, n: int = 100, note: str | None = None) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=n, note=note)


def shown(*rows: tuple[Cell, ...], **changes: object) -> PageTable:
    columns = ("Measure", "first", "second", "held-out")[: len(rows[0])]
    return page_table(Table(name="t", caption="C", columns=columns, rows=rows, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (61.2637, 50.7285, 71.7989, "61 (51 to 72)"),
        (0.92043, 0.87114, 0.95321, "0.920 (0.871 to 0.953)"),
        (8.7549, 4.9824, 12.5275, "8.8 (5.0 to 12.5)"),
        (-0.112, -0.3419, 0.1179, "\u22120.11 (\u22120.34 to 0.12)"),
        (-0.0004, -0.0213, 0.0205, "0.000 (\u22120.021 to 0.021)"),
        (1234.0, 1010.0, 1456.0, "1230 (1010 to 1460)"),
        (1.0, 1.0, 1.0, "1.000"),
    ],
)
def test_a_number_has_the_places_of_the_intervals_second_digit(
    value: float, low: float, high: float, expected: str
) -> None:
    assert cell_text(Estimate(value=value, low=low, high=high, n=3)) == expected


def test_a_number_without_an_interval_has_three_digits() -> None:
    assert rounded(Estimate(value=0.012345, n=3)) == ("0.0123", None)


def texts(table: PageTable) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_n_that_all_share_is_in_the_caption() -> None:
    table = shown(("a", estimate(1, 0.1), estimate(2, 0.1)), ("b", estimate(3, 0.1), 4))
    assert table.caption == "C; n = 100"
    assert table.columns == ("Measure", "first", "second")


def test_patients_stand_beside_n_where_they_are_fewer() -> None:
    few = replace(estimate(1, 0.1, 100), patients=40)
    each = replace(estimate(1, 0.1, 100), patients=100)
    assert shown(("a", few, few)).caption == "C; n = 100/40"
    assert shown(("a", each, each)).caption == "C; n = 100"


def test_n_that_a_column_shares_is_in_its_header() -> None:
    rows = [(name, estimate(1, 0.1, 7), estimate(2, 0.1, 8)) for name in "ab"]
    table = shown(*rows)
    assert table.caption == "C"
    assert table.columns == ("Measure", "first, n = 7", "second, n = 8")


def test_n_that_rows_share_is_one_column() -> None:
    rows = [(name, estimate(1, 0.1, n), estimate(2, 0.1, n)) for name, n in (("a", 7), ("b", 8))]
    table = shown(*rows)
    assert table.columns == ("Measure", "first", "second", "n")
    assert [row[-1] for row in texts(table)] == ["7", "8"]


def test_n_that_differs_in_rows_and_columns_has_a_column_each() -> None:
    table = shown(
        ("a", estimate(1, 0.1, 7), estimate(2, 0.1, 9)),
        ("b", estimate(1, 0.1, 8), estimate(2, 0.1, 9)),
    )
    assert table.columns == ("Measure", "first", "n of first", "second, n = 9")
    assert [row[2] for row in texts(table)] == ["7", "8"]


def test_what_is_missing_is_in_a_line_and_not_in_the_table() -> None:
    few, none = NotMeasured("only 2 positives", 5), NotMeasured("no sides")
    table = shown(
        ("a", estimate(1, 0.1), few, few),
        ("b", few, few, few),
        ("c", none, few, few),
        ("d", estimate(1, 0.1), few, estimate(3, 0.1)),
    )
    assert texts(table) == [["a", "1.00", "\u2013"], ["d", "1.00", "3.00"]]
    assert table.columns == ("Measure", "first", "held-out")
    assert table.notes == (
        "Not measured: a (second, held-out), b, c (second, held-out), d (second): "
        "only 2 positives; c (first): no sides.",
    )


def test_a_note_that_repeats_stands_below_once() -> None:
    noted = [(name, estimate(1, 0.1, note="at chance"), estimate(1, 0.1)) for name in "xy"]
    table = shown(*noted)
    assert [row[1].letters for row in table.rows] == ["a", "a"]
    assert table.notes == ("a: at chance.",)


@pytest.mark.parametrize(
    ("better", "second", "expected"),
    [
        ("higher", 1.5, "better"),
        ("higher", 0.5, "worse"),
        ("lower", 1.5, "worse"),
        ("lower", 0.5, "better"),
        ("higher", 1.15, None),  # the intervals overlap
        ("closer", 3.0, "better"),
        ("closer", 4.9, "better"),
        ("closer", 8.0, "worse"),
        ("closer", 1.1, None),
    ],
)
def test_better_and_worse_are_told_where_intervals_do_not_overlap(
    better: Better, second: float, expected: str | None
) -> None:
    row = ("a", estimate(1, 0.1), estimate(second, 0.1), estimate(4, 0.1))
    table = shown(row, better={"a": better}, base="first", radiographs="held-out")
    marks = [cell.mark for cell in table.rows[0]]
    assert marks == ["", "", MARKS[expected] if expected else "", ""]


def test_one_set_is_marked_against_the_radiographs() -> None:
    row = ("a", estimate(1, 0.1), estimate(2, 0.1), estimate(1, 0.1))
    table = shown(row, better="lower", base="held-out", radiographs="held-out")
    assert [cell.mark for cell in table.rows[0][1:]] == ["", MARKS["worse"], ""]
    assert table.caption.startswith("C; lower is better")
