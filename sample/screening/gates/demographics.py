"""Are sex and age as asked? Read from the proxy's features by weighted sums."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats
from roentgen.record.radiograph import Radiograph
from roentgen.vision.linear_probe import Probe, fit_logistic, fit_ridge
from sample.screening.config import DemographicsConfig
from sample.screening.gates.gate import Check, CheckedGate, Shown, checked_gate

PENALTIES = {"sex": 0.001, "age": 0.01}
DEFINITION = (
    "Sex: the log odds of the other sex; age: the error in years; by logistic and ridge regression "
    f"on the proxy's features (penalties {PENALTIES['sex']:g} and {PENALTIES['age']:g}), fitted on "
    "the films that it learnt from, one for lateral films and one for others. How far beyond those "
    "of held-out real films, in standard deviations of these; the score is that of the worse."
)
What = Literal["sex", "age"]
Kind = Literal["frontal", "lateral"]


class Read(NamedTuple):
    """One thing that is read from one kind of film."""

    what: What
    kind: Kind
    probe: Probe


def demographics_gate(
    config: DemographicsConfig,
    asked: Sequence[Radiograph],
    learnt: Shown,
    held_out: Shown,
    *,
    min_cases: int,
) -> CheckedGate:
    """The gate for sets that ask for what these radiographs say of sex and age.

    Raises InputError where real films do not tell it.
    """
    kinds: tuple[Kind, ...] = ("frontal", "lateral")
    reads: list[Read] = []
    fits: tuple[tuple[What, Callable[[Shown, NDArray[np.bool_]], Probe]], ...] = (
        ("sex", _fit_sex),
        ("age", _fit_age),
    )
    for what, fit in fits:
        for kind in kinds:
            if _told(asked, what, kind).any():
                rows = _told(learnt.radiographs, what, kind)
                _check_cases(learnt.radiographs, rows, what, kind, min_cases)
                reads.append(Read(what, kind, fit(learnt, rows)))

    def measure(shown: Shown) -> Floats:
        return np.stack([_strangeness(shown, read) for read in reads], axis=1)

    return checked_gate(
        "demographics",
        DEFINITION,
        [
            Check(
                fault=f"{what} of a {kind} film is another",
                unit="log odds of the other" if what == "sex" else "years of error",
                told=float,
                neutral=0.0 if what == "sex" else -math.inf,
            )
            for what, kind, _ in reads
        ],
        measure,
        measure(held_out),
        held_out.patients,
        false_alarms=config.false_alarms,
        min_cases=min_cases,
    )


def _strangeness(shown: Shown, read: Read) -> Floats:
    """(N,): larger is stranger; NaN where it is not told."""
    result = np.full(len(shown.radiographs), np.nan)
    rows = _told(shown.radiographs, read.what, read.kind)
    said = read.probe(shown.features[rows])
    if read.what == "sex":
        result[rows] = np.where(_male(shown.radiographs)[rows], -said, said)
    else:
        result[rows] = np.abs(said - _ages(shown.radiographs)[rows])
    return result


def _fit_sex(learnt: Shown, rows: NDArray[np.bool_]) -> Probe:
    return fit_logistic(learnt.features[rows], _male(learnt.radiographs)[rows], PENALTIES["sex"])


def _fit_age(learnt: Shown, rows: NDArray[np.bool_]) -> Probe:
    return fit_ridge(learnt.features[rows], _ages(learnt.radiographs)[rows], PENALTIES["age"])


def _check_cases(
    films: Sequence[Radiograph], rows: NDArray[np.bool_], what: What, kind: Kind, least: int
) -> None:
    """Raise InputError for too few real films to learn from."""
    male = _male(films)[rows]
    count = int(min(male.sum(), (~male).sum()) if what == "sex" else rows.sum() // 2)
    if count < least:
        raise InputError(
            f"demographics: too few {kind} real films tell the {what} to learn it from "
            f"({int(rows.sum())}; at least {least} of each sex, or {2 * least} ages): set "
            "demographics: null, or give more films"
        )


def _told(radiographs: Sequence[Radiograph], what: What, kind: Kind) -> NDArray[np.bool_]:
    """(N,): films of that kind of which it is told."""
    return np.array(
        [
            getattr(r, what) is not None and (r.view == "LATERAL") == (kind == "lateral")
            for r in radiographs
        ],
        dtype=bool,
    )


def _male(radiographs: Sequence[Radiograph]) -> NDArray[np.bool_]:
    return np.array([r.sex == "M" for r in radiographs], dtype=bool)


def _ages(radiographs: Sequence[Radiograph]) -> Floats:
    return np.array([np.nan if r.age is None else r.age for r in radiographs])
