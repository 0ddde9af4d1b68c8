"""Tables as CSV and LaTeX."""

import io
import re
from collections.abc import Sequence

from eval.report.page_table import PageCell, page_table
from eval.report.section import Cell, Table
from roentgen.csv_table import CsvTable
from roentgen.metrics.estimates import Estimate

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u2212": "$-$",
    "\u2013": "--",
    "\u00a0": "~",
    "\u2191": r"$\uparrow$",
    "\u2193": r"$\downarrow$",
    "\u2248": r"$\approx$",
    '"': "''",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_ESCAPED = re.compile("|".join(re.escape(sign) for sign in _ESCAPES))


def csv_text(table: Table) -> str:
    """Comma-separated values at full precision.

    A column that holds estimates becomes six: value, low, high, n, patients and note.
    """
    buffer = io.StringIO()
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    wide = [any(isinstance(cell, Estimate) for cell in column) for column in columns]
    header: list[str] = []
    for name, spread in zip(table.columns, wide, strict=True):
        header.append(name)
        header += [f"{name} {part}" for part in ("low", "high", "n", "patients", "note") if spread]
    written = CsvTable(buffer, header)
    for row in table.rows:
        cells: list[Cell] = []
        for cell, spread in zip(row, wide, strict=True):
            if isinstance(cell, Estimate):
                cells += [cell.value, cell.low, cell.high, cell.n, cell.patients, cell.note]
            else:
                cells += [cell, *[None] * 5] if spread else [cell]
        written.add(*cells)
    return buffer.getvalue()


def latex_text(table: Table) -> str:
    r"""A table environment with booktabs' rules (\usepackage{booktabs}), of what the page shows."""
    shown = page_table(table)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape(shown.caption)}. Parentheses: 95\,\% intervals.}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{'l' * len(shown.columns)}}}",
        r"\toprule",
        _latex_row(shown.columns),
        r"\midrule",
        *(_latex_row([_cell_text(cell) for cell in row]) for row in shown.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {_escape(note)}" for note in shown.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cell_text(cell: PageCell) -> str:
    text = f"{cell.text} ({cell.beside})" if cell.beside else cell.text
    return f"{text}, {cell.letters}" if cell.letters else text


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_escape, cells)) + r" \\"


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)
