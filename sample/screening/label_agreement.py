"""Label agreement: how often an independent classifier confirms requests, before and after."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import NotMentioned, label_matrix, view_indices
from roentgen.metrics.classification.finding_scores import thresholds_of
from roentgen.metrics.estimates import Estimate, NotMeasured, proportion
from roentgen.record.finding import FindingName
from roentgen.vision.view_accuracy import correct_views
from sample.screening.filters.checked_filter import PredictedImages

Calls = NDArray[np.int8]  # 1: as requested, 0: not, -1: not requested
DEFINITION = (
    "A finding is predicted present from the probability on that has the best F1 on held-out real "
    "radiographs, as in evaluation; the view is the most probable one. Shares of what was "
    "requested, with Wilson's interval. The mean of the shares by finding, requested present and "
    "requested absent, does not depend on how often each is requested."
)

MEAN = "mean share of findings"  # the one number of `LabelAgreement.measure` that sums it up


class LabelAgreement:
    """Agreement of images with requested findings and views, by a classifier and its thresholds."""

    def __init__(
        self,
        findings: Sequence[FindingName],
        known: Sequence[FindingName],
        held_out: PredictedImages,
        not_mentioned: NotMentioned,
        min_cases: int,
    ) -> None:
        """Sets thresholds on `held_out` real radiographs; `known` are the classifier's findings."""
        self.findings = tuple(findings)
        self._columns = [known.index(name) for name in findings]
        true = label_matrix(held_out.radiographs, findings, not_mentioned)
        scores = held_out.predictions.findings[:, self._columns]
        patients = held_out.patients
        thresholds = thresholds_of(scores, true, patients, findings, min_cases).values()
        self._limits = np.array([np.nan if isinstance(t, NotMeasured) else t for t in thresholds])
        self.real = self._calls(held_out, true)

    def __call__(self, predicted: PredictedImages) -> tuple[Calls, Calls]:
        """Findings (N, 2 * findings), requested present and requested absent, and view (N,)."""
        return self._calls(predicted, label_matrix(predicted.radiographs, self.findings))

    def _calls(
        self, predicted: PredictedImages, requested: NDArray[np.float32]
    ) -> tuple[Calls, Calls]:
        positive = predicted.predictions.findings[:, self._columns] >= self._limits
        known = ~np.isnan(self._limits)
        present = np.where((requested == 1) & known, positive, -1)
        absent = np.where((requested == 0) & known, ~positive, -1)
        view = correct_views(predicted.predictions.views, view_indices(predicted.radiographs))
        return np.concatenate([present, absent], axis=1).astype(np.int8), view.astype(np.int8)

    def measure(self, findings: Calls, view: Calls) -> dict[str, Any]:
        """Shares of images as requested."""
        count = len(self.findings)
        present, absent = findings[:, :count], findings[:, count:]
        requested = (findings >= 0).any(axis=1)
        complete = np.where(requested, (findings != 0).all(axis=1), -1)
        each = [share(column).value for column in findings.T]
        shares = [value for value in each if value is not None]
        return {
            MEAN: Estimate(value=float(np.mean(shares)) if shares else None, n=len(shares)),
            "requested present, predicted present": share(present),
            "requested absent, predicted absent": share(absent),
            "images with all findings as requested": share(complete),
            "view accuracy": share(view),
            "by finding": {
                name: {"present": share(present[:, j]), "absent": share(absent[:, j])}
                for j, name in enumerate(self.findings)
            },
        }


def share(calls: NDArray[Any]) -> Estimate:
    """The share of requests that are met."""
    n = int((calls >= 0).sum())
    return proportion(int((calls == 1).sum()), n) if n else NotMeasured("nothing was requested")
