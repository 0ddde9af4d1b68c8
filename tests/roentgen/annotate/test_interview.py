"""Interviews: from answers to statements."""

import importlib.util
import io
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import pytest

from eval.labeling.cases import half_of
from roentgen.annotate.calibration import Calibration, IsotonicCurve, PlattCurve
from roentgen.annotate.interview import Interviewed, interview
from roentgen.annotate.question_graph import ReadState, SideName
from roentgen.annotate.questions import FILE, Query, QuestionTree, load_questions
from roentgen.annotate.readers.choices import Answer, ChoiceQuestion, Fault, TokenCount
from roentgen.corpora.open_i.open_i import read_reports
from roentgen.labelers.rules.rule_labeler import statements_of
from roentgen.record.finding import SEVERITIES, Severity
from roentgen.record.statement import STATEMENT_STATES, Extent, Statement
from roentgen.statements.hierarchy import labels_of
from roentgen.statements.maplez import annotations_of, write_maplez
from tests.roentgen.annotate.gold_answers import (
    DEGREES,
    NOTHING,
    Gold,
    GoldReader,
    gold_of,
    queries_by_text,
)

TREE = load_questions()
PACKAGE = importlib.util.find_spec("torchxrayvision")  # it holds the reports of Open-i
Items = set[tuple[Any, ...]]


class Answers:
    """A reader that answers by a function of the query and its choices."""

    tokens = TokenCount()

    def __init__(self, answer: Callable[[Query, tuple[str, ...]], Answer]) -> None:
        self._answer = answer

    def ask(self, questions: Sequence[ChoiceQuestion]) -> list[Answer]:
        by_text = queries_by_text(TREE)
        return [self._answer(by_text[q.text], q.choices) for q in questions]


def random_gold(draw: random.Random, tree: QuestionTree) -> dict[str, Gold]:
    """Statements on each finding, in every state, way and extent that a report may have."""
    return {finding: random_finding(draw, tree, finding) for finding in tree.findings}


def random_finding(draw: random.Random, tree: QuestionTree, finding: str) -> Gold:
    states: list[ReadState] = [*STATEMENT_STATES, "present", "uncertain", "not mentioned"]
    state = draw.choice(states)
    device = finding == "support devices"
    by_change = state != "uncertain" and draw.random() < 0.3
    if state == "not mentioned" or (device and state == "stable"):
        return NOTHING
    if state in ("absent", "stable"):
        by_change = by_change and not device
        stable = by_change or state == "stable"
        return Gold(state, change="unchanged" if stable else None, by_change=by_change)
    degrees = ("certain", "likely") if state == "present" else ("possible", "unlikely")
    named: list[list[SideName | None]] = [[None], ["left"], ["right"], ["left", "right"]]
    places = tree.places[tree.findings[finding].places or ""]
    severities: list[Severity | None] = [None, *SEVERITIES]
    return Gold(
        state,
        degree="certain" if by_change else draw.choice(degrees),
        extents=tuple(
            Extent(
                side,
                draw.choice(severities),
                tuple(p for p in places if draw.random() < draw.choice((0, 0.2))),
            )
            for side in draw.choice(named)
        ),
        change="unchanged" if by_change else None,
        by_change=by_change,
    )


def items(statements: Iterable[Statement]) -> dict[str, Items]:
    """What statements say, by aspect, as sets that an F1 is of."""
    found: dict[str, Items] = {"state": set(), "side": set(), "severity": set(), "place": set()}
    for s in statements:
        found["state"].add((s.finding, s.state))
        for e in s.extents:
            found["side"].add((s.finding, e.side))
            found["severity"].add((s.finding, e.side, e.severity))
            found["place"].update((s.finding, e.side, place) for place in e.places)
    return found


def expected(gold: Mapping[str, Gold]) -> list[Statement]:
    return [
        Statement(
            finding=finding,
            state=known.state,
            probability={"absent": 0.0, "stable": None}.get(known.state, DEGREES[known.degree]),
            extents=known.extents,
            change=known.change,
            source="gold",
        )
        for finding, known in gold.items()
        if known.state != "not mentioned"
    ]


