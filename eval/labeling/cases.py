"""Test cases of a labeler: reports with what people read from them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from eval.labeling.reading import Reading
from roentgen.corpora.open_i.mesh import COVERED
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Report
from roentgen.record.splits import Fractions, split_of_patient
from roentgen.reports.sections import parse_report

Half = Literal["development", "held_out"]
Aspect = Literal["state", "side", "severity", "place"]
_HALVES = Fractions(train=0.5, validate=0, test=0.5)
# Findings with a side; the others are of the midline, of both lungs, or devices.
SIDED: tuple[FindingName, ...] = (
    *("Atelectasis", "Consolidation", "Fracture", "Lung Lesion", "Lung Opacity"),
    *("Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax"),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A report and what people read from it."""

    id: str
    patient: str
    report: Report
    gold: Reading


@dataclass(frozen=True, kw_only=True)
class CaseSet:
    """The reports of one source; `known` has the findings whose aspects people gave."""

    source: str
    cases: Sequence[Case]
    known: Mapping[Aspect, Sequence[FindingName]]
    covered: Sequence[FindingName] = COVERED
    places_in_report: bool = False  # whether people located all that they found
    excluded: Counter[str] = field(default_factory=Counter)  # reports by reason
    license: Mapping[str, Any]


def half_of(patient: str) -> Half:
    """The half that a patient belongs to, a function of the id alone."""
    train = split_of_patient(patient, 0, _HALVES) == "train"
    return "development" if train else "held_out"


def in_half(half: Half | None) -> Callable[[str], bool]:
    """Whether a patient is in the half; None: everybody is."""
    return lambda patient: half is None or half_of(patient) == half


def report_of(text: str) -> Report:
    """The sections of a text with titles; of one without, all as findings with its lines."""
    report = parse_report(text)
    return report if report.findings or report.impression else Report(findings=text)
