"""Reports that no findings are read from: without a text to read, or in another language."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from roentgen.corpora.reader import Unmapped
from roentgen.labelers.rules.report_language import ReadLanguage, read_text
from roentgen.record.radiograph import Radiograph, Report
from roentgen.reports.language import NAMES, language_of_report
from roentgen.reports.sentences import sentences

_UNCERTAIN = "no certain language"
_MIXED = " with sentences in "


def unread(given: Radiograph, finished: Radiograph) -> Iterator[Unmapped]:
    """Why a radiograph has a report, as its corpus gives it, and finally no text that is read."""
    if given.report is None or read_text(finished.report):
        return
    if read_text(given.report):
        yield Unmapped("report", given.id, "cleaning leaves nothing of its text")
        return
    others = [name for name, text in asdict(given.report).items() if text]
    has = f"only {' and '.join(others)}" if others else "no section that is known"
    yield Unmapped("report", given.id, f"no findings, impression or untitled text: it has {has}")


def count_language(report: Report | None, languages: Counter[str]) -> None:
    """Count the language of the text that findings are read from, and of sentences in another."""
    if not (text := read_text(report)):
        return
    language = language_of_report(text) or _UNCERTAIN
    found = {language_of_report(sentence) for sentence in sentences(text)} - {language, None}
    if len(found) >= (2 if language == _UNCERTAIN else 1):
        language += _MIXED + " and ".join(sorted(name for name in found if name))
    languages[language] += 1


def language_line(languages: Mapping[str, int], setting: ReadLanguage) -> str | None:
    """How many reports are in a language that findings are not read in; None if none is."""
    read = {*NAMES.values()} if setting == "auto" else {NAMES[setting], _UNCERTAIN}
    others = {name: n for name, n in languages.items() if name not in read}
    if not others:
        return None
    mixed = {name: n for name, n in others.items() if name.split(_MIXED)[0] in read}
    names = ", ".join(NAMES.values()) if setting == "auto" else NAMES[setting]
    lines = []
    if unread := {name: n for name, n in others.items() if name not in mixed}:
        lines.append(
            f"of {sum(languages.values())} reports {_counts(unread)}: no findings are read from "
            f"them (reports.language={setting} reads {names})"
        )
    if mixed:
        lines.append(
            f"of {sum(languages.values())} reports {_counts(mixed)}: only those in {names} are read"
        )
    return "; ".join(lines)


def _counts(languages: Mapping[str, int]) -> str:
    ordered = sorted(languages.items(), key=lambda item: (-item[1], item[0]))
    return " and ".join(f"{n} are in {name}" for name, n in ordered)
