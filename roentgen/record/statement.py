"""Statement: one thing that a report says about a finding, with its evidence.

A report is read into statements; findings of prompts, CheXpert's labels, MAPLEZ's tables and
RadGraph's graphs are views of them.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from roentgen.errors import require, require_choice
from roentgen.record.finding import SEVERITIES, Severity

# "stable": called unchanged, without a word on whether it is there ("heart size is unchanged").
StatementState = Literal["present", "uncertain", "absent", "stable"]
Change = Literal["new", "increased", "decreased", "unchanged", "resolved"]
ReadSection = Literal["findings", "impression", "last_paragraph"]
# What a span of a text says about the finding. "explained": the other finding that this one is an
# interpretation of ("opacity" in "opacity, likely pneumonia").
SpanRole = Literal["finding", "cue", "side", "severity", "place", "size", "change", "explained"]

STATEMENT_STATES: tuple[StatementState, ...] = get_args(StatementState)


@dataclass(frozen=True, slots=True)
class Extent:
    """One side of a finding with its own severity and places; a side of None: no side is named."""

    side: Literal["left", "right"] | None = None
    severity: Severity | None = None
    places: tuple[str, ...] = ()  # nodes of the hierarchy of places: "lower lobe"

    def __post_init__(self) -> None:
        if self.side is not None:
            require_choice("side", self.side, ("left", "right"))
        if self.severity is not None:
            require_choice("severity", self.severity, SEVERITIES)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a section, and what they say."""

    role: SpanRole
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a report says it: characters [start, end) of a section, and the words that count."""

    section: ReadSection
    start: int
    end: int
    words: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A finding, its state, and what else is known of it.

    `finding` is a node of the hierarchy of findings, the most specific that is named. `extents` has
    one item for each side that is named, or one without side; bilateral findings have two.
    """

    finding: str
    state: StatementState = "present"
    probability: float | None = None  # that it is present, 0 to 1
    extents: tuple[Extent, ...] = (Extent(),)
    size_mm: float | None = None  # the largest diameter that is given
    change: Change | None = None  # since an earlier study
    evidence: Evidence | None = None
    source: str = ""  # what states it: rules with version, a model's hash, a file

    def __post_init__(self) -> None:
        require_choice("state", self.state, STATEMENT_STATES)
        require(bool(self.extents), f"statement of {self.finding!r} has no extent")
        if self.probability is not None:
            require(
                0 <= self.probability <= 1,
                f"probability of {self.finding!r} is {self.probability}: it must be 0 to 1",
            )
