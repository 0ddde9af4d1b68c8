"""RadGraph's JSON, read and written one report at a time.

A file is an object or a list of reports:

- RadGraph v1, the output of the package `radgraph`, and RadGraph-IT: `{key: graph}`, with the graph
  `{"text", "entities", "data_source", "data_split"}`. Keys of MIMIC-CXR are
  "p10/p10000032/s50414267.txt".
- RadGraph v1's test.json: `{key: {"text", "labeler_1": graph, "labeler_2": graph}}`, where the
  graphs have no text of their own.
- CheXpert Plus: `[{"0": graph}, ...]`, or the same by text: `{text: {"0": graph}}`.
"""

import json
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from roentgen.errors import InputError, require
from roentgen.graphs.graph import Entity, Graph, Relation
from roentgen.graphs.json_values import RepeatingObject, open_values

_READER = "labeler_"  # what the names of readers begin with
_ENTITY_KEYS = ("tokens", "label", "start_ix", "end_ix", "relations")
_TYPES = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


@dataclass(frozen=True, kw_only=True)
class GraphDocument:
    """A report's graphs by the name that the file gives each: "labeler_1", "0".

    A report with one graph and no name for it has it by "".
    """

    key: str  # of the report; its position in a list
    graphs: Mapping[str, Graph]
    shares_text: bool = False  # the text is the report's, not each graph's
    data: Mapping[str, object] = field(default_factory=dict)  # the report's other keys


def read_graphs(path: Path) -> Iterator[GraphDocument]:
    """The reports of a file in order, read as they are needed.

    Raises InputError for a file that cannot be read, is no JSON or no object or list. What else is
    wrong is in `problems` of the graph.
    """
    with open_values(path) as values:
        seen: set[str] = set()
        for key in values:
            document = document_of(key, values.value())
            yield repeated_document(document) if key in seen else document
            seen.add(key)


def write_graphs(
    file: TextIO,
    documents: Iterable[GraphDocument],
    *,
    as_list: bool = False,
    ascii_only: bool = True,
) -> None:
    """Write reports in the form that each was read in, with Python's usual separators.

    `as_list` writes a list, without keys. Raises InputError for a graph that was not read whole.
    """
    file.write("[" if as_list else "{")
    for number, document in enumerate(documents):
        written = json.dumps(_json_of(document), ensure_ascii=ascii_only)
        key = "" if as_list else f"{json.dumps(document.key, ensure_ascii=ascii_only)}: "
        file.write(f"{', ' if number else ''}{key}{written}")
    file.write("]" if as_list else "}")


def graph_of(value: object) -> Graph:
    """A graph from its JSON value. Defects of the value are among the graph's `problems`."""
    if not isinstance(value, dict):
        return Graph("", unreadable=(_wrong("the graph", value, "an object"),))
    found = list(_repeated(value))
    text = _member(value, "text", str, "the graph", found)
    members = _member(value, "entities", dict, "the graph", found) or {}
    found += _repeated(members)
    entities = [_entity(name, member, found) for name, member in members.items()]
    return Graph(
        text=text or "",
        entities=tuple(entity for entity in entities if entity),
        data={key: other for key, other in value.items() if key not in ("text", "entities")},
        unreadable=tuple(found),
    )


def _entity(name: str, value: object, found: list[str]) -> Entity | None:
    """An entity; None, and why in `found`, where it has no span, label or tokens."""
    what = f"entity {name!r}"
    if not isinstance(value, dict):
        found.append(_wrong(what, value, "an object"))
        return None
    found += _repeated(value, f" of {what}")
    tokens = _member(value, "tokens", str, what, found)
    label = _member(value, "label", str, what, found)
    start = _member(value, "start_ix", int, what, found)
    end = _member(value, "end_ix", int, what, found)
    relations = _member(value, "relations", list, what, found)
    found += [f"unknown key: {what} has {key!r}" for key in value if key not in _ENTITY_KEYS]
    if tokens is None or label is None or start is None or end is None:
        return None
    read = [_relation(relation, what, found) for relation in relations or ()]
    return Entity(name, tokens, label, start, end, tuple(r for r in read if r))


def _relation(value: object, what: str, found: list[str]) -> Relation | None:
    match value:
        case [str(kind), str(target)]:
            return Relation(kind, target)
    found.append(_wrong(f"a relation of {what}", value, "[type, id]"))
    return None


def _member(value: dict[str, Any], key: str, kind: type, what: str, found: list[str]) -> Any:
    """The member of an object; None, and why in `found`, if it has none of that type."""
    member = value.get(key)
    if isinstance(member, kind) and not isinstance(member, bool):
        return member
    if key in value:
        found.append(_wrong(f"{key} of {what}", member, _TYPES[kind]))
    else:
        found.append(f"missing key: {what} has no {key}")
    return None


def _wrong(what: str, value: object, expected: str) -> str:
    return f"wrong type: {what} is {reprlib.repr(value)}, not {expected}"


def _repeated(value: dict[str, Any], where: str = "") -> Iterator[str]:
    if isinstance(value, RepeatingObject):
        yield from (f"duplicate id: key {key!r}{where} is there twice" for key in value.repeated)


def document_of(key: str, value: object) -> GraphDocument:
    """A report's graphs from its JSON value, as `graph_of`."""
    if not isinstance(value, dict) or "entities" in value:
        return GraphDocument(key=key, graphs={"": graph_of(value)})
    named = [n for n, each in value.items() if isinstance(each, dict) or n.startswith(_READER)]
    if not named:  # its graph has the defects
        return GraphDocument(key=key, graphs={"": graph_of(value)})
    shares = "text" in value
    repeated = tuple(_repeated(value))
    graphs = {}
    for name in named:
        member = copy(value[name])
        if shares and isinstance(member, dict):
            member.setdefault("text", value["text"])
        graph = graph_of(member)
        graphs[name] = replace(graph, unreadable=(*repeated, *graph.unreadable))
    data = {name: each for name, each in value.items() if name not in (*named, "text")}
    return GraphDocument(key=key, graphs=graphs, shares_text=shares, data=data)


def _json_of(document: GraphDocument) -> dict[str, Any]:
    graphs = {name: _graph_json(graph, document.key) for name, graph in document.graphs.items()}
    if "" in graphs:
        return graphs[""]
    if not document.shares_text:
        return {**graphs, **document.data}
    texts = {graph.pop("text") for graph in graphs.values()}
    require(len(texts) == 1, f"graphs of {document.key!r} have not one text: they cannot share it")
    return {"text": texts.pop(), **graphs, **document.data}


def _graph_json(graph: Graph, key: str) -> dict[str, Any]:
    if graph.unreadable:
        raise InputError(f"graph of {key!r} cannot be written: {graph.unreadable[0]}")
    entities = {
        entity.id: {
            "tokens": entity.tokens,
            "label": entity.label,
            "start_ix": entity.start,
            "end_ix": entity.end,
            "relations": [[relation.type, relation.target] for relation in entity.relations],
        }
        for entity in graph.entities
    }
    require(len(entities) == len(graph.entities), f"graph of {key!r} has two entities of one id")
    return {"text": graph.text, "entities": entities, **graph.data}


def repeated_document(document: GraphDocument) -> GraphDocument:
    """A report that its file has twice, which is a problem of its graphs."""
    line = f"duplicate id: report {document.key!r} is in the file twice"
    graphs = document.graphs.items()
    return replace(
        document,
        graphs={name: replace(g, unreadable=(line, *g.unreadable)) for name, g in graphs},
    )
