"""Demographics filter: whether sex and age are as requested, by probes of features."""

import math
from collections.abc import Sequence
from itertools import product
from typing import get_args

import numpy as np

from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats
from roentgen.record.radiograph import Radiograph
from roentgen.vision.linear_probe import (
    PROBE_METHODS,
    VIEW_GROUPS,
    Attribute,
    ages_of,
    cases,
    fit_demographics,
    known,
    males,
)
from sample.screening.config import DemographicsConfig
from sample.screening.filters.checked_filter import (
    Check,
    CheckedFilter,
    PredictedImages,
    checked_filter,
)

DEFINITION = (
    f"Sex: the log odds of the other sex; age: the error in years; by {PROBE_METHODS}, fitted to "
    "the reference classifier's features of the radiographs that it was trained on. How far beyond "
    "those of held-out real radiographs, in standard deviations of these; the score is that of the "
    "worse."
)


def demographics_filter(
    config: DemographicsConfig,
    requested: Sequence[Radiograph],
    training: PredictedImages,
    held_out: PredictedImages,
    *,
    min_cases: int,
) -> CheckedFilter:
    """The filter of sets that request what these radiographs have of sex and age.

    Raises InputError where real radiographs are too few to learn it from.
    """
    attributes: tuple[Attribute, ...] = get_args(Attribute)
    pairs = [
        (attribute, group)
        for attribute, group in product(attributes, VIEW_GROUPS)
        if known(requested, attribute, group).any()
    ]
    for attribute, group in pairs:
        if cases(training.radiographs, attribute, group) < min_cases:
            count = int(known(training.radiographs, attribute, group).sum())
            raise InputError(
                f"demographics: too few {group} real radiographs have the {attribute} to learn it "
                f"({count}; at least {min_cases} of each sex, or {2 * min_cases} ages): set "
                "demographics: null, or give more radiographs"
            )
    probes = fit_demographics(training.features, training.radiographs, min_cases)

    def measure(predicted: PredictedImages) -> Floats:
        columns = []
        for attribute, group in pairs:
            values = probes.read(attribute, predicted.features, predicted.radiographs)
            if attribute == "sex":
                wrong = np.where(males(predicted.radiographs), -values, values)
            else:
                wrong = np.abs(values - ages_of(predicted.radiographs))
            columns.append(np.where(known(predicted.radiographs, attribute, group), wrong, np.nan))
        return np.stack(columns, axis=1)

    return checked_filter(
        "demographics",
        DEFINITION,
        [
            Check(
                failure=f"{attribute} of a {group} view is another",
                unit="log odds of the other" if attribute == "sex" else "years of error",
                to_unit=float,
                neutral=0.0 if attribute == "sex" else -math.inf,
            )
            for attribute, group in pairs
        ],
        measure,
        measure(held_out),
        held_out.patients,
        false_alarms=config.false_alarms,
        min_cases=min_cases,
    )
