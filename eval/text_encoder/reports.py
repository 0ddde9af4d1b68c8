"""Reports with the labels of their findings."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from roentgen.corpora.open_i.mesh import NOT_INDEXED, gold
from roentgen.corpora.open_i.open_i import OpenIReport, read_reports
from roentgen.dataset.label_arrays import NotMentioned, label_matrix
from roentgen.errors import InputError
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph, Report

Section = Literal["impression", "findings"]


@dataclass(frozen=True, kw_only=True)
class Reports:
    """Texts with their patients and labels; excluded reports are counted by reason."""

    source: str  # in words
    texts: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.float32]  # N, findings: 1, 0, NaN
    excluded: dict[str, int]


def reports_of_radiographs(
    radiographs: Sequence[Radiograph],
    findings: Sequence[FindingName],
    section: Section,
    not_mentioned: NotMentioned,
    source: str,
) -> Reports:
    """The reports of a dataset's radiographs, each study's once, with the findings of its first."""
    excluded: Counter[str] = Counter()
    first: dict[tuple[str, str], Radiograph] = {}
    for radiograph in radiographs:
        study = radiograph.patient_id, radiograph.study_id
        if not _text(radiograph.report, section):
            excluded[f"no {section}"] += 1
        elif study in first:
            excluded["another radiograph of the study"] += 1
        else:
            first[study] = radiograph
    chosen = list(first.values())
    return Reports(
        source=source,
        texts=tuple(_text(r.report, section) for r in chosen),
        patients=tuple(r.patient_id for r in chosen),
        labels=label_matrix(chosen, findings, not_mentioned),
        excluded=dict(excluded),
    )


def reports_of_open_i(archive: Path, findings: Sequence[FindingName], section: Section) -> Reports:
    """Open-i's reports with the findings of their MeSH terms, see `roentgen.corpora.open_i.mesh`.

    A finding that no term names is absent, one that terms leave open is not known. "No Finding" is
    the term "normal". Each report counts as a patient. Raises InputError if there is no report.
    """
    excluded: Counter[str] = Counter()
    annotated: list[OpenIReport] = []
    for item in read_reports(archive):
        if not item.major or any(term in NOT_INDEXED for term in item.major):
            excluded["not annotated"] += 1
        elif not _text(item.report, section):
            excluded[f"no {section}"] += 1
        else:
            annotated.append(item)
    if not annotated:
        raise InputError(f"{archive} holds no annotated Open-i report with the section {section!r}")
    return Reports(
        source=f"Open-i's reports ({archive.name}) with manually annotated findings",
        texts=tuple(_text(item.report, section) for item in annotated),
        patients=tuple(item.id for item in annotated),
        labels=np.array(
            [list(_gold(item.major, findings)) for item in annotated], dtype=np.float32
        ),
        excluded=dict(excluded),
    )


def _gold(terms: Sequence[str], findings: Sequence[FindingName]) -> Iterable[float]:
    present, leaves_open = gold(terms)
    for name in findings:
        if name == "No Finding":
            yield 1.0 if "normal" in terms else 0.0 if present else np.nan
        else:
            yield np.nan if name in leaves_open else float(name in present)


def _text(report: Report | None, section: Section) -> str:
    return " ".join((getattr(report, section, None) or "").split())
