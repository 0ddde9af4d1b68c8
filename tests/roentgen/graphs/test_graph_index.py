import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roentgen.graphs.json_values as json_values
from roentgen.errors import InputError
from roentgen.graphs.graph_index import index_graphs
from roentgen.graphs.problems import problems
from roentgen.graphs.radgraph_json import read_graphs


@pytest.mark.parametrize("chunk", [1, 100, 1 << 20])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_report_is_found_by_its_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drawn_graph: Callable[..., dict[str, Any]],
    chunk: int,
    mark: bytes,
) -> None:
    draws = np.random.default_rng(7)
    graphs = {f"p1{i}/é{i}.txt": drawn_graph(draws) | {"data_source": "Ü" * i} for i in range(50)}
    path = tmp_path / "graphs.json"
    path.write_bytes(mark + json.dumps(graphs, ensure_ascii=False, indent=1).encode())
    monkeypatch.setattr(json_values, "_CHUNK", chunk)
    monkeypatch.setattr(json_values, "_FEW", chunk)
    index = index_graphs(path)
    for document in read_graphs(path):
        assert index.document(document.key) == document
    assert index.document("p1/other.txt") is None


def test_a_list_has_no_keys_of_reports(tmp_path: Path) -> None:
    path = tmp_path / "section_findings.json"
    path.write_text(json.dumps([{"0": {"text": "a", "entities": {}}}]))
    with pytest.raises(InputError, match=r"section_findings\.json is a list: write an object"):
        index_graphs(path)


def test_a_report_that_is_there_twice_has_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "graphs.json"
    path.write_text('{"a": {"text": "1", "entities": {}}, "a": {"text": "2", "entities": {}}}')
    document = index_graphs(path).document("a")
    assert document is not None
    assert document.graphs[""].text == "2"
    assert problems(document.graphs[""]) == ("duplicate id: report 'a' is in the file twice",)


def test_a_file_without_reports_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "graphs.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"graphs\.json has no graphs"):
        index_graphs(path)
    path.write_text("{")
    with pytest.raises(InputError, match="file ends before a key in quotes"):
        index_graphs(path)
