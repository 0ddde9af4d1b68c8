"""Tables as CSV and LaTeX, and the files of results."""

import csv
import io
import re

import pytest

from eval.report.section import Table
from eval.report.tables import csv_text, latex_text
from roentgen.metrics.estimates import Estimate, NotMeasured

TABLE = Table(
    name="fidelity",
    caption="50 % of A & B",
    columns=("Set", "FID", "Cases"),
    rows=(
        ('a_b, "quoted"', Estimate(value=1 / 3, low=-0.25, high=2e-7, n=40, patients=17), 7),
        ("x < y {z} \\ ^ ~ # $", NotMeasured("no positives", 3), None),
        ("mean", Estimate(value=12.5, n=9, note="over 1 of 2"), "3 / 4"),
    ),
)


def test_csv_holds_every_number_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(TABLE))))
    parts = ("FID", "FID low", "FID high", "FID n", "FID patients", "FID note")
    assert list(rows[0]) == ["Set", *parts, "Cases"]
    first, second, third = rows
    assert first["Set"] == 'a_b, "quoted"'
    assert [float(first[k]) for k in ("FID", "FID low", "FID high")] == [1 / 3, -0.25, 2e-7]
    assert (first["FID n"], first["FID patients"]) == ("40", "17")
    assert (second["FID"], second["FID low"], second["Cases"]) == ("", "", "")
    assert second["FID note"] == "not measured: no positives"
    assert (third["FID note"], third["Cases"]) == ("over 1 of 2", "3 / 4")
    empty = csv_text(Table(name="none", caption="", columns=("a", "b"), rows=()))
    assert empty == "a,b\n"


def test_latex_escapes_what_latex_reads() -> None:
    text = latex_text(TABLE)
    assert r"\caption{50 \% of A \& B. Parentheses: 95\,\% intervals.}" in text
    assert r"a\_b, ''quoted'' & 0.33 ($-$0.25 to 0.00) & 7 & 40/17 \\" in text
    expected = (
        r"Not measured: x \textless{} y \{z\} \textbackslash{} \textasciicircum{} "
        r"\textasciitilde{} \# \$: no positives."
    )
    assert expected in text
    assert "mean & 12.500, a & 3 / 4 & 9" in text
    assert "a: over 1 of 2." in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == len(TABLE.rows)  # the header, and all but the row without a number
    assert all(len(re.findall(r"(?<!\\)&", row)) == 3 for row in rows)
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert begun == ended[::-1] == ["table", "tabular"]


def test_a_row_has_as_many_cells_as_there_are_columns() -> None:
    with pytest.raises(AssertionError, match="fidelity"):
        Table(name="fidelity", caption="", columns=("a", "b"), rows=(("x",),))
