"""View scores: accuracy by requested view, and how well the classifier tells each view."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import UNKNOWN_VIEW
from roentgen.metrics.classification.finding_scores import too_few
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    count_patients,
    share_of_images,
)
from roentgen.metrics.paired_scores import estimate, over_seeds
from roentgen.record.radiograph import VIEWS, View

WithoutViews = Mapping[View, NotMeasured]  # views that are not measured, with the reason


def views_not_learnable(
    views: NDArray[np.int64], patients: Sequence[str], min_cases: int
) -> dict[View, NotMeasured]:
    """The views that too few patients of these radiographs have to learn them from."""
    result: dict[View, NotMeasured] = {}
    for k, view in enumerate(VIEWS):
        count = count_patients(np.asarray(patients)[views == k].tolist())
        if count < min_cases:
            few = f"only {count} patient{'s' * (count > 1)}" if count else "no patient"
            result[view] = NotMeasured(
                f"{few} with the view {view} to train on (at least {min_cases} needed)"
            )
    return result


def rows_of_seen_views(views: NDArray[np.int64], never_seen: WithoutViews) -> NDArray[np.int64]:
    """The rows of images whose view is not one of `never_seen`; unknown views are not."""
    return np.flatnonzero(~np.isin(views, [VIEWS.index(view) for view in never_seen]))


def view_scores(
    probabilities: Floats,
    views: NDArray[np.int64],
    patients: Sequence[str],
    never_seen: WithoutViews,
    not_told: WithoutViews,
) -> dict[str, Any]:
    """The share of images whose most probable view is the requested one, over all and by view.

    `probabilities` are (N, views). A view that the classifier has never seen is never the most
    probable one, and images of such a view, or of one that it does not tell from others, are not
    counted.
    """
    excluded = {**never_seen, **not_told}
    seen = np.array([k for k, view in enumerate(VIEWS) if view not in never_seen], dtype=np.int64)
    if not len(seen):
        missing = NotMeasured("no view has enough patients to train on")
        return {"view_accuracy": missing, "view_accuracy_by_view": dict.fromkeys(VIEWS, missing)}
    correct = seen[probabilities[:, seen].argmax(axis=1)] == views
    of = np.asarray(patients)
    by_view: dict[View, Estimate] = {}
    for k, view in enumerate(VIEWS):
        rows = views == k
        n, distinct = int(rows.sum()), count_patients(of[rows].tolist())
        if view in excluded:
            by_view[view] = NotMeasured(excluded[view].reason, n, distinct)
        elif n:
            by_view[view] = share_of_images(correct[rows], of[rows].tolist())
        else:
            by_view[view] = NotMeasured("no image has this view")
    counted = np.isin(views, [k for k, view in enumerate(VIEWS) if view not in excluded])
    if not counted.any():
        known = (views != UNKNOWN_VIEW).any()
        why = "no image has a view that is measured" if known else "no image has a view"
        return {"view_accuracy": NotMeasured(why), "view_accuracy_by_view": by_view}
    share = share_of_images(correct[counted], of[counted].tolist())
    if counted.sum() < (views != UNKNOWN_VIEW).sum():
        measured = ", ".join(view for view, found in by_view.items() if found.value is not None)
        share = replace(share, note=f"of {measured} alone")
    return {"view_accuracy": share, "view_accuracy_by_view": by_view}


def view_aurocs(
    probabilities: Floats,
    views: NDArray[np.int64],
    patients: Sequence[str],
    weights: NDArray[Any],
    never_seen: WithoutViews,
    min_cases: int,
) -> dict[View, Estimate]:
    """The AUROC of each view that the classifier has seen, against the others of them.

    `weights` (1 + R, N) are ones and then resamples of patients.
    """
    seen = [k for k, view in enumerate(VIEWS) if view not in never_seen]
    rows = np.isin(views, seen)
    of = np.asarray(patients)[rows].tolist()
    result: dict[View, Estimate] = {}
    for k in seen:
        positive = views[rows] == k
        missing = too_few(positive.astype(np.float32), of, min_cases, "evaluate on")
        if missing:
            result[VIEWS[k]] = missing
            continue
        odds = probabilities[rows, k] / np.maximum(probabilities[rows][:, seen].sum(axis=1), 1e-12)
        result[VIEWS[k]] = estimate(
            over_seeds([weighted_auroc(odds, positive, weights[:, rows])], of)
        )
    return result
