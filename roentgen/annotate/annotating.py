"""The making of a folder of annotations: input, parts, table, exports, manifest, summary."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from roentgen.annotate.config import AnnotateConfig
from roentgen.annotate.exports import write_exports
from roentgen.annotate.inputs import ReportInput, read_input
from roentgen.annotate.parts import (
    AnnotationFolder,
    annotation_folder,
    count_parts,
    drop_unanswered,
    make_missing_parts,
)
from roentgen.annotate.report_readers import ReportReader, make_report_reader
from roentgen.corpora.reader import CorpusPlan, Exclusion
from roentgen.csv_table import CsvTable
from roentgen.dataset.annotations import (
    TABLE,
    AnnotationRow,
    AnnotationSet,
    ReportReading,
    write_annotations,
)
from roentgen.dataset.dataset import EXCLUDED, EXCLUDED_COLUMNS
from roentgen.errors import InputError
from roentgen.manifest import inherit_licenses, license_terms, provenance, write_manifest
from roentgen.preparation.bad_items import BadItems, Reasons
from roentgen.preparation.report_reading import count_language, language_line
from roentgen.record.radiograph import Report
from roentgen.statements.labels import findings_of
from roentgen.storage import check_output
from roentgen.terminal.progress import Progress

FAULTS = "faults.csv"
# Settings that do not change what is made: a run may resume with other values.
_FREE = ("output", "overwrite", "max_bad_share")
_EMPTY = ReportReading(outcome="empty")


@dataclass(frozen=True, kw_only=True)
class AnnotationJob:
    """What is read, and what reads it."""

    config: AnnotateConfig
    input: ReportInput
    reader: ReportReader

    @property
    def texts(self) -> Sequence[Report]:
        """The distinct texts, in their order."""
        return list(self.input.texts.values())

    def origin(self) -> dict[str, Any]:
        """The provenance of the result."""
        origin = provenance("roentgen.annotate", self.config, self.input.sources)
        return origin | self.facts()

    def facts(self) -> dict[str, str]:
        """What the result depends on beside the configuration and the folders it names."""
        return {"reports": self.input.fingerprint, "reader": self.reader.identity}


def make_job(config: AnnotateConfig) -> AnnotationJob:
    """The job of a configuration: its reports are read from the disk, its reader is ready."""
    return AnnotationJob(config=config, input=read_input(config), reader=make_report_reader(config))


def annotate(job: AnnotationJob) -> str:
    """Write the folder; returns a summary for the user.

    Raises InputError for bad input, KeyboardInterrupt naming the finished parts if interrupted.
    """
    work = annotation_folder(job.config.output)
    try:
        with work.lock():
            return _annotate(job, work)
    except KeyboardInterrupt:
        stay = f"{len(work.finished())} finished parts remain, and the same command resumes"
        raise KeyboardInterrupt(f"interrupted: {stay}") from None


def _annotate(job: AnnotationJob, work: AnnotationFolder) -> str:
    config = job.config
    check_output(config.output, overwrite=config.overwrite)
    origin = job.origin()
    identity = {
        **{key: value for key, value in origin["config"].items() if key not in _FREE},
        **{key: origin[key] for key in ("versions", "commit", "files", *job.facts())},
    }
    for note in work.open(identity, keep_other=True):
        print(f"annotate: {note}", flush=True)  # noqa: T201
    _read_all(job, work)
    counts = AnnotationCounts()
    fingerprint = write_annotations(
        work.dataset / TABLE, job.reader.identity, counts.over(_rows(job, work))
    )
    places = {name: place for place, name in enumerate(job.input.digests)}
    annotations = AnnotationSet(work.dataset, {}, places)
    _write_lists(job, annotations)
    write_exports(annotations, config.exports)
    write_manifest(
        work.dataset,
        "annotations",
        fingerprint,
        inherit_licenses({"licenses": license_terms(job.input.licenses)}),
        origin,
        ids=job.input.ids,
        reader=job.reader.identity,
        counts=dict(sorted(counts.outcomes.items())),
    )
    work.install(work.dataset, overwrite=config.overwrite)
    return _summary(job, counts)


def _read_all(job: AnnotationJob, work: AnnotationFolder) -> None:
    """Make the parts that are missing. Raises InputError when too many reports are bad."""
    texts, size = job.texts, job.config.part_reports
    limit = BadItems(job.config.max_bad_share, CorpusPlan(texts, job.input.excluded))
    finished = sorted(work.finished())
    for number in finished:
        limit.add(_bad(work.read(number).readings))
    if finished:
        print(  # noqa: T201
            f"annotate: resuming with {len(finished)} of {count_parts(len(texts), size)} parts "
            f"that an earlier run finished (to start over, remove {work.folder})",
            flush=True,
        )
    done = sum(work.read(number).items for number in finished)
    with Progress(len(texts), "annotating", "report", done=done) as bar:
        _check(work, limit)
        for part in make_missing_parts(work, job.reader, texts, size):
            limit.add(_bad(part.readings))
            _check(work, limit)
            bar.update(part.items)


def _check(work: AnnotationFolder, limit: BadItems) -> None:
    try:
        limit.check()
    except InputError:
        drop_unanswered(work)  # the next run asks again
        raise


def _bad(readings: Sequence[ReportReading]) -> Iterator[Exclusion]:
    """The readings with labels that are not answered."""
    for reading in readings:
        if reading.unanswered:
            faults = ", ".join(sorted({fault.fault for fault in reading.faults}))
            yield Exclusion(id="", reason=f"no answer: {faults}")


def _rows(job: AnnotationJob, work: AnnotationFolder) -> Iterator[AnnotationRow]:
    """A row for each id."""
    size = job.config.part_reports
    place_of = {digest: place for place, digest in enumerate(job.input.texts)}

    @lru_cache(maxsize=256)  # most texts that repeat are a few
    def readings(number: int) -> tuple[ReportReading, ...]:
        return work.read(number).readings

    for name, digest in job.input.digests.items():
        reading = _EMPTY
        if digest:
            number, within = divmod(place_of[digest], size)
            reading = readings(number)[within]
        yield AnnotationRow(name, digest, reading)


def _write_lists(job: AnnotationJob, annotations: AnnotationSet) -> None:
    """List the reports that cannot be read, and the questions without a right answer."""
    folder = annotations.folder
    with (folder / EXCLUDED).open("w", newline="", encoding="utf-8") as file:
        table = CsvTable(file, EXCLUDED_COLUMNS)
        for item in job.input.excluded:
            table.add(item.id, item.reason, "no")
    with (folder / FAULTS).open("w", newline="", encoding="utf-8") as file:
        table = CsvTable(file, ("id", "question", "fault"))
        for row in annotations:
            for fault in row.reading.faults:
                table.add(row.id, fault.question, fault.fault)


@dataclass(kw_only=True)
class AnnotationCounts:
    """What the rows hold, counted as they pass."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)

    def over(self, rows: Iterator[AnnotationRow]) -> Iterator[AnnotationRow]:
        """The rows."""
        for row in rows:
            reading = row.reading
            self.outcomes[reading.outcome] += 1
            self.faults.update(fault.fault for fault in reading.faults)
            self.unanswered.update(reading.unanswered)
            found = findings_of(reading.statements)
            self.present.update({f.name for f in found if f.state == "present"})
            self.present["No Finding"] += reading.no_finding
            yield row


