import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roentgen.graphs.json_values as json_values
from roentgen.errors import InputError
from roentgen.graphs.graph import Entity, Graph, Relation
from roentgen.graphs.problems import problems
from roentgen.graphs.radgraph_json import GraphDocument, graph_of, read_graphs, write_graphs

ENTITIES = {
    "1": {
        "tokens": "effusion",
        "label": "OBS-DP",
        "start_ix": 2,
        "end_ix": 2,
        "relations": [["located_at", "2"], ["modify", "3"]],
    },
    "2": {"tokens": "left", "label": "ANAT-DP", "start_ix": 1, "end_ix": 1, "relations": []},
    "3": {"tokens": "Small", "label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": []},
}
GRAPH = {
    "text": "Small left effusion .",
    "entities": ENTITIES,
    "data_source": "MIMIC-CXR",
    "data_split": "train",
}
ITALIAN = {
    "text": "Si è ridotta l ' opacità .",
    "entities": {
        "1": {
            "tokens": "opacità",
            "label": "Observation::definitely present",
            "start_ix": 5,
            "end_ix": 5,
            "relations": [],
        }
    },
    "data_source": None,
    "data_split": "inference",
}
READERS = {
    "text": GRAPH["text"],
    "labeler_1": {"entities": ENTITIES, "data_source": "MIMIC-CXR", "data_split": "test"},
    "labeler_2": {"entities": {}, "data_source": "MIMIC-CXR", "data_split": "test"},
    "data_source": "MIMIC-CXR",
    "data_split": "test",
}
KEY = "p10/p10000032/s50414267.txt"
FORMS = {
    "v1": {KEY: GRAPH, "p10/p10000764/s57375967.txt": GRAPH},
    "v1, two readers": {KEY: READERS, "patient1": READERS},
    "package": {"0": ITALIAN, "1": GRAPH},
    "list": [{"0": ITALIAN}, {"0": GRAPH}],
    "by text": {ITALIAN["text"]: {"0": ITALIAN}, GRAPH["text"]: {"0": GRAPH}},
    "no report": {},
    "no row": [],
}


def write(path: Path, value: object, **how: Any) -> Path:
    path.write_text(json.dumps(value, **how), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", list(FORMS))
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_form_is_written_as_it_was_read(tmp_path: Path, name: str, ascii_only: bool) -> None:
    path = write(tmp_path / "graphs.json", FORMS[name], ensure_ascii=ascii_only)
    written = io.StringIO()
    write_graphs(
        written, read_graphs(path), as_list=isinstance(FORMS[name], list), ascii_only=ascii_only
    )
    assert written.getvalue().encode() == path.read_bytes()


def test_a_graph_has_what_its_json_states(tmp_path: Path) -> None:
    (first, second) = read_graphs(write(tmp_path / "train.json", FORMS["v1"]))
    assert (first.key, second.key) == (KEY, "p10/p10000764/s57375967.txt")
    graph = first.graphs[""]
    assert graph.text == "Small left effusion ."
    assert graph.data == {"data_source": "MIMIC-CXR", "data_split": "train"}
    effusion = Entity(
        "1", "effusion", "OBS-DP", 2, 2, (Relation("located_at", "2"), Relation("modify", "3"))
    )
    assert graph.by_id()["1"] == effusion
    assert [entity.id for entity in graph.entities] == ["1", "2", "3"]
    assert problems(graph, "Small left\neffusion.", "v1") == ()


def test_readers_share_the_text_of_their_report(tmp_path: Path) -> None:
    (document, _) = read_graphs(write(tmp_path / "test.json", FORMS["v1, two readers"]))
    assert list(document.graphs) == ["labeler_1", "labeler_2"]
    assert {graph.text for graph in document.graphs.values()} == {GRAPH["text"]}
    assert len(document.graphs["labeler_1"].entities) == 3
    assert document.data == {"data_source": "MIMIC-CXR", "data_split": "test"}


def test_rows_of_a_list_are_known_by_their_position(tmp_path: Path) -> None:
    documents = list(read_graphs(write(tmp_path / "section_findings.json", FORMS["list"])))
    assert [document.key for document in documents] == ["0", "1"]
    assert [list(document.graphs) for document in documents] == [["0"], ["0"]]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("indent", [None, 3])
def test_reading_does_not_depend_on_where_pieces_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    path = write(tmp_path / "graphs.json", FORMS["by text"], indent=indent, ensure_ascii=False)
    expected = list(read_graphs(path))
    monkeypatch.setattr(json_values, "_CHUNK", chunk)
    assert list(read_graphs(path)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file ends before an object"),
        (b"3", "'3' in place of an object or a list"),
        (b'{"a"', "file ends before ':'"),
        (b'{"a": {"text": ""', "Expecting ',' delimiter"),
        (b'{"a": {}', "file ends before ',' or '}'"),
        (b'{"a": {}} x', "'x' in place of the end of the file"),
        (b'{"a": {},}', "in place of a key in quotes"),
        (b'[{"0": {}},]', "Expecting value"),
        (b"{1: {}}", "'1' in place of a key in quotes"),
        (b'{"a": {"text": "\xe9"}}', "is not text in UTF-8"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
)
def test_what_is_no_file_of_graphs_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "graphs.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        list(read_graphs(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(read_graphs(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"text": 5}, "wrong type: text of the graph is 5, not a string"),
        ({"entities": []}, "wrong type: entities of the graph is [], not an object"),
        ({"entities": {"1": "lung"}}, "wrong type: entity '1' is 'lung', not an object"),
    ],
)
def test_a_wrong_type_is_a_problem_of_its_graph(change: dict[str, Any], line: str) -> None:
    assert line in problems(graph_of(GRAPH | change))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"tokens": None}, "wrong type: tokens of entity '2' is None, not a string"),
        ({"start_ix": "1"}, "wrong type: start_ix of entity '2' is '1', not a whole number"),
        ({"end_ix": True}, "wrong type: end_ix of entity '2' is True, not a whole number"),
        ({"end_ix": 1.0}, "wrong type: end_ix of entity '2' is 1.0, not a whole number"),
        ({"relations": {}}, "wrong type: relations of entity '2' is {}, not a list"),
        (
            {"relations": [["modify", 1]]},
            "wrong type: a relation of entity '2' is ['modify', 1], not [type, id]",
        ),
        ({"attribute": "new"}, "unknown key: entity '2' has 'attribute'"),
    ],
)
def test_a_wrong_type_is_a_problem_of_its_entity(change: dict[str, Any], line: str) -> None:
    entities = {**ENTITIES, "2": ENTITIES["2"] | change}
    assert line in problems(graph_of(GRAPH | {"entities": entities}))


