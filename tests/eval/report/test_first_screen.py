"""The rule of each verdict, on numbers that lie on either side of its limit and around it."""

from collections import Counter
from typing import Any

import pytest

from eval.alignment import display as alignment
from eval.alignment.scores import ALL
from eval.diversity import display as diversity
from eval.fidelity import display as fidelity
from eval.fidelity.scores import FLOOR
from eval.privacy import display as privacy
from eval.report.as_requested import as_requested
from eval.report.verdict import Status
from eval.utility.display import gain_verdict
from roentgen.metrics.estimates import Estimate, NotMeasured


def interval(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high, n=100)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ((0.80, 0.90), "works"),  # the middle of chance and ceiling is 0.75
        ((0.60, 0.70), "fails"),
        ((0.70, 0.80), "unclear"),
    ],
)
def test_as_requested_is_nearer_to_the_ceiling_than_to_chance(
    own: tuple[float, float], expected: Status
) -> None:
    ceiling = interval(0.99, 1.01)
    (verdict,) = as_requested("findings", "Findings", "AUROC", interval(*own), ceiling, 0.5)
    assert verdict.status == expected
    assert verdict.sentence.endswith(
        "; on held-out radiographs 1.000 (0.990 to 1.010), by chance 0.500."
    )


@pytest.mark.parametrize(("own", "short"), [((0.9, 0.94), True), ((0.9, 0.96), False)])
def test_a_set_below_its_ceiling_is_said_to_be_less_reliable(
    own: tuple[float, float], short: bool
) -> None:
    ceiling = interval(0.95, 0.99)
    (verdict,) = as_requested("findings", "Findings", "AUROC", interval(*own), ceiling, 0.5)
    assert verdict.status == "works"
    opening = "Findings are as requested"
    opening += ", if less reliably than in radiographs: " if short else ": "
    assert verdict.sentence.startswith(opening)


def test_a_judge_at_chance_tells_nothing() -> None:
    chance = interval(0.45, 0.62)
    (verdict,) = as_requested("findings", "Findings", "AUROC", interval(0.9, 1), chance, 0.5)
    assert (verdict.status, verdict.sentence[:44]) == (
        "unclear",
        "Whether findings are as requested cannot be ",
    )
    missing = NotMeasured("no positives")
    assert as_requested("findings", "Findings", "AUROC", missing, chance, 0.5) == ()


def test_views_that_are_told_apart_no_better_than_by_the_commonest_are_not_as_requested() -> None:
    def scores(views: Estimate) -> dict[str, Any]:
        sides = {ALL: NotMeasured("no sides")}
        return {
            "view_accuracy": views,
            "mean_auroc": NotMeasured("none"),
            "laterality_accuracy": sides,
        }

    real = scores(interval(0.96, 1))
    views = Counter({"PA": 60, "AP": 40})
    for own, expected in (((0.5, 0.7), "fails"), ((0.85, 0.95), "works")):
        found = alignment.verdicts({"made": scores(interval(*own)), "ceiling": real}, "made", views)
        assert [(v.topic, v.status) for v in found] == [("views", expected)]
        assert "Views (AP, PA)" in found[0].sentence
        assert "by chance 0.600" in found[0].sentence


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ((0.61, 0.75), "fails"),
        ((0.51, 0.66), "unclear"),  # above chance, but so are other radiographs
        ((0.48, 0.59), "works"),
        ((0.48, 0.64), "unclear"),
    ],
)
def test_a_set_is_told_apart_where_other_radiographs_are_not(
    own: tuple[float, float], expected: Status
) -> None:
    numbers = {"made": interval(*own), FLOOR: interval(0.42, 0.6)}
    (verdict,) = fidelity.told_apart({"roentgen": {"two_sample": numbers}}, "made")
    assert (verdict.topic, verdict.status) == ("told from radiographs", expected)


@pytest.mark.parametrize(
    ("excess", "expected"),
    [((0.5, 1.5), "fails"), ((-1.0, 1.5), "works"), ((-1.0, 3.0), "unclear")],
)
def test_fid_is_judged_by_its_excess_over_the_floor(
    excess: tuple[float, float], expected: Status
) -> None:
    numbers = {
        "extractor": {"name": "roentgen"},
        "fid": {"made": interval(2, 4), "floor": interval(1.5, 2.5)},
        "excess": {"made": interval(*excess)},
    }
    verdict = fidelity.closeness({"roentgen": numbers}, "made")
    assert verdict.status == expected
    assert "FID 3.0 (2.0 to 4.0) against 2.0 (1.5 to 2.5)" in verdict.sentence
    assert "not comparable with published FID" in verdict.sentence
    numbers["extractor"] = {"name": "inception"}
    assert "not comparable" not in fidelity.closeness({"inception": numbers}, "made").sentence


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ((0.2, 0.3), "works"),
        ((0.35, 0.39), "works"),
        ((0.5, 0.6), "fails"),
        ((0.3, 0.5), "unclear"),
    ],
)
def test_images_differ_as_much_as_radiographs_do(
    own: tuple[float, float], expected: Status
) -> None:
    alike = {"made": interval(*own), "test": interval(0.3, 0.4)}
    (verdict,) = diversity.verdict(alike, "made")
    assert verdict.status == expected


@pytest.mark.parametrize(
    ("excess", "auroc", "expected"),
    [
        ((-0.01, 0.02), (0.45, 0.55), ["works", "works"]),
        ((0.01, 0.03), (0.52, 0.58), ["fails", "fails"]),
        ((-0.01, 0.06), (0.40, 0.65), ["unclear", "unclear"]),
    ],
)
def test_copies_and_membership_are_judged_by_what_exceeds_chance(
    excess: tuple[float, float], auroc: tuple[float, float], expected: list[Status]
) -> None:
    shares = {"made": interval(0, 0.02), "test": interval(0, 0.03)}
    numbers = {"pixels": {"near_duplicates": shares, "excess": {"made": interval(*excess)}}}
    members = {"made": {"auroc": interval(*auroc)}}
    assert [v.status for v in privacy.verdicts(numbers, members, "made")] == expected
    none = {"made": {"auroc": NotMeasured("no model")}}
    assert [v.topic for v in privacy.verdicts(numbers, none, "made")] == ["copies"]


@pytest.mark.parametrize(
    ("gain", "expected", "words"),
    [
        ((0.01, 0.03), "works", "is better than on radiographs alone"),
        ((-0.03, -0.01), "fails", "is worse than on radiographs alone"),
        ((-0.01, 0.03), "unclear", "may be better or worse"),
    ],
)
def test_training_is_judged_by_its_gain(
    gain: tuple[float, float], expected: Status, words: str
) -> None:
    verdict = gain_verdict("utility", "AUROC", "all synthetic", interval(*gain))
    assert verdict.status == expected
    assert words in verdict.sentence
