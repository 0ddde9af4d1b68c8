"""Statements of radiographs as their reports have them, with evidence in the edited reports."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from roentgen.labelers.rules.report_language import ReadLanguage, language_to_read
from roentgen.labelers.rules.rule_labeler import read_report, statements_of
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.statement import Statement


def with_statements(radiograph: Radiograph, edited: Report, setting: ReadLanguage) -> Radiograph:
    """The radiograph with the statements of its report, if that is in a language that is set.

    It is read as it is written, where a blank still stands for a word; the evidence is in `edited`.
    Its findings are its own, or else those that the report states.
    """
    report = radiograph.report
    language = language_to_read(report, setting) if report else None
    if report is None or language is None:
        return radiograph
    statements, findings = read_report(report, language)
    if edited != report:
        statements = with_evidence_of(statements, statements_of(edited, language))
    return replace(radiograph, findings=radiograph.findings or findings, statements=statements)


def with_evidence_of(
    statements: Sequence[Statement], others: Sequence[Statement]
) -> tuple[Statement, ...]:
    """Statements with the evidence of the same ones, in the same order, among others.

    What the others do not state has no evidence.
    """
    found = [replace(statement, evidence=None) for statement in statements]
    same = SequenceMatcher(a=found, b=[replace(s, evidence=None) for s in others], autojunk=False)
    for first, other, size in same.get_matching_blocks():
        found[first : first + size] = others[other : other + size]
    return tuple(found)
