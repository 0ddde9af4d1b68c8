"""Annotations: a folder of what was read from reports, a row for each report or radiograph.

It has annotations.parquet, whose statements are in the form of the radiograph dataset, and
roentgen.json. It holds no report text.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from roentgen.checksums import check_files, read_checksums
from roentgen.dataset.schema import STATEMENT, statement_of
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of, read_manifest
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.statement import Statement

TABLE = "annotations.parquet"
GROUP_ROWS = 256  # that are read together
# "other language": one that the reader does not read; nothing was read.
Outcome = Literal["read", "empty", "other language"]
# What the ids are of; of a patient's study as MAPLEZ's tables have them, "10000032_50414267".
IdKind = Literal["radiograph", "study", "patient_study"]

_FAULT = pa.struct([("question", pa.string()), ("fault", pa.string())])
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("reader", pa.string()),
        ("outcome", pa.string()),
        ("statements", pa.list_(STATEMENT)),
        ("no_finding", pa.bool_()),
        ("faults", pa.list_(_FAULT)),
        ("unanswered", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class QuestionFault:
    """A question about a report that was not answered as it should be, and why."""

    question: str
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportReading:
    """What was read from the text of a report.

    `no_finding`: it is normal, as CheXpert's "No Finding". `unanswered` are the labels that are not
    known, as a question about them has no answer.
    """

    outcome: Outcome = "read"
    statements: tuple[Statement, ...] = ()
    no_finding: bool = False
    faults: tuple[QuestionFault, ...] = ()
    unanswered: tuple[str, ...] = ()

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "ReportReading":
        """The inverse of `asdict`, from JSON or a row of the table."""
        return cls(
            outcome=plain["outcome"],
            statements=tuple(map(statement_of, plain["statements"])),
            no_finding=plain["no_finding"],
            faults=tuple(QuestionFault(**fault) for fault in plain["faults"]),
            unanswered=tuple(plain["unanswered"]),
        )


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """A row: the id, the digest of the text that was read ("" where none is known), the reading."""

    id: str
    text: str
    reading: ReportReading


def text_digest(report: Report) -> str:
    """16 hexadecimal digits of the sections that statements are read from."""
    return fingerprint_of([report.findings, report.impression, report.last_paragraph])


def write_annotations(path: Path, reader: str, rows: Iterable[AnnotationRow]) -> str:
    """Write the table; returns the fingerprint of its content. `reader` is what read it."""
    digest = hashlib.sha256()
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        remaining = iter(rows)
        while group := list(islice(remaining, GROUP_ROWS)):
            plain = [
                {"id": row.id, "text": row.text, "reader": reader, **asdict(row.reading)}
                for row in group
            ]
            digest.update(json.dumps(plain, sort_keys=True).encode())
            writer.write_table(pa.Table.from_pylist(plain, _SCHEMA))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class AnnotationSet:
    """An open folder of annotations; rows are read when they are needed, a group at a time."""

    folder: Path
    manifest: Mapping[str, Any]
    places: Mapping[str, int]  # of the rows, by their ids

    @property
    def name(self) -> str:
        """The folder's name, which messages and tables use."""
        return self.folder.resolve().name

    def ids_of(self, radiograph: Radiograph) -> Sequence[str]:
        """The ids that the row of a radiograph may have."""
        study = radiograph.study_id
        match self.manifest["ids"]:
            case "radiograph":
                return (radiograph.id,)
            case "study":
                return (study,)
            case _:  # NIH's have no patient, and name the image
                image = f"_{radiograph.id}"
                return (f"{radiograph.patient_id}_{study}", image, f"{image}.png")

    def row(self, radiograph: Radiograph) -> AnnotationRow | None:
        """The row of a radiograph; None if there is none."""
        place = next((self.places[i] for i in self.ids_of(radiograph) if i in self.places), None)
        return None if place is None else self[place]

    def __getitem__(self, place: int) -> AnnotationRow:
        number, within = divmod(place, GROUP_ROWS)
        return _group(self.folder / TABLE, number)[within]

    def __iter__(self) -> Iterator[AnnotationRow]:
        return map(self.__getitem__, range(len(self.places)))


@lru_cache(maxsize=4)
def _group(path: Path, number: int) -> list[AnnotationRow]:
    with pq.ParquetFile(path) as file:
        rows = file.read_row_group(number).to_pylist()
    return [AnnotationRow(r["id"], r["text"], ReportReading.from_plain(r)) for r in rows]


def open_annotations(folder: Path) -> AnnotationSet:
    """The annotations in a folder, all of whose bytes are verified.

    Raises InputError when it is absent, unfinished, damaged or of another kind.
    """
    manifest = read_manifest(folder, "annotations")
    check_files(folder, read_checksums(folder, manifest["checksums"]), "annotations")
    try:
        ids = pq.read_table(folder / TABLE, columns=["id"]).column("id").to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{folder / TABLE} cannot be read: {error}") from None
    return AnnotationSet(folder, manifest, {name: place for place, name in enumerate(ids)})
