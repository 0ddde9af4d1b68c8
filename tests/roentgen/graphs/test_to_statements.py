from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.graphs.from_statements import graph_of_statements
from roentgen.graphs.graph import Entity, Graph, Relation
from roentgen.graphs.radgraph_json import graph_of
from roentgen.graphs.to_statements import GraphReading, statements_of_graph
from roentgen.graphs.word_meanings import WordMeanings
from roentgen.record.finding import Severity
from roentgen.record.radiograph import Report
from roentgen.record.statement import Evidence, Extent, Span, Statement, StatementState


def graph(text: str, *entities: tuple[Any, ...]) -> Graph:
    """Entities of (tokens, label letter, relation, target's tokens, ...); tokens are found once."""
    labels = {"A": "ANAT-DP", "P": "OBS-DP", "U": "OBS-U", "N": "OBS-DA"}
    ids = {tokens: str(i + 1) for i, (tokens, *_) in enumerate(entities)}
    words = text.split()
    made = []
    for tokens, letter, *rest in entities:
        start = next(i for i in range(len(words)) if " ".join(words[i:]).startswith(tokens))
        relations = [
            Relation(kind, ids[to]) for kind, to in zip(rest[::2], rest[1::2], strict=True)
        ]
        end = start + len(tokens.split()) - 1
        made.append(Entity(ids[tokens], tokens, labels[letter], start, end, tuple(relations)))
    return Graph(text, tuple(made))


Read = Callable[[Graph], list[Statement]]


@pytest.fixture
def read(meanings: WordMeanings) -> Read:
    def statements(made: Graph) -> list[Statement]:
        reading = statements_of_graph(made, meanings)
        assert reading.unread == ()
        return list(reading.statements)

    return statements


def test_sides_and_severity_are_of_the_main_observation(read: Read) -> None:
    made = graph(
        "Small left pleural effusion .",
        ("Small", "P", "modify", "effusion"),
        ("left", "A", "modify", "pleural"),
        ("pleural", "A"),
        ("effusion", "P", "located_at", "pleural"),
    )
    assert read(made) == [
        Statement(finding="pleural effusion", extents=(Extent("left", "small"),)),
    ]


def test_a_lobe_is_named_with_what_modifies_it(read: Read) -> None:
    made = graph(
        "Opacity in the right upper and left lower lobes .",
        ("Opacity", "U", "located_at", "lobes"),
        ("right", "A", "modify", "lobes"),
        ("upper", "A", "modify", "lobes"),
        ("left", "A", "modify", "lobes"),
        ("lower", "A", "modify", "lobes"),
        ("lobes", "A"),
    )
    assert read(made) == [
        Statement(
            finding="lung opacity",
            state="uncertain",
            extents=(
                Extent("right", None, ("upper lobe",)),
                Extent("left", None, ("lower lobe",)),
            ),
        )
    ]


def test_words_around_an_observation_make_its_name(read: Read) -> None:
    heart = graph(
        "The heart is mildly enlarged .",
        ("heart", "A"),
        ("mildly", "P", "modify", "enlarged"),
        ("enlarged", "P", "located_at", "heart"),
    )
    rib = graph(
        "left rib fracture .",
        ("left", "A", "modify", "rib"),
        ("rib", "A"),
        ("fracture", "N", "located_at", "rib"),
    )
    nodular = graph("nodular opacity", ("nodular", "P", "modify", "opacity"), ("opacity", "P"))
    tube = graph("chest tube", ("chest", "A"), ("tube", "P", "located_at", "chest"))
    assert read(heart) == [
        Statement(finding="cardiomegaly", extents=(Extent(None, "small"),)),
    ]
    assert read(rib) == [
        Statement(finding="rib fracture", state="absent", extents=(Extent("left"),))
    ]
    assert read(nodular) == [Statement(finding="nodular opacity")]
    assert read(tube) == [Statement(finding="chest tube")]


def test_a_name_needs_all_words_of_a_structure(read: Read) -> None:
    made = graph(
        "cardiac silhouette is enlarged",
        ("cardiac", "A", "modify", "silhouette"),
        ("silhouette", "A"),
        ("enlarged", "U", "located_at", "silhouette"),
    )
    assert read(made) == [Statement(finding="cardiomegaly", state="uncertain")]


