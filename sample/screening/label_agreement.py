"""Label agreement: how often an auditor sees what was asked for, before and after screening."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import NotMentioned, label_matrix, view_indices
from roentgen.metrics.classification.finding_scores import thresholds_of
from roentgen.metrics.estimates import Estimate, NotMeasured, proportion
from roentgen.record.findings import FindingName
from roentgen.vision.view_accuracy import correct_views
from sample.screening.gates.gate import Shown

Calls = NDArray[np.int8]  # 1: as asked, 0: not, -1: not asked
DEFINITION = (
    "A finding is predicted present from the probability on that has the best F1 on held-out real "
    "radiographs, as in evaluation; the view is the most probable one. Shares of what was "
    "requested, with Wilson's interval. The mean of the shares by finding, requested present and "
    "requested absent, does not depend on how often each is requested."
)

MEAN = "mean of the findings' shares"  # the one number of `Auditor.measure` that sums it up


class Auditor:
    """A network with, for each finding, the probability from which on it is called seen."""

    def __init__(
        self,
        findings: Sequence[FindingName],
        known: Sequence[FindingName],
        held_out: Shown,
        not_mentioned: NotMentioned,
        min_cases: int,
    ) -> None:
        """`held_out` real films, shown to the auditor's network, which knows `known`."""
        self.findings = tuple(findings)
        self._columns = [known.index(name) for name in findings]
        true = label_matrix(held_out.radiographs, findings, not_mentioned)
        said = held_out.said.findings[:, self._columns]
        thresholds = thresholds_of(said, true, findings, min_cases).values()
        self._limits = np.array([np.nan if isinstance(t, NotMeasured) else t for t in thresholds])
        self.real = self._calls(held_out, true)

    def __call__(self, shown: Shown) -> tuple[Calls, Calls]:
        """Findings (N, 2 * findings), each asked present and asked absent, and view (N,)."""
        return self._calls(shown, label_matrix(shown.radiographs, self.findings))

    def _calls(self, shown: Shown, asked: NDArray[np.float32]) -> tuple[Calls, Calls]:
        seen = shown.said.findings[:, self._columns] >= self._limits
        known = ~np.isnan(self._limits)
        present = np.where((asked == 1) & known, seen, -1)
        absent = np.where((asked == 0) & known, ~seen, -1)
        view = correct_views(shown.said.views, view_indices(shown.radiographs))
        return np.concatenate([present, absent], axis=1).astype(np.int8), view.astype(np.int8)

    def measure(self, findings: Calls, view: Calls) -> dict[str, Any]:
        """Shares as asked, of the calls of some images."""
        count = len(self.findings)
        present, absent = findings[:, :count], findings[:, count:]
        asked = (findings >= 0).any(axis=1)
        whole = np.where(asked, (findings != 0).all(axis=1), -1)
        each = [share(column).value for column in findings.T]
        shares = [value for value in each if value is not None]
        return {
            MEAN: Estimate(value=float(np.mean(shares)) if shares else None, n=len(shares)),
            "findings asked present, seen": share(present),
            "findings asked absent, not seen": share(absent),
            "images with every finding as asked": share(whole),
            "view as asked": share(view),
            "by finding": {
                name: {
                    "present, seen": share(present[:, j]),
                    "absent, not seen": share(absent[:, j]),
                }
                for j, name in enumerate(self.findings)
            },
        }


def share(calls: NDArray[Any]) -> Estimate:
    """The share of what was asked for that is as asked."""
    n = int((calls >= 0).sum())
    return proportion(int((calls == 1).sum()), n) if n else NotMeasured("nothing was asked")
