"""What is said of gains at several numbers of radiographs, in every order of outcomes."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from eval.networks import Regime, regimes
from eval.report.verdict import Status
from eval.utility.gain_curve import GainCurve, gain_curves, gain_plot
from roentgen.metrics.estimates import NotMeasured
from roentgen.metrics.paired_scores import MEAN, Gain, Measured, gain

# Differences by seed: significant, not significant, and a loss beyond its interval.
BETTER, EVEN, WORSE = (0.04, 0.05, 0.06), (-0.01, 0.01, 0.012), (-0.06, -0.05, -0.055)
IS_BETTER = "is significantly better than on radiographs alone"
TEST = " (one-tailed paired t-test over seeds, Bonferroni-corrected p < 0.05)."


def gain_of(differences: tuple[float, ...], tests: int = 1) -> Gain:
    by_seed = np.array(differences)
    replicates = by_seed.mean() + 0.001 * np.random.default_rng(0).standard_normal(100)
    return gain(Measured(by_seed=by_seed, replicates=replicates, n=50, patients=50), tests)


def curve(*differences: tuple[float, ...]) -> GainCurve:
    counts = (60, 250, 1000)[: len(differences)]
    points = dict(zip(counts, map(gain_of, differences), strict=True))
    return GainCurve(regime="radiographs + all synthetic", gains=points)


@pytest.mark.parametrize(
    ("differences", "status", "words"),
    [
        ((BETTER,) * 3, "works", f"{IS_BETTER} at every number of radiographs (60, 250 and 1000)"),
        (
            (BETTER, EVEN, EVEN),
            "works",
            f"{IS_BETTER} with up to 60 radiographs, from 250 on no longer",
        ),
        (
            (BETTER, BETTER, WORSE),
            "works",
            f"{IS_BETTER} with up to 250 radiographs, from 1000 on no longer, and worse with 1000",
        ),
        (
            (BETTER, WORSE, EVEN),
            "works",
            f"{IS_BETTER} with up to 60 radiographs, from 250 on no longer, and worse with 250",
        ),
        (
            (EVEN, EVEN, BETTER),
            "works",
            f"{IS_BETTER} from 1000 radiographs on, not with up to 250",
        ),
        (
            (WORSE, BETTER, BETTER),
            "works",
            f"{IS_BETTER} from 250 radiographs on, not with up to 60, and worse with 60",
        ),
        (
            (BETTER, EVEN, BETTER),
            "works",
            f"{IS_BETTER} with 60 and 1000 radiographs, not with 250",
        ),
        (
            (EVEN, BETTER, WORSE),
            "works",
            f"{IS_BETTER} with 250 radiographs, not with 60 and 1000, and worse with 1000",
        ),
        (
            (EVEN,) * 3,
            "unclear",
            "is not significantly better than on radiographs alone at any number of radiographs "
            "(60, 250 and 1000)",
        ),
        (
            (EVEN, EVEN, WORSE),
            "fails",
            "is not significantly better than on radiographs alone at any number of radiographs "
            "(60, 250 and 1000), and worse with 1000",
        ),
        ((BETTER,), "works", f"{IS_BETTER} at every number of radiographs (60)"),
    ],
)
def test_the_sentence_says_where_synthetic_images_help_and_where_no_longer(
    differences: tuple[tuple[float, ...], ...], status: Status, words: str
) -> None:
    found = curve(*differences)
    assert found.sentence == f"Training on radiographs + all synthetic {words}{TEST}"
    assert (found.verdict.status, found.verdict.topic) == (status, "utility")


def test_every_order_of_outcomes_names_each_number_on_its_side() -> None:
    for outcomes in product((BETTER, EVEN, WORSE), repeat=3):
        found = curve(*outcomes)
        by_count = dict(zip((60, 250, 1000), outcomes, strict=True))
        assert found.better == [n for n, one in by_count.items() if one == BETTER]
        assert found.worse == [n for n, one in by_count.items() if one == WORSE]
        expected = "works" if BETTER in outcomes else "fails" if WORSE in outcomes else "unclear"
        assert found.status == expected


def test_significance_is_scipys_paired_test_times_the_number_of_tests() -> None:
    generator = np.random.default_rng(3)
    for shift in (0.0, 0.01, 0.02, 0.03):
        alone = generator.normal(0.7, 0.01, 5)
        mixed = alone + shift + generator.normal(0, 0.012, 5)
        for tests in (1, 3, 7):
            points = {60: gain_of(tuple(mixed - alone), tests)}
            p = stats.ttest_rel(mixed, alone, alternative="greater").pvalue
            better = GainCurve(regime="radiographs", gains=points).better
            assert better == ([60] if p * tests < 0.05 else []), (shift, tests)


def test_a_single_seed_is_said_to_be_untested() -> None:
    found = curve((0.1,), (0.2,), (0.3,))
    assert found.status == "unclear"
    assert found.sentence.endswith("(not measured: 1 training seed; at least 2 are needed).")


def test_curves_are_of_the_regimes_with_radiographs_and_of_what_is_measured() -> None:
    requested = regimes(("synthetic", "mixed", "pretrained"), (60, 250, None), (None, 2))
    values = {
        regime.name: {"auroc": {MEAN: gain_of(BETTER)}}
        for regime in requested
        if regime.kind != "real"
    }
    missing = NotMeasured("500 synthetic images are needed, there are 300")
    none = Gain(estimate=missing, seeds=missing, p=missing, p_corrected=missing)
    values["250 radiographs + 2x synthetic"] = {"auroc": {MEAN: none}}
    del values["2x synthetic, then radiographs"]
    curves = {found.regime: list(found.gains) for found in gain_curves(requested, values, 1015)}
    assert curves == {
        "radiographs + all synthetic": [60, 250, 1015],
        "radiographs + 2x synthetic": [60, 1015],
        "all synthetic, then radiographs": [60, 250, 1015],
        "2x synthetic, then radiographs": [60, 250],
    }
    assert gain_curves([Regime(kind="mixed")], values, 1015) == []


def test_the_plot_gives_each_gain_and_its_sentence() -> None:
    plot = gain_plot([curve(BETTER, EVEN, WORSE)])
    assert plot is not None
    assert "0.05 at 60, 0.004 at 250, -0.055 at 1000" in plot.alt
    assert plot.caption.endswith(curve(BETTER, EVEN, WORSE).sentence)
    assert gain_plot([]) is None
