"""Plan of a synthetic set: a table made before any image is drawn, one row per image."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from roentgen.diffusion.conditions.prompt_encoding import PromptLimit
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.generation.generator import Generator
from roentgen.generation.planned_images import PlannedImage, images_from_rows
from roentgen.generation.prompt_check import PromptCheck
from roentgen.generation.training_scope import ScopeCheck, training_scope
from roentgen.preparation.filtered_split import FilteredSplit
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from sample.masks.mirroring import swap_sides_in_text, swap_sides_of_findings
from sample.masks.transforms import is_mirrored
from sample.prompts.config import MaskPrompts, PromptsConfig
from sample.prompts.sources import filter_prompts, requested_style, rows_from_config

PLAN = "plan.parquet"
_PARTS = 256  # into which a plan is divided, unless it is small or very large
_LARGEST = 1024  # images of a part


def plan_images(
    prompts: PromptsConfig,
    style: PromptStyle,
    sampler: SamplerSettings,
    seed: int,
    filtered: FilteredSplit | None = None,
) -> Iterator[PlannedImage]:
    """The images of a configuration, with the seeds of their masks' transforms.

    `filtered` are the radiographs that pass the configuration's filter, if it has one.
    Raises InputError for prompts that cannot be read.
    """
    images = images_from_rows(
        rows_from_config(prompts, style, seed, filtered),
        sampler,
        seed,
        count=prompts.count,
        negative_prompt=prompts.negative_prompt,
    )
    return images if prompts.masks is None else _with_transforms(images, prompts.masks)


def passing_radiographs(generator: Generator, prompts: PromptsConfig) -> FilteredSplit | None:
    """The radiographs that pass the configuration's filter; None without one."""
    count_tokens = PromptLimit(generator.components.tokenizer).count
    return filter_prompts(prompts, generator.style, count_tokens)


def prompt_check(generator: Generator, prompts: PromptsConfig) -> PromptCheck:
    """The check of a configuration's prompts, with notes on what the model was not trained on."""
    scope = ScopeCheck(training_scope(generator.model), requested_style(prompts, generator.style))
    return PromptCheck(generator.components, generator.long_prompts, scope)


def plan_for(
    generator: Generator, prompts: PromptsConfig, check: PromptCheck | None = None
) -> Iterator[PlannedImage]:
    """The images of a configuration for a generator, checked as they come.

    Raises InputError for unusable prompts.
    """
    filtered = passing_radiographs(generator, prompts)
    images = plan_images(prompts, generator.style, generator.settings, generator.seed, filtered)
    return (check or prompt_check(generator, prompts))(images)


def _with_transforms(images: Iterable[PlannedImage], masks: MaskPrompts) -> Iterator[PlannedImage]:
    """The images with mask seeds only where masks are transformed.

    Where masks are mirrored, left and right are exchanged in the prompt and the findings.
    """
    patient = ""
    for image in images:
        first, patient = image.patient_id != patient, image.patient_id
        if masks.transforms is None or (masks.first_untransformed and first):
            yield replace(image, mask_seed=None)
        elif image.mask_seed is not None and is_mirrored(masks.transforms, image.mask_seed):
            findings = swap_sides_of_findings(image.findings)
            yield replace(image, prompt=swap_sides_in_text(image.prompt), findings=findings)
        else:
            yield image


_TEXT = pa.string()
_FINDINGS = pa.list_(
    pa.struct([(n, _TEXT) for n in ("name", "state", "side", "severity", "detail")])
)
_NUMBERS = [("value", pa.float64()), ("imputed", pa.bool_()), ("probability", pa.float64())]
_CONTEXT = pa.list_(pa.struct([("name", _TEXT), *_NUMBERS]))
_TYPES: dict[str, Any] = {
    "seed": pa.int64(),
    "guidance_scale": pa.float64(),
    "steps": pa.int64(),
    "mask_row": pa.int64(),
    "mask_seed": pa.int64(),
    "findings": _FINDINGS,
    "context": _CONTEXT,
    "others": pa.list_(_TEXT),
    "age": pa.float64(),
}
_COLUMNS = [field.name for field in fields(PlannedImage)]
SCHEMA = pa.schema([(name, _TYPES.get(name, _TEXT)) for name in _COLUMNS])


def write_plan(path: Path, plan: Iterable[PlannedImage]) -> str:
    """Write the plan as a Parquet file, one row per image; returns its fingerprint.

    Memory does not grow with the plan.
    """
    digest = hashlib.sha256()
    images = iter(plan)
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while chunk := list(islice(images, _LARGEST)):
            batch = _as_batch(chunk)
            digest.update(batch.serialize())
            writer.write_batch(batch)
    return digest.hexdigest()[:16]


def _as_batch(images: Sequence[PlannedImage]) -> pa.RecordBatch:
    columns = {name: [getattr(image, name) for image in images] for name in _COLUMNS}
    arrays = [
        _lists(columns[name], SCHEMA.field(name).type)
        if name in ("findings", "context")
        else pa.array(columns[name], SCHEMA.field(name).type)
        for name in _COLUMNS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _lists(images: Sequence[tuple[Any, ...]], kind: pa.ListType) -> pa.ListArray:
    """Lists of records; each distinct record is converted once, as conversion is slow."""
    every = [record for records in images for record in records]
    places = {record: place for place, record in enumerate(dict.fromkeys(every))}
    names = [field.name for field in kind.value_type]
    plain = ({name: getattr(record, name) for name in names} for record in places)
    distinct = pa.array(plain, kind.value_type)
    ends = np.cumsum([0, *map(len, images)], dtype=np.int32)
    taken = distinct.take(pa.array([places[record] for record in every], pa.int32()))
    return pa.ListArray.from_arrays(pa.array(ends), taken)


class PlanFile:
    """A plan on disk, whose rows are read on demand."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self._images = self._file.metadata.num_rows

    def __len__(self) -> int:
        return int(self._images)

    def read(self, rows: range) -> list[PlannedImage]:
        """The images of these rows."""
        groups = range(rows.start // _LARGEST, -(-rows.stop // _LARGEST))
        table = self._file.read_row_groups(list(groups))
        return _from_rows(table.slice(rows.start - groups.start * _LARGEST, len(rows)))

    def __iter__(self) -> Iterator[PlannedImage]:
        for group in range(self._file.num_row_groups):
            yield from _from_rows(self._file.read_row_group(group))

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all images."""
        return self._file.read([name]).column(name)

    def starts(self) -> np.ndarray:
        """The rows at which the images of each prompt begin, int64."""
        patients = self.column("patient_id").combine_chunks().dictionary_encode().indices
        codes = patients.to_numpy()
        return np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))


def _from_rows(table: pa.Table) -> list[PlannedImage]:
    rows = table.to_pylist()
    for row in rows:
        row["findings"] = tuple(Finding(**finding) for finding in row["findings"])
        row["context"] = tuple(ContextValue(**value) for value in row["context"])
        row["others"] = tuple(row["others"])
    return [PlannedImage(**row) for row in rows]


def part_size(images: int, batch_size: int) -> int:
    """The number of images per part: a multiple of the batch size, with parts for all processes."""
    size = min(_LARGEST, -(-images // _PARTS))
    return -(-size // batch_size) * batch_size
