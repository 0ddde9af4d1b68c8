"""Tables as the page shows them: n once, better and worse marked, missing numbers in a line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from eval.report.section import (
    FLOOR_LABEL,
    Better,
    Cell,
    PageSection,
    Table,
    cell_text,
    rounded,
)
from roentgen.metrics.estimates import Estimate

MARKS = {"better": "\u25b2\u00a0better", "worse": "\u25bc\u00a0worse"}  # color is not the only cue
DIRECTIONS: dict[Better, tuple[str, str]] = {  # in a caption, and beside the name of a row
    "higher": ("higher is better", "\u2191"),
    "lower": ("lower is better", "\u2193"),
    "closer": ("closer to the radiographs is better", "\u2248"),
}
_NO_NUMBER = "\u2013"


@dataclass(frozen=True, kw_only=True)
class PageCell:
    """A cell: its number or words, and what stands beside them."""

    text: str
    beside: str = ""  # the interval, or the direction of improvement
    mark: str = ""
    letters: str = ""  # of notes below the table


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table to be shown, and the lines below it: notes, and what was not measured."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[PageCell, ...], ...]
    notes: tuple[str, ...]


def summary_table(sections: Iterable[PageSection], sets: Sequence[str], radiographs: str) -> Table:
    """The summary of all sections: several sets are marked against the first, one against real."""
    lines = [line for section in sections for line in section.summary]
    return Table(
        name="summary",
        caption="Main measures",
        columns=("Measure", *sets, radiographs),
        rows=tuple((x.measure, *(x.sets.get(name) for name in sets), x.real) for x in lines),
        better={line.measure: line.better for line in lines if line.better},
        base=sets[0] if len(sets) > 1 else radiographs,
        radiographs=radiographs,
    )


def page_table(table: Table) -> PageTable:
    """The table as the page shows it.

    n is in the caption if all agree, in a column's header if those below it do, else in a column:
    one for all if each row's agree. Columns without a number are not shown, nor rows without one of
    a set.
    """
    of_sets = [k for k, name in enumerate(table.columns) if k and name != table.radiographs]
    rows = [row for row in table.rows if not _is_missing([row[k] for k in of_sets])]
    shown = [k for k in range(len(table.columns)) if not k or not _is_missing([r[k] for r in rows])]
    counts = [[_n(row[k]) for row in rows] for k in shown]
    by_row = [_different(of_row) for of_row in zip(*counts, strict=True)]
    by_column = [_different(of_column) for of_column in counts]
    every = _different(n for of_column in counts for n in of_column)
    one_column = len(every) > 1 and max(map(len, by_row)) == 1 and max(map(len, by_column)) > 1

    letters: dict[str, str] = {}
    columns: list[str] = []
    cells: list[list[PageCell]] = [[] for _ in rows]
    for k, of_column, ns in zip(shown, by_column, counts, strict=True):
        in_header = len(every) > 1 and not one_column and len(of_column) == 1
        columns.append(table.columns[k] + (f", n = {of_column[0]}" if in_header else ""))
        own_column = not one_column and len(of_column) > 1
        columns += [f"n of {table.columns[k]}"] * own_column
        for row, of_row, n in zip(rows, cells, ns, strict=True):
            of_row.append(_cell(table, row, k, letters))
            of_row += [PageCell(text=n)] * own_column
    if one_column:
        columns.append("n")
        for of_row, of in zip(cells, by_row, strict=True):
            of_row.append(PageCell(text="".join(of)))
    caption = [table.caption]
    caption += [DIRECTIONS[table.better][0]] if isinstance(table.better, str) else []
    caption += [f"n = {every[0]}"] if len(every) == 1 else []
    return PageTable(
        caption="; ".join(caption),
        columns=tuple(columns),
        rows=tuple(map(tuple, cells)),
        notes=(*(f"{letter}: {note}." for note, letter in letters.items()), *_missing(table)),
    )


def _cell(table: Table, row: Sequence[Cell], k: int, letters: dict[str, str]) -> PageCell:
    cell = row[k]
    if k == 0:
        better = None if isinstance(table.better, str) else (table.better or {}).get(str(cell))
        return PageCell(text=cell_text(cell), beside=DIRECTIONS[better][1] if better else "")
    if not isinstance(cell, Estimate):
        return PageCell(text=_NO_NUMBER if cell is None else cell_text(cell))
    if cell.value is None:
        return PageCell(text=_NO_NUMBER)
    text, interval = rounded(cell)
    letter = ""
    if cell.note:
        letter = letters.setdefault(cell.note, ascii_lowercase[len(letters) % 26])
    mark = _mark(table, row, k)
    return PageCell(text=text, beside=interval or "", mark=MARKS.get(mark, ""), letters=letter)


def _mark(table: Table, row: Sequence[Cell], k: int) -> str:
    """Whether a cell is better or worse than the base: their intervals do not overlap."""
    better = table.better
    if isinstance(better, Mapping):
        better = better.get(str(row[0]))
    named = dict(zip(table.columns, row, strict=True))
    unmarked = table.base, table.radiographs, FLOOR_LABEL
    if better is None or table.base is None or table.columns[k] in unmarked:
        return ""
    own, base = _ends(row[k]), _ends(named[table.base])
    if better == "closer":
        real = _ends(named.get(table.radiographs or ""))
        own, base = _distances(own, real), _distances(base, real)
    if own is None or base is None:
        return ""
    if own[0] > base[1]:
        return "better" if better == "higher" else "worse"
    if own[1] < base[0]:
        return "worse" if better == "higher" else "better"
    return ""


def _ends(cell: Cell) -> tuple[float, float] | None:
    if not isinstance(cell, Estimate) or cell.low is None or cell.high is None:
        return None
    return cell.low, cell.high


def _distances(
    ends: tuple[float, float] | None, real: tuple[float, float] | None
) -> tuple[float, float] | None:
    """The least and the largest distance between numbers of two intervals."""
    if ends is None or real is None:
        return None
    least = max(0.0, ends[0] - real[1], real[0] - ends[1])
    return least, max(abs(ends[1] - real[0]), abs(real[1] - ends[0]))


def _n(cell: Cell) -> str:
    """The n of a measured number, and / the patients where they are fewer; empty for others."""
    if not isinstance(cell, Estimate) or cell.value is None:
        return ""
    fewer = cell.patients is not None and cell.patients < cell.n
    return f"{cell.n}/{cell.patients}" if fewer else str(cell.n)


def _different(counts: Iterable[str]) -> list[str]:
    return sorted({n for n in counts if n})


def _is_missing(cells: Sequence[Cell]) -> bool:
    """Whether there are estimates, and all are without a number."""
    estimates = [cell for cell in cells if isinstance(cell, Estimate)]
    return bool(estimates) and all(cell.value is None for cell in estimates)


def _missing(table: Table) -> list[str]:
    """One line of what was not measured, by reason; a row's columns unless all are missing."""
    by_reason: dict[str, list[str]] = {}
    for row in table.rows:
        found: dict[str, list[str]] = {}
        estimates = [
            (column, cell)
            for column, cell in zip(table.columns, row, strict=True)
            if isinstance(cell, Estimate)
        ]
        for column, cell in estimates:
            if cell.value is None:
                reason = str(cell.note).removeprefix("not measured: ")
                found.setdefault(reason, []).append(column)
        for reason, columns in found.items():
            which = "" if len(columns) == len(estimates) else f" ({', '.join(columns)})"
            by_reason.setdefault(reason, []).append(f"{cell_text(row[0])}{which}")
    texts = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return [f"Not measured: {'; '.join(texts)}."] if texts else []
