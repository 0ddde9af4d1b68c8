"""Drawing rows of a set again: with its own model and settings, and new seeds.

Redrawn images are stored in parts in a work folder, so that a killed run resumes with them,
and the processes of a launch share them out.
"""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from roentgen.config import config_from_dict
from roentgen.dataset.dataset import RadiographDataset, RadiographSplit
from roentgen.dataset.finalize import write_index
from roentgen.dataset.shards import ShardWriter
from roentgen.dataset.verified_batches import VerifiedBatches
from roentgen.dataset.work_folder import WorkFolder, order_of_parts, shard_file
from roentgen.diffusion.backbones.model_folder import model_manifest, recorded_model
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.distributed import SINGLE_PROCESS, Launch
from roentgen.errors import InputError
from roentgen.generation.generator import Generator
from roentgen.generation.image_conditions import ConditionSource
from roentgen.generation.planned_images import PlannedImage
from roentgen.randomness import derive_seed
from roentgen.storage import write_json
from roentgen.terminal.progress import Progress
from sample.condition_sources import condition_sources
from sample.drawn_part import DrawnPart, noted_among, noted_images
from sample.plan import PLAN, PlanFile
from sample.prompts.config import PromptsConfig
from sample.screening.config import ScreenConfig
from sample.screening.rounds import Candidate, retry_id

DRAWN = "drawn"  # the split of the work folder
_PART = 64  # images, or a batch if that is more
_PAUSE = 0.5  # seconds between looks for the next round
_ROUNDS = "rounds"  # of the work folder: 00000.json, the pairs that the first round draws, ...
_READ = 1024  # rows of the plan that are read together
Pair = tuple[int, int]  # a row of the set and the attempt at it


def retried(planned: PlannedImage, seed: int, attempt: int) -> PlannedImage:
    """The same image with the seed of a further attempt; `seed` is the screening's."""
    new = derive_seed(seed, "retry", planned.id, attempt)
    return replace(planned, id=retry_id(planned.id, attempt), seed=new)


