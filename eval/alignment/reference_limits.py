"""Limits of the reference classifiers: what they do not tell on held-out real radiographs.

A number of a synthetic set means something only if the classifier reads the same thing rightly in
real radiographs of other patients. Where it does no better there than chance, or where there are
none to verify it on, the number is not measured.
"""

from collections.abc import Mapping
from typing import Any

from eval.alignment.confounding import Confounding, likely_reason
from eval.alignment.scores import ALL
from eval.report.section import cell_text
from roentgen.metrics.estimates import Estimate, NotMeasured
from roentgen.record.finding import FindingName

CHANCE = 0.5  # of AUROC and of laterality accuracy
SETS_ABOVE = {  # what is compared with the ceiling: key of a set's scores -> name
    "view_accuracy": "view accuracy",
    "mean_auroc": "mean AUROC of findings",
    "sex_accuracy": "sex accuracy",
}


def not_told(ceiling: Mapping[Any, Estimate], measure: str) -> dict[Any, NotMeasured]:
    """What the classifier does not tell, by its AUROC or accuracy on held-out radiographs.

    That is what the interval of includes 0.5 or less, or what could not be measured there.
    """
    result = {}
    for name, found in ceiling.items():
        if name == ALL:
            continue
        reason = _at_chance(found, measure)
        if reason is not None:
            result[name] = reason
    return result


def _at_chance(found: Estimate, measure: str) -> NotMeasured | None:
    if isinstance(found, NotMeasured):
        return NotMeasured(f"no ceiling on held-out radiographs: {found.reason}")
    if found.low is not None and found.low > CHANCE:
        return None
    return NotMeasured(
        f"reference classifier at chance on held-out radiographs: {measure} {cell_text(found)}"
    )


def demographics_not_told(ceiling: Mapping[str, Estimate]) -> dict[Any, NotMeasured]:
    """Sex and age, where held-out radiographs are read no better than by a constant answer."""
    result = {}
    sex, age = ceiling["sex_accuracy"], ceiling["age_error"]
    if isinstance(sex, NotMeasured):
        result["sex"] = NotMeasured(f"no ceiling on held-out radiographs: {sex.reason}")
    elif not _below(ceiling["sex_floor"].value, sex.low):
        result["sex"] = NotMeasured(
            "reference classifier no better on held-out radiographs than the most common sex: "
            f"accuracy {cell_text(sex)}"
        )
    if isinstance(age, NotMeasured):
        result["age"] = NotMeasured(f"no ceiling on held-out radiographs: {age.reason}")
    elif not _below(age.high, ceiling["age_floor"].value):
        result["age"] = NotMeasured(
            "reference classifier no better on held-out radiographs than the median age: error "
            f"{cell_text(age)} years"
        )
    return result


def explained(
    scores: Mapping[str, Any],
    ceiling: Mapping[str, Any],
    labels: Mapping[FindingName, Mapping[str, Confounding]],
    held_out: Mapping[FindingName, Mapping[str, Confounding]],
) -> dict[str, Any]:
    """What of a set is above its ceiling, and the likely reason; {} if nothing is."""
    above = above_ceiling(scores, ceiling)
    if not above:
        return {}
    findings = {name: by for name, by in labels.items() if name in above} or labels
    return {"measures": above, "likely_reason": likely_reason(findings, held_out)}


def above_ceiling(scores: Mapping[str, Any], ceiling: Mapping[str, Any]) -> dict[str, Estimate]:
    """A set's measures whose interval lies above that of held-out radiographs, by name."""
    pairs = {label: (scores[key], ceiling[key]) for key, label in SETS_ABOVE.items()}
    pairs |= {name: (scores["auroc"][name], other) for name, other in ceiling["auroc"].items()}
    pairs["laterality accuracy"] = tuple(of["laterality_accuracy"][ALL] for of in (scores, ceiling))
    return {name: own for name, (own, other) in pairs.items() if _below(other.high, own.low)}


def _below(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low < high
