"""Is it of use? Networks judged on held-out real films by what they were trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.finding_scores import too_few
from eval.subgroups import Groups, names_of
from roentgen.metrics.classification.auroc import weighted_auroc
from roentgen.metrics.classification.calibration import ece_floor, reliability, weighted_ece
from roentgen.metrics.classification.operating_points import (
    any_pathology,
    best_threshold,
    predicted_no_finding,
    weighted_f1,
    weighted_share,
)
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, bootstrap_weights
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
from roentgen.record.findings import FindingName

Thresholds = list[float | None]


@dataclass(frozen=True, kw_only=True)
class Films:
    """The real films that all networks are judged on, and those that thresholds are chosen on."""

    labels: NDArray[np.float32]  # N, findings: 1, 0, NaN
    weights: Floats  # 1 + R, N: ones, then how often each is in each resample of patients
    groups: Groups
    validation: NDArray[np.float32]  # M, findings
    findings: tuple[FindingName, ...]
    min_cases: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the networks of one regime say, (N, findings) and (M, findings) for each seed."""

    held_out: Sequence[Floats]
    validation: Sequence[Floats]
    not_learned: Mapping[FindingName, NotMeasured]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How good the networks of one regime are; scores are by finding."""

    auroc: dict[FindingName, Score]
    f1: dict[FindingName, Score]
    ece: dict[FindingName, Score]
    floor: Estimate  # of the mean ECE
    underdiagnosis: Score
    groups: dict[str, dict[str, dict[str, Estimate]]]  # attribute, group: auroc, underdiagnosis
    gaps: dict[str, dict[str, Estimate]]  # attribute: auroc, underdiagnosis
    reliability: tuple[list[float], list[Estimate]]  # mean probability, share present by bin


def films(
    labels: NDArray[np.float32],
    patients: Sequence[str],
    groups: Groups,
    validation: NDArray[np.float32],
    findings: Sequence[FindingName],
    *,
    min_cases: int,
    samples: int,
    seed: int,
) -> Films:
    """The films, with `samples` resamples of their patients that all numbers share."""
    weights = bootstrap_weights(patients, samples, seed)
    return Films(
        labels=labels,
        weights=np.concatenate([np.ones((1, len(labels))), weights]),
        groups=groups,
        validation=validation,
        findings=tuple(findings),
        min_cases=min_cases,
        seed=seed,
    )


def judge(said: Said, on: Films) -> Judgement:
    """Everything that is measured of one regime."""
    everyone = np.ones(len(on.labels), dtype=bool)
    thresholds, without = _thresholds(said, on)
    healthy = [
        predicted_no_finding(scores, each, on.findings)
        for scores, each in zip(said.held_out, thresholds, strict=True)
    ]
    groups, gaps = _by_group(said, on, healthy)
    ece, floor = _calibration(said, on, everyone)
    return Judgement(
        auroc=_aurocs(said, on, everyone),
        f1=_f1s(said, on, everyone, thresholds, without),
        ece=ece,
        floor=floor,
        underdiagnosis=_underdiagnosis(on, healthy, everyone),
        groups=groups,
        gaps=gaps,
        reliability=_reliability(said, on),
    )


def gains(
    judged: Mapping[str, Judgement], bases: Mapping[str, str], findings: Sequence[FindingName]
) -> dict[str, dict[str, dict[str, Gain]]]:
    """By regime and metric ("auroc", "f1"): the gain over its base in each finding and the mean.

    Bonferroni's corrections: a mean is tested once a regime, a finding once a regime and finding.
    """
    result: dict[str, dict[str, dict[str, Gain]]] = {}
    for name, base in bases.items():
        result[name] = {}
        for metric in ("auroc", "f1"):
            ours = getattr(judged[name], metric)
            if base in judged:
                theirs = getattr(judged[base], metric)
            else:
                theirs = dict.fromkeys(findings, NotMeasured(f"{base!r} is not measured"))
            changes = {finding: difference(ours[finding], theirs[finding]) for finding in findings}
            everything, note = mean_of(list(changes.values()))
            result[name][metric] = {
                MEAN: gain(everything, len(bases), note),
                **{f: gain(change, len(bases) * len(findings)) for f, change in changes.items()},
            }
    return result


def _thresholds(said: Said, on: Films) -> tuple[list[Thresholds], dict[FindingName, NotMeasured]]:
    """Each seed's thresholds, and the findings that have none."""
    without: dict[FindingName, NotMeasured] = {}
    result: list[Thresholds] = [[] for _ in said.validation]
    for j, name in enumerate(on.findings):
        known = ~np.isnan(on.validation[:, j])
        positive = on.validation[known, j] == 1
        missing = said.not_learned.get(name) or too_few(
            on.validation[:, j], on.min_cases, "set a threshold by"
        )
        if missing:
            without[name] = missing
        for each, scores in zip(result, said.validation, strict=True):
            each.append(None if missing else best_threshold(scores[known, j], positive))
    return result, without


