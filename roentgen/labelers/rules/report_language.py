"""Language that the findings of a report are read in, and the text that they are read from."""

from typing import Literal, cast

from roentgen.labelers.rules.tokens import Language
from roentgen.record.radiograph import Report
from roentgen.reports.language import NAMES, language_of_report

ReadLanguage = Literal["en", "es", "zh", "auto"]

_CODES = {name: cast(Language, code) for code, name in NAMES.items()}


def read_text(report: Report | None) -> str:
    """The text that findings are read from; "" if there is none."""
    if report is None:
        return ""
    sections = [text for text in (report.findings, report.impression) if text]
    return "\n\n".join(sections) or report.last_paragraph or ""


def language_to_read(report: Report, setting: ReadLanguage) -> Language | None:
    """The language that a report's findings are read in; None if that is not the one that is set.

    A text of no certain language is read in the language that is set; "auto" sets none.
    """
    name = language_of_report(read_text(report))
    if setting == "auto":
        return _CODES.get(name or "")
    return setting if name in (None, NAMES[setting]) else None
