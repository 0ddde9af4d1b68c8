from itertools import pairwise
from pathlib import Path

import pytest

from roentgen.prompts.parser import parse_prompt
from roentgen.record.doubt import ABSENT_UP_TO, DOUBTS, PRESENT_FROM, doubt_of, state_of
from roentgen.record.finding import Finding, State

DOCS = Path(__file__).parents[3] / "docs" / "sampling.md"


@pytest.mark.parametrize(
    ("probability", "state"),
    [
        (0.0, "absent"),
        (ABSENT_UP_TO, "absent"),
        (ABSENT_UP_TO + 0.01, "uncertain"),
        (PRESENT_FROM - 0.01, "uncertain"),
        (PRESENT_FROM, "present"),
        (1.0, "present"),
    ],
)
def test_thresholds_decide_the_state(probability: float, state: State) -> None:
    assert state_of(probability) == state


def test_degrees_are_in_order_and_no_words_have_two() -> None:
    assert all(more.probability > less.probability for more, less in pairwise(DOUBTS))
    every = [words for doubt in DOUBTS for words in {*doubt.before, *doubt.after}]
    assert len(set(every)) == len(every)
    assert doubt_of("may represent") in DOUBTS
    assert doubt_of("perhaps") is None


@pytest.mark.parametrize(  # the Radiologist Diagnostic Certainty Scale
    ("words", "low", "high"),
    [
        ("most likely", 0.9, 1.0),
        ("likely", 0.75, 0.9),
        ("may represent", 0.25, 0.75),
        ("unlikely", 0.05, 0.25),
        ("very unlikely", 0.0, 0.05),
    ],
)
def test_published_bands_hold(words: str, low: float, high: float) -> None:
    doubt = doubt_of(words)
    assert doubt is not None
    assert low < doubt.probability < high


def test_prompts_have_all_the_words() -> None:
    for doubt in DOUBTS:
        expected = (Finding(name="Edema", state=doubt.state), Finding(name="Fracture"))
        for words in doubt.before:
            assert parse_prompt(f"{words} edema, fracture").findings == expected, words
        for words in doubt.after:
            for text in (f"edema {words}, fracture", f"edema is {words}. Fracture"):
                assert parse_prompt(text).findings == expected, text


def test_the_documented_table_is_the_table() -> None:
    text = DOCS.read_text(encoding="utf-8").split("| probability | state |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert rows == [
        [f"{d.probability:g}", d.state, ", ".join(d.before), ", ".join(d.after)] for d in DOUBTS
    ]
