from collections.abc import Sequence

import pytest

from roentgen.graphs.from_statements import graph_of_statements
from roentgen.graphs.problems import problems
from roentgen.graphs.radgraph_json import graph_of
from roentgen.graphs.to_statements import statements_of_graph
from roentgen.graphs.word_meanings import RuleMeanings, WordKind
from roentgen.labelers.rules.rule_labeler import statements_of
from roentgen.record.radiograph import Report
from roentgen.record.statement import Statement

MEANINGS = RuleMeanings()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("opacities", {"lung opacity": "present"}),
        ("normal heart", {"cardiomegaly": "absent"}),
        ("heart enlarged", {"cardiomegaly": "present"}),
        ("lungs clear", {"lung opacity": "absent"}),
        ("chest tube", {"chest tube": "present"}),
        ("left", {}),
        ("lower lobe", {}),
        ("normal", {}),
        ("", {}),
    ],
)
def test_words_name_findings(words: str, found: dict[str, str]) -> None:
    assert MEANINGS.findings(words) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("left", [("side", "left")]),
        ("bibasilar", [("side", "bilateral"), ("place", "basal")]),
        ("lower lobes", [("place", "lower lobe")]),
        ("tiny", [("severity", "small")]),
        ("increased", [("change", "increased")]),
        ("upper", []),
        ("effusion", []),
        ("", []),
    ],
)
def test_words_are_attributes(words: str, found: Sequence[tuple[WordKind, str]]) -> None:
    assert [*MEANINGS.attributes(words)] == found


@pytest.mark.parametrize(
    "text",
    [
        "Moderate right and small left pleural effusions. No pneumothorax.",
        "The heart is mildly enlarged. The lungs are clear.",
        "Heart size is unchanged.",
        "The cardiomediastinal silhouette is unremarkable.",
        "Possible nodule in the right upper lobe.",
        "Right upper lobe and left lower lobe consolidation.",
        "Bibasilar atelectasis, increased. No focal consolidation or effusion.",
        "Emphysema. Small hiatal hernia. Healed left rib fractures.",
        "Endotracheal tube and right chest tube. A 12 mm mass in the left apex.",
        "Left basilar opacity, likely pneumonia.",
        "No large right pneumothorax; mild pulmonary edema.",
    ],
)
def test_what_a_report_states_is_what_its_graph_states(text: str) -> None:
    report = Report(findings=text)
    statements = statements_of(report)
    assert statements
    graph = graph_of_statements(report, statements, MEANINGS)
    assert problems(graph, text, "v1") == ()
    reading = statements_of_graph(graph, MEANINGS)
    assert reading.unread == ()

    def known(found: Sequence[Statement]) -> list[tuple[object, ...]]:
        return sorted(
            (s.finding, s.state, sorted(map(repr, s.extents)), s.size_mm, s.change or "")
            for s in found
        )

    assert known(reading.statements) == known(statements)


def test_the_package_s_example_is_read() -> None:
    """The example of the package radgraph's documentation."""
    graph = graph_of(
        {
            "text": "No evidence of pneumothorax following chest tube removal .",
            "entities": {
                "1": {
                    "tokens": "pneumothorax",
                    "label": "Observation::definitely absent",
                    "start_ix": 3,
                    "end_ix": 3,
                    "relations": [],
                },
                "2": {
                    "tokens": "chest",
                    "label": "Anatomy::definitely present",
                    "start_ix": 5,
                    "end_ix": 5,
                    "relations": [],
                },
                "3": {
                    "tokens": "tube",
                    "label": "Observation::definitely present",
                    "start_ix": 6,
                    "end_ix": 6,
                    "relations": [["located_at", "2"]],
                },
            },
            "data_source": None,
            "data_split": "inference",
        }
    )
    assert statements_of_graph(graph, MEANINGS).statements == (
        Statement(finding="pneumothorax", state="absent"),
        Statement(finding="chest tube"),
    )
