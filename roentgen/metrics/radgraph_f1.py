"""RadGraph F1: how far two reports' graphs agree, in entities and in relations.

Variants in use differ, so that each number is named. Of the package `radgraph` (Delbrouck et al.,
Findings of EMNLP 2022): simple, partial (the one usually reported) and complete, there called RG_E,
RG_ER and RG_ER-bar. Of RadCliQ (Yu et al., Patterns 2023) and ReXrank: combined, the mean of the F1
of entities and that of relations.
"""

from collections.abc import Hashable, Sequence
from typing import Literal, get_args

import numpy as np

from roentgen.errors import InputError, require
from roentgen.graphs.graph import Entity, Graph
from roentgen.metrics.estimates import (
    Estimate,
    NotMeasured,
    bootstrap_weights,
    count_patients,
    percentile_interval,
    weighted_mean,
)

F1Variant = Literal["simple", "partial", "complete", "combined"]
# "as_published": as each variant's own code, which compares tokens as they are written, except in
# relations of complete. "ignored": in lower case everywhere.
LetterCase = Literal["as_published", "ignored"]
F1_VARIANTS: tuple[F1Variant, ...] = get_args(F1Variant)


def graph_f1(
    hypothesis: Graph, reference: Graph, case: LetterCase = "as_published"
) -> dict[F1Variant, float]:
    """The F1 of a report's graph against the reference's by variant, each 0 to 1.

    It is 0 where either graph has nothing to compare, even if both have nothing. Raises InputError
    for a relation to an entity that is not there, and for graphs of two schemas.
    """
    schemas = (hypothesis.schema, reference.schema)
    require(
        None in schemas or len(set(schemas)) == 1,
        f"graphs with labels of {schemas[0]} and {schemas[1]} cannot be compared",
    )
    a, b = _items(hypothesis, case), _items(reference, case)
    f1 = {name: _f1(a[name], b[name]) for name in a}
    return {
        "simple": f1["simple"],
        "partial": f1["partial"],
        "complete": f1["complete"],
        "combined": (f1["simple"] + f1["relations"]) / 2,
    }


def radgraph_f1(
    pairs: Sequence[tuple[Graph, Graph]],
    patients: Sequence[str],
    *,
    samples: int,
    seed: int,
    case: LetterCase = "as_published",
) -> dict[F1Variant, Estimate]:
    """The mean of `graph_f1` over pairs of (hypothesis, reference), with a bootstrap interval.

    `patients` is the patient of each pair: patients are resampled, `samples` times.
    """
    if not pairs:
        return dict.fromkeys(F1_VARIANTS, NotMeasured("no pair of graphs"))
    table = [graph_f1(hypothesis, reference, case) for hypothesis, reference in pairs]
    weights = bootstrap_weights(patients, samples, seed)
    result: dict[F1Variant, Estimate] = {}
    for variant in F1_VARIANTS:
        values = np.array([row[variant] for row in table], dtype=np.float64)
        low, high = percentile_interval(weighted_mean(values, weights))
        result[variant] = Estimate(
            value=float(values.mean()),
            low=low,
            high=high,
            n=len(values),
            patients=count_patients(patients),
        )
    return result


def _items(graph: Graph, case: LetterCase) -> dict[str, set[Hashable]]:
    """What is compared: by variant, and the relations of combined."""
    by_id = graph.by_id()
    words = {
        name: entity.tokens.lower() if case == "ignored" else entity.tokens
        for name, entity in by_id.items()
    }
    items: dict[str, set[Hashable]] = {
        name: set() for name in ("simple", "partial", "complete", "relations")
    }
    for name, entity in by_id.items():
        own = (words[name], entity.label)
        items["simple"].add(own)
        items["partial"].add((own, bool(entity.relations)))
        if not entity.relations:
            items["complete"].add(own)
        for kind, target in _targets(entity, by_id):
            here, there = words[name].lower(), words[target.id].lower()
            items["complete"].add((here, entity.label, kind, there))
            items["relations"].add((own, (words[target.id], target.label), kind))
    return items


def _targets(entity: Entity, by_id: dict[str, Entity]) -> list[tuple[str, Entity]]:
    for relation in entity.relations:
        if relation.target not in by_id:
            raise InputError(
                f"entity {entity.id!r} of a graph has {relation.type} to {relation.target!r}, "
                "which is no entity: exclude graphs that have problems"
            )
    return [(relation.type, by_id[relation.target]) for relation in entity.relations]


def _f1(hypothesis: set[Hashable], reference: set[Hashable]) -> float:
    common = len(hypothesis & reference)
    if not common:
        return 0.0
    precision, recall = common / len(hypothesis), common / len(reference)
    return 2 * precision * recall / (precision + recall)
