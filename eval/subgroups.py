"""Which groups of patients a radiograph belongs to."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.record.radiograph import Radiograph

AGE_BANDS = (20, 40, 60, 80)  # years, as Seyyed-Kalantari et al. 2021 cut them

# By attribute: (N,) names of groups, "" where it is not known.
Groups = dict[str, NDArray[np.str_]]


def groups_of(radiographs: Sequence[Radiograph]) -> Groups:
    """The sex, age band, view and race of each radiograph."""
    return {
        "sex": np.array([r.sex or "" for r in radiographs]),
        "age": np.array([_age_band(r.age) for r in radiographs]),
        "view": np.array([r.view or "" for r in radiographs]),
        "race": np.array([r.race or "" for r in radiographs]),
    }


def names_of(groups: NDArray[np.str_]) -> list[str]:
    """The known groups, in order."""
    known = {str(name) for name in groups if name}
    return sorted(known, key=lambda name: (not name.startswith("under"), name))


def _age_band(age: float | None) -> str:
    if age is None:
        return ""
    above = [limit for limit in AGE_BANDS if age >= limit]
    if not above:
        return f"under {AGE_BANDS[0]}"
    if len(above) == len(AGE_BANDS):
        return f"{AGE_BANDS[-1]} and over"
    return f"{above[-1]} to {AGE_BANDS[len(above)]}"
