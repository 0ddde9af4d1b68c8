"""Reports that no findings are read from: without a text to read, or in another language."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from roentgen.corpora.reader import Unmapped
from roentgen.labelers.rules.report_language import ReadLanguage, read_text
from roentgen.record.radiograph import Radiograph
from roentgen.reports.language import NAMES, language_of_report

_UNCERTAIN = "no certain language"


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


def count_language(radiograph: Radiograph, languages: Counter[str]) -> None:
    """Count the language of the text that findings are read from."""
    if text := read_text(radiograph.report):
        languages[language_of_report(text) or _UNCERTAIN] += 1


def language_line(languages: Mapping[str, int], setting: ReadLanguage) -> str | None:
    """How many reports are in a language that findings are not read in; None if none is."""
    read = {*NAMES.values()} if setting == "auto" else {NAMES[setting], _UNCERTAIN}
    others = {name: n for name, n in languages.items() if name not in read}
    if not others:
        return None
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    counts = " and ".join(f"{n} are in {name}" for name, n in ordered)
    names = ", ".join(NAMES.values()) if setting == "auto" else NAMES[setting]
    return (
        f"of {sum(languages.values())} reports {counts}: no findings are read from them "
        f"(reports.language={setting} reads {names})"
    )
