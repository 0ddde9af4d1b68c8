"""CSV table writer whose cells no spreadsheet program takes for formulas."""

import csv
from collections.abc import Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\n")


class CsvTable:
    """A CSV file that is written row by row, opened with newline=""."""

    def __init__(self, file: Any, columns: Sequence[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(map(csv_cell, columns))
        self.rows = 0

    def add(self, *cells: object) -> None:
        """Write a row; None is a blank cell."""
        self._writer.writerow(map(csv_cell, cells))
        self.rows += 1


def csv_cell(cell: object) -> object:
    r"""The cell; a text that begins as a formula does, and is no number, follows an apostrophe.

    Lines of a text end in "\n": csv.writer does not quote a lone "\r". Method: OWASP, CSV
    Injection.
    """
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
