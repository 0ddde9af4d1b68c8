"""Labels filter: whether the reference classifier agrees with the requested findings."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import NotMentioned, label_matrix
from roentgen.metrics.estimates import Floats
from roentgen.record.finding import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph
from sample.screening.config import LabelsConfig
from sample.screening.filters.checked_filter import (
    Check,
    CheckedFilter,
    PredictedImages,
    checked_filter,
    log_odds,
)

DEFINITION = (
    "For each finding that the prompt states, how far the classifier's log odds lie on the wrong "
    "side of those of held-out real radiographs with the same label, in standard deviations; the "
    "score is that of the worst finding. Log odds on the right side of the finding's "
    "prevalence never fail."
)


def requested_findings(
    radiographs: Iterable[Radiograph], chosen: Sequence[FindingName] | None
) -> tuple[FindingName, ...]:
    """The findings that are checked: those chosen, or all that some prompt states.

    "No Finding" is checked by the absence of the others, where there are others.
    """
    if chosen is not None:
        return tuple(chosen)
    names = {finding.name for radiograph in radiographs for finding in radiograph.findings}
    others = tuple(name for name in FINDING_NAMES if name in names and name != "No Finding")
    return others or tuple(sorted(names))


def labels_filter(
    config: LabelsConfig,
    findings: Sequence[FindingName],
    known: Sequence[FindingName],
    requested: NDArray[np.float32],
    held_out: PredictedImages,
    *,
    not_mentioned: NotMentioned,
    min_cases: int,
) -> CheckedFilter:
    """The filter of sets that request `requested` (N, findings), by a classifier of `known`.

    Raises InputError for findings that too few held-out radiographs have.
    """
    columns = [known.index(name) for name in findings]
    kinds = [
        (j, present)
        for j in range(len(findings))
        for present in (True, False)
        if (requested[:, j] == present).any()
    ]

    def values(predicted: PredictedImages, labels: NDArray[np.float32]) -> Floats:
        odds = log_odds(predicted.predictions.findings[:, columns])
        result = [
            np.where(labels[:, j] == present, -odds[:, j] if present else odds[:, j], np.nan)
            for j, present in kinds
        ]
        return np.stack(result, axis=1)

    def measure(predicted: PredictedImages) -> Floats:
        return values(predicted, label_matrix(predicted.radiographs, findings))

    true = label_matrix(held_out.radiographs, findings, not_mentioned)

    labeled = np.maximum((~np.isnan(true)).sum(axis=0), 1)
    # Beyond the prevalence of a finding the classifier agrees with it.
    usual = log_odds((true == 1).sum(axis=0) / labeled)

    def power(limits: Floats) -> dict[str, Any]:
        """Of held-out radiographs with the other label, the share that each check alone fails."""
        other = values(held_out, 1 - true)
        caught = {}
        for (j, present), column, limit in zip(kinds, other.T, limits, strict=True):
            n = int((~np.isnan(column)).sum())
            caught[_fault(findings[j], present)] = {
                "share": float((column > limit).sum() / n) if n else None,
                "radiographs": n,
            }
        return {"wrong labels found": caught}

    return checked_filter(
        "labels",
        DEFINITION,
        [_check(findings[j], present, usual[j]) for j, present in kinds],
        measure,
        values(held_out, true),
        held_out.patients,
        false_alarms=config.false_alarms,
        min_cases=min_cases,
        more=power,
    )


def _fault(name: FindingName, present: bool) -> str:
    return f"{name} requested {'present, not found' if present else 'absent, found'}"


def _check(name: FindingName, present: bool, usual: float) -> Check:
    sign = -1 if present else 1
    return Check(
        failure=_fault(name, present),
        unit="probability",
        to_unit=lambda value: 1 / (1 + math.exp(-sign * value)),
        neutral=sign * usual,
    )
