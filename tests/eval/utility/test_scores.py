from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from eval.subgroups import Groups
from eval.utility.scores import HeldOutLabels, Predictions, gains, score_regime
from roentgen.metrics.classification.ranking import auroc
from roentgen.metrics.estimates import NotMeasured
from roentgen.metrics.paired_scores import Measured, Score
from roentgen.record.finding import FindingName

FINDINGS: tuple[FindingName, ...] = ("Pleural Effusion", "Pneumothorax")
N, M = 600, 200


def truth(n: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, 2)) < 0.4).astype(np.float32)


def held_out(groups: Groups | None = None) -> HeldOutLabels:
    return HeldOutLabels.of(
        truth(N, 0),
        [str(i // 2) for i in range(N)],
        groups or {},
        (truth(M, 1), [str(i) for i in range(M)]),
        FINDINGS,
        min_cases=5,
        samples=200,
        seed=0,
    )


def predictions(
    qualities: list[float],
    on: HeldOutLabels,
    not_learned: Mapping[FindingName, NotMeasured] | None = None,
) -> Predictions:
    """Networks whose log-odds are truth times quality plus noise, one a seed."""

    def answers(labels: np.ndarray, quality: float, seed: int) -> np.ndarray:
        noise = np.random.default_rng([seed, len(labels)]).standard_normal(labels.shape)
        return np.asarray(1 / (1 + np.exp(-(quality * (labels - 0.5) + noise))))

    return Predictions(
        held_out=[answers(on.labels, q, seed) for seed, q in enumerate(qualities)],
        validation=[answers(on.validation, q, seed) for seed, q in enumerate(qualities)],
        not_learned=not_learned or {},
    )


def value(score: Score) -> float:
    assert isinstance(score, Measured)
    return score.value


def test_a_better_network_gains_and_a_worse_one_loses() -> None:
    on = held_out()
    answers = {
        "real": predictions([1.0, 1.2, 0.9], on),
        "better": predictions([2.0, 2.3, 2.1], on),
        "worse": predictions([0.3, 0.2, 0.4], on),
    }
    judged = {name: score_regime(one, on) for name, one in answers.items()}
    change: Any = gains(judged, {"better": "real", "worse": "real"}, FINDINGS)
    better, worse = change["better"]["auroc"], change["worse"]["auroc"]
    assert better["mean"].estimate.low > 0
    assert worse["mean"].estimate.high < 0
    assert better["mean"].p.value < 0.01
    assert worse["mean"].p.value > 0.9
    assert better["mean"].p_corrected.value == pytest.approx(2 * better["mean"].p.value)
    one = better["Pneumothorax"]
    assert one.p_corrected.value == pytest.approx(4 * one.p.value)
    assert change["better"]["f1"]["mean"].estimate.low > 0
    # The gain is what subtraction gives, and AUROC the mean over seeds.
    for name, scores in judged["better"].auroc.items():
        j = FINDINGS.index(name)
        seeds = [auroc(p[:, j], on.labels[:, j] == 1) for p in answers["better"].held_out]
        assert value(scores) == pytest.approx(np.mean(seeds), rel=1e-6)
        difference = value(scores) - value(judged["real"].auroc[name])
        assert better[name].estimate.value == pytest.approx(difference, rel=1e-9)


def test_thresholds_come_from_the_validation_part() -> None:
    on = held_out()
    one = predictions([3.0], on)
    shifted = Predictions(
        held_out=one.held_out,
        validation=[np.clip(one.validation[0] + 0.6, 0, 1)],
        not_learned=one.not_learned,
    )
    right, wrong = score_regime(one, on), score_regime(shifted, on)
    for name in FINDINGS:
        assert value(right.auroc[name]) == value(wrong.auroc[name])
        assert value(right.f1[name]) > value(wrong.f1[name]) + 0.1


def test_what_a_regime_lacks_is_stated_and_the_gain_is_over_the_rest() -> None:
    on = held_out()
    missing: dict[FindingName, NotMeasured] = {
        "Pneumothorax": NotMeasured("no positives to train on")
    }
    judged = {
        "real": score_regime(predictions([1.0], on), on),
        "bad": score_regime(predictions([2.0], on, missing), on),
    }
    change: Any = gains(judged, {"bad": "real"}, FINDINGS)["bad"]
    for metric in ("auroc", "f1"):
        without = change[metric]["Pneumothorax"]
        assert without.estimate.note == "not measured: no positives to train on"
        mean = change[metric]["mean"].estimate
        assert mean.value == change[metric]["Pleural Effusion"].estimate.value
        assert mean.note == "over 1 of 2 findings"
    assert change["auroc"]["mean"].p.note == (
        "not measured: 1 training seed; at least 2 are needed"
    )
    alone: Any = gains({"bad": judged["bad"]}, {"bad": "real"}, FINDINGS)["bad"]
    assert alone["auroc"]["mean"].estimate.value is None
    assert alone["auroc"]["Pleural Effusion"].estimate.note == (
        "not measured: 'real' is not measured"
    )


def test_few_validation_radiographs_leave_f1_and_underdiagnosis_unmeasured() -> None:
    on = held_out()
    few = HeldOutLabels(
        labels=on.labels,
        patients=on.patients,
        weights=on.weights,
        subgroups={},
        validation=on.validation[:3],
        validation_patients=on.validation_patients[:3],
        findings=FINDINGS,
        min_cases=5,
        seed=0,
    )
    one = predictions([1.0], few)
    result: Any = score_regime(one, few)
    assert "to set a threshold by" in result.f1["Pneumothorax"].reason
    assert result.underdiagnosis.reason == "no finding has a threshold"
    assert value(result.auroc["Pneumothorax"]) > 0.6


def test_a_subgroup_with_worse_predictions_is_found_and_underdiagnosed_more() -> None:
    sex = np.array(["F", "M"] * (N // 2))
    on = held_out({"sex": sex, "race": np.full(N, "")})
    clear = predictions([4.0, 4.2], on)
    blurred = predictions([0.5, 0.4], on)
    mixed = [
        np.where((sex == "F")[:, None], worse, better)
        for worse, better in zip(blurred.held_out, clear.held_out, strict=True)
    ]
    one = Predictions(held_out=mixed, validation=clear.validation, not_learned=clear.not_learned)
    result: Any = score_regime(one, on)
    women, men = result.subgroups["sex"]["F"], result.subgroups["sex"]["M"]
    assert women["auroc"].n < N
    assert men["auroc"].value - women["auroc"].value > 0.2
    gap = result.gaps["sex"]["auroc"]
    assert gap.value == pytest.approx(men["auroc"].value - women["auroc"].value, abs=1e-9)
    assert gap.low > 0.1
    missed = result.gaps["sex"]["underdiagnosis"]
    assert missed.low > 0
    assert missed.note == "F above M"
    everyone = value(result.underdiagnosis)
    assert men["underdiagnosis"].value < everyone < women["underdiagnosis"].value
    assert result.subgroups["race"] == {}
    assert result.gaps["race"]["auroc"].note == (
        "not measured: 0 subgroup(s) known among the held-out radiographs; 2 are needed"
    )
    fair: Any = score_regime(clear, on).gaps["sex"]["auroc"]
    assert fair.value < 0.05


def test_calibration_of_right_probabilities_is_at_its_floor_and_of_wrong_ones_above() -> None:
    on = held_out()
    generator = np.random.default_rng(5)
    right = generator.beta(0.7, 1.0, (N, 2))
    drawn = (generator.random((N, 2)) < right).astype(np.float32)
    labels = HeldOutLabels(
        labels=drawn,
        patients=on.patients,
        weights=on.weights,
        subgroups={},
        validation=on.validation,
        validation_patients=on.validation_patients,
        findings=FINDINGS,
        min_cases=5,
        seed=0,
    )
    validation = [generator.random((M, 2))]

    def measured(probabilities: np.ndarray) -> tuple[float, float]:
        one = Predictions(held_out=[probabilities], validation=validation, not_learned={})
        result = score_regime(one, labels)
        assert result.ece_floor.value is not None
        return float(np.mean([value(x) for x in result.ece.values()])), result.ece_floor.value

    error, floor = measured(right)
    assert error < 1.6 * floor
    error, floor = measured(right**3)
    assert error > 3 * floor
