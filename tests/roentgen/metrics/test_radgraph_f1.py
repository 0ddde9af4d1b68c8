import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.graphs.graph import LABELS, RELATION_TYPES, Entity, Graph, Relation
from roentgen.graphs.radgraph_json import graph_of
from roentgen.metrics.radgraph_f1 import F1_VARIANTS, graph_f1, radgraph_f1


def graph(*entities: tuple[str, ...]) -> Graph:
    """Entities of (tokens, label, relation, target's number, ...), numbered from 1."""
    return Graph(
        " ".join(tokens for tokens, *_ in entities),
        tuple(
            Entity(
                str(i + 1),
                tokens,
                label,
                i,
                i,
                tuple(map(Relation, rest[::2], rest[1::2])),
            )
            for i, (tokens, label, *rest) in enumerate(entities)
        ),
    )


LEFT = graph(
    ("left", "ANAT-DP"),
    ("effusion", "OBS-DP", "located_at", "1"),
)
RIGHT = graph(("right", "ANAT-DP"), ("effusion", "OBS-DP", "located_at", "1"))
APART = graph(("left", "ANAT-DP"), ("effusion", "OBS-DP"))


def test_a_graph_agrees_with_itself() -> None:
    assert graph_f1(LEFT, LEFT) == dict.fromkeys(F1_VARIANTS, 1.0)


def test_another_side_changes_entity_and_relation() -> None:
    # One of two entities agrees; complete has (left), (effusion located_at left): none agrees.
    assert graph_f1(RIGHT, LEFT) == {
        "simple": 0.5,
        "partial": 0.5,
        "complete": 0.0,
        "combined": 0.25,
    }


def test_a_relation_that_is_missing_changes_what_counts_relations() -> None:
    # partial: effusion with and without relation differ. combined: (1 + 0) / 2.
    assert graph_f1(APART, LEFT) == {
        "simple": 1.0,
        "partial": 0.5,
        "complete": 0.5,
        "combined": 0.5,
    }


def test_another_state_is_another_entity() -> None:
    denied = graph(("left", "ANAT-DP"), ("effusion", "OBS-DA", "located_at", "1"))
    assert graph_f1(denied, LEFT) == {
        "simple": 0.5,
        "partial": 0.5,
        "complete": 0.5,  # left alone
        "combined": 0.25,
    }


def test_precision_and_recall_are_balanced() -> None:
    # 2 of 4 and 2 of 2 entities: F1 = 2 * 0.5 * 1 / 1.5. Relations: 1 of 2 and 1 of 1: the same.
    more = graph(
        ("left", "ANAT-DP"),
        ("effusion", "OBS-DP", "located_at", "1"),
        ("small", "OBS-DP", "modify", "2"),
        ("edema", "OBS-U"),
    )
    found = graph_f1(more, LEFT)
    assert found == pytest.approx(dict.fromkeys(F1_VARIANTS, 2 / 3))
    assert graph_f1(LEFT, more) == pytest.approx(found)


def test_an_entity_that_is_there_twice_counts_once() -> None:
    twice = graph(("edema", "OBS-DP"), ("edema", "OBS-DP"), ("heart", "ANAT-DP"))
    once = graph(("heart", "ANAT-DP"), ("edema", "OBS-DP"))
    assert graph_f1(twice, once)["simple"] == 1.0


def test_case_is_as_published_or_ignored() -> None:
    upper = graph(("Left", "ANAT-DP"), ("Effusion", "OBS-DP", "located_at", "1"))
    # Complete compares relations in lower case, but not (Left), which has none.
    assert graph_f1(upper, LEFT) == {
        "simple": 0.0,
        "partial": 0.0,
        "complete": 0.5,
        "combined": 0.0,
    }
    assert graph_f1(upper, LEFT, "ignored") == dict.fromkeys(F1_VARIANTS, 1.0)


def test_an_empty_graph_scores_nothing() -> None:
    for pair in ((Graph(""), LEFT), (LEFT, Graph("")), (Graph(""), Graph(""))):
        assert graph_f1(*pair) == dict.fromkeys(F1_VARIANTS, 0.0)


def test_graphs_that_cannot_be_compared_are_refused() -> None:
    xl = graph(("left", "Anatomy::definitely present"))
    with pytest.raises(InputError, match="labels of xl and v1"):
        graph_f1(xl, LEFT)
    with pytest.raises(InputError, match="entity '1' of a graph has modify to '9'"):
        graph_f1(LEFT, graph(("small", "OBS-DP", "modify", "9")))


def test_the_mean_over_reports_has_an_interval_of_patients() -> None:
    pairs = [(LEFT, LEFT), (RIGHT, LEFT), (APART, LEFT), (LEFT, LEFT)] * 10
    patients = [str(i // 2) for i in range(40)]
    found = radgraph_f1(pairs, patients, samples=500, seed=1)
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {"simple": 0.875, "partial": 0.75, "complete": 0.625, "combined": 0.6875}
    )
    for each in found.values():
        assert (each.n, each.patients) == (40, 20)
    # Every patient has 0.75 of partial; of simple half have 0.75 and half 1: 0.125 / sqrt(20).
    simple, partial = found["simple"], found["partial"]
    assert (partial.low, partial.high) == (0.75, 0.75)
    assert simple.low == pytest.approx(0.875 - 1.96 * 0.125 / 20**0.5, abs=0.01)
    assert simple.high == pytest.approx(0.875 + 1.96 * 0.125 / 20**0.5, abs=0.01)
    assert radgraph_f1(pairs, patients, samples=500, seed=1) == found


def test_without_graphs_nothing_is_measured() -> None:
    for each in radgraph_f1([], [], samples=10, seed=0).values():
        assert each.value is None
        assert each.note == "not measured: no pair of graphs"


def published_rewards() -> Any:
    """The module `rewards` of the package radgraph, without its others, which need a network."""
    package = importlib.util.find_spec("radgraph")
    if package is None or package.origin is None:
        pytest.skip("the package radgraph is not installed")
    spec = importlib.util.spec_from_file_location(
        "radgraph_rewards", Path(package.origin).parent / "rewards.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_graph(draws: np.random.Generator, labels: list[str]) -> dict[str, Any]:
    """Few words, in both cases, so that graphs overlap; relations lead anywhere, cycles too."""
    words = ["effusion", "Effusion", "left", "Left lung", "small", "no", "heart", "é"]
    n = int(draws.integers(0, 8))
    return {
        "text": "",
        "entities": {
            str(i + 1): {
                "tokens": str(draws.choice(words)),
                "label": str(draws.choice(labels)),
                "start_ix": i,
                "end_ix": i,
                "relations": [
                    [str(draws.choice(RELATION_TYPES)), str(draws.integers(n) + 1)]
                    for _ in range(int(draws.choice([0, 0, 1, 2, 3])))
                ],
            }
            for i in range(n)
        },
    }


def test_rewards_of_the_package_are_equal_on_twenty_thousand_pairs() -> None:
    rewards = published_rewards()
    draws = np.random.default_rng(3)
    seen = set()
    for i in range(20_000):
        labels = list(LABELS["xl" if i % 2 else "v1"])[: 2 + i % 3]
        pair = random_graph(draws, labels), random_graph(draws, labels)
        found = graph_f1(graph_of(pair[0]), graph_of(pair[1]))
        expected = rewards.compute_reward(*pair, "all")
        assert (found["simple"], found["partial"], found["complete"]) == expected
        seen.add(expected)
    assert len(seen) > 500
