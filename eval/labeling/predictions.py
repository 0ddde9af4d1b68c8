"""Predictions for test cases: of the rule labeler, or of any labeler in MAPLEZ's table."""

from collections.abc import Sequence
from pathlib import Path

from eval.labeling.cases import Case
from eval.labeling.reading import Reading, read_report, reading_of
from roentgen.errors import require
from roentgen.labelers.rules.tokens import Language
from roentgen.statements.maplez import read_maplez


def predict(cases: Sequence[Case], table: Path | None, language: Language) -> list[Reading]:
    """A reading of each case, in their order; `table` has annotations by the ids of the cases.

    Without a table it is the rule labeler's of reports in the language.

    Raises InputError for a report that the table lacks.
    """
    if table is None:
        return [read_report(case.report, language) for case in cases]
    found = {report.id: reading_of(report.statements) for report in read_maplez(table)}
    missing = [case.id for case in cases if case.id not in found]
    require(
        not missing,
        f"{table} has no annotations of {len(missing)} of {len(cases)} reports, such as "
        f"{missing[:1]}",
    )
    return [found[case.id] for case in cases]
