"""Confounding of findings with view and source: what predicts a finding without any reading of it.

A set whose labels go with the view or the source is read better than real radiographs are: the
classifier need only tell the view. The AUROC of the prevalence in an image's group, which is what
a reader of the group alone reaches, shows how much of that there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.classification.ranking import auroc
from roentgen.metrics.estimates import Estimate, NotMeasured, share_of_images
from roentgen.record.finding import FindingName

ATTRIBUTES = ("view", "source")


@dataclass(frozen=True, kw_only=True)
class Confounding:
    """A finding's prevalence by view, or by source, in one set."""

    auroc: float | None
    """Of the prevalence in an image's group as the prediction; None without both states."""
    prevalence: Mapping[str, Estimate]
    """The share of images with the finding among those of each group where it is known."""


def confounding(images: ImageSet) -> dict[FindingName, dict[str, Confounding]]:
    """By finding and attribute, of a set."""
    groups = {
        "view": np.array([r.view or "unknown" for r in images.radiographs]),
        "source": np.array([r.source for r in images.radiographs]),
    }
    patients = np.asarray(images.patients)
    return {
        name: {
            attribute: _of_labels(images.labels[:, j], groups[attribute], patients)
            for attribute in ATTRIBUTES
        }
        for j, name in enumerate(images.findings)
    }


def _of_labels(
    labels: NDArray[np.float32], groups: NDArray[np.str_], patients: NDArray[np.str_]
) -> Confounding:
    known = ~np.isnan(labels)
    predicted = np.zeros(len(labels))
    prevalence: dict[str, Estimate] = {}
    for group in np.unique(groups):
        rows = known & (groups == group)
        if rows.any():
            found = share_of_images(labels[rows] == 1, patients[rows].tolist())
            prevalence[str(group)], predicted[rows] = found, found.value
        else:
            prevalence[str(group)] = NotMeasured("not labeled")
    alone = auroc(predicted[known], labels[known] == 1) if known.any() else float("nan")
    return Confounding(auroc=None if np.isnan(alone) else alone, prevalence=prevalence)


def likely_reason(
    findings: Mapping[FindingName, Mapping[str, Confounding]],
    held_out: Mapping[FindingName, Mapping[str, Confounding]],
) -> str:
    """The attribute that predicts a finding best in a set, where better than in the held-out one.

    `findings` are those whose scores are above their ceiling.
    """
    candidates = [
        (own.auroc, other.auroc, name, attribute)
        for name, by in findings.items()
        for attribute, own in by.items()
        for other in (held_out[name][attribute],)
        if own.auroc is not None and other.auroc is not None and own.auroc > other.auroc
    ]
    if not candidates:
        return "not view or source, which predict no finding better than in held-out radiographs"
    own, other, name, attribute = max(candidates)
    return (
        f"labels go with the {attribute}: it alone predicts {name} with AUROC {own:.2f} (in "
        f"held-out radiographs {other:.2f})"
    )
