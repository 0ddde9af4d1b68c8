"""Problems of graphs: every defect in a line of its own, which begins with its kind."""

from collections import Counter
from collections.abc import Iterable, Iterator

from roentgen.graphs.graph import (
    RELATION_TYPES,
    Entity,
    Graph,
    GraphSchema,
    label_meaning,
    schema_of_label,
)


def problems(
    graph: Graph, text: str | None = None, schema: GraphSchema | None = None
) -> tuple[str, ...]:
    """All defects of a graph, as "kind: detail"; none for a sound one.

    `text` is the report that the graph is said to be of: the graph's text must be in it, but for
    blanks. `schema`: the one whose labels are expected; by default that of the first known label.
    """
    found = [*graph.unreadable, *_text_problems(graph, text)]
    ids = Counter(entity.id for entity in graph.entities)
    found += [f"duplicate id: {n} entities have {name!r}" for name, n in ids.items() if n > 1]
    tokens = graph.text.split()
    schema = schema or graph.schema
    for entity in graph.entities:
        found += _span_problems(entity, tokens)
        found += _label_problems(entity, schema)
        found += _relation_problems(entity, ids.keys())
    return (*found, *_cycles(graph))


def count_problems(lines: Iterable[str]) -> dict[str, int]:
    """How many lines of `problems` there are of each kind, the commonest first."""
    return dict(Counter(line.partition(":")[0] for line in lines).most_common())


def _text_problems(graph: Graph, text: str | None) -> Iterator[str]:
    own, report = "".join(graph.text.split()), "".join((text or "").split())
    if not own and (graph.entities or report):
        yield "no text: the graph's text is blank, but its entities or its report are not"
    elif text is not None and own not in report:
        yield "text differs from the report: the report does not contain the graph's text"


def _span_problems(entity: Entity, tokens: list[str]) -> Iterator[str]:
    start, end = entity.start, entity.end
    if start > end:
        yield f"start after end: entity {entity.id!r} has start_ix {start} and end_ix {end}"
    elif start < 0 or end >= len(tokens):
        yield (
            f"span beyond the text: entity {entity.id!r} has tokens {start} to {end}, the text has "
            f"{len(tokens)}"
        )
    elif " ".join(tokens[start : end + 1]) != entity.tokens:
        yield (
            f"tokens differ from the text: entity {entity.id!r} has other tokens than the text "
            f"has at {start} to {end}"
        )


def _label_problems(entity: Entity, schema: GraphSchema | None) -> Iterator[str]:
    if label_meaning(entity.label) is None:
        yield f"unknown label: entity {entity.id!r} has {entity.label!r}"
    elif schema_of_label(entity.label) != schema:
        yield (
            f"label of another schema: entity {entity.id!r} has {entity.label!r}, which is not of "
            f"{schema}"
        )


def _relation_problems(entity: Entity, ids: Iterable[str]) -> Iterator[str]:
    for relation in entity.relations:
        if relation.type not in RELATION_TYPES:
            yield f"unknown relation: entity {entity.id!r} has {relation.type!r}"
        if relation.target == entity.id:
            yield f"self relation: entity {entity.id!r} has {relation.type} to itself"
        elif relation.target not in ids:
            yield (
                f"missing target: entity {entity.id!r} has {relation.type} to "
                f"{relation.target!r}, which is no entity"
            )


def _cycles(graph: Graph) -> Iterator[str]:
    """Each relation that closes a cycle, by a depth-first search without recursion."""
    targets = {
        entity.id: [r.target for r in entity.relations if r.target != entity.id]
        for entity in graph.entities
    }
    done: set[str] = set()
    for root in targets:
        if root in done:
            continue
        path = {root: iter(targets[root])}  # in the order of the search
        while path:
            name = next(reversed(path))
            target = next(path[name], None)
            if target is None:
                del path[name]
                done.add(name)
            elif target in path:
                yield f"cycle: the relation of entity {name!r} to {target!r} closes one"
            elif target in targets and target not in done:
                path[target] = iter(targets[target])
