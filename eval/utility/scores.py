"""Scores of networks on held-out radiographs, by training regime."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.subgroups import Groups, names_of
from roentgen.metrics.classification.calibration import ece_floor, reliability, weighted_ece
from roentgen.metrics.classification.finding_scores import too_few
from roentgen.metrics.classification.operating_points import (
    any_pathology,
    best_threshold,
    predicted_no_finding,
    weighted_f1,
    weighted_share,
)
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    count_patients,
)
from roentgen.metrics.paired_scores import (
    MEAN,
    Gain,
    Score,
    difference,
    estimate,
    gain,
    mean_of,
    over_seeds,
    share,
    widest,
)
from roentgen.record.finding import FindingName

Thresholds = list[float | None]
Positive = NDArray[np.bool_]
# From the index of a finding, each seed's scores (n,), labels (n,) and weights (1 + R, n): a score
# (1 + R,) for each seed.
Metric = Callable[[int, Sequence[Floats], Positive, Floats], list[Floats]]


@dataclass(frozen=True, kw_only=True)
class HeldOutLabels:
    """Labels of the held-out radiographs, and of those that operating points are chosen on."""

    labels: NDArray[np.float32]  # N, findings: 1, 0, NaN
    patients: NDArray[np.str_]  # N
    weights: Floats  # 1 + R, N: ones, then the counts of each resample of patients
    subgroups: Groups
    validation: NDArray[np.float32]  # M, findings
    validation_patients: Sequence[str]  # M
    findings: tuple[FindingName, ...]
    min_cases: int
    seed: int

    @classmethod
    def of(
        cls,
        labels: NDArray[np.float32],
        patients: Sequence[str],
        subgroups: Groups,
        validation: tuple[NDArray[np.float32], Sequence[str]],
        findings: Sequence[FindingName],
        *,
        min_cases: int,
        samples: int,
        seed: int,
    ) -> "HeldOutLabels":
        """The labels, with `samples` resamples of patients that all scores share.

        `validation` are the labels and the patients of the validation radiographs.
        """
        weights = bootstrap_weights(patients, samples, seed)
        return cls(
            labels=labels,
            patients=np.asarray(patients),
            weights=np.concatenate([np.ones((1, len(labels))), weights]),
            subgroups=subgroups,
            validation=validation[0],
            validation_patients=validation[1],
            findings=tuple(findings),
            min_cases=min_cases,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Probabilities of the networks of one regime, (N, findings) and (M, findings) a seed."""

    held_out: Sequence[Floats]
    validation: Sequence[Floats]
    not_learned: Mapping[FindingName, NotMeasured]


@dataclass(frozen=True, kw_only=True)
class RegimeScores:
    """Scores of the networks of one regime, by finding."""

    auroc: dict[FindingName, Score]
    f1: dict[FindingName, Score]
    ece: dict[FindingName, Score]
    ece_floor: Estimate  # of the mean ECE
    underdiagnosis: Score
    subgroups: dict[str, dict[str, dict[str, Estimate]]]  # attribute, subgroup, metric
    gaps: dict[str, dict[str, Estimate]]  # attribute, metric
    reliability: tuple[list[float], list[Estimate]]  # mean probability, share present by bin


def score_regime(predictions: Predictions, test: HeldOutLabels) -> RegimeScores:
    """All scores of one regime."""
    everyone = np.ones(len(test.labels), dtype=bool)
    thresholds, without = _thresholds(predictions, test)
    no_finding = [
        predicted_no_finding(scores, each, test.findings)
        for scores, each in zip(predictions.held_out, thresholds, strict=True)
    ]

    def f1(j: int, scores: Sequence[Floats], positive: Positive, weights: Floats) -> list[Floats]:
        limits = [each[j] for each in thresholds]
        return [
            weighted_f1(one >= limit, positive, weights)
            for one, limit in zip(scores, limits, strict=True)
            if limit is not None
        ]

    floors: list[float] = []

    def ece(_: int, scores: Sequence[Floats], positive: Positive, weights: Floats) -> list[Floats]:
        floors.append(float(np.mean([ece_floor(one, test.seed) for one in scores])))
        return [weighted_ece(one, positive, weights) for one in scores]

    calibration = _by_finding(predictions, test, everyone, ece)
    n, patients = len(test.labels), count_patients(test.patients.tolist())
    subgroups, gaps = _by_subgroup(predictions, test, no_finding)
    return RegimeScores(
        auroc=_by_finding(predictions, test, everyone, _auroc),
        f1=_by_finding(predictions, test, everyone, f1, without),
        ece=calibration,
        ece_floor=Estimate(value=float(np.mean(floors)), n=n, patients=patients)
        if floors
        else NotMeasured("none of the findings has enough cases", n, patients),
        underdiagnosis=_underdiagnosis(test, no_finding, everyone),
        subgroups=subgroups,
        gaps=gaps,
        reliability=_reliability(predictions, test),
    )


