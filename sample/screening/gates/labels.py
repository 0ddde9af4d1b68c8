"""Are findings as asked? What the proxy says of each, against what the prompt tells."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import NotMentioned, label_matrix
from roentgen.metrics.estimates import Floats
from roentgen.record.findings import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph
from sample.screening.config import LabelsConfig
from sample.screening.gates.gate import Check, CheckedGate, Shown, checked_gate, log_odds

DEFINITION = (
    "For each finding that the prompt tells, how far the proxy's log odds lie on the wrong side "
    "of those of held-out real films with the same label, in standard deviations of these; the "
    "score is that of the worst finding. What lies on the right side of how common the finding is "
    "never fails."
)


def asked_findings(
    radiographs: Iterable[Radiograph], told: Sequence[FindingName] | None
) -> tuple[FindingName, ...]:
    """The findings that are judged: those told, or all that some prompt tells.

    "No Finding" is judged by the absence of the others, where there are others.
    """
    if told is not None:
        return tuple(told)
    names = {finding.name for radiograph in radiographs for finding in radiograph.findings}
    others = tuple(name for name in FINDING_NAMES if name in names and name != "No Finding")
    return others or tuple(sorted(names))


def labels_gate(
    config: LabelsConfig,
    findings: Sequence[FindingName],
    known: Sequence[FindingName],
    asked: NDArray[np.float32],
    held_out: Shown,
    *,
    not_mentioned: NotMentioned,
    min_cases: int,
) -> CheckedGate:
    """The gate for sets that ask for `asked` (N, findings), by a proxy that knows `known`.

    Raises InputError for what too few held-out films have.
    """
    columns = [known.index(name) for name in findings]
    kinds = [
        (j, present)
        for j in range(len(findings))
        for present in (True, False)
        if (asked[:, j] == present).any()
    ]

    def values(shown: Shown, labels: NDArray[np.float32]) -> Floats:
        odds = log_odds(shown.said.findings[:, columns])
        result = [
            np.where(labels[:, j] == present, -odds[:, j] if present else odds[:, j], np.nan)
            for j, present in kinds
        ]
        return np.stack(result, axis=1)

    def measure(shown: Shown) -> Floats:
        return values(shown, label_matrix(shown.radiographs, findings))

    true = label_matrix(held_out.radiographs, findings, not_mentioned)

    told = np.maximum((~np.isnan(true)).sum(axis=0), 1)
    # Beyond how common a finding is, the proxy speaks for it.
    usual = log_odds((true == 1).sum(axis=0) / told)

    def power(limits: Floats) -> dict[str, Any]:
        """Of held-out films with the other label, how many each check alone would drop."""
        other = values(held_out, 1 - true)
        caught = {}
        for (j, present), column, limit in zip(kinds, other.T, limits, strict=True):
            n = int((~np.isnan(column)).sum())
            caught[_fault(findings[j], present)] = {
                "share": float((column > limit).sum() / n) if n else None,
                "films": n,
            }
        return {"wrong labels found": caught}

    return checked_gate(
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
    return f"{name} asked {'present, not seen' if present else 'absent, seen'}"


def _check(name: FindingName, present: bool, usual: float) -> Check:
    sign = -1 if present else 1
    return Check(
        fault=_fault(name, present),
        unit="probability",
        told=lambda value: 1 / (1 + math.exp(-sign * value)),
        neutral=sign * usual,
    )
