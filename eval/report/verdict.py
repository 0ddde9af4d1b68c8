"""Verdicts of the page's first screen: what works, what does not, and what cannot be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from roentgen.metrics.estimates import Estimate

Status = Literal["fails", "unclear", "works"]
HEADINGS: dict[Status, str] = {  # in the order of the page
    "fails": "What does not work",
    "unclear": "What cannot be told",
    "works": "What works",
}
Topic = Literal[  # by importance to a reader: the first that fails opens the page
    "sharpness",
    "told from radiographs",
    "views",
    "findings",
    "sides",
    "context",
    "masks",
    "fidelity",
    "diversity",
    "copies",
    "membership",
    "utility",
    "segmentation",
    "text encoder",
]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A judgment on the main set, in one sentence with its number and interval."""

    topic: Topic
    status: Status
    sentence: str


def status_above(value: Estimate, limit: float) -> Status:
    """Whether a number that should be above `limit` is: "unclear" if its interval holds both."""
    if value.low is None or value.high is None:
        return "unclear"
    if value.low > limit:
        return "works"
    return "fails" if value.high < limit else "unclear"


def status_below(value: Estimate, limit: float) -> Status:
    """Whether a number that should be below `limit` is: "unclear" if its interval holds both."""
    opposite: dict[Status, Status] = {"works": "fails", "fails": "works", "unclear": "unclear"}
    return opposite[status_above(value, limit)]


def status_excess(value: Estimate, margin: float) -> Status:
    """Whether a difference that should be 0 is: "fails" if its interval lies above 0.

    It "works" if the interval holds 0 or less and nothing of `margin` or more; a wider one tells
    neither.
    """
    if value.low is None or value.high is None:
        return "unclear"
    if value.low > 0:
        return "fails"
    return "works" if value.high < margin else "unclear"


def in_order(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What fails first, then what cannot be told and what works; each by importance."""
    statuses, topics = list(HEADINGS), get_args(Topic)
    return sorted(verdicts, key=lambda v: (statuses.index(v.status), topics.index(v.topic)))
