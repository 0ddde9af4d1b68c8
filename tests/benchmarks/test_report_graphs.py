"""Statements, facts and graphs of Open-i's reports, of the half that may be looked at."""

import importlib.util
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from eval.labeling.cases import half_of
from roentgen.corpora.open_i.open_i import read_reports
from roentgen.graphs.from_statements import graph_of_statements
from roentgen.graphs.problems import problems
from roentgen.graphs.to_statements import statements_of_graph
from roentgen.graphs.word_meanings import RuleMeanings
from roentgen.labelers.rules.rule_labeler import statements_of
from roentgen.preparation.postprocess import token_length
from roentgen.prompts.facts import facts_text
from roentgen.record.radiograph import Report
from roentgen.record.statement import Statement

PACKAGE = importlib.util.find_spec("torchxrayvision")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision has the reports")


@cache
def read() -> list[tuple[Report, tuple[Statement, ...]]]:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    items = read_reports(Path(PACKAGE.origin).parent / "data" / "NLMCXR_reports.tgz")
    reports = [item.report for item in items if half_of(item.id) == "development"]
    return [(report, statements_of(report)) for report in reports]


def test_facts_fit_into_a_prompt() -> None:
    """The goal is 77 tokens for 95 % of the reports; 99.9 % have at most so many."""
    lengths = [token_length(facts) for _, found in read() if (facts := facts_text(found))]
    assert len(lengths) > 1900
    assert sum(length <= 77 for length in lengths) >= 0.99 * len(lengths)


def test_graphs_are_sound_and_state_what_their_reports_state() -> None:
    """99.3 % of findings with their states, and 98.9 % with sides, severities and places, too.

    The others are implied by words that do not name them, or share a word with another finding.
    """
    meanings = RuleMeanings()
    kept, exact, stated = 0, 0, 0
    for report, statements in read():
        graph = graph_of_statements(report, statements, meanings)
        text = " ".join(filter(None, (report.findings, report.impression, report.last_paragraph)))
        assert problems(graph, text, "v1") == ()
        back = statements_of_graph(graph, meanings).statements
        given, found = (Counter((s.finding, s.state) for s in each) for each in (statements, back))
        full, same = (
            Counter((s.finding, s.state, frozenset(s.extents)) for s in each)
            for each in (statements, back)
        )
        stated += given.total()
        kept += (given & found).total()
        exact += (full & same).total()
    assert stated > 10_000
    print(f"{kept / stated:.4f} of {stated} findings and states, {exact / stated:.4f} with extents")
    assert kept >= 0.985 * stated
    assert exact >= 0.975 * stated
