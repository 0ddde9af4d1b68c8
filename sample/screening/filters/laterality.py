"""Laterality filter: whether findings are on the requested side, by a network of image halves."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import ImageRows
from roentgen.dataset.label_arrays import NotMentioned
from roentgen.metrics.estimates import Floats
from roentgen.record.finding import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Classifier
from roentgen.vision.image_halves import (
    SIDES,
    frontal_rows,
    labels_by_side,
    predict_by_side,
    single_side,
)
from sample.screening.config import LateralityConfig
from sample.screening.filters.checked_filter import (
    Check,
    CheckedFilter,
    PredictedImages,
    checked_filter,
    log_odds,
)

DEFINITION = (
    "For each finding requested on one side of a frontal view, by how much its log odds in that "
    "half exceed those in the other half, against held-out real radiographs with it on that side, "
    "in standard deviations; the score is that of the worst finding. Where they are higher in that "
    "half it never fails."
)


def requested_sides(
    radiographs: Sequence[Radiograph], findings: Sequence[FindingName]
) -> NDArray[np.int64]:
    """(N, findings): 0 where it is requested on the left alone, 1 on the right alone, else -1."""
    sides = np.full((len(radiographs), len(findings)), -1, np.int64)
    rows = frontal_rows(radiographs)
    frontal = [radiographs[row] for row in rows]
    sides[rows] = single_side(labels_by_side(frontal, findings, "ignore"))
    return sides


def lateralized_findings(
    radiographs: Sequence[Radiograph], chosen: Sequence[FindingName] | None
) -> list[FindingName]:
    """The chosen findings (or all) that some prompt requests on one side."""
    names = chosen or FINDING_NAMES
    sides = requested_sides(radiographs, names)
    return [name for j, name in enumerate(names) if (sides[:, j] >= 0).any()]


def laterality_filter(
    config: LateralityConfig,
    findings: Sequence[FindingName],
    network: Classifier,
    requested: NDArray[np.int64],
    held_out: PredictedImages,
    *,
    not_mentioned: NotMentioned,
    min_cases: int,
) -> CheckedFilter:
    """The filter of sets that request these `requested_sides`; the network knows the findings.

    Raises InputError for a side that too few held-out radiographs have.
    """
    kinds = [(j, k) for j in range(len(findings)) for k in (0, 1) if (requested[:, j] == k).any()]

    def values(predicted: PredictedImages, sides: NDArray[np.int64]) -> Floats:
        result = np.full((len(sides), len(kinds)), np.nan)
        rows = np.flatnonzero((sides >= 0).any(axis=1))
        if not len(rows):
            return result
        odds = log_odds(predict_by_side(network, ImageRows(predicted.images, rows)))
        for column, (j, k) in enumerate(kinds):
            other = odds[:, j, 1 - k] - odds[:, j, k]
            result[rows, column] = np.where(sides[rows, j] == k, other, np.nan)
        return result

    def measure(predicted: PredictedImages) -> Floats:
        return values(predicted, requested_sides(predicted.radiographs, findings))

    true = np.full((len(held_out.radiographs), len(findings)), -1, np.int64)
    frontal = frontal_rows(held_out.radiographs)
    records = [held_out.radiographs[row] for row in frontal]
    true[frontal] = single_side(labels_by_side(records, findings, not_mentioned))
    return checked_filter(
        "laterality",
        DEFINITION,
        [
            Check(
                failure=f"{findings[j]} requested on the {SIDES[k]}, not found there",
                unit="log odds",
                to_unit=lambda value: -value,
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
