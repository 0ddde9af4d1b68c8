"""Open-i's reports as test cases, by their MeSH annotations."""

from collections import Counter
from pathlib import Path

from eval.labeling.cases import SIDED, Case, CaseSet, Half, in_half
from eval.labeling.reading import Reading, reading_of
from roentgen.corpora.open_i.mesh import COVERED, NOT_INDEXED, gold, statements_of_terms
from roentgen.corpora.open_i.open_i import read_reports
from roentgen.errors import InputError

# Unlike the reports, scores may be shared.
_SCORES = {"name": "CC-BY-NC-ND-4.0", "data_use": None, "may_share": True}


def open_i_cases(source: Path, half: Half | None) -> CaseSet:
    """The annotated reports of an archive or folder that have findings or an impression.

    The terms do not tell absence from silence: states are not known.
    """
    reports = list(read_reports(source))
    if not reports:
        raise InputError(f"{source} holds no Open-i reports (expected XML files)")
    wanted = in_half(half)
    excluded: Counter[str] = Counter()
    cases: list[Case] = []
    for item in reports:
        report = item.report
        if not wanted(item.id):
            continue
        if any(term in NOT_INDEXED for term in item.major) or not item.major:
            excluded["not annotated"] += 1
        elif not (report.findings or report.impression or report.last_paragraph):
            excluded["no findings and no impression"] += 1
        else:
            cases.append(Case(id=item.id, patient=item.id, report=report, gold=_read(item.major)))
    return CaseSet(
        source="Open-i",
        cases=cases,
        known={"side": SIDED, "place": SIDED, "severity": COVERED},
        excluded=excluded,
        license=_SCORES,
    )


def _read(terms: tuple[str, ...]) -> Reading:
    present, leaves_open = gold(terms)
    names = (*present, "No Finding") if "normal" in terms else present
    return Reading(
        states=dict.fromkeys(names, "present"),
        extents=reading_of(statements_of_terms(terms)).extents,
        leaves_open=leaves_open,
    )
