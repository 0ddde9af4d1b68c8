"""Context follows from findings with the documented probabilities, and from nothing else."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from roentgen.metrics.classification.ranking import auroc
from roentgen.phantom.context import draw_context
from roentgen.phantom.lesions import NORMAL_SHARE, PREVALENCE, UNCERTAIN_SHARE, draw_lesions
from roentgen.phantom.reports import indications, write_report
from roentgen.phantom.thorax import draw_thorax
from roentgen.record.finding import Finding, FindingName

PATIENTS = 4000
NO_BORDERLINE = ("Cardiomegaly", "Pneumothorax", "Support Devices")
LARGE = (1 - 2 / 3) / 0.9  # of present findings: severities are uniform from 0.1 to 1
CAUSES: dict[str, tuple[float, dict[tuple[FindingName, str], float]]] = {
    "temperature": (0.05, {("Consolidation", "any"): 0.9}),
    "oxygen_saturation": (
        0.03,
        {
            ("Pneumothorax", "any"): 0.85,
            ("Edema", "any"): 0.4,
            ("Pleural Effusion", "large"): 0.3,
        },
    ),
    "glucose": (0.3, {}),
}
EXACT: dict[FindingName, tuple[float, float, float]] = {  # as documented, in the order of CAUSES
    "Consolidation": (0.928, 0.530, 0.5),
    "Pneumothorax": (0.524, 0.883, 0.5),
    "Edema": (0.523, 0.674, 0.5),
    "Pleural Effusion": (0.527, 0.570, 0.5),
    "Cardiomegaly": (0.526, 0.531, 0.5),
    "Lung Lesion": (0.522, 0.527, 0.5),
    "Atelectasis": (0.523, 0.527, 0.5),
    "Support Devices": (0.526, 0.531, 0.5),
}


def _grades(name: FindingName, healthy: bool) -> dict[str, float]:
    """Probabilities of a finding's grades."""
    share = 0.0 if healthy else PREVALENCE[name]
    borderline = 0.0 if name in NO_BORDERLINE else UNCERTAIN_SHARE
    present = share * (1 - borderline)
    large = present * LARGE
    return {
        "absent": 1 - share,
        "uncertain": share * borderline,
        "small": present - large,
        "large": large,
    }


def _joint(finding: FindingName, value: str) -> dict[tuple[bool, bool], float]:
    """Probabilities of (finding present, value abnormal), by adding up every combination."""
    background, causes = CAUSES[value]
    names = sorted({finding, *(name for name, _ in causes)})
    joint = {(present, abnormal): 0.0 for present in (False, True) for abnormal in (False, True)}
    for healthy in (False, True):
        tables = [_grades(name, healthy).items() for name in names]
        for grades in itertools.product(*tables):
            share = NORMAL_SHARE if healthy else 1 - NORMAL_SHARE
            share *= float(np.prod([p for _, p in grades]))
            has = {name: grade for name, (grade, _) in zip(names, grades, strict=True)}
            normal = 1 - background
            for (name, grade), probability in causes.items():
                if has[name] == "large" or (grade == "any" and has[name] == "small"):
                    normal *= 1 - probability
            if has[finding] != "uncertain":
                present = has[finding] in ("small", "large")
                joint[present, True] += share * (1 - normal)
                joint[present, False] += share * normal
    return joint


def _abnormal(joint: dict[tuple[bool, bool], float], present: bool) -> float:
    return joint[present, True] / (joint[present, True] + joint[present, False])


def _drawn() -> tuple[list[dict[str, str]], dict[str, np.ndarray]]:
    states: list[dict[str, str]] = []
    values = []
    for seed in range(PATIENTS):
        rng = np.random.default_rng(seed)
        findings = draw_lesions(rng, draw_thorax(rng), supine=True).findings
        states.append({str(finding.name): str(finding.state) for finding in findings})
        context = draw_context(np.random.default_rng([seed, 1]), findings)
        values.append({value.name: value.value for value in context})
    return states, {name: np.array([value[name] for value in values]) for name in CAUSES}


