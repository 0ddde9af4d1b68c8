"""Settings of `roentgen.annotate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.dataset.annotations import IdKind
from roentgen.errors import InputError, require, require_range
from roentgen.labelers.rules.report_language import ReadLanguage
from roentgen.manifest import License

Export = Literal["maplez_csv", "chexpert_csv"]
INPUTS = ("dataset", "corpus", "table")
READERS = ("rules", "maplez")


@dataclass(frozen=True, kw_only=True)
class DatasetReports:
    """Reports of a prepared dataset."""

    folder: Path
    """The dataset."""
    split: str | None = None
    """The split to read; null: all."""


@dataclass(frozen=True, kw_only=True)
class CorpusReports:
    """Reports of a corpus, without its images."""

    name: Literal["mimic_cxr", "open_i"]
    """The corpus."""
    reports: Path
    """MIMIC-CXR's mimic-cxr-reports.zip or its unpacked folder; Open-i's NLMCXR_reports.tgz or a
    folder of its XML files."""


@dataclass(frozen=True, kw_only=True)
class TableReports:
    """Reports of a CSV, TSV (also .gz), JSON-lines or Parquet table."""

    file: Path
    """The table."""
    id_column: str = "id"
    """Column with the id of each report."""
    text_column: str = "text"
    """Column with the report: its sections below their titles, or untitled text."""
    ids: IdKind = "study"
    """Of what the ids are: study, radiograph, or patient_study ("10000032_50414267")."""
    license: License
    """The terms of the reports."""


@dataclass(frozen=True, kw_only=True)
class RuleReader:
    """The rule labeler of `roentgen.labelers.rules`."""

    language: ReadLanguage = "en"
    """Language that is read: English, Spanish or Chinese; auto: that of each report. A report in
    another one is not read, and counted."""


@dataclass(frozen=True, kw_only=True)
class MaplezTable:
    """A table of annotations in the form of MAPLEZ, which has its own reports."""

    file: Path
    """The CSV."""
    license: License
    """The terms of the annotations and of the reports that they are of."""


@dataclass(frozen=True, kw_only=True)
class AnnotateConfig:
    """Read statements from reports into a folder of annotations.

    Give exactly one input (dataset, corpus or table) and one reader (rules); or the reader maplez,
    which needs no input.
    """

    output: Path
    """The folder to write."""
    overwrite: bool = False
    """Replace the output folder if it is there."""
    dataset: DatasetReports | None = None
    """Input: a prepared dataset."""
    corpus: CorpusReports | None = None
    """Input: a corpus."""
    table: TableReports | None = None
    """Input: a table of reports."""
    rules: RuleReader | None = None
    """Reader: the rule labeler."""
    maplez: MaplezTable | None = None
    """Reader: none; the annotations are in a table."""
    exports: tuple[Export, ...] = ()
    """Tables to write beside: maplez_csv (four rows a report), chexpert_csv (14 labels)."""
    max_bad_share: float = 0.05
    """The share of reports that may be bad: unreadable, or with a label that is not answered; more
    and the run fails. Empty reports and those in another language do not count."""
    part_reports: int = 64
    """Number of reports after which what was read is saved: a killed run loses at most so many."""

    def __post_init__(self) -> None:
        readers = self._given(READERS)
        if len(readers) != 1:
            raise InputError(f"give exactly one reader{_found(readers)}; of: {', '.join(READERS)}")
        inputs = self._given(INPUTS)
        if readers == ["maplez"]:
            require(
                not inputs,
                f"{inputs[0] if inputs else ''} does not go with maplez: its table "
                "has its own reports",
            )
        elif len(inputs) != 1:
            raise InputError(f"give exactly one input{_found(inputs)}; of: {', '.join(INPUTS)}")
        require_range(self, "max_bad_share", at_least=0, at_most=1)
        require_range(self, "part_reports", at_least=1)

    def _given(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]


def _found(given: list[str]) -> str:
    return f", not {len(given)}: {', '.join(given)}" if given else ""
