"""Generate synthetic radiographs: `python -m sample.generate configs/sample/x.yaml`.

First the plan is made, one row an image; then it is drawn part by part. A killed run, started again
in the same way, goes on with the parts that are finished. Under `accelerate launch` and `torchrun`
the processes of all machines that see the output folder share the parts out; the set that they make
is the one that a single process makes.
"""

import csv
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from roentgen.config import config_to_dict, load_config
from roentgen.dataset.dataset import EXCLUDED, EXCLUDED_COLUMNS
from roentgen.dataset.finalize import finalize_dataset
from roentgen.dataset.shards import RadiographCounts, ShardWriter
from roentgen.dataset.work_folder import (
    Part,
    Shard,
    WorkFolder,
    order_of_parts,
    read_row,
    shard_file,
)
from roentgen.diffusion.sampling.sampler import SamplerSettings
from roentgen.diffusion.training_record import (
    model_manifest,
    trained_preparation,
    trained_style,
)
from roentgen.distributed import Launch, sigterm_as_interrupt, this_launch
from roentgen.errors import InputError, is_full_disk, run_program
from roentgen.generation.generator import Generator
from roentgen.generation.planned_images import PlannedImage
from roentgen.generation.prompt_check import PromptCheck
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.imaging.overlay import outlined
from roentgen.manifest import provenance, read_manifest
from roentgen.record.radiograph import Radiograph
from roentgen.record.structures import Masks
from roentgen.storage import check_free_space, check_output, install_folder, write_file
from sample.condition_sources import condition_sources
from sample.config import GenerateConfig
from sample.plan import PLAN, PlanFile, part_size, plan_for, plan_images, write_plan
from sample.prompts.dataset_rows import check_source

SHEET = "contact_sheet.png"
_SHEET_COLUMNS = 8
# Settings that do not change the set: a run may resume with other values.
_FREE = ("output", "overwrite", "sheet_prompts", "dry_run")
_FREE_OF_SAMPLER = ("batch_size", "decode_batch_size", "device")


def generate(config: GenerateConfig) -> Path:
    """Make the synthetic set of a configuration and return its folder.

    Raises InputError for what the user must change, KeyboardInterrupt with what stays of an
    interrupted run.
    """
    check_output(config.output, overwrite=config.overwrite)
    launch = this_launch()
    work = WorkFolder(config.output, Part, launch.process_index, "generating")
    try:
        with work.lock() if launch.is_main_process else nullcontext():
            _generate(config, work, launch)
    except (KeyboardInterrupt, OSError) as error:
        stay = f"{len(work.finished())} finished parts remain, and the same command resumes"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted: {stay}") from None
        if is_full_disk(error):
            raise InputError(f"no space left on the disk of {config.output}: {stay}") from None
        raise
    return config.output


def _generate(config: GenerateConfig, work: WorkFolder[Part], launch: Launch) -> None:
    inputs = _inputs(config)
    generator = make_generator(config, launch, inputs)
    inputs["model"] = generator.model
    made_from = provenance("sample.generate", config, inputs)
    identity = _identity(config, made_from)
    if launch.is_main_process:
        notes = _open(config, work, generator, identity)
        for note in notes:
            print(f"generate: {note}", flush=True)  # noqa: T201
        made_from["notes"] = notes
    launch.wait_for_everyone()
    if not launch.is_main_process:
        work.join(identity)
    draw_parts(generator, work, launch)
    if launch.is_main_process:
        _finish(config, work, generator, made_from)
        install_folder(work.dataset, config.output.resolve(), overwrite=config.overwrite)
        work.remove()
    elif work.is_abandoned():
        raise InputError("the first process ended early: start all processes again to resume")


def make_generator(
    config: GenerateConfig, launch: Launch, inputs: dict[str, dict[str, Any]]
) -> Generator:
    """The generator of a configuration, on this process's device.

    Raises InputError where a dataset has nothing that the prompts are made of.
    """
    source = config.prompts.dataset or config.prompts.masks
    if source is not None:  # before the model is loaded
        check_source(source, config.style or trained_style(model_manifest(config.model)))
    return Generator(
        config.model,
        config.sampler,
        style=config.style,
        long_prompts=config.long_prompts,
        seed=config.seed,
        split=config.split,
        device=_device(config.sampler, launch),
        licenses=[terms for manifest in inputs.values() for terms in manifest["licenses"]],
        sources=condition_sources(config.prompts),
    )


