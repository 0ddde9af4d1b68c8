"""The tree of questions: what is shipped, what may be written, and what is refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from roentgen.annotate.questions import FILE, Query, load_questions
from roentgen.errors import InputError
from roentgen.statements.hierarchy import labels_of
from roentgen.statements.maplez import COLUMNS

Values = dict[str, Any]


def small() -> Values:
    """A tree of two findings with all that a tree may have."""
    return {
        "start": "there",
        "questions": {
            "there": {
                "text": "Is there {described}?",
                "choices": {
                    "yes": {"probability": 1, "state": "present", "then": ["side"]},
                    "no": {"probability": 0, "state": "not mentioned"},
                },
            },
            "side": {
                "text": "Where is {finding}?",
                "choices": {
                    "left": {"sides": ["left"], "then": ["grade", "zone"]},
                    "both": {"sides": ["left", "right"], "then": ["grade"]},
                    "elsewhere": {"sides": [], "then": ["grade"]},
                },
            },
            "grade": {
                "text": "How large is {finding} {side}?",
                "for_each": ["side"],
                "choices": {"large": {"severity": "large"}, "not large": {}},
            },
            "zone": {
                "text": "Is {finding} {side}, {place}?",
                "for_each": ["side", "place"],
                "choices": {"yes": {"place": True}, "no": {}},
            },
        },
        "sides": {"left": "on the left", "right": "on the right"},
        "findings": {
            "emphysema": {"synonyms": ["destroyed lung", "COPD"], "places": "zones"},
            "pneumothorax": {"words": "air", "answers": {"there": "yes"}},
        },
        "places": {"zones": ["upper zone", "apical"]},
        "place_words": {"apical": "the apex"},
    }


def write(path: Path, values: Values) -> Path:
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def test_maplez_has_its_thirteen_findings_in_their_order() -> None:
    tree = load_questions()
    labels = [labels_of(finding) for finding in tree.findings]
    assert labels == [(name,) for name in COLUMNS.values()]
    assert len(tree.fingerprint) == 16
    texts = [q.text for finding in tree.findings for q in tree.queries(finding).values()]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert re.fullmatch(r"[A-Z][^{}]*[?:] ?[^{}]*\??", text), text
        assert "  " not in text
        assert " ?" not in text


def test_every_query_is_in_words(tmp_path: Path) -> None:
    tree = load_questions(write(tmp_path / "small.yaml", small()))
    assert {str(q): c.text for q, c in tree.queries("emphysema").items()} == {
        "there (emphysema)": "Is there emphysema (destroyed lung, COPD)?",
        "side (emphysema)": "Where is emphysema?",
        "grade (emphysema)": "How large is emphysema?",
        "grade (emphysema, left)": "How large is emphysema on the left?",
        "grade (emphysema, right)": "How large is emphysema on the right?",
        "zone (emphysema, left, upper zone)": "Is emphysema on the left, upper zone?",
        "zone (emphysema, left, apical)": "Is emphysema on the left, the apex?",
    }
    # Its first answer is fixed, and it has no places.
    found = tree.queries("pneumothorax")
    assert {query.question for query in found} == {"side", "grade"}
    assert found[Query("pneumothorax", "side")].choices == ("left", "both", "elsewhere")
    assert found[Query("pneumothorax", "side")].text == "Where is air?"


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    def fingerprint(values: Values) -> str:
        return load_questions(write(tmp_path / "tree.yaml", values)).fingerprint

    first = fingerprint(small())
    commented = tmp_path / "commented.yaml"
    commented.write_text("# The same\n" + (tmp_path / "tree.yaml").read_text())
    assert load_questions(commented).fingerprint == first
    values = small()
    values["findings"]["emphysema"]["synonyms"].reverse()
    assert fingerprint(values) != first
    values = small()
    choices = values["questions"]["there"]["choices"]
    values["questions"]["there"]["choices"] = dict(reversed(choices.items()))
    assert fingerprint(values) != first


def put(*keys: str, value: Any) -> Callable[[Values], None]:
    """A change of a value."""

    def change(values: Values) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return change


THERE = ("questions", "there")
YES = (*THERE, "choices", "yes")
REFUSED: dict[str, Callable[[Values], None]] = {
    "unknown key strat; did you mean start": put("strat", value="there"),
    "start is missing": lambda values: values.pop("start"),
    "question in start: 'here'": put("start", value="here"),
    "questions.there.choices.yes.staet": put(*YES, "staet", value="present"),
    "questions.there.choices.yes.state is maybe": put(*YES, "state", value="maybe"),
    "questions.there.choices.yes.probability is 1.5": put(*YES, "probability", value=1.5),
    "questions.there.choices.yes.sides[0] is up": put(*YES, "sides", value=["up"]),
    "questions.there.choices.yes.then: 'sides'": put(*YES, "then", value=["sides"]),
    "questions.there.choices.yes.then has an item twice": put(*YES, "then", value=["side", "side"]),
    "questions.side.choices.both.sides has an item twice": put(
        "questions", "side", "choices", "both", "sides", value=["left", "left"]
    ),
    "questions.grade.choices.large.severity is huge": put(
        "questions", "grade", "choices", "large", "severity", value="huge"
    ),
    "questions.grade.choices.large.place: the question is about no place": put(
        "questions", "grade", "choices", "large", "place", value=True
    ),
    "questions.grade.choices.large.state: a question for each side": put(
        "questions", "grade", "choices", "large", "state", value="present"
    ),
    "questions.there.choices: give two or more": put(*THERE, "choices", value={"yes": {}}),
    "questions.there.choices: '' is no choice": put(
        *THERE, "choices", value={"": {"state": "absent"}, "no": {"state": "absent"}}
    ),
    "the name True in questions.there.choices": put(
        *THERE, "choices", value={True: {"state": "absent"}, "no": {"state": "absent"}}
    ),
    "questions.there opens itself: there > side > there": put(
        "questions", "side", "choices", "left", "then", value=["there"]
    ),
    "questions.more: no choice opens it": put(
        "questions", "more", value=small()["questions"]["side"]
    ),
    "questions.there.choices.no: no state is given": put(*THERE, "choices", "no", value={}),
    "questions.there: no path from it gives a state": put(
        *THERE, "choices", value={"yes": {"then": ["side"]}, "no": {"probability": 0}}
    ),
    "questions.there.choices.yes: state is given twice": put(
        "questions",
        "side",
        "choices",
        value={
            "left": {"state": "absent", "sides": ["left"], "then": ["grade", "zone"]},
            "right": {"state": "present", "sides": ["right"]},
        },
    ),
    "questions.there.choices.yes: sides is given twice": put(*YES, "sides", value=[]),
    "questions.grade.for_each: side, but no choice before": put(
        "questions", "side", "choices", "both", value={"then": ["grade"]}
    ),
    "field in questions.there.text: 'label'": put(*THERE, "text", value="Is there {label}?"),
    "field in questions.there.text: ''": put(*THERE, "text", value="Is there {}?"),
    "questions.there.text: write {finding} without": put(
        *THERE, "text", value="Is there {finding:>9}?"
    ),
    "questions.there.text: Single '}'": put(*THERE, "text", value="Is there {finding}}?"),
    "questions.there.text: expected '}'": put(*THERE, "text", value="Is there {finding?"),
    "side (pneumothorax) and side (emphysema) have one text": put(
        "questions", "side", "text", value="Where?"
    ),
    "questions.grade.text: grade (emphysema, right) and grade (emphysema, left)": put(
        "questions", "grade", "text", value="How large is {finding}?"
    ),
    "findings is empty": put("findings", value={}),
    "findings.emphysemia: unknown finding": put("findings", "emphysemia", value={}),
    "list in findings.emphysema.places: 'zone'": put(
        "findings", "emphysema", "places", value="zone"
    ),
    "question in findings.emphysema.answers: 'where'": put(
        "findings", "emphysema", "answers", value={"where": "left"}
    ),
    "choice in findings.emphysema.answers.side: 'right'": put(
        "findings", "emphysema", "answers", value={"side": "right"}
    ),
    "places.zones: unknown place 'attic'": put("places", "zones", value=["attic"]),
    "places.zones has a place twice": put("places", "zones", value=["apical", "apical"]),
    "place_words: unknown place 'attic'": put("place_words", value={"attic": "roof"}),
    "sides.right is missing": put("sides", value={"left": "L"}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_wrong_tree_is_refused_in_one_line(tmp_path: Path, message: str) -> None:
    values = small()
    REFUSED[message](values)
    path = write(tmp_path / "wrong.yaml", values)
    with pytest.raises(InputError) as error:
        load_questions(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert message in line
    assert "\n" not in line
    assert len(line) < 400 + len(str(path))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    for content, message in {
        "start: [": "is not valid YAML",
        "- start": "expected `key: value`",
        "": "start is missing",
        "start: there\nstart: here": "duplicate key 'start'",
        FILE.read_text().replace('"no": {}', '"no": {}\n      "yes": {}'): "duplicate key 'yes'",
    }.items():
        path.write_text(content)
        with pytest.raises(InputError, match=message) as error:
            load_questions(path)
        assert str(path) in str(error.value)
    with pytest.raises(InputError, match="no such config file"):
        load_questions(tmp_path / "none.yaml")
