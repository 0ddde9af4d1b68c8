import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.graphs.graph import Entity, Graph, Relation
from roentgen.graphs.problems import count_problems, problems
from roentgen.graphs.radgraph_json import graph_of, read_graphs

Members = dict[str, dict[str, Any]]


def graph(*relations: tuple[str, str, str], text: str = "a b c d") -> Graph:
    """Four entities "1" to "4", one a token, with these (source, type, target)."""
    return Graph(
        text,
        tuple(
            Entity(
                str(i + 1),
                word,
                "OBS-DP",
                i,
                i,
                tuple(Relation(kind, to) for source, kind, to in relations if source == str(i + 1)),
            )
            for i, word in enumerate("abcd")
        ),
    )


def test_a_sound_graph_has_no_problems() -> None:
    sound = graph(("1", "modify", "2"), ("1", "located_at", "3"), ("2", "suggestive_of", "3"))
    assert problems(sound, "x a  b\nc d y", "v1") == ()
    assert problems(Graph("")) == ()


@pytest.mark.parametrize(
    ("entity", "line"),
    [
        (
            Entity("1", "a", "OBS-DP", 2, 1),
            "start after end: entity '1' has start_ix 2 and end_ix 1",
        ),
        (
            Entity("1", "b", "OBS-DP", 1, 2),
            "span beyond the text: entity '1' has tokens 1 to 2, the text has 2",
        ),
        (
            Entity("1", "a", "OBS-DP", -2, 0),
            "span beyond the text: entity '1' has tokens -2 to 0, the text has 2",
        ),
        (
            Entity("1", "b", "OBS-DP", 0, 0),
            "tokens differ from the text: entity '1' has other tokens than the text has at 0 to 0",
        ),
        (Entity("1", "a", "OBS-PD", 0, 0), "unknown label: entity '1' has 'OBS-PD'"),
        (
            Entity("1", "a", "OBS-DP", 0, 0, (Relation("part_of", "1"),)),
            "unknown relation: entity '1' has 'part_of'",
        ),
        (
            Entity("1", "a", "OBS-DP", 0, 0, (Relation("modify", "1"),)),
            "self relation: entity '1' has modify to itself",
        ),
        (
            Entity("1", "a", "OBS-DP", 0, 0, (Relation("modify", "7"),)),
            "missing target: entity '1' has modify to '7', which is no entity",
        ),
    ],
)
def test_a_defect_is_named(entity: Entity, line: str) -> None:
    assert line in problems(Graph("a b", (entity,)))


def test_a_schema_that_is_not_expected_is_named() -> None:
    a = Entity("1", "a", "OBS-DP", 0, 0)
    b = Entity("2", "b", "Observation::uncertain", 1, 1)
    line = "label of another schema: entity {} has {!r}, which is not of {}"
    assert problems(Graph("a b", (a,)), schema="xl") == (line.format("'1'", "OBS-DP", "xl"),)
    assert problems(Graph("a b", (b,)), schema="v1") == (
        line.format("'2'", "Observation::uncertain", "v1"),
    )
    assert problems(Graph("a b", (a, b))) == (line.format("'2'", "Observation::uncertain", "v1"),)


def test_a_text_that_is_not_of_the_report_is_named() -> None:
    line = "text differs from the report: the report does not contain the graph's text"
    assert problems(graph(), "a b d c") == (line,)
    assert problems(graph(), "") == (line,)
    assert problems(graph(), "ab, cd") == (line,)
    assert problems(graph(), "FINDINGS: a b\n\nc d.") == ()
    blank = "no text: the graph's text is blank, but its entities or its report are not"
    assert problems(Graph(" "), "a b") == (blank,)
    assert problems(Graph(" "), " ") == ()


def test_every_relation_that_closes_a_cycle_is_named_once() -> None:
    line = "cycle: the relation of entity {!r} to {!r} closes one"
    two = graph(("1", "modify", "2"), ("2", "modify", "1"))
    assert problems(two) == (line.format("2", "1"),)
    three = graph(("1", "modify", "2"), ("2", "located_at", "3"), ("3", "modify", "1"))
    assert problems(three) == (line.format("3", "1"),)
    both = graph(
        *(("1", "modify", "2"), ("2", "modify", "1"), ("3", "modify", "4"), ("4", "modify", "3"))
    )
    assert problems(both) == (line.format("2", "1"), line.format("4", "3"))
    diamond = graph(
        *(("1", "modify", "2"), ("1", "modify", "3"), ("2", "modify", "4"), ("3", "modify", "4"))
    )
    assert problems(diamond) == ()


