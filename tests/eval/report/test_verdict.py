"""The rules of the page's verdicts, on intervals beside, around and on their limits."""

import pytest

from eval.report.verdict import Status, Verdict, in_order, status_above, status_excess
from roentgen.metrics.estimates import Estimate, NotMeasured


def interval(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high, n=100)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.71, 0.9, "works"), (0.4, 0.69, "fails"), (0.6, 0.8, "unclear"), (0.7, 0.9, "unclear")],
)
def test_a_number_is_above_a_limit_if_all_of_its_interval_is(
    low: float, high: float, expected: Status
) -> None:
    assert status_above(interval(low, high), 0.7) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 5.0, "fails"),
        (0.1, 0.2, "fails"),  # a small difference is one
        (-0.5, 1.9, "works"),
        (-2.0, -1.0, "works"),
        (-0.5, 2.0, "unclear"),  # too wide to call it none
    ],
)
def test_a_difference_is_none_if_its_interval_holds_0_and_little_more(
    low: float, high: float, expected: Status
) -> None:
    assert status_excess(interval(low, high), 2.0) == expected


def test_a_number_without_an_interval_tells_nothing() -> None:
    for value in (NotMeasured("no positives"), Estimate(value=0.99, n=3)):
        assert status_above(value, 0.7) == status_excess(value, 2.0) == "unclear"


def test_the_most_important_failure_comes_first() -> None:
    verdicts = [
        Verdict(topic="utility", status="works", sentence="a"),
        Verdict(topic="fidelity", status="fails", sentence="b"),
        Verdict(topic="views", status="unclear", sentence="c"),
        Verdict(topic="sharpness", status="fails", sentence="d"),
        Verdict(topic="findings", status="works", sentence="e"),
    ]
    assert [verdict.sentence for verdict in in_order(verdicts)] == ["d", "b", "c", "e", "a"]
