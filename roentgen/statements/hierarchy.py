"""Hierarchy of findings and places: two directed acyclic graphs, from kinds down to special ones.

The graphs are in `hierarchy.yaml`. Their structure follows PadChest's tree (Bustos et al. 2020),
which covers its labels and localizations, with CheXpert's (Irvin et al. 2019) inside: edema,
consolidation, pneumonia, lesions and atelectasis are lung opacities, cardiomegaly is an enlarged
cardiomediastinum.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from roentgen.errors import InputError, require, require_choice
from roentgen.record.finding import FINDING_NAMES, FindingName
from roentgen.record.statement import STATEMENT_STATES, StatementState

FILE = Path(__file__).with_name("hierarchy.yaml")
_CUI = re.compile(r"C\d{7}")
_KEYS = ("name", "parents", "label", "cui", "in_prompts")


@dataclass(frozen=True, slots=True)
class Node:
    """A finding or a place: a kind of each of its parents."""

    name: str  # in lower case, in the words of reports
    parents: tuple[str, ...] = ()
    label: FindingName | None = None
    cui: str | None = None  # concept of the UMLS
    in_prompts: bool = False  # whether prompts name it, as a detail


def findings() -> Mapping[str, Node]:
    """Every finding by its name, in the file's order."""
    return _graphs()["findings"]


def places() -> Mapping[str, Node]:
    """Every place by its name, in the file's order."""
    return _graphs()["places"]


@cache
def ancestors(name: str) -> tuple[str, ...]:
    """The nodes above a finding or a place, its parents first. Raises InputError if unknown."""
    graph = _graph_of(name)
    found = dict.fromkeys(graph[name].parents)
    for above in list(found):
        found |= dict.fromkeys(ancestors(above))
    return tuple(found)


@cache
def descendants(name: str) -> tuple[str, ...]:
    """The nodes below a finding or a place, in the file's order. Raises InputError if unknown."""
    return tuple(node for node in _graph_of(name) if name in ancestors(node))


@cache
def labels_of(name: str) -> tuple[FindingName, ...]:
    """The labels of a finding: its own, or else the nearest on each way up; in the order of names.

    A nodular opacity is a Lung Lesion and a Lung Opacity; emphysema has no label. Raises InputError
    for an unknown finding.
    """
    node = require_finding(name)
    if node.label:
        return (node.label,)
    found = {label for parent in node.parents for label in labels_of(parent)}
    return tuple(sorted(found, key=FINDING_NAMES.index))


def require_finding(name: str) -> Node:
    """The finding of that name. Raises InputError for an unknown one."""
    require(name in findings(), f"unknown finding {name!r}: it is not in {FILE.name}")
    return findings()[name]


def require_place(name: str) -> Node:
    """The place of that name. Raises InputError for an unknown one."""
    require(name in places(), f"unknown place {name!r}: it is not in {FILE.name}")
    return places()[name]


@cache
def node_of_cui(cui: str) -> Node | None:
    """The finding or place with that concept of the UMLS ("C0032285"); None if there is none."""
    nodes = (*findings().values(), *places().values())
    return next((node for node in nodes if node.cui == cui), None)


@cache
def node_of_label(label: FindingName) -> Node:
    """The most general finding of a label. Raises InputError for "No Finding", which is none."""
    found = next((node for node in findings().values() if node.label == label), None)
    if found is None:
        raise InputError(f"label {label!r} is no finding of {FILE.name}")
    return found


def close(states: Mapping[str, StatementState]) -> dict[str, StatementState]:
    """The states that follow from those of some findings, in the hierarchy's order.

    In the order of MAPLEZ (Lanfredi et al. 2025), a finding is

    1. present if it or a finding below it is present, whatever is denied above it;
    2. else uncertain if it or a finding below it is uncertain;
    3. else absent if it or a finding above it is absent;
    4. else stable if it or a finding below it, not absent by 3, is stable;
    5. else not mentioned, and not in the result: the absence of one kind does not deny the others.

    Findings beside each other do not affect each other. Closing twice is closing once. Raises
    InputError for an unknown finding or state.
    """
    for name, state in states.items():
        require_choice(f"state of {require_finding(name).name}", state, STATEMENT_STATES)
    closed: dict[str, StatementState] = {}
    for state in STATEMENT_STATES:
        implied = descendants if state == "absent" else ancestors
        for name in (name for name, own in states.items() if own == state):
            if state != "stable" or name not in closed:
                for node in (name, *implied(name)):
                    closed.setdefault(node, state)
    return {name: closed[name] for name in findings() if name in closed}


def read_graphs(text: str, where: str) -> dict[str, dict[str, Node]]:
    """The graphs of findings and places in a YAML text.

    Raises InputError with the node's name for a name, label or concept that appears twice, an
    unknown key, parent or label, and a circle.
    """
    try:
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise InputError(f"{where} is not YAML: {line}") from None
    if not isinstance(content, dict) or set(content) != {"findings", "places"}:
        raise InputError(f"{where} must have two lists: findings and places")
    graphs: dict[str, dict[str, Node]] = {"findings": {}, "places": {}}
    used: set[str] = set()
    for section, graph in graphs.items():
        require(isinstance(content[section], list), f"{where}: {section} is not a list")
        for entry in content[section]:
            node = _node(entry, f"{where}: {section}")
            for value in (node.name, node.label, node.cui):
                if value in used:
                    raise InputError(f"{where}: node {node.name!r}: {value!r} appears twice")
                used.update([value] if value else [])
            graph[node.name] = node
        _check_edges(graph, where)
    return graphs


def _node(entry: Any, where: str) -> Node:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise InputError(f"{where}: an entry without a name: {entry!r}")
    name, parents = entry["name"], entry.get("parents", [])
    where = f"{where}: node {name!r}"
    for key in entry:
        require_choice(f"key of {where}", key, _KEYS)
    require(
        name == " ".join(name.lower().split()), f"{where}: write it in lower case, without blanks"
    )
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise InputError(f"{where}: parents is not a list of names: {parents!r}")
    label, cui = entry.get("label"), entry.get("cui")
    if label is not None:
        require_choice(f"label of {where}", label, FINDING_NAMES)
    if cui is not None:
        require(bool(_CUI.fullmatch(str(cui))), f"{where}: cui {cui!r} is not C and 7 digits")
    in_prompts = entry.get("in_prompts", False)
    require_choice(f"in_prompts of {where}", in_prompts, (True, False))
    return Node(name, tuple(parents), label, cui, in_prompts)


def _check_edges(graph: Mapping[str, Node], where: str) -> None:
    for node in graph.values():
        for parent in node.parents:
            why = f"{where}: node {node.name!r} has an unknown parent {parent!r}"
            require(parent in graph, why)
    try:
        TopologicalSorter({name: node.parents for name, node in graph.items()}).prepare()
    except CycleError as error:
        ring = " > ".join(error.args[1])
        raise InputError(f"{where}: node {error.args[1][0]!r} is above itself: {ring}") from None


@cache
def _graphs() -> Mapping[str, Mapping[str, Node]]:
    graphs = read_graphs(FILE.read_text(encoding="utf-8"), FILE.name)
    return {section: MappingProxyType(graph) for section, graph in graphs.items()}


def _graph_of(name: str) -> Mapping[str, Node]:
    for graph in _graphs().values():
        if name in graph:
            return graph
    raise InputError(f"unknown finding or place {name!r}: it is not in {FILE.name}")
