from collections.abc import Callable

import pytest

from roentgen.errors import InputError
from roentgen.graphs.from_statements import graph_of_statements
from roentgen.graphs.graph import Entity, Graph, Relation
from roentgen.graphs.problems import problems
from roentgen.graphs.word_meanings import WordMeanings
from roentgen.record.radiograph import Report
from roentgen.record.statement import Evidence, ReadSection, Span, Statement, StatementState

Marked = Callable[[str], tuple[str, tuple[Span, ...]]]


@pytest.fixture
def graph(marked: Marked, meanings: WordMeanings) -> Callable[..., Graph]:
    def make(source: str, state: StatementState = "present", finding: str = "x") -> Graph:
        text, spans = marked(source)
        evidence = Evidence("findings", 0, len(text), spans)
        statement = Statement(finding=finding, state=state, evidence=evidence)
        return graph_of_statements(Report(findings=text), [statement], meanings)

    return make


def rows(graph: Graph) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(tokens, label, [(relation, target's tokens), ...]) of each entity."""
    by_id = graph.by_id()
    return [
        (e.tokens, e.label, [(r.type, by_id[r.target].tokens) for r in e.relations])
        for e in graph.entities
    ]


def test_a_finding_is_an_observation_with_sides_as_anatomy(graph: Callable[..., Graph]) -> None:
    made = graph("There is a [severity small], [side left] [finding pleural effusion].")
    assert made.text == "There is a small , left pleural effusion ."
    assert made.entities == (
        Entity("1", "small", "OBS-DP", 3, 3, (Relation("modify", "3"),)),
        Entity("2", "left", "ANAT-DP", 5, 5),
        Entity("3", "pleural effusion", "OBS-DP", 6, 7, (Relation("located_at", "2"),)),
    )
    assert problems(made, "There is a small, left pleural effusion.", "v1") == ()


@pytest.mark.parametrize(
    ("state", "label"), [("present", "OBS-DP"), ("uncertain", "OBS-U"), ("absent", "OBS-DA")]
)
def test_modifiers_have_the_state_of_their_finding(
    graph: Callable[..., Graph], state: StatementState, label: str
) -> None:
    made = graph("[cue no] [severity large] [finding mass] of [size 3.5 cm], [change new]", state)
    assert rows(made) == [
        ("large", label, [("modify", "mass")]),
        ("mass", label, []),
        ("3 . 5 cm", label, [("modify", "mass")]),
        ("new", label, [("modify", "mass")]),
    ]


@pytest.mark.parametrize(
    ("source", "state", "expected"),
    [
        (
            "[finding Heart size] is [cue unchanged].",
            "stable",
            [
                ("Heart size", "ANAT-DP", []),
                ("unchanged", "OBS-DP", [("located_at", "Heart size")]),
            ],
        ),
        (
            "[finding Heart size] is [change unchanged].",
            "stable",
            [
                ("Heart size", "ANAT-DP", []),
                ("unchanged", "OBS-DP", [("located_at", "Heart size")]),
            ],
        ),
        (
            "[finding Heart] is [cue normal].",
            "absent",
            [("Heart", "ANAT-DP", []), ("normal", "OBS-DP", [("located_at", "Heart")])],
        ),
        (
            "[finding Heart], [severity mildly] [cue enlarged]?",
            "uncertain",
            [
                ("Heart", "ANAT-DP", []),
                ("mildly", "OBS-U", [("modify", "enlarged")]),
                ("enlarged", "OBS-U", [("located_at", "Heart")]),
            ],
        ),
        (  # the finding is named: its cue is none of the graph
            "[cue No] [finding cardiomegaly].",
            "absent",
            [("cardiomegaly", "OBS-DA", [])],
        ),
    ],
)
def test_a_structure_is_anatomy_and_its_adjective_an_observation(
    graph: Callable[..., Graph],
    source: str,
    state: StatementState,
    expected: list[tuple[str, str, list[tuple[str, str]]]],
) -> None:
    assert rows(graph(source, state, "cardiomegaly")) == expected


def test_a_stable_statement_needs_the_words_that_say_so(graph: Callable[..., Graph]) -> None:
    with pytest.raises(InputError, match="'cardiomegaly' is stable, but has no words that say so"):
        graph("[finding Heart size]", "stable", "cardiomegaly")


def test_what_is_interpreted_suggests_the_interpretation(
    marked: Marked, meanings: WordMeanings
) -> None:
    text, opacity = marked("[side Right] [finding opacity], [cue likely] pneumonia.")
    other, pneumonia = marked("Right [explained opacity], [cue likely] [finding pneumonia].")
    assert text == other
    report = Report(impression=text)
    evidence = [Evidence("impression", 0, len(text), words) for words in (opacity, pneumonia)]
    statements = [
        Statement(finding="pneumonia", state="uncertain", evidence=evidence[1]),
        Statement(finding="lung opacity", evidence=evidence[0]),
    ]
    assert rows(graph_of_statements(report, statements, meanings)) == [
        ("Right", "ANAT-DP", []),
        ("opacity", "OBS-DP", [("suggestive_of", "pneumonia"), ("located_at", "Right")]),
        ("pneumonia", "OBS-U", []),
    ]
    alone = graph_of_statements(report, statements[:1], meanings)
    assert rows(alone) == [
        ("opacity", "OBS-DP", [("suggestive_of", "pneumonia")]),
        ("pneumonia", "OBS-U", []),
    ]


def test_sections_follow_each_other(marked: Marked, meanings: WordMeanings) -> None:
    statements = []
    sections: tuple[tuple[ReadSection, str], ...] = (
        ("impression", "1. [finding Edema]"),
        ("findings", "Heart is [finding enlarged]"),
    )
    texts = {}
    for section, source in sections:
        texts[section], spans = marked(source)
        statements.append(Statement(finding="x", evidence=Evidence(section, 0, 1, spans)))
    made = graph_of_statements(Report(**texts, indication="cough"), statements, meanings)
    assert made.text == "Heart is enlarged 1 . Edema"
    assert [(e.tokens, e.start) for e in made.entities] == [("enlarged", 2), ("Edema", 5)]


def test_two_statements_share_words(marked: Marked, meanings: WordMeanings) -> None:
    text, spans = marked("[side Bibasilar] [finding effusions] and [finding atelectasis]")
    words = [(spans[0], spans[1]), (spans[0], spans[2])]
    statements = [
        Statement(finding="x", evidence=Evidence("findings", 0, 1, each)) for each in words
    ]
    assert rows(graph_of_statements(Report(findings=text), statements, meanings)) == [
        ("Bibasilar", "ANAT-DP", []),
        ("effusions", "OBS-DP", [("located_at", "Bibasilar")]),
        ("atelectasis", "OBS-DP", [("located_at", "Bibasilar")]),
    ]


def test_parts_of_a_name_belong_together(graph: Callable[..., Graph]) -> None:
    assert rows(graph("[finding Heart] is [severity mildly] [finding enlarged]")) == [
        ("Heart", "OBS-DP", []),
        ("mildly", "OBS-DP", [("modify", "Heart")]),
        ("enlarged", "OBS-DP", [("modify", "Heart")]),
    ]


def test_a_statement_that_is_not_of_the_report_is_refused(meanings: WordMeanings) -> None:
    report = Report(findings="A mass .  ", impression="")
    with pytest.raises(InputError, match="'mass lesion' has no words of a report"):
        graph_of_statements(report, [Statement(finding="mass lesion")], meanings)
    for section, start, end in (
        ("findings", 2, 11),
        ("findings", -1, 3),
        ("findings", 3, 3),
        ("findings", 8, 10),
        ("impression", 0, 1),
    ):
        evidence = Evidence(section, 0, 1, (Span("finding", start, end),))  # type: ignore[arg-type]
        with pytest.raises(InputError, match=f"finding at characters {start} to {end} of the"):
            graph_of_statements(report, [Statement(finding="mass", evidence=evidence)], meanings)


def test_no_statements_are_a_graph_without_entities(meanings: WordMeanings) -> None:
    assert graph_of_statements(Report(), [], meanings) == Graph(
        "", (), {"data_source": None, "data_split": "inference"}
    )
