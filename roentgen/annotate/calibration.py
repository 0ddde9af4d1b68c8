"""Calibration of a language model's answers: its scores to probabilities, by finding.

A score is the probability that a reader gives to the first choice of the first question ("yes, it
is or may be there"). On labeled reports it is mapped to the share of reports in which people read
the finding as present or uncertain: by isotonic regression (Zadrozny and Elkan 2002), or by a
logistic function of the score's log-odds (Platt 1999). `calibration_fit.py` fits it.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from roentgen.annotate.questions import QuestionTree
from roentgen.config import config_from_dict, config_to_dict
from roentgen.errors import InputError, require
from roentgen.manifest import fingerprint_of
from roentgen.storage import write_json
from roentgen.untrusted_files import read_json

_SMALLEST = 1e-6  # log-odds are of scores this far from 0 and 1 at least


@dataclass(frozen=True, kw_only=True)
class IsotonicCurve:
    """A curve that never falls: straight lines between points, level beyond the outer ones."""

    scores: tuple[float, ...]  # ascending
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        require(
            0 < len(self.scores) == len(self.probabilities)
            and all(a < b for a, b in zip(self.scores, self.scores[1:], strict=False))
            and all(0 <= p <= 1 for p in self.probabilities)
            and sorted(self.probabilities) == list(self.probabilities),
            "a curve must have ascending scores, with probabilities from 0 to 1 that do not fall",
        )

    def __call__(self, score: float) -> float:
        """The probability at a score."""
        above = bisect_right(self.scores, score)
        if above in (0, len(self.scores)):
            return self.probabilities[max(0, above - 1)]
        (x, after), (y, end) = (v[above - 1 : above + 1] for v in (self.scores, self.probabilities))
        return y + (end - y) * (score - x) / (after - x)


@dataclass(frozen=True, kw_only=True)
class PlattCurve:
    """A logistic function of a score's log-odds."""

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.slope) and math.isfinite(self.intercept),
            f"slope {self.slope} and intercept {self.intercept} must be finite",
        )

    def __call__(self, score: float) -> float:
        """The probability at a score."""
        odds = self.slope * log_odds(score) + self.intercept
        return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A curve for each finding with enough labeled reports, and one of all for the others."""

    reader: str
    """Identity of the reader whose scores it was fitted on."""
    questions: str
    """Fingerprint of the questions that gave the scores."""
    pooled: IsotonicCurve | PlattCurve
    findings: dict[str, IsotonicCurve | PlattCurve] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    """How it was fitted, and its calibration errors."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content, 16 hexadecimal digits."""
        return fingerprint_of(config_to_dict(self))

    def apply(self, finding: str, score: float) -> float:
        """The probability that people read the finding as present or uncertain, 0 to 1."""
        return self.findings.get(finding, self.pooled)(score)

    def require_for(self, reader: str, tree: QuestionTree) -> None:
        """Raises InputError unless it is of this reader's answers to these questions."""
        require(
            self.reader == reader,
            f"the calibration is of reader {self.reader}, but the reader is {reader}: fit it again",
        )
        require(
            self.questions == tree.fingerprint,
            f"the calibration is of other questions ({self.questions}, not {tree.fingerprint}): "
            "fit it again",
        )


def log_odds(score: float) -> float:
    """ln(p / (1 - p)) of a score, which is moved to 1e-6 from 0 and 1 at least."""
    inside = min(max(score, _SMALLEST), 1 - _SMALLEST)
    return math.log(inside / (1 - inside))


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, with its hash."""
    content = config_to_dict(calibration)
    write_json(path, {**content, "fingerprint": calibration.fingerprint})


def read_calibration(path: Path) -> Calibration:
    """The calibration of a file. Raises InputError for another file, and for a changed one."""
    try:
        values = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"calibration {path} cannot be read: {error}") from None
    require(isinstance(values, dict), f"calibration {path} is no calibration: it has no keys")
    stated = values.pop("fingerprint", None)
    try:
        calibration = config_from_dict(Calibration, values)
    except InputError as error:
        raise InputError(f"calibration {path}: {error}") from None
    require(
        calibration.fingerprint == stated,
        f"calibration {path} was changed: its content has the hash {calibration.fingerprint}, but "
        f"it states {stated}",
    )
    return calibration
