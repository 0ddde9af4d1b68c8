"""Schema of a dataset: a Radiograph as a row of a Hugging Face `datasets` table, and back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields
from typing import Any

import pyarrow as pa

from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Box, Radiograph, Report, Synthesis
from roentgen.record.statement import Evidence, Extent, Span, Statement

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # datasets.Image()
_REPORT = pa.struct(
    [
        (name, pa.string())
        for name in ("findings", "impression", "indication", "comparison", "last_paragraph")
    ]
)
_FINDING = pa.struct(
    [(name, pa.string()) for name in ("name", "state", "side", "severity", "detail")]
)
_EXTENT = pa.struct(
    [("side", pa.string()), ("severity", pa.string()), ("places", pa.list_(pa.string()))]
)
_SPAN = pa.struct([("role", pa.string()), ("start", pa.int32()), ("end", pa.int32())])
_EVIDENCE = pa.struct(
    [
        ("section", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("words", pa.list_(_SPAN)),
    ]
)
STATEMENT = pa.struct(
    [
        ("finding", pa.string()),
        ("state", pa.string()),
        ("probability", pa.float64()),
        ("extents", pa.list_(_EXTENT)),
        ("size_mm", pa.float64()),
        ("change", pa.string()),
        ("evidence", _EVIDENCE),
        ("source", pa.string()),
    ]
)
_BOX = pa.struct(
    [
        ("structure", pa.string()),
        *((side, pa.float64()) for side in ("left", "top", "right", "bottom")),
    ]
)
_CONTEXT = pa.struct(
    [
        ("name", pa.string()),
        ("value", pa.float64()),
        ("unit", pa.string()),
        ("minutes_before", pa.float64()),
        ("imputed", pa.bool_()),
        ("probability", pa.float64()),
    ]
)
_SYNTHESIS = pa.struct(
    [
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("seed", pa.int64()),
        ("guidance_scale", pa.float64()),
        ("steps", pa.int64()),
        ("scheduler", pa.string()),
        ("model", pa.string()),
        ("from_radiograph", pa.string()),
        ("from_patient", pa.string()),
        ("guidance_interval", pa.list_(pa.float64())),
        ("guidance_rescale", pa.float64()),
        ("cache_interval", pa.int64()),
        ("conditioning_scale", pa.float64()),
        ("conditioning_interval", pa.list_(pa.float64())),
        ("mask_seed", pa.int64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("patient_id", pa.string()),
        ("study_id", pa.string()),
        ("split", pa.string()),
        ("image", _IMAGE),
        ("view", pa.string()),
        ("findings", pa.list_(_FINDING)),
        ("statements", pa.list_(STATEMENT)),
        ("report", _REPORT),
        ("masks", pa.list_(pa.struct([("structure", pa.string()), ("image", _IMAGE)]))),
        ("boxes", pa.list_(_BOX)),
        ("age", pa.float64()),
        ("sex", pa.string()),
        ("race", pa.string()),
        ("context", pa.list_(_CONTEXT)),
        ("source", pa.string()),
        ("license", pa.string()),
        ("synthesis", _SYNTHESIS),
    ]
)
PIXEL_COLUMNS = ("image", "masks")


def is_readable(found: pa.Schema) -> bool:
    """Whether `complete` reads this schema: SCHEMA, or one that lacks what may be null."""
    types = {field.name: field.type for field in found}
    synthesis = types.get("synthesis", pa.struct([]))
    ours = {field.name: field.type for field in SCHEMA} | {"synthesis": synthesis}
    required = {field.name for field in fields(Radiograph) if _is_required(field)}
    return (
        required <= types.keys()
        and types.items() <= ours.items()
        and pa.types.is_struct(synthesis)
        and {(field.name, field.type) for field in synthesis}
        <= {(field.name, field.type) for field in _SYNTHESIS}
    )


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def complete(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of a readable schema with all columns of SCHEMA; those that they lack are null."""
    have = set(rows.schema.names)
    columns = (
        rows.column(field.name) if field.name in have else pa.nulls(len(rows), field.type)
        for field in SCHEMA
    )
    return pa.RecordBatch.from_arrays(list(columns), SCHEMA.names)