def test_one_adjective_decides_for_several_findings(read: Read) -> None:
    silhouette = graph(
        "silhouette is normal", ("silhouette", "A"), ("normal", "P", "located_at", "silhouette")
    )
    both = graph(
        "heart normal , lungs clear",
        ("heart", "A"),
        ("normal", "U", "located_at", "heart"),
        ("lungs", "A"),
        ("clear", "P", "located_at", "lungs"),
    )
    assert read(silhouette) == [
        Statement(finding="cardiomegaly", state="absent"),
        Statement(finding="enlarged cardiomediastinum", state="absent"),
    ]
    assert read(both) == [
        Statement(finding="cardiomegaly", state="uncertain"),
        Statement(finding="lung opacity", state="absent"),
    ]


def test_what_is_not_normal_is_not_guessed(meanings: WordMeanings) -> None:
    made = graph("heart not normal", ("heart", "A"), ("normal", "N", "located_at", "heart"))
    assert statements_of_graph(made, meanings) == GraphReading(statements=(), unread=("normal",))


def test_a_place_is_kept_where_part_of_it_is_in_the_name(read: Read) -> None:
    made = graph(
        "left lower lobe collapse",
        ("left", "A", "modify", "lobe"),
        ("lower", "A", "modify", "lobe"),
        ("lobe", "A"),
        ("collapse", "P", "located_at", "lobe"),
    )
    assert read(made) == [
        Statement(finding="lobar atelectasis", extents=(Extent("left", None, ("lower lobe",)),))
    ]


def test_an_observation_that_modifies_anatomy_is_a_main_one(meanings: WordMeanings) -> None:
    made = graph("enlarged heart", ("enlarged", "P", "modify", "heart"), ("heart", "A"))
    assert statements_of_graph(made, meanings).unread == ("enlarged",)


def test_labels_of_xl_mean_the_same(read: Read) -> None:
    effusion = Entity("1", "effusion", "Observation::definitely absent", 3, 3)
    left = Entity("2", "left", "Anatomy::definitely present", 2, 2)
    related = replace(effusion, relations=(Relation("located_at", "2"),))
    assert read(Graph("There is left effusion", (related, left))) == [
        Statement(finding="pleural effusion", state="absent", extents=(Extent("left"),))
    ]


def test_size_and_change_are_modifiers(read: Read) -> None:
    made = graph(
        "stable 1 . 2 x 0 . 8 cm mass , 9 mm",
        ("stable", "P", "modify", "mass"),
        ("1 . 2 x 0 . 8 cm", "P", "modify", "mass"),
        ("mass", "P"),
        ("9 mm", "P", "modify", "mass"),
    )
    assert read(made) == [Statement(finding="mass", size_mm=12.0, change="unchanged")]


def test_modifiers_of_modifiers_count(read: Read) -> None:
    made = graph(
        "moderate left , decreased effusion",
        ("moderate", "P", "modify", "decreased"),
        ("left", "A"),
        ("decreased", "P", "modify", "effusion"),
        ("effusion", "P", "located_at", "left"),
    )
    assert read(made) == [
        Statement(
            finding="pleural effusion", extents=(Extent("left", "moderate"),), change="decreased"
        )
    ]


def test_a_change_of_anatomy_leaves_the_state_unknown(read: Read, meanings: WordMeanings) -> None:
    stable = ("unchanged", "P", "located_at", "heart size")
    made = graph("heart size is unchanged", ("heart size", "A"), stable)
    assert read(made) == [Statement(finding="cardiomegaly", state="stable")]
    larger = ("increased", "P", "located_at", "heart size")
    other = graph("heart size is increased", ("heart size", "A"), larger)
    assert statements_of_graph(other, meanings).unread == ("increased",)


def test_what_names_no_finding_is_listed(meanings: WordMeanings) -> None:
    made = graph(
        "bowel is clear , small device , effusion",
        ("bowel", "A"),
        ("clear", "P", "located_at", "bowel"),
        ("small", "P", "modify", "device"),
        ("device", "U"),
        ("effusion", "N"),
    )
    reading = statements_of_graph(made, meanings, source="RadGraph")
    assert reading.unread == ("clear", "device")
    assert reading.statements == (
        Statement(finding="pleural effusion", state="absent", source="RadGraph"),
    )


def test_a_graph_with_problems_is_refused(meanings: WordMeanings) -> None:
    loop = Entity("1", "a", "OBS-DP", 0, 0, (Relation("modify", "1"),))
    with pytest.raises(InputError, match="has no statements: self relation: entity '1'"):
        statements_of_graph(Graph("a", (loop,)), meanings)


