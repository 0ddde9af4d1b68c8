"""Drawing rows of a set again: with its own model and settings, and new seeds.

What is drawn lies in parts in a work folder, so that a killed run goes on with what it had drawn.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from roentgen.data.dataset import RadiographDataset, RadiographSplit
from roentgen.data.parts import Part, Shard, WorkFolder, shard_file
from roentgen.data.shards import ShardWriter
from roentgen.errors import InputError
from roentgen.models.sampler import SamplerSettings
from roentgen.models.trained import model_manifest
from roentgen.randomness import derive_seed
from roentgen.runs import write_json
from sample.generator import Generator
from sample.plan import PLAN, PlanFile, PlannedImage
from sample.screen_config import ScreenConfig
from sample.screening import Candidate, retry_id

DRAWN = "drawn"  # the split of the work folder
_PART = 64  # images, or a batch if that is more
_READ = 1024  # rows of the plan that are read together


def retried(planned: PlannedImage, seed: int, attempt: int) -> PlannedImage:
    """The same image with the seed of a further attempt; `seed` is the screening's."""
    new = derive_seed(seed, "retry", planned.id, attempt)
    return replace(planned, id=retry_id(planned.id, attempt), seed=new)


def planned(plan: PlanFile, pairs: Iterable[tuple[int, int]], seed: int) -> Iterator[PlannedImage]:
    """What is asked for as (row, attempt), rows ascending; attempt 0 is the set's own image."""
    read = range(0)
    images: list[PlannedImage] = []
    for row, attempt in pairs:
        if row not in read:
            first = row // _READ * _READ
            read = range(first, min(first + _READ, len(plan)))
            images = plan.read(read)
        image = images[row - read.start]
        yield retried(image, seed, attempt) if attempt else image


class Redraw:
    """Draws rows again; memory does not grow with their number."""

    def __init__(
        self, config: ScreenConfig, dataset: RadiographDataset, ids: Sequence[str]
    ) -> None:
        """`ids` are the set's, row by row.

        Raises InputError for a set that does not say how it was made, or whose model is not the
        one that is there now.
        """
        self.model = model_of(config, dataset)
        self._seed = config.seed
        self._plan = plan_of(dataset.folder, ids)
        self._settings = settings_of(dataset)
        self._dataset = dataset
        self._generator: Generator | None = None
        self._parts = self._images = 0

    def __call__(
        self, work: WorkFolder[Part], wanted: Sequence[tuple[int, int]]
    ) -> tuple[list[Candidate], RadiographSplit]:
        """Draw (row, attempt) pairs, rows ascending, and give the split of all that were drawn."""
        size = -(-_PART // self._settings.batch_size) * self._settings.batch_size
        candidates = [
            Candidate(row, attempt, self._images + k) for k, (row, attempt) in enumerate(wanted)
        ]
        with tqdm(total=len(wanted), desc="drawing again", unit="image") as bar:
            for first in range(0, len(wanted), size):
                pairs = wanted[first : first + size]
                work.make(self._parts, lambda folder, pairs=pairs: self._write(folder, pairs))  # type: ignore[misc]
                self._parts += 1
                bar.update(len(pairs))
        self._images += len(wanted)
        files = [shard_file(DRAWN, number) for number in range(self._parts)]
        state = {"_data_files": [{"filename": Path(file).name} for file in files]}
        write_json(work.dataset / DRAWN / "state.json", state)
        return candidates, RadiographSplit(work.dataset, DRAWN, self._images)

    def _write(self, folder: Path, pairs: Sequence[tuple[int, int]]) -> Part:
        with ShardWriter(folder / f"{DRAWN}.arrow") as shard:
            for radiograph in self._loaded().draw(planned(self._plan, pairs, self._seed)):
                shard.add(radiograph)
        shards = {DRAWN: Shard.of(shard, shard_file(DRAWN, self._parts))}
        return Part(number=self._parts, items=len(pairs), shards=shards)

    def _loaded(self) -> Generator:
        """The generator, made when it is first needed."""
        if self._generator is None:
            self._generator = Generator(
                str(self.model["path"]), self._settings, licenses=self._dataset.licenses
            )
        return self._generator


def model_of(config: ScreenConfig, dataset: RadiographDataset) -> dict[str, Any]:
    """The manifest of the model that made a set. Raises InputError if it is not there."""
    made_by = dataset.manifest["provenance"].get("made_from", {}).get("model") or {}
    path = config.model or made_by.get("path")
    way_out = "attempts: 0 and best_of: 1 draw nothing"
    if not path or not made_by.get("fingerprint"):
        raise InputError(f"{dataset.folder} does not say which model made it; {way_out}")
    try:
        manifest = model_manifest(str(path))
    except InputError as error:
        raise InputError(
            f"the model that made {dataset.folder} cannot be read ({error}): set model to where it "
            f"is now; {way_out}"
        ) from None
    if manifest["fingerprint"] != made_by["fingerprint"]:
        raise InputError(
            f"model {path} ({manifest['fingerprint']}) is not the one that made {dataset.folder} "
            f"({made_by['fingerprint']}): set model to that one's folder; {way_out}"
        )
    return manifest


def settings_of(dataset: RadiographDataset) -> SamplerSettings:
    """How the images of a set were drawn. Raises InputError if it does not say."""
    told = dataset.manifest["provenance"].get("config", {}).get("sampler")
    try:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in dict(told).items()
        }
        return SamplerSettings(**values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{dataset.folder} does not say how it was drawn in a way that is understood ({error}):"
            " attempts: 0 and best_of: 1 draw nothing"
        ) from None


def plan_of(folder: Path, ids: Sequence[str]) -> PlanFile:
    """The plan that lies in a set. Raises InputError if it is not there or not the set's."""
    path = folder / PLAN
    if not path.is_file():
        raise InputError(
            f"{folder} has no {PLAN}, which tells what to draw again: attempts: 0 and best_of: 1 "
            "draw nothing"
        )
    try:
        plan = PlanFile(path)
        same = plan.column("id").to_pylist() == list(ids)
        plan.read(range(1))
    except (KeyError, TypeError, pa.ArrowException) as error:
        raise InputError(
            f"{path} is damaged or another version's ({error}): make the set again"
        ) from None
    if not same:
        raise InputError(f"{path} is not the plan of the images beside it: make the set again")
    return plan
