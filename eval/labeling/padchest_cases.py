"""PadChest's reports as test cases, by the labels that physicians gave."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from eval.labeling.cases import SIDED, Case, CaseSet, Half, half_of, in_half
from eval.labeling.reading import Reading, located, reading_of
from roentgen.corpora.padchest.labels import (
    NO_FINDINGS,
    NORMAL,
    extents_of,
    parse_labels,
    parse_sentences,
    statements_of,
)
from roentgen.corpora.padchest.padchest import LICENSE
from roentgen.corpora.scanning.rows import read_rows
from roentgen.errors import InputError
from roentgen.record.finding import FindingName, State
from roentgen.record.radiograph import Report
from roentgen.record.statement import Extent, Statement

SENTENCES = "LabelsLocalizationsBySentence"
# Words of a report that say where a finding is, and the localizations they lack ("bibasal" has its
# own, "biapical" has none).
_UNLISTED = {"biapical": ("loc apical", "loc bilateral")}
COLUMNS = ("StudyID", "PatientID", "Report", "MethodLabel", "Labels", SENTENCES)


def padchest_cases(path: Path, half: Half | None) -> CaseSet:
    """The studies that physicians labeled, of a half without the texts that the other one has.

    The labels do not tell absence from silence: states are not known.
    """
    studies: dict[str, dict[str, str]] = {}
    halves: dict[str, set[Half]] = {}
    for number, row in enumerate(read_rows(path, COLUMNS), start=1):
        if row is None:
            raise InputError(f"{path}, row {number} has not as many cells as the header")
        if row["MethodLabel"] == "Physician":
            studies.setdefault(row["StudyID"], row)
            halves.setdefault(row["Report"], set()).add(half_of(row["PatientID"]))
    wanted = in_half(half)
    excluded: Counter[str] = Counter()
    cases: list[Case] = []
    for study, row in studies.items():
        patient, text = row["PatientID"], row["Report"]
        labels = parse_labels(row["Labels"])
        if not wanted(patient):
            continue
        if not text:
            excluded["no report"] += 1
        elif half and len(halves[text]) > 1:
            excluded["the other half has the same text"] += 1
        elif not set(labels) - set(NO_FINDINGS) and NORMAL not in labels:
            excluded["no label of a finding"] += 1
        else:
            try:
                gold = _read(labels, parse_sentences(row[SENTENCES]), _unlisted(text))
            except InputError as error:
                excluded[str(error).partition(":")[0]] += 1
                continue
            cases.append(Case(id=study, patient=patient, report=Report(findings=text), gold=gold))
    return CaseSet(
        source="PadChest",
        cases=cases,
        known={"side": SIDED, "place": SIDED},
        places_in_report=True,
        excluded=excluded,
        license=asdict(LICENSE),
    )


def _unlisted(text: str) -> list[str]:
    """The localizations that the text has words for, and PadChest no term."""
    words = set(text.split())
    return [one for word, named in _UNLISTED.items() if word in words for one in named]


def _read(
    labels: Sequence[str], sentences: Sequence[Sequence[str]], unlisted: Sequence[str]
) -> Reading:
    """Sides and places are open where a sentence has them and several findings.

    `unlisted`: localizations of the report that no sentence has; they may be of any finding.
    """
    stated: list[Statement] = []
    open_names: set[FindingName] = set()
    localizations = [*unlisted]
    for words in sentences:
        own = statements_of(words)
        places = [word for word in words if word.startswith("loc ")]
        extents = {extent for statement in own for extent in statement.extents}
        without_side = all(extent.side is None for extent in extents)
        if (unlisted and without_side) or (places and extents <= {Extent()}):
            open_names |= reading_of(own).positive()
        stated += own
        localizations += places if own else ()  # not of what is normal, or resolved
    states: dict[FindingName, State] = {**reading_of(statements_of(labels)).states}
    if set(labels) == {NORMAL}:
        states["No Finding"] = "present"
    return Reading(
        states=states,
        extents=reading_of(stated).extents,
        unlocated=frozenset(open_names),
        located=located(extents_of(localizations)),
    )
