"""Parts of the reading of reports: a fixed range of distinct texts, saved when it is read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from roentgen.annotate.report_readers import ReportReader
from roentgen.dataset.annotations import ReportReading
from roentgen.dataset.work_folder import Part, WorkFolder
from roentgen.record.radiograph import Report


@dataclass(frozen=True, kw_only=True)
class AnnotatedPart(Part):
    """The record of a finished part."""

    readings: tuple[ReportReading, ...]  # of its texts, in their order

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return super().to_json() | {"readings": [asdict(reading) for reading in self.readings]}

    @classmethod
    def values(cls, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a record."""
        readings = tuple(map(ReportReading.from_plain, plain["readings"]))
        return super().values(plain) | {"readings": readings}


AnnotationFolder = WorkFolder[AnnotatedPart]


def annotation_folder(target: Path) -> AnnotationFolder:
    """The work folder of an output."""
    return WorkFolder(target, AnnotatedPart, doing="annotating")


def count_parts(texts: int, size: int) -> int:
    """The number of parts of so many texts."""
    return -(-texts // size)


def make_missing_parts(
    work: AnnotationFolder, reader: ReportReader, texts: Sequence[Report], size: int
) -> Iterator[AnnotatedPart]:
    """The parts that no earlier run has finished, as they are read."""
    for number in range(count_parts(len(texts), size)):
        if work.record_path(number).exists():
            continue
        mine = texts[number * size : (number + 1) * size]

        def write(_: Path, mine: Sequence[Report] = mine, number: int = number) -> AnnotatedPart:
            readings = tuple(reader.read(text) for text in mine)
            return AnnotatedPart(number=number, items=len(mine), shards={}, readings=readings)

        part = work.make(number, write)
        if part is not None:
            yield part


def drop_unanswered(work: AnnotationFolder) -> None:
    """Drop the parts with labels that are not answered: the next run may get answers."""
    for number in work.finished():
        if any(reading.unanswered for reading in work.read(number).readings):
            work.record_path(number).unlink()