def f1(pairs: Iterable[tuple[dict[str, Items], dict[str, Items]]]) -> dict[str, float]:
    counts: Counter[tuple[str, str]] = Counter()
    for true, read in pairs:
        for aspect, gold in true.items():
            counts[aspect, "hit"] += 2 * len(gold & read[aspect])
            counts[aspect, "all"] += len(gold) + len(read[aspect])
    return {aspect: counts[aspect, "hit"] / counts[aspect, "all"] for aspect, _ in counts}


def test_gold_drives_the_whole_tree_to_what_it_states() -> None:
    draw = random.Random(6)
    pairs = []
    put: Counter[tuple[str, str]] = Counter()
    for _ in range(200):
        gold = random_gold(draw, TREE)
        reader = GoldReader(TREE, gold)
        result = interview(reader, TREE, source="gold")
        assert list(result.statements) == expected(gold)
        assert (result.unanswered, result.faults) == ((), ())
        assert result.questions == sum(map(len, reader.steps))
        pairs.append((items(expected(gold)), items(result.statements)))
        put.update((d.query.question, d.choice) for d in result.decisions)
    assert f1(pairs) == {"state": 1, "side": 1, "severity": 1, "place": 1}
    every = {(name, c) for name, q in TREE.questions.items() for c in q.choices}
    assert set(put) == every


def open_i_statements(most: int | None) -> Iterator[tuple[Statement, ...]]:
    """What the rules read in reports of Open-i's development half."""
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    source = Path(PACKAGE.origin).parent / "data" / "NLMCXR_reports.tgz"
    half = (item for item in read_reports(source) if half_of(item.id) == "development")
    return (statements_of(item.report) for item in islice(half, most))


@pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision, which holds the reports, is absent")
@pytest.mark.parametrize("most", [300, pytest.param(None, marks=pytest.mark.slow)])
def test_what_rules_read_in_open_i_is_given_back(most: int | None) -> None:
    """Statements, and MAPLEZ's cells of them, as far as its table and the lists of places go."""
    pairs = []
    dropped = questions = reports = 0
    for statements in open_i_statements(most):
        gold, without_place = gold_of(statements, TREE)
        result = interview(GoldReader(TREE, gold), TREE, source="gold")
        pairs.append((items(expected(gold)), items(result.statements)))
        assert list(result.statements) == sorted(expected(gold), key=in_order)
        for name, cell in annotations_of(result.statements).items():
            own = [s for s in statements if name in labels_of(s.finding)]
            theirs = annotations_of(own)[name]
            assert (cell.label, cell.severity) == (theirs.label, theirs.severity)
        dropped += without_place
        questions += result.questions
        reports += 1
    assert f1(pairs) == {"state": 1, "side": 1, "severity": 1, "place": 1}
    assert dropped <= 0.005 * sum(len(true["place"]) for true, _ in pairs) + 1
    print(f"{reports} reports, {questions / reports:.1f} questions a report, {dropped} dropped")


def in_order(statement: Statement) -> int:
    return list(TREE.findings).index(statement.finding)


def test_each_side_has_its_own_severity_and_places() -> None:
    """ "Moderate right basal and small left pleural effusion, called unchanged." """
    extents = (Extent("left", "small"), Extent("right", "moderate", ("basal", "fissure")))
    gold = {"pleural effusion": Gold("present", extents=extents)}
    (found,) = interview(GoldReader(TREE, gold), TREE, source="m@1").statements
    assert found == Statement(
        finding="pleural effusion", probability=1.0, extents=extents, source="m@1"
    )


def test_a_device_called_unchanged_is_there() -> None:
    """MAPLEZ's special case: without a question."""
    gold = dict.fromkeys(TREE.findings, Gold("stable", change="unchanged"))
    reader = GoldReader(TREE, gold)
    result = interview(reader, TREE, source="m")
    assert {s.finding for s in result.statements if s.state == "present"} == {"support devices"}
    assert Counter(s.state for s in result.statements) == {"stable": 12, "present": 1}
    assert {s.probability for s in result.statements if s.state == "stable"} == {None}
    put = {query for step in reader.steps for query in step}
    assert Query("support devices", "observed") not in put
    assert Query("cardiomegaly", "observed") in put


