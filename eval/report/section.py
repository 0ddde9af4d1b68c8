"""Sections of the page, of which its tables, plots and results.json are made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eval.report.plots import Plot
from eval.report.verdict import Verdict
from roentgen.metrics.estimates import Estimate

Cell = str | int | float | Estimate | None  # None: an empty cell
Better = Literal["higher", "lower", "closer"]  # closer: to the number of the radiographs
# Names of the reference's splits; whether their radiographs are real is said at the page's top.
HELD_OUT = "held-out"
CEILING = f"{HELD_OUT} (ceiling)"
FLOOR_LABEL = "train split (floor)"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells below a header of distinct names; the first cell of a row is its name."""

    name: str  # of its files: "fidelity-subgroups"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    better: Better | Mapping[str, Better] | None = None  # of all rows, or by the name of a row
    base: str | None = None  # the column that the others are marked against, better or worse
    radiographs: str | None = None  # the column of the reference, which is not marked
    folded: bool = False  # behind "More tables" of its section

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.name
        assert len(set(self.columns)) == len(self.columns), f"{self.name}: duplicate column names"


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Some images side by side with one caption."""

    caption: str
    alt: str
    images: NDArray[np.uint8] | None  # (n, H, W[, 3]); None: no image
    detail: str = ""  # a second line, which the first screen does not show


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Strips to be viewed together."""

    title: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, kw_only=True)
class SummaryLine:
    """A line of the summary: a number of each synthetic set, and of real images for scale."""

    measure: str
    sets: Mapping[str, Estimate]
    real: Estimate | None = None
    better: Better | None = None

    @classmethod
    def of(
        cls,
        measure: str,
        values: Mapping[str, Estimate],
        real: str = "test",
        *,
        better: Better | None = None,
    ) -> "SummaryLine":
        """The line of numbers by set, where `real` is the set of real images."""
        sets = {name: value for name, value in values.items() if name != real}
        return cls(measure=measure, sets=sets, real=values.get(real), better=better)


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """What one evaluation domain hands over: its numbers, and how the page shows them."""

    name: str  # of the domain: its key in results.json
    title: str  # the question it answers
    methods: tuple[str, ...]  # how it was measured, on what, at which n
    references: Mapping[str, str] = field(
        default_factory=dict
    )  # sources, each with its number's key
    numbers: Mapping[str, Any]  # for results.json; holds estimates
    summary: tuple[SummaryLine, ...] = ()
    verdicts: tuple[Verdict, ...] = ()  # on the main set, for the first screen
    headline: Plot | None = None  # a small plot for the first screen
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Pictures, ...] = field(default=())


def measured_keys(numbers: Any) -> set[str]:
    """The keys of a section's numbers, at any depth, below which something is measured."""
    if isinstance(numbers, Estimate):
        return {""} if numbers.value is not None else set()
    if is_dataclass(numbers):
        numbers = vars(numbers)
    if not isinstance(numbers, Mapping):
        return set()
    below = {str(key): measured_keys(value) for key, value in numbers.items()}
    return {key for key, found in below.items() if found}.union(*below.values())


def as_json(value: Any) -> Any:
    """Dataclasses, mappings, sequences and NumPy's numbers as plain JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [as_json(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def cell_text(cell: Cell) -> str:
    """The text of a cell: an estimate with its interval, or the reason why it is missing."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float):
        return number(cell)
    if cell.value is None:
        return str(cell.note)
    value, interval = rounded(cell)
    text = f"{value} ({interval})" if interval else value
    return f"{text}, {cell.note}" if cell.note else text


def rounded(measured: Estimate) -> tuple[str, str | None]:
    """A measured value and its interval, to the place that is the interval's second digit.

    Digits beyond it are noise. Without an interval: `number`.
    """
    value, low, high = measured.value, measured.low, measured.high
    assert value is not None
    if low is None or high is None or not high > low:
        return number(value), None
    decimals = 1 - math.floor(math.log10(high - low))
    return _fixed(value, decimals), f"{_fixed(low, decimals)} to {_fixed(high, decimals)}"


def number(value: float) -> str:
    """Three decimals, or three digits below 0.1; with a typographic minus sign."""
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{size:.3f}" if size >= 0.1 else f"{size:.3g}"
    if size >= 100:
        text = f"{size:.1f}"
    return f"\u2212{text}" if value < 0 else text


def _fixed(value: float, decimals: int) -> str:
    text = f"{round(value, decimals):.{max(0, decimals)}f}"
    return text.removeprefix("-") if not float(text) else text.replace("-", "\u2212")