def _missing(said: Said, on: Films, j: int, within: NDArray[np.bool_]) -> NotMeasured | None:
    """The reason if a finding cannot be judged within these films."""
    return said.not_learned.get(on.findings[j]) or too_few(
        on.labels[within, j], on.min_cases, "judge by"
    )


def _aurocs(said: Said, on: Films, within: NDArray[np.bool_]) -> dict[FindingName, Score]:
    result: dict[FindingName, Score] = {}
    for j, name in enumerate(on.findings):
        known = within & ~np.isnan(on.labels[:, j])
        n = int(known.sum())
        missing = _missing(said, on, j, within)
        if missing:
            result[name] = NotMeasured(missing.reason, n)
            continue
        positive, weights = on.labels[known, j] == 1, on.weights[:, known]
        rows = [weighted_auroc(scores[known, j], positive, weights) for scores in said.held_out]
        result[name] = over_seeds(rows, n)
    return result


def _f1s(
    said: Said,
    on: Films,
    within: NDArray[np.bool_],
    thresholds: Sequence[Thresholds],
    without: Mapping[FindingName, NotMeasured],
) -> dict[FindingName, Score]:
    result: dict[FindingName, Score] = {}
    for j, name in enumerate(on.findings):
        known = within & ~np.isnan(on.labels[:, j])
        n = int(known.sum())
        missing = _missing(said, on, j, within) or without.get(name)
        if missing:
            result[name] = NotMeasured(missing.reason, n)
            continue
        positive, weights = on.labels[known, j] == 1, on.weights[:, known]
        rows = []
        for scores, each in zip(said.held_out, thresholds, strict=True):
            threshold = each[j]
            assert threshold is not None
            rows.append(weighted_f1(scores[known, j] >= threshold, positive, weights))
        result[name] = over_seeds(rows, n)
    return result


def _calibration(
    said: Said, on: Films, within: NDArray[np.bool_]
) -> tuple[dict[FindingName, Score], Estimate]:
    """ECE by finding, and the floor of their mean."""
    result: dict[FindingName, Score] = {}
    floors = []
    for j, name in enumerate(on.findings):
        known = within & ~np.isnan(on.labels[:, j])
        n = int(known.sum())
        missing = _missing(said, on, j, within)
        if missing:
            result[name] = NotMeasured(missing.reason, n)
            continue
        positive, weights = on.labels[known, j] == 1, on.weights[:, known]
        scores = [one[known, j] for one in said.held_out]
        result[name] = over_seeds([weighted_ece(one, positive, weights) for one in scores], n)
        floors.append(np.mean([ece_floor(one, on.seed) for one in scores]))
    n = int(within.sum())
    if not floors:
        return result, NotMeasured("none of the findings has enough cases", n)
    return result, Estimate(value=float(np.mean(floors)), n=n)


def _underdiagnosis(
    on: Films, healthy: Sequence[NDArray[np.bool_] | None], within: NDArray[np.bool_]
) -> Score:
    """The share of the sick that are called healthy."""
    ill = any_pathology(on.labels, on.findings) & within
    n = int(ill.sum())
    if n < on.min_cases:
        return NotMeasured(f"only {n} sick (at least {on.min_cases} needed)", n)
    calls = [one for one in healthy if one is not None]
    if len(calls) < len(healthy):
        return NotMeasured("no finding has a threshold", n)
    return over_seeds([weighted_share(one, ill, on.weights) for one in calls], n)


def _by_group(
    said: Said, on: Films, healthy: Sequence[NDArray[np.bool_] | None]
) -> tuple[dict[str, dict[str, dict[str, Estimate]]], dict[str, dict[str, Estimate]]]:
    """What each group has, and the gap between the best and the worst."""
    groups: dict[str, dict[str, dict[str, Estimate]]] = {}
    gaps: dict[str, dict[str, Estimate]] = {}
    for attribute, member in on.groups.items():
        names = names_of(member)
        aurocs = {name: _aurocs(said, on, member == name) for name in names}
        missed = {name: _underdiagnosis(on, healthy, member == name) for name in names}
        groups[attribute] = {
            name: {
                "auroc": estimate(*mean_of(list(aurocs[name].values()))),
                "underdiagnosis": share(missed[name]),
            }
            for name in names
        }
        if len(names) < 2:
            why = f"{len(names)} group(s) known among the held-out films; 2 are needed"
            none = NotMeasured(why, int((member != "").sum()))
            gaps[attribute] = {"auroc": none, "underdiagnosis": none}
            continue
        each = [widest({n: aurocs[n][finding] for n in names})[0] for finding in on.findings]
        gaps[attribute] = {
            "auroc": estimate(*mean_of(each)),
            "underdiagnosis": estimate(*widest(missed)),
        }
    return groups, gaps


def _reliability(said: Said, on: Films) -> tuple[list[float], list[Estimate]]:
    """Over all known findings that were learned, of all seeds."""
    learned = [name not in said.not_learned for name in on.findings]
    known = ~np.isnan(on.labels) & learned
    probabilities = np.concatenate([scores[known] for scores in said.held_out])
    return reliability(probabilities, np.tile(on.labels[known] == 1, len(said.held_out)))
