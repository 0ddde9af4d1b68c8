"""The plan: what is generated, as a table made before any image, one row an image."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from roentgen.diffusion.sampling.sampler import SamplerSettings
from roentgen.errors import InputError
from roentgen.prompts.grammar import PromptStyle
from roentgen.randomness import derive_seed
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Sex
from roentgen.record.views import View
from sample.masks.laterality import swap_words, swapped_sides
from sample.masks.transforms import is_mirrored
from sample.prompts.config import MaskPrompts, PromptsConfig
from sample.prompts.sources import prompt_rows

PLAN = "plan.parquet"
_PARTS = 256  # into which a plan is cut, where it is neither small nor very large
_LARGEST = 1024  # images of a part


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """One image to generate; `seed` is that of its noise."""

    id: str
    patient_id: str
    prompt: str
    negative_prompt: str | None
    seed: int
    guidance_scale: float
    scheduler: str
    steps: int
    view: View | None
    findings: tuple[Finding, ...]
    age: float | None
    sex: Sex | None
    race: str | None
    from_radiograph: str | None
    from_patient: str | None
    mask_row: int | None = None  # of `from_radiograph` in the split that masks are of
    mask_seed: int | None = None  # of how its masks are moved; None: they are as they are


def plan_images(
    prompts: PromptsConfig, style: PromptStyle, sampler: SamplerSettings, seed: int
) -> Iterator[PlannedImage]:
    """The images of a configuration, copies of a prompt side by side.

    Seeds and ids depend on the prompt (and on the radiograph it was made from, or on how many equal
    prompts come before), not on its place: adding a prompt changes no other image. Raises
    InputError for prompts that cannot be read.
    """
    seen: Counter[int] = Counter()
    empty = True
    for row in prompt_rows(prompts, style, seed):
        key = (row.prompt, row.radiograph or "")
        alike = hash(key)  # in place of the text, of which there are many
        identity = (*key, seen[alike])
        seen[alike] += 1
        patient = f"synthetic-{derive_seed(seed, 'patient', *identity):016x}"
        for copy in range(prompts.count if row.count is None else row.count):
            empty = False
            image = PlannedImage(
                id=f"{patient}-{copy:04d}",
                patient_id=patient,
                prompt=row.prompt,
                negative_prompt=prompts.negative_prompt,
                seed=derive_seed(seed, "noise", *identity, copy),
                guidance_scale=sampler.guidance_scale,
                scheduler=sampler.scheduler,
                steps=sampler.steps,
                view=row.view,
                findings=row.findings,
                age=row.age,
                sex=row.sex,
                race=row.race,
                from_radiograph=row.radiograph,
                from_patient=row.patient,
                mask_row=row.mask_row,
            )
            yield _moved(image, prompts.masks, identity, copy, seed) if prompts.masks else image
    if empty:
        raise InputError("the prompts give no image: every count is 0")


def _moved(
    image: PlannedImage, masks: MaskPrompts, identity: tuple[str | int, ...], copy: int, seed: int
) -> PlannedImage:
    """An image whose masks are moved; if they are mirrored, so is what is said of sides."""
    if masks.transforms is None or (masks.first_as_it_is and copy == 0):
        return image
    mask_seed = derive_seed(seed, "mask", *identity, copy)
    image = replace(image, mask_seed=mask_seed)
    if not is_mirrored(masks.transforms, mask_seed):
        return image
    findings = swapped_sides(image.findings)
    return replace(image, prompt=swap_words(image.prompt), findings=findings)


_TEXT = pa.string()
_FINDINGS = pa.list_(
    pa.struct([(n, _TEXT) for n in ("name", "state", "side", "severity", "detail")])
)
_KINDS: dict[str, Any] = {
    "seed": pa.int64(),
    "guidance_scale": pa.float64(),
    "steps": pa.int64(),
    "mask_row": pa.int64(),
    "mask_seed": pa.int64(),
    "findings": _FINDINGS,
    "age": pa.float64(),
}
_COLUMNS = [field.name for field in fields(PlannedImage)]
SCHEMA = pa.schema([(name, _KINDS.get(name, _TEXT)) for name in _COLUMNS])


def write_plan(path: Path, plan: Iterable[PlannedImage]) -> str:
    """Write the plan as a Parquet file, one row an image; returns its fingerprint.

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
        _findings(columns[name])
        if name == "findings"
        else pa.array(columns[name], SCHEMA.field(name).type)
        for name in _COLUMNS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _findings(told: Sequence[tuple[Finding, ...]]) -> pa.ListArray:
    """The findings of images; the few different ones, which Arrow is slow to take, once each."""
    every = [finding for findings in told for finding in findings]
    places = {finding: place for place, finding in enumerate(dict.fromkeys(every))}
    distinct = pa.array(map(vars, places), _FINDINGS.value_type)
    ends = np.cumsum([0, *map(len, told)], dtype=np.int32)
    taken = distinct.take(pa.array([places[finding] for finding in every], pa.int32()))
    return pa.ListArray.from_arrays(pa.array(ends), taken)


class PlanFile:
    """A plan on disk, of which the rows that are asked for are read."""

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
        """The rows with which a prompt's images begin, int64."""
        patients = self.column("patient_id").combine_chunks().dictionary_encode().indices
        codes = patients.to_numpy()
        return np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))


def _from_rows(table: pa.Table) -> list[PlannedImage]:
    rows = table.to_pylist()
    for row in rows:
        row["findings"] = tuple(Finding(**finding) for finding in row["findings"])
    return [PlannedImage(**row) for row in rows]


def part_size(images: int, batch_size: int) -> int:
    """How many images are drawn between two records: whole batches, and parts for all ranks."""
    wanted = min(_LARGEST, -(-images // _PARTS))
    return -(-wanted // batch_size) * batch_size
