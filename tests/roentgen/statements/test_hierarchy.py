"""The hierarchy of findings and places, and the closure of states over it."""

import random
from collections.abc import Iterator, Mapping
from typing import get_args

import pytest

from roentgen.errors import InputError
from roentgen.prompts.vocabulary import DETAIL_NOUNS, NOUNS, PLACES
from roentgen.record.finding import FINDING_NAMES
from roentgen.record.statement import StatementState
from roentgen.statements.hierarchy import (
    ancestors,
    close,
    descendants,
    findings,
    labels_of,
    node_of_cui,
    places,
    read_graphs,
)

States = dict[str, StatementState]
STATES: tuple[StatementState, ...] = get_args(StatementState)


def test_nouns_and_places_of_prompts_are_nodes() -> None:
    for name, noun in NOUNS.items():
        if name != "No Finding":
            assert labels_of(noun) == (name,) == (findings()[noun].label,)
    for name, nouns in DETAIL_NOUNS.items():
        for noun in nouns:
            assert labels_of(noun) == (name,), noun
    details = {noun for nouns in DETAIL_NOUNS.values() for noun in nouns}
    assert {name for name, node in findings().items() if node.in_prompts} == details
    assert {name for name, node in places().items() if node.in_prompts} == set(PLACES)
    assert not set(places()) & set(findings())


def test_every_label_but_no_finding_has_one_node() -> None:
    labels = [node.label for node in findings().values() if node.label]
    assert sorted(labels) == sorted(set(FINDING_NAMES) - {"No Finding"})
    assert not any(node.label for node in places().values())


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("pneumonia", ["Pneumonia"]),
        ("viral pneumonia", ["Pneumonia"]),
        ("nodular opacity", ["Lung Lesion", "Lung Opacity"]),
        ("masslike opacity", ["Lung Lesion", "Lung Opacity"]),
        ("hydropneumothorax", ["Pleural Effusion", "Pneumothorax"]),
        ("healed rib fracture", ["Fracture"]),
        ("heart failure", ["Edema"]),
        ("calcified pleural plaque", ["Pleural Other"]),
        ("picc", ["Support Devices"]),
        *((name, []) for name in ("emphysema", "hiatal hernia", "scoliosis", "sternal wires")),
    ],
)
def test_labels_are_the_nearest_upward(name: str, labels: list[str]) -> None:
    assert list(labels_of(name)) == labels


def test_ancestors_and_descendants_mirror_each_other() -> None:
    assert ancestors("pneumonia") == (
        *("consolidation", "alveolar opacity", "lung opacity", "lung finding"),
    )
    assert set(ancestors("hiatal hernia")) == {"cardiomediastinal finding", "abdominal finding"}
    assert set(descendants("perihilar")) == {"infrahilar", "suprahilar"}
    for graph in (findings(), places()):
        for name in graph:
            assert all(name in descendants(above) for above in ancestors(name))
            assert all(name in ancestors(below) for below in descendants(name))
    for ask in (ancestors, descendants, labels_of):
        with pytest.raises(InputError, match=r"unknown finding .*'nosuch'"):
            ask("nosuch")


