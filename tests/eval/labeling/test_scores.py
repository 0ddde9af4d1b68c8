from collections.abc import Sequence
from typing import Any

import pytest

from eval.labeling.cases import SIDED, Aspect, Case, CaseSet
from eval.labeling.reading import Reading, reading_of
from eval.labeling.scores import compare
from eval.labeling.tallies import Tallies
from roentgen.record.radiograph import Report
from roentgen.record.statement import Evidence, Extent, Span, Statement, StatementState


def stated(state: StatementState, *extents: Extent, finding: str = "lung opacity") -> Statement:
    return Statement(finding=finding, state=state, extents=extents or (Extent(),))


def compared(*pairs: tuple[Sequence[Statement], Sequence[Statement]]) -> dict[str, Any]:
    """The scores of statements read against those of people."""
    cases = [
        Case(id=str(i), patient=str(i), report=Report(), gold=reading_of(gold))
        for i, (gold, _) in enumerate(pairs)
    ]
    aspects: tuple[Aspect, ...] = ("state", "side", "place", "severity")
    known = dict.fromkeys(aspects, SIDED)
    source = CaseSet(source="test", cases=cases, known=known, license={})
    tallies = Tallies([case.patient for case in cases], 20, seed=0)
    results = compare(source, [reading_of(read) for _, read in pairs], tallies)
    return results | {"errors": tallies.frequent_errors(10)}


def test_location_words_are_compared_where_both_have_the_finding() -> None:
    left_base = Extent("left", None, ("basal", "lower lobe"))
    results = compared(
        ([stated("present", left_base)], [stated("uncertain", Extent("left", None, ("basal",)))]),
        ([stated("present", left_base)], [stated("absent")]),
        ([], [stated("present", left_base)]),
        ([stated("present")], [stated("present", Extent("right"))]),
    )
    # left and base are found, lower is missed, right is added
    assert results["place"]["all"]["precision"] == 2 / 3
    assert results["place"]["all"]["recall"] == 2 / 3
    assert results["place_by_word"]["left"]["f1"] == 1
    assert results["place_by_word"]["lower"]["recall"] == 0
    assert results["place_by_word"]["right"]["n"] == 0
    assert results["errors"]["place"] == [
        {"finding": "Lung Opacity", "error": "lower is missed", "count": 1}
    ]
    assert (results["side"]["all"]["n"], results["side"]["all"]["share"]) == (2, 1 / 2)
    assert results["side_where_given"]["all"]["n"] == 1


@pytest.mark.parametrize(
    ("extents", "words"),
    [
        ((Extent("left"), Extent("right")), {"left", "right"}),
        (
            (Extent(None, None, ("right upper lobe", "left lung base")),),
            {*["left", "right"], "upper", "base"},
        ),
        ((Extent(None, None, ("lingula",)),), {"left"}),
        (
            (Extent(None, None, ("mid zone", "hilum", "apex", "retrocardiac")),),
            {"middle", "perihilar", "apical", "retrocardiac"},
        ),
        ((Extent(None, None, ("rib", "fissure")),), set()),
    ],
)
def test_words_of_places(extents: tuple[Extent, ...], words: set[str]) -> None:
    assert reading_of([stated("present", *extents)]).locations("Lung Opacity") == words


def test_severity_is_given_or_not_and_then_equal_or_not() -> None:
    small, large = Extent("left", "small"), Extent("right", "large")
    results = compared(
        ([stated("present", small)], [stated("present", small)]),
        ([stated("present", small, large)], [stated("present", small)]),
        ([stated("present", small)], [stated("present")]),
        ([stated("present")], [stated("present", small)]),
        ([stated("present")], [stated("present")]),
    )
    given = results["severity_given"]["Lung Opacity"]
    assert (given["n"], given["precision"], given["recall"]) == (3, 2 / 3, 2 / 3)
    assert (results["severity"]["all"]["n"], results["severity"]["all"]["share"]) == (2, 1 / 2)


def test_each_side_has_its_severity() -> None:
    small, large = Extent("left", "small"), Extent("right", "large")
    swapped = Extent("left", "large"), Extent("right", "small")
    results = compared(
        ([stated("present", small, large)], [stated("present", small, large)]),
        ([stated("present", small, large)], [stated("present", *swapped)]),
        ([stated("present", small, large)], [stated("present", Extent("left"))]),
        ([stated("present", Extent("left"))], [stated("present", small)]),
    )
    by_side = results["severity_by_side"]["Lung Opacity"]
    assert (by_side["n"], by_side["share"]) == (5, 2 / 5)
    assert results["severity"]["all"]["share"] == 1


def test_states_are_compared_where_one_mentions_the_finding() -> None:
    results = compared(
        ([stated("absent")], [stated("absent")]),
        ([stated("uncertain")], [stated("present")]),
        ([], [stated("absent")]),
        ([], []),
    )
    state = results["state"]["Lung Opacity"]
    assert (state["n"], state["share"]) == (3, 1 / 3)
    assert {error["error"] for error in results["errors"]["state"]} == {
        "uncertain is read as present",
        "not mentioned is read as absent",
    }
    assert results["present"]["all"]["precision"] == 0
    assert results["present_or_uncertain"]["all"]["f1"] == 1


def test_statements_are_read_by_label() -> None:
    statements = [
        stated("present", Extent("left", None, ("lingula",)), finding="nodular opacity"),
        stated("absent", finding="hydropneumothorax"),
        stated("present", finding="emphysema"),
    ]
    reading = reading_of(statements)
    assert reading.states == {
        **{"Lung Lesion": "present", "Lung Opacity": "present"},
        **{"Pleural Effusion": "absent", "Pneumothorax": "absent"},
    }
    assert reading.locations("Lung Lesion") == {"left"}


def test_phrases_are_of_the_words_that_count() -> None:
    text = "Findings. No large\n effusion is seen."
    words = (Span("cue", 10, 12), Span("severity", 13, 18), Span("finding", 20, 28))
    statement = Statement(
        finding="pleural effusion",
        state="absent",
        evidence=Evidence("impression", 10, len(text), words),
    )
    reading = reading_of([statement], Report(impression=text))
    assert reading.phrases == {"Pleural Effusion": (("absent", "'effusion' is absent by 'no'"),)}


def test_present_outweighs_uncertain_and_stable_is_no_state() -> None:
    reading = reading_of([stated("uncertain"), stated("present"), stated("absent")])
    assert reading.states == {"Lung Opacity": "present"}
    assert reading_of([stated("stable", Extent("left"))]) == Reading(states={})