def _inputs(config: GenerateConfig) -> dict[str, dict[str, Any]]:
    """The manifests of the datasets that prompts are made from."""
    prompts = config.prompts
    labels = prompts.labels and (prompts.labels.balanced or prompts.labels.prevalence)
    source = prompts.dataset or prompts.masks or labels
    return {"prompts": read_manifest(source.folder, "dataset")} if source else {}


def _device(settings: SamplerSettings, launch: Launch) -> torch.device:
    """Of the processes on one machine each has a GPU of its own, as far as there are any."""
    best = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.device == "cuda" and best == "cpu":
        raise InputError("sampler.device is cuda, but this machine offers cpu: set it to null")
    kind = settings.device or best
    if kind != "cuda":
        return torch.device(kind)
    return torch.device("cuda", launch.local_process_index % torch.cuda.device_count())


def _identity(config: GenerateConfig, made_from: dict[str, Any]) -> dict[str, Any]:
    """All that the set depends on but for the plan's own rows, as JSON values."""
    settings = {k: v for k, v in config_to_dict(config).items() if k not in _FREE}
    sampler = settings["sampler"]
    settings["sampler"] = {k: v for k, v in sampler.items() if k not in _FREE_OF_SAMPLER}
    return {**settings, "made_from": made_from["made_from"], "versions": made_from["versions"]}


def _open(
    config: GenerateConfig, work: WorkFolder[Part], generator: Generator, identity: dict[str, Any]
) -> list[str]:
    """Make the plan and open the work folder with it; returns what is to be told."""
    made = work.folder / f".{PLAN}.part"
    check = PromptCheck(generator.components, generator.long_prompts)
    images = plan_images(config.prompts, generator.style, config.sampler, config.seed)
    fingerprint = write_plan(made, check(images))
    earlier = work.identity() or {}
    count = len(PlanFile(made))
    size = earlier.get("part_size") or part_size(count, config.sampler.batch_size)
    whole = identity | {"plan": fingerprint, "part_size": size}
    try:
        notes = check.notes(config.model) + work.open(whole, keep_other=True)
    except InputError:
        made.unlink()
        raise
    made.replace(work.folder / PLAN)
    finished = len(work.finished())
    if finished:
        notes.append(
            f"resuming with {finished} of {-(-count // size)} parts that an earlier run finished"
        )
    # PNG takes less than a byte a pixel.
    left = max(0, count - finished * size)
    check_free_space(config.output, left * generator.components.image_size**2)
    return notes


