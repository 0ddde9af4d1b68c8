"""Readers of whole reports: what makes a reading of a report's text."""

from typing import Protocol

from roentgen.annotate.config import AnnotateConfig, RuleReader
from roentgen.dataset.annotations import ReportReading
from roentgen.labelers.rules.report_language import language_to_read
from roentgen.labelers.rules.rule_labeler import VERSION, read_report
from roentgen.record.radiograph import Report


class ReportReader(Protocol):
    """What reads reports, each by itself: the same text always gives the same reading."""

    @property
    def identity(self) -> str:
        """What it is, for manifests."""

    def read(self, report: Report) -> ReportReading:
        """What is read from a report that has text."""


class ReadByRules:
    """The rule labeler."""

    def __init__(self, settings: RuleReader) -> None:
        self._language = settings.language
        self.identity = f"{VERSION} ({settings.language})"

    def read(self, report: Report) -> ReportReading:
        """What is read from a report, if it is in a language that is set."""
        language = language_to_read(report, self._language)
        if language is None:
            return ReportReading(outcome="other language")
        statements, findings = read_report(report, language)
        no_finding = any(finding.name == "No Finding" for finding in findings)
        return ReportReading(statements=statements, no_finding=no_finding)


def make_report_reader(config: AnnotateConfig) -> ReportReader:
    """The reader that is given."""
    assert config.rules is not None
    return ReadByRules(config.rules)
