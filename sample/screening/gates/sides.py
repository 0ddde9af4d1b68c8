"""Is a finding on the side that was asked for? A network sees each half of a film by itself."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import ImageRows
from roentgen.dataset.label_arrays import NotMentioned
from roentgen.metrics.estimates import Floats
from roentgen.record.findings import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Classifier
from roentgen.vision.image_halves import (
    SIDES,
    frontal_rows,
    labels_by_side,
    predict_by_side,
    single_side,
)
from sample.screening.config import SidesConfig
from sample.screening.gates.gate import Check, CheckedGate, Shown, checked_gate, log_odds

DEFINITION = (
    "For each finding that was asked for on one side of a frontal film, by how much its log odds "
    "in that half lie above those in the other half, against held-out real films with it on that "
    "side, in standard deviations of these; the score is that of the worst finding. "
    "Where they are higher in that half it never fails."
)


def asked_sides(
    radiographs: Sequence[Radiograph], findings: Sequence[FindingName]
) -> NDArray[np.int64]:
    """(N, findings): 0 where it is asked for on the left alone, 1 on the right alone, else -1."""
    sides = np.full((len(radiographs), len(findings)), -1, np.int64)
    rows = frontal_rows(radiographs)
    frontal = [radiographs[row] for row in rows]
    sides[rows] = single_side(labels_by_side(frontal, findings, "ignore"))
    return sides


def sided_findings(
    radiographs: Sequence[Radiograph], told: Sequence[FindingName] | None
) -> list[FindingName]:
    """Of those told, or of all, the findings that some prompt asks for on one side."""
    names = told or FINDING_NAMES
    sides = asked_sides(radiographs, names)
    return [name for j, name in enumerate(names) if (sides[:, j] >= 0).any()]


def sides_gate(
    config: SidesConfig,
    findings: Sequence[FindingName],
    network: Classifier,
    asked: NDArray[np.int64],
    held_out: Shown,
    *,
    not_mentioned: NotMentioned,
    min_cases: int,
) -> CheckedGate:
    """The gate for sets that ask for `asked`, `asked_sides`; the network knows these findings.

    Raises InputError for a side that too few held-out films have.
    """
    kinds = [(j, k) for j in range(len(findings)) for k in (0, 1) if (asked[:, j] == k).any()]

    def values(shown: Shown, sides: NDArray[np.int64]) -> Floats:
        result = np.full((len(sides), len(kinds)), np.nan)
        rows = np.flatnonzero((sides >= 0).any(axis=1))
        if not len(rows):
            return result
        odds = log_odds(predict_by_side(network, ImageRows(shown.images, rows)))
        for column, (j, k) in enumerate(kinds):
            other = odds[:, j, 1 - k] - odds[:, j, k]
            result[rows, column] = np.where(sides[rows, j] == k, other, np.nan)
        return result

    def measure(shown: Shown) -> Floats:
        return values(shown, asked_sides(shown.radiographs, findings))

    true = np.full((len(held_out.radiographs), len(findings)), -1, np.int64)
    frontal = frontal_rows(held_out.radiographs)
    films = [held_out.radiographs[row] for row in frontal]
    true[frontal] = single_side(labels_by_side(films, findings, not_mentioned))
    return checked_gate(
        "sides",
        DEFINITION,
        [
            Check(
                fault=f"{findings[j]} asked on the {SIDES[k]}, not seen there",
                unit="log odds",
                told=lambda value: -value,
                neutral=0.0,
            )
            for j, k in kinds
        ],
        measure,
        values(held_out, true),
        held_out.patients,
        false_alarms=config.false_alarms,
        min_cases=min_cases,
    )