def test_random_graphs_are_read(
    meanings: WordMeanings, drawn_graph: Callable[..., dict[str, Any]]
) -> None:
    draws = np.random.default_rng(4)
    for i in range(2000):
        made = graph_of(drawn_graph(draws, "xl" if i % 2 else "v1"))
        reading = statements_of_graph(made, meanings)
        assert len(reading.statements) + len(reading.unread) <= len(made.entities)


SENTENCES = [
    ("[severity Small] [side left] [finding pleural effusion].", [Extent("left", "small")], {}),
    (
        "[severity Moderate] [side right] and [severity small] [side left] [finding effusions].",
        [Extent("right", "moderate"), Extent("left", "small")],
        {},
    ),
    (
        "[finding Opacity] in the [side right] [place upper lobe] and [side left] [place base].",
        [Extent("right", None, ("upper lobe",)), Extent("left", None, ("basal",))],
        {},
    ),
    (
        "[side Right] [place middle lobe] and [place lower lobe] [severity mild] [finding opacity]",
        [Extent("right", "small", ("middle lobe", "lower lobe"))],
        {},
    ),
    (
        "[side Bilateral] [severity small] [finding effusions]",
        [Extent("left", "small"), Extent("right", "small")],
        {},
    ),
    (
        "[finding Atelectasis] in the [place lower lobes], [change increased], [size 1.5 cm]",
        [Extent(None, None, ("lower lobe",))],
        {"change": "increased", "size_mm": 15.0},
    ),
    (
        "[side Right] and [severity small] [side left] [finding pneumothorax]",
        [Extent("right"), Extent("left", "small")],
        {},
    ),
    ("[finding Cardiomegaly]/[change new]", [Extent()], {"change": "new"}),
]


@pytest.mark.parametrize(("source", "extents", "more"), SENTENCES)
@pytest.mark.parametrize("state", ["present", "uncertain", "absent"])
def test_statements_survive_the_graph(
    read: Read,
    meanings: WordMeanings,
    marked: Callable[[str], tuple[str, tuple[Span, ...]]],
    source: str,
    extents: list[Extent],
    more: dict[str, Any],
    state: StatementState,
) -> None:
    text, spans = marked(source)
    named = next(text[s.start : s.end].lower() for s in spans if s.role == "finding")
    (finding,) = meanings.findings(named)
    statement = Statement(
        finding=finding,
        state=state,
        extents=tuple(extents),
        evidence=Evidence("findings", 0, len(text), spans),
        **more,
    )
    made = graph_of_statements(Report(findings=text), [statement], meanings)
    assert read(made) == [replace(statement, evidence=None)]


def test_a_stable_statement_survives_the_graph(
    read: Read, meanings: WordMeanings, marked: Callable[[str], tuple[str, tuple[Span, ...]]]
) -> None:
    text, spans = marked("[finding Heart size] is [change unchanged].")
    statement = Statement(
        finding="cardiomegaly",
        state="stable",
        evidence=Evidence("impression", 0, len(text), spans),
    )
    made = graph_of_statements(Report(impression=text), [statement], meanings)
    assert read(made) == [replace(statement, evidence=None)]


def test_reports_of_many_statements_survive_the_graph(
    read: Read, meanings: WordMeanings, marked: Callable[[str], tuple[str, tuple[Span, ...]]]
) -> None:
    """Every combination of state, severity, side and place, five to a report."""
    severities: tuple[Severity | None, ...] = (None, "small", "moderate", "large")
    states: tuple[StatementState, ...] = ("present", "uncertain", "absent")
    places = (None, "lower lobe", "upper lobe")
    choices = [*product(states, severities, (None, "left", "right"), places)]
    np.random.default_rng(5).shuffle(choices)
    for first in range(0, len(choices), 5):
        text, statements = "", []
        for state, severity, side, place in choices[first : first + 5]:
            roles = {"severity": severity, "side": side, "place": place, "finding": "opacity"}
            source = " ".join(f"[{role} {words}]" for role, words in roles.items() if words)
            sentence, spans = marked(f"{source}. ")
            offset = len(text)
            text += sentence
            moved = tuple(Span(s.role, s.start + offset, s.end + offset) for s in spans)
            extent = Extent(side, severity, (place,) if place else ())  # type: ignore[arg-type]
            evidence = Evidence("findings", offset, len(text), moved)
            statements.append(
                Statement(finding="lung opacity", state=state, extents=(extent,), evidence=evidence)
            )
        made = graph_of_statements(Report(findings=text), statements, meanings)
        assert read(made) == [replace(statement, evidence=None) for statement in statements]
