"""Label arrays: findings and views of radiographs as a classifier learns them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from roentgen.record.finding import FINDING_NAMES, FindingName, states
from roentgen.record.radiograph import VIEWS, Radiograph

UNKNOWN_VIEW = -1
NotMentioned = Literal["ignore", "absent"]


def label_matrix(
    radiographs: Sequence[Radiograph],
    findings: Sequence[FindingName] = FINDING_NAMES,
    not_mentioned: NotMentioned = "ignore",
) -> NDArray[np.float32]:
    """(N, findings): 1 present, 0 absent, NaN where uncertain or not mentioned.

    "No Finding" makes all others but devices absent. With `not_mentioned` = "absent" a
    radiograph with any finding counts as negative for all it does not mention, as in label tables.
    """
    result = np.full((len(radiographs), len(findings)), np.nan, dtype=np.float32)
    for row, radiograph in enumerate(radiographs):
        known = states(radiograph.findings)
        normal = known.get("No Finding") == "present"
        for column, name in enumerate(findings):
            state = known.get(name)
            if state is None and (
                (normal and name != "Support Devices") or (not_mentioned == "absent" and known)
            ):
                state = "absent"
            if state in ("present", "absent"):
                result[row, column] = state == "present"
    return result


def view_indices(radiographs: Sequence[Radiograph]) -> NDArray[np.int64]:
    """(N,): index into VIEWS, UNKNOWN_VIEW where no view is given."""
    return np.array(
        [UNKNOWN_VIEW if r.view is None else VIEWS.index(r.view) for r in radiographs],
        dtype=np.int64,
    )