def _summary(job: AnnotationJob, counts: AnnotationCounts) -> str:
    config, source = job.config, job.input
    outcomes = ", ".join(f"{name} {n}" for name, n in counts.outcomes.most_common())
    lines = [f"reports: {counts.outcomes.total()} of {len(source.texts)} texts; {outcomes}"]
    if source.repeated:
        lines.append(f"  {source.repeated} rows repeat an id with its text")
    languages: Counter[str] = Counter()
    for digest in source.digests.values():
        if digest:
            count_language(source.texts[digest], languages)
    if config.rules and (line := language_line(languages, config.rules.language)):
        lines.append(line)
    lines.append(f"present: {_listed(counts.present)}")
    if counts.faults:
        lines.append(f"faults: {_listed(counts.faults)} ({FAULTS})")
    if counts.unanswered:
        lines.append(f"without an answer: {_listed(counts.unanswered)}")
    reasons = Reasons(item.reason for item in source.excluded).counts()
    lines.append(f"excluded: {reasons.total()} ({EXCLUDED})")
    lines += [f"  {count}: {reason}" for reason, count in reasons.most_common(10)]
    lines.append(f"annotations: {config.output}")
    return "\n".join(lines)


def _listed(counts: Counter[str]) -> str:
    found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {n}" for name, n in found if n) or "none"