def gains(
    scores: Mapping[str, RegimeScores], bases: Mapping[str, str], findings: Sequence[FindingName]
) -> dict[str, dict[str, dict[str, Gain]]]:
    """By regime and metric ("auroc", "f1"): the gain over its base in each finding and the mean.

    Bonferroni's corrections: a mean is tested once a regime, a finding once a regime and finding.
    """
    result: dict[str, dict[str, dict[str, Gain]]] = {}
    for name, base in bases.items():
        result[name] = {}
        for metric in ("auroc", "f1"):
            ours = getattr(scores[name], metric)
            if base in scores:
                theirs = getattr(scores[base], metric)
            else:
                theirs = dict.fromkeys(findings, NotMeasured(f"{base!r} is not measured"))
            changes = {finding: difference(ours[finding], theirs[finding]) for finding in findings}
            mean, note = mean_of(list(changes.values()))
            result[name][metric] = {
                MEAN: gain(mean, len(bases), note),
                **{f: gain(change, len(bases) * len(findings)) for f, change in changes.items()},
            }
    return result


def _thresholds(
    predictions: Predictions, test: HeldOutLabels
) -> tuple[list[Thresholds], dict[FindingName, NotMeasured]]:
    """Each seed's operating points, and the findings that have none."""
    without: dict[FindingName, NotMeasured] = {}
    result: list[Thresholds] = [[] for _ in predictions.validation]
    for j, name in enumerate(test.findings):
        known = ~np.isnan(test.validation[:, j])
        positive = test.validation[known, j] == 1
        missing = predictions.not_learned.get(name) or too_few(
            test.validation[:, j],
            test.validation_patients,
            test.min_cases,
            "set a threshold by",
        )
        if missing:
            without[name] = missing
        for each, scores in zip(result, predictions.validation, strict=True):
            each.append(None if missing else best_threshold(scores[known, j], positive))
    return result, without


def _by_finding(
    predictions: Predictions,
    test: HeldOutLabels,
    within: NDArray[np.bool_],
    metric: Metric,
    without: Mapping[FindingName, NotMeasured] = {},
) -> dict[FindingName, Score]:
    """A metric of each finding over these radiographs; `without` has the findings it lacks."""
    result: dict[FindingName, Score] = {}
    for j, name in enumerate(test.findings):
        known = within & ~np.isnan(test.labels[:, j])
        of = test.patients[known].tolist()
        missing = (
            predictions.not_learned.get(name)
            or too_few(test.labels[known, j], of, test.min_cases, "evaluate on")
            or (without or {}).get(name)
        )
        if missing:
            result[name] = NotMeasured(missing.reason, len(of), count_patients(of))
            continue
        scores = [one[known, j] for one in predictions.held_out]
        positive, weights = test.labels[known, j] == 1, test.weights[:, known]
        result[name] = over_seeds(metric(j, scores, positive, weights), of)
    return result


def _auroc(_: int, scores: Sequence[Floats], positive: Positive, weights: Floats) -> list[Floats]:
    return [weighted_auroc(one, positive, weights) for one in scores]


def _underdiagnosis(
    test: HeldOutLabels, no_finding: Sequence[NDArray[np.bool_] | None], within: NDArray[np.bool_]
) -> Score:
    """The share of radiographs with any pathology that are predicted to have none."""
    diseased = any_pathology(test.labels, test.findings) & within
    of = test.patients[diseased].tolist()
    n, patients = len(of), count_patients(of)
    if patients < test.min_cases:
        few = f"only {patients} patients with any pathology (at least {test.min_cases} needed)"
        return NotMeasured(few, n, patients)
    predicted = [one for one in no_finding if one is not None]
    if len(predicted) < len(no_finding):
        return NotMeasured("no finding has a threshold", n, patients)
    return over_seeds([weighted_share(one, diseased, test.weights) for one in predicted], of)


def _by_subgroup(
    predictions: Predictions, test: HeldOutLabels, no_finding: Sequence[NDArray[np.bool_] | None]
) -> tuple[dict[str, dict[str, dict[str, Estimate]]], dict[str, dict[str, Estimate]]]:
    """Mean AUROC and underdiagnosis of each subgroup, and the gaps between the extremes."""
    subgroups: dict[str, dict[str, dict[str, Estimate]]] = {}
    gaps: dict[str, dict[str, Estimate]] = {}
    for attribute, member in test.subgroups.items():
        names = names_of(member)
        aurocs = {name: _by_finding(predictions, test, member == name, _auroc) for name in names}
        missed = {name: _underdiagnosis(test, no_finding, member == name) for name in names}
        subgroups[attribute] = {
            name: {
                "auroc": estimate(*mean_of(list(aurocs[name].values()))),
                "underdiagnosis": share(missed[name]),
            }
            for name in names
        }
        if len(names) < 2:
            why = f"{len(names)} subgroup(s) known among the held-out radiographs; 2 are needed"
            none = NotMeasured(why, int((member != "").sum()))
            gaps[attribute] = {"auroc": none, "underdiagnosis": none}
            continue
        each = [widest({n: aurocs[n][finding] for n in names})[0] for finding in test.findings]
        gaps[attribute] = {
            "auroc": estimate(*mean_of(each)),
            "underdiagnosis": estimate(*widest(missed)),
        }
    return subgroups, gaps


def _reliability(
    predictions: Predictions, test: HeldOutLabels
) -> tuple[list[float], list[Estimate]]:
    """Over all known labels of the findings that were learned, of all seeds."""
    learned = [name not in predictions.not_learned for name in test.findings]
    known = ~np.isnan(test.labels) & learned
    probabilities = np.concatenate([scores[known] for scores in predictions.held_out])
    present = np.tile(test.labels[known] == 1, len(predictions.held_out))
    return reliability(probabilities, present)
