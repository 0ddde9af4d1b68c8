"""Serialization of radiographs for all formats: fields, labels, file names and image metadata."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from io import TextIOWrapper
from pathlib import Path
from typing import Any, get_type_hints

from roentgen.csv_table import CsvTable
from roentgen.errors import InputError
from roentgen.imaging.images import decode, encode_jpeg, encode_png
from roentgen.record.finding import FINDING_NAMES, State, states
from roentgen.record.radiograph import Radiograph, Report, Synthesis

_VALUES: dict[State, float] = {"present": 1.0, "absent": 0.0, "uncertain": -1.0}
_LONGEST = 100  # characters of a file's stem
_SYNTHESIS = tuple(Synthesis.__dataclass_fields__)
_SECTIONS = {f"report_{name}": name for name in Report.__dataclass_fields__}

_RECORD = tuple(each.name for each in fields(Radiograph) if each.compare)  # all that is stored
# Fields of the record that are written otherwise: as files, columns or other fields.
_OTHERWISE = {"image", "masks", "report", "synthesis"}
_FIRST = ("prompt", "view", *FINDING_NAMES, "findings")
_IDENTITY = ("id", "patient_id", "study_id", "split")
_MIDDLE = (*_IDENTITY, "age", "sex", "race", "context", *_SECTIONS, "statements", "boxes")
_LAST = ("source", "license", "synthetic", *(name for name in _SYNTHESIS if name != "prompt"))
_MORE = tuple(sorted({*_RECORD} - {*_FIRST, *_MIDDLE, *_LAST, *_OTHERWISE}))
FIELDS = (*_FIRST, *_MIDDLE, *_MORE, *_LAST)


def _number_type(hint: Any) -> type | None:
    """Int or float of a hint such as `float | None`; None for others."""
    return next((kind for kind in (int, float) if hint in (kind, kind | None)), None)


# The types of those fields that are not text.
FIELD_TYPES: dict[str, type] = {
    **{
        name: kind
        for record in (Radiograph, Synthesis)
        for name, hint in get_type_hints(record).items()
        if (kind := _number_type(hint))
    },
    **dict.fromkeys(FINDING_NAMES, float),
    "synthetic": bool,
}


def radiograph_fields(radiograph: Radiograph) -> dict[str, Any]:
    """Everything known about a radiograph except its pixels, by the names of FIELDS.

    The columns of the 14 findings are 1.0 present, 0.0 absent, -1.0 uncertain, None not mentioned;
    `findings`, `context`, `statements` and `boxes` are lists of dicts, as datasets have them.
    """
    r = radiograph
    report = asdict(r.report) if r.report else {}
    synthesis = asdict(r.synthesis) if r.synthesis else {}
    known: dict[str, Any] = {
        **label_values(r),
        **{name: report.get(section) for name, section in _SECTIONS.items()},
        **{
            name: list(value) if isinstance(value := synthesis.get(name), tuple) else value
            for name in _SYNTHESIS
        },
        "findings": _known_fields(r.findings),
        "context": _known_fields(r.context),
        "statements": [asdict(statement) for statement in r.statements] or None,
        "boxes": [asdict(box) for box in r.boxes] or None,
        "synthetic": r.synthesis is not None,
    }
    return {name: known[name] if name in known else getattr(r, name) for name in FIELDS}


def _known_fields(records: Iterable[Any]) -> list[dict[str, Any]] | None:
    """Each record's fields that are known; None without records."""
    known = [{k: v for k, v in asdict(one).items() if v is not None} for one in records]
    return known or None


def label_values(radiograph: Radiograph) -> dict[str, float | None]:
    """The 14 labels as CheXpert writes them: 1.0, 0.0, -1.0, or None if not mentioned."""
    found = states(radiograph.findings)
    return {name: _VALUES[found[name]] if name in found else None for name in FINDING_NAMES}


def contradiction(radiograph: Radiograph) -> str | None:
    """Why the 14 labels cannot be used, None if they can.

    Readers of the layout take "No Finding" as 0 for all others.
    """
    found = states(radiograph.findings)
    present = [name for name, state in found.items() if state == "present"]
    others = sorted(set(present) - {"No Finding", "Support Devices"})
    if "No Finding" in present and others:
        return f"No Finding is present together with {others[0]}"
    return None


def file_stem(name: str) -> str:
    """A short file stem without dots, slashes or spaces; distinct for distinct names."""
    quoted = re.sub(r"[^A-Za-z0-9_-]", lambda found: _quote(found[0]), name)
    if 0 < len(quoted) <= _LONGEST:
        return quoted
    return hashlib.sha256(name.encode()).hexdigest()


def _quote(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def image_metadata(radiograph: Radiograph) -> dict[str, str]:
    """The metadata of an image file: how it was generated; empty unless it is synthetic."""
    return radiograph.synthesis.as_text() if radiograph.synthesis else {}


def as_png(radiograph: Radiograph) -> bytes:
    """The image as a PNG; text chunks mark it as synthetic and give its prompt, seed and model."""
    return encode_png(pixels(radiograph), image_metadata(radiograph))


def as_jpeg(radiograph: Radiograph, quality: int) -> bytes:
    """The image as a JPEG; its comment has the same metadata as JSON."""
    metadata = image_metadata(radiograph)
    comment = json.dumps(metadata, ensure_ascii=False) if metadata else ""
    return encode_jpeg(pixels(radiograph), quality, comment)


def pixels(radiograph: Radiograph) -> Any:
    """The image, uint8 [height, width]. Raises InputError naming the radiograph if damaged."""
    try:
        return decode(radiograph.image)
    except InputError as error:
        raise InputError(f"radiograph {radiograph.id!r}: {error}") from None


@contextmanager
def open_csv(path: Path, columns: Sequence[str]) -> Iterator[CsvTable]:
    """A CSV with these columns, gzipped if named .gz; equal rows give equal bytes."""
    with ExitStack() as stack:
        file: Any = stack.enter_context(path.open("wb"))
        if path.suffix == ".gz":
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
            file = stack.enter_context(packed)
        text = stack.enter_context(TextIOWrapper(file, encoding="utf-8", newline=""))
        yield CsvTable(text, columns)
