"""Reports to annotate: those of a dataset, of a corpus, or of a table."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roentgen.annotate.config import (
    AnnotateConfig,
    CorpusReports,
    DatasetReports,
    TableReports,
)
from roentgen.corpora.mimic.reports import open_reports, read_report
from roentgen.corpora.mimic.studies import LICENSE as MIMIC_LICENSE
from roentgen.corpora.open_i.open_i import LICENSE as OPEN_I_LICENSE
from roentgen.corpora.open_i.open_i import parse_xml, report_files
from roentgen.corpora.reader import Exclusion
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import WRONG_LENGTH
from roentgen.dataset.annotations import IdKind, text_digest
from roentgen.dataset.dataset import open_dataset
from roentgen.errors import InputError
from roentgen.labelers.rules.report_language import read_text
from roentgen.manifest import License
from roentgen.record.radiograph import Report
from roentgen.reports.sections import parse_report

# A report by its id; None: it has no text. Or one that cannot be read.
Found = tuple[str, Report | None] | Exclusion


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """Reports by their ids. Those with the same text are one, and read once."""

    ids: IdKind
    licenses: Sequence[License | Mapping[str, Any]]
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # manifests by role
    digests: Mapping[str, str] = field(default_factory=dict)  # of the text, by id; "": empty
    texts: Mapping[str, Report] = field(default_factory=dict)  # by digest, in order
    excluded: Sequence[Exclusion] = ()
    repeated: int = 0  # rows of an id and a text that are there already

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of all ids, texts and exclusions."""
        excluded = [[item.id, item.reason] for item in self.excluded]
        text = json.dumps([[*self.digests.items()], excluded])
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def read_input(config: AnnotateConfig) -> ReportInput:
    """The reports of the input that is given.

    Raises InputError for one without any report, and for an id with two texts.
    """
    if config.dataset is not None:
        return _of_dataset(config.dataset)
    if config.corpus is not None:
        return _of_corpus(config.corpus)
    assert config.table is not None
    return _of_table(config.table)


def _of_dataset(settings: DatasetReports) -> ReportInput:
    dataset = open_dataset(settings.folder)
    splits = dataset.splits if settings.split is None else (settings.split,)
    found = (
        (radiograph.id, radiograph.report)
        for name in splits
        for radiograph in dataset.split(name).without_images()
    )
    return _gathered(
        found,
        f"dataset {settings.folder}",
        ids="radiograph",
        licenses=dataset.licenses,
        sources={"dataset": dataset.manifest},
    )


def _of_corpus(settings: CorpusReports) -> ReportInput:
    what = f"corpus.reports {settings.reports}"
    if settings.name == "open_i":
        return _gathered(_open_i(settings), what, ids="study", licenses=[OPEN_I_LICENSE])
    return _gathered(_mimic(settings), what, ids="study", licenses=[MIMIC_LICENSE])


def _open_i(settings: CorpusReports) -> Iterator[Found]:
    for name, data in report_files(settings.reports):
        try:
            report = parse_xml(data, name)
        except InputError as error:
            yield Exclusion(id=name, reason=str(error))
        else:
            yield report.id, report.report


def _mimic(settings: CorpusReports) -> Iterator[Found]:
    source = open_reports(settings.reports)
    for study, place in source.studies():
        try:
            yield study, parse_report(read_report(settings.reports, place))
        except InputError as error:
            yield Exclusion(id=study, reason=str(error))


def _of_table(settings: TableReports) -> ReportInput:
    return _gathered(
        _table(settings), f"table {settings.file}", ids=settings.ids, licenses=[settings.license]
    )


def _table(settings: TableReports) -> Iterator[Found]:
    columns = (settings.id_column, settings.text_column)
    for number, row in enumerate(read_rows(settings.file, columns), start=1):
        name = f"{settings.file.name} row {number}"
        if row is None:
            yield Exclusion(id=name, reason=WRONG_LENGTH)
        elif not row[settings.id_column]:
            yield Exclusion(id=name, reason=f"{settings.id_column} is blank")
        else:
            yield row[settings.id_column], _report_of(row[settings.text_column])


def _report_of(text: str) -> Report:
    """The sections of a text with titles; of one without, all as findings with its lines."""
    report = parse_report(text)
    is_untitled = report == Report(last_paragraph=report.last_paragraph)
    return Report(findings=text) if is_untitled and report.last_paragraph else report


def _gathered(found: Iterable[Found], what: str, **known: Any) -> ReportInput:
    """The input with what was found. `what` names it in errors."""
    digests: dict[str, str] = {}
    texts: dict[str, Report] = {}
    excluded: list[Exclusion] = []
    repeated = 0
    for item in found:
        if isinstance(item, Exclusion):
            excluded.append(item)
            continue
        name, report = item
        digest = ""
        if report is not None and read_text(report).strip():
            digest = text_digest(report)
            texts.setdefault(
                digest,
                Report(
                    findings=report.findings,
                    impression=report.impression,
                    last_paragraph=report.last_paragraph,
                ),
            )
        if name in digests:
            if digests[name] != digest:
                raise InputError(f"{what}: id {name!r} is there twice, with different texts")
            repeated += 1
        digests[name] = digest
    if not texts:
        raise InputError(f"{what} has no text to read, of {len(digests)} reports")
    return ReportInput(digests=digests, texts=texts, excluded=excluded, repeated=repeated, **known)