def test_concepts_lead_to_their_nodes() -> None:
    node = node_of_cui("C0032285")
    assert node is not None
    assert node.name == "pneumonia"
    lobe = node_of_cui("C0225758")
    assert lobe is not None
    assert lobe.name == "lower lobe"
    assert node_of_cui("C9999999") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {name: a}", "two lists"),
        ("findings: [", "not YAML"),
        ("findings: {}", "two lists"),
        ("findings: {}\nplaces: []", "findings is not a list"),
        ("findings: [a]\nplaces: []", "an entry without a name: 'a'"),
        ("findings: [{name: a, parents: b}]\nplaces: []", "'a': parents is not a list"),
        ("findings: [{name: a, parents: [b]}]\nplaces: []", "'a' has an unknown parent 'b'"),
        ("findings: [{name: a}]\nplaces: [{name: b, parents: [a]}]", "'b' has an unknown parent"),
        ("findings: [{name: a}, {name: a}]\nplaces: []", "'a' appears twice"),
        ("findings: [{name: a}]\nplaces: [{name: a}]", "'a' appears twice"),
        ("findings: [{name: a, parents: [a]}]\nplaces: []", "'a' is above itself"),
        (
            "findings: [{name: a, parents: [b]}, {name: b, parents: [a]}]\nplaces: []",
            "'[ab]' is above itself: [ab] > [ab] > [ab]",
        ),
        ("findings: [{name: A}]\nplaces: []", "'A': write it in lower case"),
        ("findings: [{name: a, lable: Edema}]\nplaces: []", "'a' 'lable'"),
        ("findings: [{name: a, label: edema}]\nplaces: []", "'a' 'edema'"),
        ("findings: [{name: a, in_prompts: yess}]\nplaces: []", "'a' 'yess'"),
        ("findings: [{name: a, cui: 32285}]\nplaces: []", "cui 32285 is not C and 7 digits"),
        (
            "findings: [{name: a, cui: C0000001}, {name: b, cui: C0000001}]\nplaces: []",
            "'b': 'C0000001' appears twice",
        ),
    ],
)
def test_a_faulty_file_is_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_graphs(text, "mine.yaml")
    assert "mine.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def state_of(states: Mapping[str, StatementState], name: str) -> str:
    return states.get(name, "not mentioned")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        # a part's presence is the presence of the kind that it is of
        ({"pneumonia": "present"}, {"consolidation": "present", "lung opacity": "present"}),
        ({"hydropneumothorax": "present"}, {"pleural effusion": "present", "empyema": ""}),
        # a denied kind denies its parts, but a denied part not the kind
        ({"lung opacity": "absent"}, {"viral pneumonia": "absent", "lung finding": ""}),
        ({"nodule": "absent"}, {"lung lesion": "", "mass": "", "multiple nodules": "absent"}),
        # a part's own presence or doubt beats the denial of the kind, of which others stay denied
        (
            {"lung opacity": "absent", "nodule": "present"},
            {"lung opacity": "present", "nodule": "present", "mass": "absent", "edema": "absent"},
        ),
        (
            {"consolidation": "absent", "pneumonia": "uncertain"},
            {"consolidation": "uncertain", "lobar pneumonia": "absent"},
        ),
        ({"edema": "uncertain", "lung opacity": "present"}, {"lung opacity": "present"}),
        ({"edema": "present", "lung opacity": "uncertain"}, {"lung opacity": "present"}),
        # stable comes after the kind's own denial, and before no mention
        ({"cardiomegaly": "stable"}, {"enlarged cardiomediastinum": "stable"}),
        (
            {"cardiomegaly": "stable", "enlarged cardiomediastinum": "absent"},
            {"cardiomegaly": "absent", "cardiomediastinal finding": ""},
        ),
        (
            {"nodule": "stable", "mass": "absent", "edema": "uncertain"},
            {"nodule": "stable", "lung lesion": "stable", "lung opacity": "uncertain"},
        ),
        ({}, {"edema": ""}),
    ],
)
def test_closure_by_hand(states: States, expected: dict[str, str]) -> None:
    closed = close(states)
    for name, state in expected.items():
        assert state_of(closed, name) == (state or "not mentioned"), name


def random_sets(n: int, seed: int) -> Iterator[States]:
    draw = random.Random(seed)
    names = list(findings())
    for _ in range(n):
        chosen = draw.sample(names, draw.randrange(0, 12))
        yield {name: draw.choice(STATES) for name in chosen}


def test_closing_twice_is_closing_once() -> None:
    for states in random_sets(10_000, 0):
        once = close(states)
        assert close(once) == once, states


def test_every_closure_is_consistent() -> None:
    """What holds on each edge of the graph, of any closed set."""
    for states in random_sets(300, 1):
        closed = close(states)
        for name, node in findings().items():
            own = closed.get(name)
            for above in (closed.get(parent) for parent in node.parents):
                assert own != "present" or above == "present"
                assert own != "uncertain" or above in ("present", "uncertain")
                assert above != "absent" or own == "absent"
                assert own != "stable" or above in ("present", "uncertain", "stable")
        for name, state in states.items():
            order = {"present": 0, "uncertain": 1, "absent": 2, "stable": 3}
            assert name in closed
            assert order[closed[name]] <= order[state]


def test_closure_is_monotone() -> None:
    """Another presence takes none away, and changes nothing of findings that are not above it."""
    draw = random.Random(2)
    for states in random_sets(300, 3):
        more = draw.choice(list(findings()))
        before, after = close(states), close(states | {more: "present"})
        affected = {more, *ancestors(more)}
        assert all(after[name] == "present" for name in affected)
        if more not in states:
            rest = set(findings()) - affected
            assert all(state_of(before, n) == state_of(after, n) for n in rest)


def test_closure_names_unknown_findings() -> None:
    with pytest.raises(InputError, match="unknown finding 'no finding'"):
        close({"no finding": "present"})
    with pytest.raises(InputError, match="unknown state of edema 'maybe'"):
        close({"edema": "maybe"})  # type: ignore[dict-item]
