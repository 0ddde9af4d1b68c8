"""Scores of several trained networks on the same patients: means, differences, tests.

Each score keeps its value for every training seed and its bootstrap replicates over the same
resamples of patients, so that comparisons are paired.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from roentgen.metrics.estimates import (
    CONFIDENCE,
    Estimate,
    Floats,
    NotMeasured,
    count_patients,
    percentile_interval,
    wilson_interval,
)

MEAN = "mean"  # key beside findings or structures


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A score by training seed (seeds,) and by resample of patients (R,), the latter averaged."""

    by_seed: Floats
    replicates: Floats
    n: int  # images
    patients: int  # distinct ones among them

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.by_seed.mean())


Score = Measured | NotMeasured


def over_seeds(rows: Sequence[Floats], patients: Sequence[str]) -> Measured:
    """From (1 + R,) a seed: the value on all images, then that of each resample of patients.

    `patients` is the patient of each image.
    """
    table = np.stack(rows)
    return Measured(
        by_seed=table[:, 0],
        replicates=table[:, 1:].mean(axis=0),
        n=len(patients),
        patients=count_patients(patients),
    )


def estimate(score: Score, note: str | None = None) -> Estimate:
    """The mean over seeds; its interval covers the choice of patients."""
    if isinstance(score, NotMeasured):
        return score
    low, high = percentile_interval(score.replicates)
    return Estimate(
        value=score.value, low=low, high=high, n=score.n, patients=score.patients, note=note
    )


def share(score: Score, note: str | None = None) -> Estimate:
    """As `estimate`; a share of 0 or 1 in all resamples has Wilson's interval of the patients."""
    result = estimate(score, note)
    if isinstance(score, Measured) and result.low == result.high and result.value in (0.0, 1.0):
        low, high = wilson_interval(result.value * score.patients, score.patients)
        return replace(result, low=low, high=high)
    return result


def mean_of(scores: Sequence[Score], of: str = "findings") -> tuple[Score, str | None]:
    """The mean over the findings that are measured, and a note if some are not.

    `of` names findings (or structures) in the note.
    """
    found = [score for score in scores if isinstance(score, Measured)]
    n = max(score.n for score in scores)
    patients = max(score.patients or 0 for score in scores)
    if not found:
        return NotMeasured(f"none of the {of} has enough cases", n, patients), None
    mean = Measured(
        by_seed=np.mean([score.by_seed for score in found], axis=0),
        replicates=np.mean([score.replicates for score in found], axis=0),
        n=n,
        patients=patients,
    )
    few = len(found) < len(scores)
    return mean, f"over {len(found)} of {len(scores)} {of}" if few else None


def difference(score: Score, base: Score) -> Score:
    """The score less the base, seed by seed and resample by resample."""
    for one in (score, base):
        if isinstance(one, NotMeasured):
            return one
    assert isinstance(score, Measured)
    assert isinstance(base, Measured)
    return Measured(
        by_seed=score.by_seed - base.by_seed,
        replicates=score.replicates - base.replicates,
        n=min(score.n, base.n),
        patients=min(score.patients, base.patients),
    )


def widest(groups: dict[str, Score]) -> tuple[Score, str | None]:
    """The highest of the groups less the lowest, and their names.

    The two are chosen by their values and fixed in all resamples; chance alone makes a gap.
    """
    found = {name: score for name, score in groups.items() if isinstance(score, Measured)}
    n = sum(score.n for score in found.values())
    if len(found) < 2:
        return NotMeasured(f"{len(found)} group(s) with enough cases; 2 are needed", n), None
    low, high = (choose(found, key=lambda name: found[name].value) for choose in (min, max))
    return difference(found[high], found[low]), f"{high} above {low}"


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A difference of shares (AUROC, F1, Dice) to the base, with its tests."""

    estimate: Estimate
    """Its interval covers the choice of held-out patients and, if there are several, of seeds."""
    seeds: Estimate
    """Its interval covers the training seed alone (Student's t); n is the number of seeds."""
    p: Estimate
    """One-tailed paired t-test over seeds for a difference above 0."""
    p_corrected: Estimate
    """Bonferroni-corrected: p times the number of tests, at most 1."""


def gain(change: Score, tests: int, note: str | None = None) -> Gain:
    """The estimate and tests of a `difference`, one of `tests` tests."""
    over_patients = estimate(change, note)
    if isinstance(change, NotMeasured):
        return Gain(
            estimate=over_patients, seeds=over_patients, p=over_patients, p_corrected=over_patients
        )
    seeds, p = paired_test(change.by_seed)
    both = over_patients
    if len(change.by_seed) > 1:
        half = _half_width(change)
        both = replace(both, low=change.value - half, high=change.value + half)
    return Gain(
        estimate=_within_range(both),
        seeds=_within_range(seeds),
        p=p,
        p_corrected=bonferroni(p, tests),
    )


def _within_range(difference: Estimate) -> Estimate:
    """The part of its interval that a difference of two shares can be in."""
    if difference.low is None or difference.high is None:
        return difference
    return replace(difference, low=max(-1.0, difference.low), high=min(1.0, difference.high))


def bonferroni(p: Estimate, tests: int) -> Estimate:
    """P corrected for the number of tests."""
    return p if p.value is None else replace(p, value=min(1.0, p.value * tests))


def paired_test(differences: Floats) -> tuple[Estimate, Estimate]:
    """The mean difference with Student's interval, and p of a one-tailed t-test for above 0."""
    n = len(differences)
    mean = float(differences.mean())
    if n < 2:
        missing = NotMeasured("1 training seed; at least 2 are needed", n)
        return missing, missing
    error = float(differences.std(ddof=1)) / n**0.5
    if error <= 1e-12 * abs(mean) or error == 0:
        missing = NotMeasured("equal for all training seeds", n)
        return Estimate(value=mean, n=n), missing
    half = _quantile(n - 1) * error
    p = float(stats.t.sf(mean / error, n - 1))
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n), Estimate(value=p, n=n)


def _half_width(change: Measured) -> float:
    """Half the width of the interval over patients and seeds, whose variances add up.

    Degrees of freedom after Satterthwaite (1946): few seeds widen it in proportion to their share.
    """
    n = len(change.by_seed)
    seeds = float(change.by_seed.var(ddof=1)) / n
    patients = float(np.nanvar(change.replicates, ddof=1))
    freedom = (n - 1) * ((seeds + patients) / seeds) ** 2 if seeds else math.inf
    return _quantile(freedom) * math.sqrt(seeds + patients)


def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