def draw_parts(generator: Generator, work: WorkFolder[Part], launch: Launch) -> None:
    """Draw the parts that are missing; the bar shows what all processes have done."""
    plan, size = PlanFile(work.folder / PLAN), _part_size(work)
    rank, ranks = launch.process_index, launch.num_processes
    name = "generating" if ranks == 1 else f"generating ({ranks} processes)"
    done = min(len(plan), len(work.finished()) * size)
    bar = tqdm(total=len(plan), initial=done, desc=name, unit="image", disable=rank > 0)

    def write(folder: Path, number: int) -> Part:
        rows = range(number * size, min((number + 1) * size, len(plan)))
        with ShardWriter(folder / f"{generator.split}.arrow") as shard:
            for radiograph in generator.draw(plan.read(rows)):
                shard.add(radiograph)
                bar.update()
        made = Shard.of(shard, shard_file(generator.split, number))
        return Part(number=number, items=len(rows), shards={generator.split: made})

    with bar:
        for number in order_of_parts(-(-len(plan) // size), rank, ranks):
            work.make(number, lambda folder, number=number: write(folder, number))  # type: ignore[misc]
            bar.update(min(len(plan), len(work.finished()) * size) - bar.n)


def _part_size(work: WorkFolder[Part]) -> int:
    return int((work.identity() or {})["part_size"])


def _finish(
    config: GenerateConfig,
    work: WorkFolder[Part],
    generator: Generator,
    made_from: dict[str, Any],
) -> None:
    """Make a dataset of the finished parts, with the plan and a contact sheet."""
    plan, size = PlanFile(work.folder / PLAN), _part_size(work)
    parts = [work.read(number) for number in range(-(-len(plan) // size))]
    shards = [work.dataset / part.shards[config.split].file for part in parts]
    columns, shown = sheet_choice(plan.starts(), len(plan), config.sheet_prompts)
    images = [_tile(read_row(shards[row // size], row % size)) for row in shown]
    captions = [plan.read(range(row, row + 1))[0].prompt for row in shown]
    sheet = contact_sheet(images, captions, columns)
    write_file(work.dataset / SHEET, encode_png(sheet))
    write_file(work.dataset / PLAN, (work.folder / PLAN).read_bytes())
    with (work.dataset / EXCLUDED).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(EXCLUDED_COLUMNS)
    counts = sum((part.shards[config.split].counts for part in parts), RadiographCounts())
    assert counts.rows == len(plan), (counts.rows, len(plan))
    finalize_dataset(
        work.dataset,
        name=config.output.name,
        shards={config.split: shards},
        counts={config.split: counts},
        excluded={},
        licenses=generator.licenses,
        provenance=made_from,
        preparation=trained_preparation(generator.model),
        patients={config.split: len(plan.starts())},
        about={"How it was made": _about(config, generator, plan)},
    )


def _about(config: GenerateConfig, generator: Generator, plan: PlanFile) -> list[str]:
    settings = config.sampler
    return [
        f"Synthetic: {len(plan)} images for {len(plan.starts())} prompts ({PLAN}); none shows a "
        "patient, and none is for diagnosis.",
        f"Model {generator.model['fingerprint']}; {settings.scheduler}, {settings.steps} steps, "
        f"guidance {settings.guidance_scale:g}; seed {config.seed}.",
    ]


def _tile(radiograph: Radiograph) -> np.ndarray:
    """An image for the sheet; of one with masks also, below it, where they asked for what."""
    image = decode(radiograph.image)
    if not radiograph.masks:
        return image
    masks: Masks = {name: decode(mask) > 127 for name, mask in radiograph.masks.items()}
    shown = outlined(image, masks)
    return np.concatenate([outlined(image, {}), shown], axis=0)


def sheet_choice(starts: np.ndarray, images: int, prompts: int) -> tuple[int, list[int]]:
    """The contact sheet's columns, and the rows of the plan that are on it.

    `starts` are the rows with which prompts begin, of which some are taken, evenly spread. Each has
    a row of its own on the sheet if all have the same number of images, more than one; else the
    images follow each other.
    """
    ends = np.append(starts[1:], images)
    count = min(prompts, len(starts))
    chosen = [i * len(starts) // count for i in range(count)]
    groups = [range(starts[i], ends[i]) for i in chosen]
    most = max(map(len, groups))
    even = most > 1 and all(len(group) == most for group in groups)
    columns = min(_SHEET_COLUMNS, most) if even else _SHEET_COLUMNS
    return columns, [int(row) for group in groups for row in group[:columns]]


def dry_run(config: GenerateConfig) -> str:
    """What a run would draw and take, for this process alone, as lines; nothing is kept."""
    check_output(config.output, overwrite=config.overwrite)
    launch = this_launch()
    generator = make_generator(config, launch, _inputs(config))
    images = prompts = 0
    last, first = "", list[PlannedImage]()
    tallies: dict[str, dict[str, int]] = {"views": {}, "present": {}}
    for image in plan_for(generator, config.prompts):
        images += 1
        prompts += image.patient_id != last
        last = image.patient_id
        if len(first) < config.sampler.batch_size:
            first.append(image)
        view = image.view or "none"
        tallies["views"][view] = tallies["views"].get(view, 0) + 1
        for finding in image.findings:
            if finding.state == "present":
                found = tallies["present"]
                found[finding.name] = found.get(finding.name, 0) + 1
    started = time.perf_counter()
    drawn = sum(len(radiograph.image) for radiograph in generator.draw(first))
    seconds = (time.perf_counter() - started) / len(first) * images / launch.num_processes
    counted = [
        f"{what}: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
        for what, counts in tallies.items()
        if counts
    ]
    return "\n".join(
        [
            f"{images} images for {prompts} prompts",
            *counted,
            f"time: {_duration(seconds)} with {launch.num_processes} running,"
            f" from {len(first)} images",
            f"disk: {drawn / len(first) * images / 1e9:.2f} GB, from the same images",
        ]
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.1f} minutes"


def main() -> None:
    """Read the command line, generate, and say where the set is."""
    config = load_config(GenerateConfig)
    launch = this_launch()
    with sigterm_as_interrupt():
        if config.dry_run:
            told = dry_run(config) if launch.is_main_process else ""
        else:
            told = f"{generate(config)}: dataset, {PLAN}, {SHEET}"
    if launch.is_main_process:
        print(told)  # noqa: T201


if __name__ == "__main__":
    run_program(main)