def planned(plan: PlanFile, pairs: Iterable[Pair], seed: int) -> Iterator[PlannedImage]:
    """The planned images of (row, attempt) pairs, rows ascending; 0 is the set's own image."""
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
    """Draws rows again; memory does not grow with their number.

    The first process of a launch says in files of the work folder what to draw, and all draw it.
    """

    def __init__(
        self,
        config: ScreenConfig,
        dataset: RadiographDataset,
        ids: Sequence[str],
        launch: Launch = SINGLE_PROCESS,
    ) -> None:
        """`ids` are the set's, row by row.

        Raises InputError for a set that does not say how it was made, or whose model is not the
        one that is there now.
        """
        self.model = model_of(config, dataset)
        self._seed, self._launch, self._ids = config.seed, launch, ids
        self._plan = plan_of(dataset.folder, ids)
        self._settings = settings_of(dataset)
        self._dataset = dataset
        self._generator: Generator | None = None
        self._rounds = self._parts = self._images = 0

    def begin(self, work: WorkFolder[DrawnPart]) -> None:
        """Removes an earlier run's requests; before other processes join."""
        shutil.rmtree(work.folder / _ROUNDS, ignore_errors=True)
        (work.folder / _ROUNDS).mkdir()

    def __call__(
        self, work: WorkFolder[DrawnPart], requested: Sequence[Pair]
    ) -> tuple[list[Candidate], RadiographSplit]:
        """Draw (row, attempt) pairs, rows ascending, and give the split of all that were drawn."""
        candidates = [
            Candidate(row, attempt, self._images + k) for k, (row, attempt) in enumerate(requested)
        ]
        for number, pairs in self._cut(requested).items():
            self._drop_other(work, number, pairs)
        write_json(self._round_path(work), list(requested))
        self._draw(work, requested)
        write_index(work.dataset / DRAWN, [work.read(n).shards[DRAWN] for n in range(self._parts)])
        return candidates, RadiographSplit(work.dataset, DRAWN, self._images)

    def noted(self, work: WorkFolder[DrawnPart]) -> tuple[dict[str, list[str]], list[str]]:
        """The ids of the images that need a note, for the manifest, and the notes."""
        return noted_images([work.read(n) for n in range(self._parts)], self._settings)

    def follow(self, work: WorkFolder[DrawnPart]) -> None:
        """Draw with the first process what it asks for, until it has finished.

        Raises InputError if it has ended before.
        """
        while work.folder.exists():
            try:
                pairs = self._round_path(work).read_text(encoding="utf-8")
            except FileNotFoundError:
                if work.is_abandoned():
                    raise InputError(
                        "the first process ended early: start all processes again to resume"
                    ) from None
                time.sleep(_PAUSE)
            else:
                self._draw(work, json.loads(pairs))

    def _draw(self, work: WorkFolder[DrawnPart], requested: Sequence[Pair]) -> None:
        """Draw the next round with the other processes, each beginning with parts of its own."""
        parts = self._cut(requested)
        rank, ranks = self._launch.process_index, self._launch.num_processes
        with Progress(len(requested), "drawing again", "image", shown=rank == 0) as bar:
            for place in order_of_parts(len(parts), rank, ranks):
                number = self._parts + place
                work.make(number, lambda folder, n=number: self._write(folder, n, parts[n], bar))  # type: ignore[misc]
                bar.update(sum(len(parts[n]) for n in work.finished() & parts.keys()) - bar.n)
        self._rounds, self._parts = self._rounds + 1, self._parts + len(parts)
        self._images += len(requested)

    def _cut(self, requested: Sequence[Pair]) -> dict[int, Sequence[Pair]]:
        """The parts of the next round, by number."""
        size = -(-_PART // self._settings.batch_size) * self._settings.batch_size
        cuts = (requested[first : first + size] for first in range(0, len(requested), size))
        return dict(enumerate(cuts, self._parts))

    def _drop_other(self, work: WorkFolder[DrawnPart], number: int, pairs: Sequence[Pair]) -> None:
        """Drop a part in which an earlier run, with other scores, drew other images."""
        if number not in work.finished():
            return
        drawn = VerifiedBatches(work.dataset, [work.read(number).shards[DRAWN].index])
        expected = [retry_id(self._ids[row], attempt) for row, attempt in pairs]
        if [name for (name,) in drawn.columns("id")] != expected:
            work.record_path(number).unlink()

    def _round_path(self, work: WorkFolder[DrawnPart]) -> Path:
        return work.folder / _ROUNDS / f"{self._rounds:05d}.json"

    def _write(self, folder: Path, number: int, pairs: Sequence[Pair], bar: Progress) -> DrawnPart:
        images = list(planned(self._plan, pairs, self._seed))
        generator = self._loaded()
        with ShardWriter(folder / f"{DRAWN}.arrow") as shard:
            for radiograph in generator.draw(images):
                shard.add(radiograph)
                bar.update()
        return DrawnPart(
            number=number,
            items=len(pairs),
            shards={DRAWN: shard.shard(shard_file(DRAWN, number))},
            **noted_among(images, generator.sampler),
        )

    def _loaded(self) -> Generator:
        """The generator, made when it is first needed."""
        if self._generator is None:
            gpus = torch.cuda.device_count()
            self._generator = Generator(
                str(self.model["path"]),
                self._settings,
                device=f"cuda:{self._launch.local_process_index % gpus}" if gpus else None,
                licenses=self._dataset.licenses,
                sources=sources_of_set(self._dataset),
            )
        return self._generator


def model_of(config: ScreenConfig, dataset: RadiographDataset) -> dict[str, Any]:
    """The manifest of the model that made a set. Raises InputError if it is not there."""
    made_by = dataset.manifest["provenance"].get("made_from", {}).get("model") or {}
    path = config.model or recorded_model(dataset.manifest["provenance"])
    way_out = "attempts: 0 and best_of: 1 draw nothing"
    if not made_by.get("fingerprint"):
        raise InputError(f"{dataset.folder} does not say which model made it; {way_out}")
    if not path:
        raise InputError(
            f"the model that made {dataset.folder} is not at {made_by.get('path')}: set model to "
            f"where it is now; {way_out}"
        )
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
    try:
        settings = _generation_config(dataset)["sampler"]
        # On this machine's device, not on that one's.
        return config_from_dict(SamplerSettings, {**settings, "device": None})
    except (KeyError, InputError) as error:
        raise InputError(
            f"{dataset.folder} does not say how it was drawn in a way that is understood ({error}):"
            " attempts: 0 and best_of: 1 draw nothing"
        ) from None


def sources_of_set(dataset: RadiographDataset) -> list[ConditionSource]:
    """The sources of the conditions, besides the prompts, that a set was drawn from."""
    prompts = _generation_config(dataset).get("prompts")
    return condition_sources(config_from_dict(PromptsConfig, prompts)) if prompts else []


def _generation_config(dataset: RadiographDataset) -> dict[str, Any]:
    """The configuration of a set's generation; empty if not recorded."""
    config: dict[str, Any] = dataset.manifest["provenance"].get("config", {})
    return config


def plan_of(folder: Path, ids: Sequence[str]) -> PlanFile:
    """The plan in a set's folder. Raises InputError if it is not there or not the set's."""
    path = folder / PLAN
    if not path.is_file():
        raise InputError(
            f"{folder} has no {PLAN}, which redrawing needs: set attempts: 0 and best_of: 1"
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
