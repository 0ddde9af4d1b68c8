import csv
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

import roentgen.labelers.rules.lexicon as rules
from roentgen.labelers.rules.rule_labeler import label_report, statements_of
from roentgen.labelers.rules.tokens import token_spans, words_of
from roentgen.record.radiograph import Report
from roentgen.record.statement import Statement
from roentgen.statements.hierarchy import findings, places

SIGNS = {"present": "+", "absent": "-", "uncertain": "?", "stable": "="}
SIDES = {"left", "right", "bilateral"}


def sentences() -> dict[str, str]:
    """Sentences with what they state, in the form of `summary`."""
    path = Path(__file__).parent / "spanish_sentences.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {row["sentence"]: row["statements"] for row in csv.DictReader(file)}


def summary(text: str) -> str:
    """Statements as "finding sign side severity places, other side ... change", joined by ";"."""
    return "; ".join(
        " ".join([one.finding, SIGNS[one.state], described(one)]).strip()
        for one in statements_of(Report(findings=text), "es")
    )


def described(statement: Statement) -> str:
    extents = [
        " ".join(word for word in (e.side, e.severity, *e.places) if word)
        for e in statement.extents
    ]
    return " ".join(filter(None, [", ".join(extents), statement.change]))


def stemmed(text: str) -> str:
    """A text with each word in the form in which it is looked up."""
    spans = token_spans(text)
    ends = [0, *(end for _, end in spans)]
    gaps = [text[end:start] for end, (start, _) in zip(ends, spans, strict=False)]
    words = [words_of(text[start:end], "es")[0] for start, end in spans]
    return "".join(gap + word for gap, word in zip(gaps, words, strict=True)) + text[ends[-1] :]


@pytest.mark.parametrize(("text", "expected"), sentences().items())
def test_statements_of_a_sentence(text: str, expected: str) -> None:
    assert summary(text) == expected


@pytest.mark.parametrize("text", sentences())
def test_a_stemmed_sentence_reads_the_same(text: str) -> None:
    assert stemmed(stemmed(text)) == stemmed(text)
    assert summary(stemmed(text)) == summary(text)


def test_labels_of_a_report() -> None:
    report = Report(findings="Cardiomegalia. Derrame pleural izquierdo. Sin neumotórax.")
    found = {finding.name: (finding.state, finding.side) for finding in label_report(report, "es")}
    assert found == {
        "Cardiomegaly": ("present", None),
        "Pleural Effusion": ("present", "left"),
        "Pneumothorax": ("absent", None),
    }


@pytest.mark.parametrize(
    "text",
    [
        "Tórax sin hallazgos.",
        "Radiografía de tórax normal.",
        "Sin alteraciones pleuropulmonares agudas. Silueta cardíaca normal.",
        "No se observan hallazgos patológicos.",
    ],
)
def test_normal_reports(text: str) -> None:
    names = {finding.name for finding in label_report(Report(findings=text), "es")}
    assert "No Finding" in names


def test_each_phrase_has_one_meaning() -> None:
    """Different words can have one stem: "sino" is stemmed as "sin"."""
    path = Path(rules.__file__).parent / "words" / "es.yaml"
    meanings = defaultdict(set)
    for meaning, template in rules._entries(yaml.safe_load(path.read_text(encoding="utf-8"))):
        for phrase in rules._expand(template):
            meanings[tuple(words_of(phrase, "es"))].add(meaning)
    assert {phrase: found for phrase, found in meanings.items() if len(found) > 1} == {}


def test_names_are_nodes_of_the_hierarchy() -> None:
    path = Path(rules.__file__).parent / "words" / "es.yaml"
    words = yaml.safe_load(path.read_text(encoding="utf-8"))
    named = {name for key in words["findings"] for name in key.split(", ")}
    assert named <= findings().keys()
    located = {name for key in words["places"] for name in key.split(", ")}
    assert located <= places().keys() | SIDES | {"upper", "mid", "lower", "elliptic"}