def test_the_documented_auroc_is_that_of_the_probabilities() -> None:
    for finding, documented in EXACT.items():
        for value, expected in zip(CAUSES, documented, strict=True):
            joint = _joint(finding, value)
            exact = (1 + _abnormal(joint, True) - _abnormal(joint, False)) / 2
            assert exact == pytest.approx(expected, abs=0.001), (finding, value)


@pytest.mark.parametrize(
    ("finding", "value", "expected"),
    [("Consolidation", "temperature", 0.843), ("Pneumothorax", "oxygen_saturation", 0.737)],
)
def test_the_documented_auroc_of_images_drawn_from_the_word(
    finding: FindingName, value: str, expected: float
) -> None:
    joint = _joint(finding, value)
    rng = np.random.default_rng(0)
    keys = list(joint)
    present, abnormal = np.array(keys)[rng.choice(4, 400_000, p=[*_shares(joint)])].T
    share = [np.mean(present[abnormal == word]) for word in (False, True)]
    shown = rng.random(len(present)) < np.where(abnormal, share[1], share[0])
    assert auroc(shown.astype(float), present) == pytest.approx(expected, abs=0.003)


def _shares(joint: dict[tuple[bool, bool], float]) -> np.ndarray:
    shares: np.ndarray = np.array(list(joint.values())) / sum(joint.values())
    return shares


def test_values_are_drawn_with_the_documented_probabilities() -> None:
    """The AUROC of 4,000 patients is within four standard errors; abnormal shares likewise."""
    states, values = _drawn()
    scores = {
        "temperature": values["temperature"],
        "oxygen_saturation": -values["oxygen_saturation"],
        "glucose": values["glucose"],
    }
    abnormal = {
        "temperature": values["temperature"] >= 38.0,
        "oxygen_saturation": values["oxygen_saturation"] < 92,
        "glucose": values["glucose"] >= 200,
    }
    for finding in EXACT:
        state = np.array([patient.get(finding, "") for patient in states])
        certain = np.isin(state, ("present", "absent"))
        present = state[certain] == "present"
        for value in CAUSES:
            joint = _joint(finding, value)
            for has in (True, False):
                of = abnormal[value][certain][present == has]
                test = binomtest(int(of.sum()), len(of), _abnormal(joint, has))
                assert test.pvalue > 1e-4, (finding, value, has)
            rates = [_abnormal(joint, has) for has in (True, False)]
            counts = [int(present.sum()), int((~present).sum())]
            # Within the two ranges the order is random: 1/12 of the ties' squared weights at most.
            error = sum((p * (1 - p) + 1 / 12) / n for p, n in zip(rates, counts, strict=True))
            exact = (1 + rates[0] - rates[1]) / 2
            assert abs(auroc(scores[value][certain], present) - exact) < 4 * error**0.5


def test_values_are_possible_and_have_their_units() -> None:
    finding = (Finding(name="Consolidation"), Finding(name="Pneumothorax"))
    for seed in range(300):
        context = draw_context(np.random.default_rng(seed), finding if seed % 2 else ())
        assert [(value.name, value.unit) for value in context] == [
            ("temperature", "C"),
            ("oxygen_saturation", "%"),
            ("glucose", "mg/dL"),
        ]
        assert 36 <= context[0].value <= 40
        assert 80 <= context[1].value <= 100
        assert 70 <= context[2].value <= 350
        assert all(5 <= (value.minutes_before or 0) < 360 for value in context)


def test_uncertain_and_absent_findings_cause_nothing() -> None:
    states = ("uncertain", "absent")
    findings = [(Finding(name="Consolidation", state=state),) for state in states]  # type: ignore[arg-type]
    for found in findings:
        drawn = [draw_context(np.random.default_rng(seed), found) for seed in range(50)]
        none = [draw_context(np.random.default_rng(seed), ()) for seed in range(50)]
        assert drawn == none


def test_an_indication_agrees_with_the_temperature() -> None:
    for febrile in (False, True):
        drawn = {
            write_report(np.random.default_rng(seed), (), ["PA"], indications(febrile)).indication
            for seed in range(60)
        }
        assert all(("fever" in (text or "")) == febrile for text in drawn)
        assert len(drawn) == (1 if febrile else 4)