def test_open_questions_of_all_findings_are_one_step() -> None:
    draw = random.Random(1)
    for _ in range(20):
        reader = GoldReader(TREE, random_gold(draw, TREE))
        interview(reader, TREE, source="m")
        assert [query.finding for query in reader.steps[0]] == list(TREE.findings)
        assert {query.question for query in reader.steps[0]} == {"presence"}
        put = [query for step in reader.steps for query in step]
        assert len(set(put)) == len(put)
        # presence, stable, observed, side, placed, place
        assert len(reader.steps) <= 6


@pytest.mark.parametrize("fault", get_args(Fault))
def test_an_unanswered_question_leaves_its_finding_open(fault: Fault) -> None:
    draw = random.Random(2)
    for _ in range(30):
        gold = random_gold(draw, TREE)
        whole = interview(GoldReader(TREE, gold), TREE, source="m")
        put = [d.query for d in whole.decisions if d.probabilities]
        failed = draw.choice(put)
        reader = GoldReader(TREE, gold)

        def answer(
            query: Query, choices: tuple[str, ...], failed: Query = failed, gold: Any = reader
        ) -> Answer:
            return Answer(fault=fault) if query == failed else gold.answer(TREE.text_of(query))

        result = interview(Answers(answer), TREE, source="m")
        assert result.unanswered == (failed.finding,)
        assert result.faults == ((failed, fault),)
        others = tuple(s for s in whole.statements if s.finding != failed.finding)
        assert result.statements == others


def test_an_answer_with_a_fault_counts_and_is_listed() -> None:
    def answer(query: Query, choices: tuple[str, ...]) -> Answer:
        return Answer((0.0,) * (len(choices) - 1) + (1.0,), "no probabilities")

    result = interview(Answers(answer), TREE, source="m")
    assert (result.statements, result.unanswered) == ((), ())
    assert [fault for _, fault in result.faults] == ["no probabilities"] * 39


def test_a_report_without_any_answer_has_no_statement() -> None:
    result = interview(Answers(lambda *_: Answer(fault="timeout")), TREE, source="m")
    assert result.statements == ()
    assert result.unanswered == tuple(TREE.findings)
    assert (result.questions, len(result.faults), result.scores) == (13, 13, {})


def one(finding: str, **answers: Sequence[float]) -> Interviewed:
    """An interview in which all but one finding are not there."""

    def answer(query: Query, choices: tuple[str, ...]) -> Answer:
        if query.finding == finding and query.question in answers:
            return Answer(tuple(answers[query.question]))
        return Answer((0.0,) * (len(choices) - 1) + (1.0,))

    return interview(Answers(answer), TREE, source="m")


def test_the_probability_is_the_mean_over_choices() -> None:
    (found,) = one("edema", presence=(0.9, 0.1), certainty=(0.1, 0.5, 0.3, 0.1)).statements
    assert found.state == "present"
    # 0.9 x (0.1 x 1 + 0.5 x 0.8 + 0.3 x 0.5 + 0.1 x 0.2), and nothing for "no"
    assert found.probability == pytest.approx(0.9 * 0.67)
    (found,) = one("edema", presence=(0.7, 0.3), certainty=(0.2, 0.1, 0.4, 0.3)).statements
    assert found.state == "uncertain"
    assert found.probability == pytest.approx(0.7 * 0.54)
    (found,) = one("edema", presence=(0.3, 0.7), denied=(0.6, 0.4)).statements
    assert found.state == "absent"
    assert found.probability == pytest.approx(0.3)
    # 0.2 x 1 for "yes", and 0.8 x (0.9 x 1 + 0.1 x 0) for what is called unchanged
    found_by_change = one("edema", presence=(0.2, 0.8), stable=(1, 0), observed=(0.9, 0.1))
    (found,) = found_by_change.statements
    assert (found.state, found.change) == ("present", "unchanged")
    assert found.probability == pytest.approx(0.2 + 0.8 * 0.9)
    (found,) = one("edema", stable=(0.6, 0.4), normal=(0.3, 0.7)).statements
    assert (found.state, found.probability) == ("stable", None)


def test_equal_choices_count_by_their_order() -> None:
    (found,) = one("edema", presence=(0.5, 0.5), certainty=(0.25,) * 4).statements
    assert found.state == "present"


