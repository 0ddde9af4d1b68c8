"""RadGraph's JSON, read and written one report at a time.

A file is an object or a list of reports:

- RadGraph v1, the output of the package `radgraph`, and RadGraph-IT: `{key: graph}`, with the graph
  `{"text", "entities", "data_source", "data_split"}`. Keys of MIMIC-CXR are
  "p10/p10000032/s50414267.txt".
- RadGraph v1's test.json: `{key: {"text", "labeler_1": graph, "labeler_2": graph}}`, where the
  graphs have no text of their own.
- CheXpert Plus: `[{"0": graph}, ...]`, or the same by text: `{text: {"0": graph}}`.
"""

import codecs
import json
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from roentgen.errors import InputError, require
from roentgen.graphs.graph import Entity, Graph, Relation
from roentgen.untrusted_files import open_regular

LARGEST_REPORT = 1 << 25  # characters of a report's JSON; those of RadGraph have some thousand
_CHUNK = 1 << 20  # bytes read at once
_BLANKS = " \t\n\r"
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
    try:
        with closing(_Reader(path)) as reader:
            yield from _documents(reader)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error.reason}") from None


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
    if isinstance(value, _RepeatingObject):
        yield from (f"duplicate id: key {key!r}{where} is there twice" for key in value.repeated)


class _RepeatingObject(dict[str, Any]):
    """An object with the keys that its JSON has more than once; the last value counts."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    result = _RepeatingObject(found)
    result.repeated = tuple(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
    return result


def _document(key: str, value: object) -> GraphDocument:
    if not isinstance(value, dict) or "entities" in value:
        return GraphDocument(key=key, graphs={"": graph_of(value)})
    members = [n for n, each in value.items() if isinstance(each, dict) and "entities" in each]
    if not members:  # its graph has the defects
        return GraphDocument(key=key, graphs={"": graph_of(value)})
    shares = "text" in value
    repeated = tuple(_repeated(value))
    graphs = {}
    for name in members:
        member = copy(value[name])
        if shares:
            member.setdefault("text", value["text"])
        graph = graph_of(member)
        graphs[name] = replace(graph, unreadable=(*repeated, *graph.unreadable))
    data = {name: each for name, each in value.items() if name not in (*members, "text")}
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


def _documents(reader: "_Reader") -> Iterator[GraphDocument]:
    keyed = reader.take("{[", "an object or a list of graphs") == "{"
    end = "}" if keyed else "]"
    seen: set[str] = set()
    going = reader.peek() != end or reader.take(end, "") != end
    while going:
        key = reader.key() if keyed else str(len(seen))
        document = _document(key, reader.value())
        yield _twice(document) if key in seen else document
        seen.add(key)
        going = reader.take(f",{end}", f"',' or '{end}'") == ","
    if reader.peek():
        raise reader.error("the end of the file")


def _twice(document: GraphDocument) -> GraphDocument:
    line = f"duplicate id: report {document.key!r} is in the file twice"
    graphs = document.graphs.items()
    return replace(
        document,
        graphs={name: replace(g, unreadable=(line, *g.unreadable)) for name, g in graphs},
    )


class _Reader:
    """JSON values of a file one after another, with no more of it in memory than one needs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_regular(path)
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder(object_pairs_hook=_object).raw_decode
        self._text = ""
        self._at = 0
        self._before = 0  # characters of the file before the text
        self._ended = False

    def close(self) -> None:
        self._file.close()

    def peek(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            while self._text[self._at : self._at + 1] in _BLANKS and self._at < len(self._text):
                self._at += 1
            if self._at < len(self._text) or not self._more(_CHUNK):
                return self._text[self._at : self._at + 1]

    def take(self, allowed: str, expected: str) -> str:
        """The next character, which must be one of those allowed."""
        found = self.peek()
        if not found or found not in allowed:
            raise self.error(expected)
        self._at += 1
        return found

    def key(self) -> str:
        """The next key of an object."""
        if self.peek() != '"':
            raise self.error("a key in quotes")
        key: str = self.value()
        self.take(":", "':'")
        return key

    def value(self) -> Any:
        """The next value. Raises InputError where there is none."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
                if end < len(self._text) or not self._more(_CHUNK):
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                unread = len(self._text) - self._at
                if unread > LARGEST_REPORT or not self._more(max(_CHUNK, unread)):
                    self._at = error.pos
                    raise self.error("JSON", error.msg) from None
            except RecursionError:
                raise self.error("JSON", "it is nested too deeply") from None
            except ValueError:
                raise self.error("JSON", "a number has too many digits") from None

    def error(self, expected: str, why: str = "") -> InputError:
        """That something else was expected at this place."""
        place = self._before + self._at
        if not why:
            found = self._text[self._at : self._at + 1]
            why = f"{found!r} in place of" if found else "the file ends before"
            why = f"{why} {expected}"
        return InputError(f"{self._path} is not a file of graphs: character {place + 1}: {why}")

    def _more(self, size: int) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        data = self._file.read(size)
        self._ended = not data
        self._before += self._at
        self._text = self._text[self._at :] + self._decode(data, self._ended)
        self._at = 0
        return True