def test_a_long_chain_needs_no_recursion() -> None:
    n = 20_000
    chain = tuple(
        Entity(str(i), "a", "OBS-DP", i, i, (Relation("modify", str(i + 1)),)) for i in range(n)
    )
    found = problems(Graph(" ".join(["a"] * n), chain))
    assert found == (f"missing target: entity '{n - 1}' has modify to '{n}', which is no entity",)


def test_problems_are_counted_by_kind() -> None:
    lines = problems(graph(("1", "part_of", "9"), ("2", "modify", "8")))
    assert count_problems(lines) == {"missing target": 2, "unknown relation": 1}


def _span(entity: dict[str, Any], start: int, end: int) -> None:
    entity |= {"start_ix": start, "end_ix": end}


def _wrong_type(entity: dict[str, Any], draws: np.random.Generator) -> None:
    key = str(draws.choice(list(entity)))
    values: list[Any] = [None, True, 1.5, {}, -0.0, [3], [["modify", 2]], ["modify", "2"], [[]]]
    values += [[]] * (key != "relations") + ["1"] * (key not in ("tokens", "label"))
    entity[key] = values[int(draws.integers(len(values)))]


# What a mutation of entity "2" or of others does, and how its problem begins. Graphs have 5.
MUTATIONS: dict[str, Callable[[Members, np.random.Generator], object]] = {
    "missing target": lambda m, _: m["2"]["relations"].append(["modify", "99"]),
    "start after end": lambda m, _: _span(m["2"], m["2"]["end_ix"] + 1, m["2"]["end_ix"]),
    "span beyond the text": lambda m, draws: _span(m["2"], 0, int(draws.integers(20, 10**9))),
    "tokens differ from the text": lambda m, _: m["2"].update(tokens=m["2"]["tokens"] + "s"),
    "unknown label": lambda m, _: m["2"].update(label=m["2"]["label"].upper() + "S"),
    "label of another schema": lambda m, _: m["2"].update(label="Anatomy::uncertain"),
    "unknown relation": lambda m, _: m["2"]["relations"].append(["Modify", "3"]),
    "self relation": lambda m, _: m["2"]["relations"].append(["modify", "2"]),
    "cycle": lambda m, _: (
        m["2"]["relations"].append(["modify", "4"]),
        m["4"]["relations"].append(["modify", "2"]),
    ),
    "missing key": lambda m, draws: m["2"].pop(str(draws.choice(list(m["2"])))),
    "wrong type": lambda m, draws: _wrong_type(m["2"], draws),
}


def test_ten_thousand_mutated_graphs_are_named(
    tmp_path: Path, drawn_graph: Callable[..., dict[str, Any]]
) -> None:
    draws = np.random.default_rng(21)
    expected, values = [], []
    for _ in range(10_000):
        value = drawn_graph(draws, "v1", entities=5)
        kind = str(draws.choice(list(MUTATIONS)))
        MUTATIONS[kind](value["entities"], draws)
        expected.append(kind)
        values.append(value)
    path = tmp_path / "graphs.json"
    path.write_text(json.dumps(dict(enumerate(values))))
    for kind, document in zip(expected, read_graphs(path), strict=True):
        found = problems(document.graphs[""], schema="v1")
        assert kind in count_problems(found), (kind, document)
        assert not any("\n" in line for line in found)


def test_ten_thousand_random_values_in_random_places_break_nothing(
    drawn_graph: Callable[..., dict[str, Any]],
) -> None:
    """Several defects at once, anywhere. The graphs are of another report in any case."""
    draws = np.random.default_rng(22)
    values: list[Any] = [None, 3, -1, 0.5, "", "1", "modify", [], {}, [["modify"]], True, "\ud800"]
    for _ in range(10_000):
        value = drawn_graph(draws, "xl", entities=4)
        for _ in range(int(draws.integers(1, 4))):
            place: Any = value
            while draws.random() < 0.8:
                inner = place[key] if (key := _key(place, draws)) is not None else None
                if not isinstance(inner, dict | list) or not inner:
                    break
                place = inner
            if (key := _key(place, draws)) is not None:
                place[key] = values[int(draws.integers(len(values)))]
        found = problems(graph_of(value), "a report", "v1")
        assert found
        assert all(": " in line and "\n" not in line for line in found)


def _key(place: Any, draws: np.random.Generator) -> Any:
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    return keys[int(draws.integers(len(keys)))] if keys else None