def test_what_is_no_graph_has_a_problem(tmp_path: Path) -> None:
    (a, b, c) = read_graphs(write(tmp_path / "graphs.json", [None, {"0": 3}, {"text": "x"}]))
    assert problems(a.graphs[""]) == ("wrong type: the graph is None, not an object",)
    assert problems(b.graphs[""]) == (
        "missing key: the graph has no text",
        "missing key: the graph has no entities",
    )
    assert problems(c.graphs[""]) == ("missing key: the graph has no entities",)


@pytest.mark.parametrize(
    ("second", "line"),
    [
        ({"entites": {}}, "missing key: the graph has no entities"),
        (None, "wrong type: the graph is None, not an object"),
        ([], "wrong type: the graph is [], not an object"),
    ],
)
def test_a_reader_without_a_graph_is_a_problem(tmp_path: Path, second: object, line: str) -> None:
    path = write(tmp_path / "test.json", {KEY: READERS | {"labeler_2": second}})
    (document,) = read_graphs(path)
    assert problems(document.graphs["labeler_1"]) == ()
    assert problems(document.graphs["labeler_2"]) == (line,)


def test_repeated_keys_are_problems(tmp_path: Path) -> None:
    path = tmp_path / "graphs.json"
    entity = json.dumps(ENTITIES["2"])
    graph = f'{{"text": "a b", "entities": {{"2": {entity}, "2": {entity}}}}}'
    path.write_text(f'{{"a": {graph}, "a": {{"text": "a", "text": "b", "entities": {{}}}}}}')
    first, second = read_graphs(path)
    assert "duplicate id: key '2' is there twice" in problems(first.graphs[""])
    assert problems(second.graphs[""]) == (
        "duplicate id: report 'a' is in the file twice",
        "duplicate id: key 'text' is there twice",
    )


def test_a_graph_that_was_not_read_whole_is_not_written() -> None:
    graph = graph_of(GRAPH | {"text": 5})
    with pytest.raises(InputError, match="'a' cannot be written: wrong type: text"):
        write_graphs(io.StringIO(), [GraphDocument(key="a", graphs={"": graph})])
    twice = Graph("a a", (Entity("1", "a", "OBS-DP", 0, 0), Entity("1", "a", "OBS-DP", 1, 1)))
    with pytest.raises(InputError, match="'b' has two entities of one id"):
        write_graphs(io.StringIO(), [GraphDocument(key="b", graphs={"": twice})])


def test_random_graphs_survive_the_round_trip(
    tmp_path: Path, drawn_graph: Callable[..., dict[str, Any]]
) -> None:
    draws = np.random.default_rng(1)
    value = {str(i): drawn_graph(draws, "xl" if i % 2 else "v1") for i in range(500)}
    path = write(tmp_path / "graphs.json", value)
    documents = list(read_graphs(path))
    assert [problems(document.graphs[""]) for document in documents] == [()] * 500
    written = io.StringIO()
    write_graphs(written, documents)
    assert written.getvalue() == path.read_text()