def features() -> dict[str, Any]:
    """The columns as `datasets` describes them in dataset_info.json."""

    def describe(kind: pa.DataType) -> dict[str, Any]:
        if kind == _IMAGE:
            return {"_type": "Image"}
        if pa.types.is_struct(kind):
            return {field.name: describe(field.type) for field in kind}
        if pa.types.is_list(kind):
            return {"feature": describe(kind.value_type), "_type": "List"}
        names = {"double": "float64"}
        return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}

    return {field.name: describe(field.type) for field in SCHEMA}


def arrow_schema() -> pa.Schema:
    """SCHEMA with the metadata by which `datasets` knows its image columns."""
    return SCHEMA.with_metadata({"huggingface": json.dumps({"info": {"features": features()}})})


def to_row(radiograph: Radiograph) -> dict[str, Any]:
    """The radiograph as plain values that fit SCHEMA."""
    row = {field.name: getattr(radiograph, field.name) for field in SCHEMA}
    row["image"] = {"bytes": radiograph.image, "path": None}
    row["findings"] = [asdict(finding) for finding in radiograph.findings]
    row["statements"] = [asdict(one) for one in radiograph.statements] or None
    row["context"] = [asdict(value) for value in radiograph.context] or None
    row["boxes"] = [asdict(box) for box in radiograph.boxes]
    row["report"] = asdict(radiograph.report) if radiograph.report else None
    row["masks"] = [
        {"structure": structure, "image": {"bytes": mask, "path": None}}
        for structure, mask in sorted(radiograph.masks.items())
    ]
    row["synthesis"] = asdict(radiograph.synthesis) if radiograph.synthesis else None
    return row


def from_row(row: Mapping[str, Any]) -> Radiograph:
    """The inverse of `to_row`; a row without pixel columns gives image=b"" and masks={}."""
    values = dict(row)
    values["image"] = row["image"]["bytes"] if "image" in row else b""
    values["findings"] = tuple(Finding(**finding) for finding in row["findings"] or ())
    values["statements"] = tuple(map(statement_of, row["statements"] or ()))
    values["context"] = tuple(ContextValue(**value) for value in row["context"] or ())
    values["report"] = Report(**row["report"]) if row["report"] else None
    values["masks"] = {m["structure"]: m["image"]["bytes"] for m in row.get("masks") or ()}
    values["boxes"] = tuple(Box(**box) for box in row["boxes"] or ())
    values["synthesis"] = _synthesis(row["synthesis"]) if row["synthesis"] else None
    return Radiograph(**values)


def statement_of(plain: Mapping[str, Any]) -> Statement:
    """The statement of plain values, as `asdict` gives them."""
    extents = tuple(Extent(e["side"], e["severity"], tuple(e["places"])) for e in plain["extents"])
    evidence = _evidence(plain["evidence"]) if plain["evidence"] else None
    return Statement(**{**plain, "extents": extents, "evidence": evidence})


def _evidence(plain: Mapping[str, Any]) -> Evidence:
    words = tuple(Span(word["role"], word["start"], word["end"]) for word in plain["words"])
    return Evidence(plain["section"], plain["start"], plain["end"], words)


def _synthesis(plain: Mapping[str, Any]) -> Synthesis:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    return Synthesis(**values)


def digest(radiograph: Radiograph) -> int:
    """SHA-256 of the radiograph's content as a number; a column that is null does not change it."""
    row = to_row(radiograph)
    row["image"] = hashlib.sha256(radiograph.image).hexdigest()
    row["masks"] = {
        structure: hashlib.sha256(mask).hexdigest() for structure, mask in radiograph.masks.items()
    }
    text = json.dumps(_without_nulls(row), sort_keys=True, ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list | tuple) else value