def test_a_calibrated_answer_decides() -> None:
    """A reader that says "yes" to all is of use once calibrated."""
    steep = IsotonicCurve(scores=(0.8, 1.0), probabilities=(0.0, 1.0))
    calibration = Calibration(
        reader="m",
        questions=TREE.fingerprint,
        pooled=PlattCurve(slope=1, intercept=0),
        findings={"edema": steep},
    )
    scores = {"edema": 0.85, "pneumonia": 0.85, "fracture": 0.95}

    def answer(query: Query, choices: tuple[str, ...]) -> Answer:
        if query.question == "presence":
            score = scores.get(query.finding, 0.0)
            return Answer((score, 1 - score))
        return Answer((1.0,) + (0.0,) * (len(choices) - 1))

    plain = interview(Answers(answer), TREE, source="m")
    found = interview(Answers(answer), TREE, source="m", calibration=calibration)
    assert plain.scores == found.scores
    assert plain.scores["edema"] == 0.85
    by_finding = {s.finding: s for s in found.statements}
    assert by_finding["pneumonia"].probability == pytest.approx(0.85)
    assert by_finding["edema"].state == "present"  # "yes" to "unchanged" and "may it be there"
    start = next(d for d in found.decisions if d.query == Query("edema", "presence"))
    assert start.choice == "no"
    assert start.probabilities == pytest.approx((0.25, 0.75))


def test_a_random_reader_gives_valid_choices_only() -> None:
    def read(seed: int) -> list[Interviewed]:
        draw = random.Random(seed)

        def answer(query: Query, choices: tuple[str, ...]) -> Answer:
            weights = [draw.random() for _ in choices]
            return Answer(tuple(weight / sum(weights) for weight in weights))

        return [interview(Answers(answer), TREE, source="random") for _ in range(40)]

    first = read(3)
    assert first == read(3)
    assert first != read(4)
    for result in first:
        assert (result.unanswered, result.faults) == ((), ())
        findings = [s.finding for s in result.statements]
        assert len(set(findings)) == len(findings)
        for decision in result.decisions:
            assert decision.choice in TREE.questions[decision.query.question].choices
        for s in result.statements:
            assert s.source == "random"
            places = TREE.places[TREE.findings[s.finding].places or ""]
            assert {place for e in s.extents for place in e.places} <= set(places)
            assert (s.probability is None) == (s.state == "stable")
            if s.state in ("absent", "stable"):
                assert s.extents == (Extent(),)
        file = io.StringIO()
        write_maplez(file, [("1_2", result.statements)])
    states = Counter(s.state for result in first for s in result.statements)
    assert set(states) == set(STATEMENT_STATES)


def test_a_finding_and_a_question_are_added_without_code(tmp_path: Path) -> None:
    """Emphysema, without a side, and another question where its severity is not stated."""
    text = FILE.read_text()
    for old, new in {
        "  pleural effusion:": "  emphysema: {answers: {side: not named}}\n  pleural effusion:",
        "not stated: {}": "not stated: {then: [large]}",
        "  placed:": "  large:\n    text: Is {finding} {side} called large?\n    choices:\n"
        '      "yes": {severity: large}\n      "no": {}\n  placed:',
    }.items():
        assert text.count(f"{old}\n") == 1
        text = text.replace(f"{old}\n", f"{new}\n")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    tree = load_questions(path)
    assert tree.fingerprint != TREE.fingerprint
    wanted = {
        "Is there emphysema, or may there be, according to the report?": "yes",
        "How certain is emphysema according to the report?": "likely",
        "How severe is emphysema in the report's words, changes aside?": "not stated",
        "Is emphysema called large?": "yes",
    }
    put: list[str] = []

    class Reader:
        tokens = TokenCount()

        def ask(self, questions: Sequence[ChoiceQuestion]) -> list[Answer]:
            put.extend(question.text for question in questions)
            chosen = [wanted.get(question.text, question.choices[-1]) for question in questions]
            return [
                Answer(tuple(float(choice == own) for choice in question.choices))
                for question, own in zip(questions, chosen, strict=True)
            ]

    (found,) = interview(Reader(), tree, source="m").statements
    assert found == Statement(
        finding="emphysema", probability=0.8, extents=(Extent(None, "large"),), source="m"
    )
    assert set(wanted) < set(put)
    assert "On which side is emphysema according to the report?" not in put
