"""Generation of a synthetic set: its plan, its parts, the finished dataset."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from roentgen.cards.markdown import plain
from roentgen.config import config_to_dict
from roentgen.cpu.threads import choose_threads
from roentgen.csv_table import CsvTable
from roentgen.dataset.dataset import EXCLUDED, EXCLUDED_COLUMNS
from roentgen.dataset.finalize import finalize_dataset
from roentgen.dataset.shards import ShardWriter
from roentgen.dataset.verified_batches import VerifiedBatches
from roentgen.dataset.work_folder import (
    WorkFolder,
    order_of_parts,
    shard_file,
)
from roentgen.diffusion.backbones.model_folder import model_manifest
from roentgen.diffusion.sampling.sampler import with_dtype
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.diffusion.training_record import trained_preparation, trained_style
from roentgen.distributed import Launch, this_launch
from roentgen.errors import InputError, is_full_disk
from roentgen.generation.generator import Generator
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.contact_sheet import CONTACT_SHEET
from roentgen.manifest import check_unchanged, portable, provenance, read_manifest
from roentgen.preparation.filtered_split import (
    ExcludedRadiograph,
    FilteredSplit,
    excluded_summary,
)
from roentgen.storage import check_free_space, check_output, write_file
from roentgen.terminal.progress import Progress
from sample.condition_sources import condition_sources
from sample.config import GenerateConfig
from sample.drawn_part import DrawnPart, noted_among, noted_images
from sample.plan import (
    PLAN,
    PlanFile,
    part_size,
    passing_radiographs,
    plan_for,
    plan_images,
    prompt_check,
    write_plan,
)
from sample.plan_sheet import plan_sheet
from sample.prompts.sources import check_source

# Settings that do not change the set: a run may resume with other values.
_FREE = ("output", "overwrite", "sheet_prompts", "dry_run")
_FREE_OF_SAMPLER = ("batch_size", "decode_batch_size", "device")


def run(config: GenerateConfig) -> None:
    """Generate, or print what would be generated; the main process prints the output folder."""
    launch = this_launch()
    if config.dry_run:
        message = dry_run(config) if launch.is_main_process else ""
    else:
        message = f"{generate(config)}: dataset, {PLAN}, {CONTACT_SHEET}"
    if launch.is_main_process:
        print(message)  # noqa: T201


def generate(config: GenerateConfig) -> Path:
    """Make the synthetic set of a configuration and return its folder.

    Raises InputError for what the user must change, KeyboardInterrupt with what remains of an
    interrupted run.
    """
    launch = this_launch()
    sampler = with_dtype(config.sampler, _device(config.sampler, launch))
    config = replace(config, sampler=sampler)
    work = WorkFolder(config.output, DrawnPart, launch.process_index, "generating")
    try:
        with work.lock() if launch.is_main_process else nullcontext():
            _generate(config, work, launch)
    except (KeyboardInterrupt, OSError) as error:
        remaining = f"{len(work.finished())} finished parts remain, and the same command resumes"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted: {remaining}") from None
        if is_full_disk(error):
            raise InputError(f"no space left on the disk of {config.output}: {remaining}") from None
        raise
    return config.output


def _generate(config: GenerateConfig, work: WorkFolder[DrawnPart], launch: Launch) -> None:
    if launch.is_main_process:
        check_output(config.output, overwrite=config.overwrite)
    inputs = _inputs(config)
    begun_with = (work.identity() or {}).get("threads")
    threads = choose_threads(begun_with)
    generator = make_generator(config, launch, inputs)
    inputs["model"] = generator.model
    made_from = provenance("sample.generate", config, inputs, threads)
    identity = _identity(config, made_from)
    filtered = None
    if launch.is_main_process:
        filtered = passing_radiographs(generator, config.prompts)
        made_from["notes"] = _open(config, work, generator, identity, filtered)
    launch.wait_for_everyone()
    if not launch.is_main_process:
        work.join(identity)
    draw_parts(generator, work, launch)
    if launch.is_main_process:
        _finish(config, work, generator, made_from, filtered.excluded if filtered else ())
        check_unchanged(*inputs.values())
        work.install(work.dataset, overwrite=config.overwrite)
    elif work.is_abandoned():
        raise InputError("the first process ended early: start all processes again to resume")


def make_generator(
    config: GenerateConfig, launch: Launch, inputs: dict[str, dict[str, Any]]
) -> Generator:
    """The generator of a configuration, on this process's device.

    Raises InputError where a dataset has nothing from which prompts can be made.
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
    source = config.prompts.source
    return {"prompts": read_manifest(source.folder, "dataset")} if source else {}


def _device(settings: SamplerSettings, launch: Launch) -> torch.device:
    """The device of this process; processes on one machine use its GPUs in turn."""
    best = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.device == "cuda" and best == "cpu":
        raise InputError("sampler.device is cuda, but this machine offers cpu: set it to null")
    kind = settings.device or best
    if kind != "cuda":
        return torch.device(kind)
    return torch.device("cuda", launch.local_process_index % torch.cuda.device_count())


def _identity(config: GenerateConfig, made_from: dict[str, Any]) -> dict[str, Any]:
    """Everything that the set depends on except the plan's rows, as JSON values."""
    settings = {k: v for k, v in config_to_dict(config).items() if k not in _FREE}
    sampler = settings["sampler"]
    settings["sampler"] = {k: v for k, v in sampler.items() if k not in _FREE_OF_SAMPLER}
    return {**settings, "made_from": made_from["made_from"], "versions": made_from["versions"]}


def _open(
    config: GenerateConfig,
    work: WorkFolder[DrawnPart],
    generator: Generator,
    identity: dict[str, Any],
    filtered: FilteredSplit | None,
) -> list[str]:
    """Make the plan and open the work folder with it; returns notes on the set's prompts.

    Prints them with what an earlier run left, which is no part of the set's provenance.
    """
    new_plan = work.folder / f".{PLAN}.part"
    check = prompt_check(generator, config.prompts)
    images = plan_images(config.prompts, generator.style, config.sampler, config.seed, filtered)
    fingerprint = write_plan(new_plan, check(images))
    earlier = work.identity() or {}
    count = len(PlanFile(new_plan))
    size = earlier.get("part_size") or part_size(count, config.sampler.batch_size)
    threads = earlier.get("threads") or torch.get_num_threads()
    full_identity = identity | {"plan": fingerprint, "part_size": size, "threads": threads}
    try:
        notes = check.notes(portable(config.model))
        progress = work.open(full_identity, keep_other=True)
    except InputError:
        new_plan.unlink()
        raise
    new_plan.replace(work.folder / PLAN)
    finished = len(work.finished())
    if finished:
        progress.append(
            f"resuming with {finished} of {-(-count // size)} parts that an earlier run finished"
        )
    # A PNG takes less than a byte per pixel.
    missing = max(0, count - finished * size)
    check_free_space(config.output, missing * generator.components.image_size**2)
    if filtered is not None and (summary := excluded_summary(filtered)):
        notes.append(summary)
    for note in notes + progress:
        print(f"generate: {note}", flush=True)  # noqa: T201
    return notes


def draw_parts(generator: Generator, work: WorkFolder[DrawnPart], launch: Launch) -> None:
    """Draw the missing parts; the progress bar counts the images of all processes."""
    plan, size = PlanFile(work.folder / PLAN), _part_size(work)
    rank, ranks = launch.process_index, launch.num_processes
    name = "generating" if ranks == 1 else f"generating ({ranks} processes)"
    done = min(len(plan), len(work.finished()) * size)
    bar = Progress(len(plan), name, "image", done=done, shown=rank == 0)

    def write(folder: Path, number: int) -> DrawnPart:
        rows = range(number * size, min((number + 1) * size, len(plan)))
        planned = list(plan.read(rows))
        with ShardWriter(folder / f"{generator.split}.arrow") as shard:
            for radiograph in generator.draw(planned):
                shard.add(radiograph)
                bar.update()
        written = shard.shard(shard_file(generator.split, number))
        return DrawnPart(
            number=number,
            items=len(rows),
            shards={generator.split: written},
            **noted_among(planned, generator.sampler),
        )

    with bar:
        for number in order_of_parts(-(-len(plan) // size), rank, ranks):
            work.make(number, lambda folder, number=number: write(folder, number))  # type: ignore[misc]
            bar.update(min(len(plan), len(work.finished()) * size) - bar.n)


def _part_size(work: WorkFolder[DrawnPart]) -> int:
    return int((work.identity() or {})["part_size"])


def _finish(
    config: GenerateConfig,
    work: WorkFolder[DrawnPart],
    generator: Generator,
    made_from: dict[str, Any],
    excluded: Sequence[ExcludedRadiograph],
) -> None:
    """Make a dataset of the finished parts, with the plan and a contact sheet."""
    plan, size = PlanFile(work.folder / PLAN), _part_size(work)
    parts = [work.read(number) for number in range(-(-len(plan) // size))]
    shards = [part.shards[config.split] for part in parts]
    noted, notes = noted_images(parts, config.sampler)
    for note in notes:
        print(f"generate: {note}", flush=True)  # noqa: T201
    made_from |= noted | {"notes": [*made_from["notes"], *notes]}
    drawn = VerifiedBatches(work.dataset, [shard.index for shard in shards])
    assert drawn.rows == len(plan), (drawn.rows, len(plan))
    sheet = plan_sheet(plan, drawn.radiograph, config.sheet_prompts)
    write_file(work.dataset / CONTACT_SHEET, sheet)
    write_file(work.dataset / PLAN, (work.folder / PLAN).read_bytes())
    with (work.dataset / EXCLUDED).open("w", newline="", encoding="utf-8") as file:
        table = CsvTable(file, EXCLUDED_COLUMNS)
        for item in excluded:
            table.add(item.id, item.reason, "yes")
    finalize_dataset(
        work.dataset,
        name=config.output.name,
        shards={config.split: shards},
        excluded=Counter(item.reason for item in excluded),
        licenses=generator.licenses,
        provenance=made_from,
        preparation=trained_preparation(generator.model),
        patients={config.split: len(plan.starts())},
        about={
            "How it was made": [
                f"Synthetic: {len(plan)} images for {len(plan.starts())} prompts ({PLAN}); none "
                "shows a patient, and none is for diagnosis.",
                *_lineage_lines(config),
                f"Model {generator.model['fingerprint']}; {config.sampler.scheduler}, "
                f"{config.sampler.steps} steps, guidance {config.sampler.guidance_scale:g}; "
                f"seed {config.seed}.",
                *map(plain, made_from["notes"]),
            ]
        },
    )


def _lineage_lines(config: GenerateConfig) -> list[str]:
    """Lines for the card on what a set tells of patients; none if its prompts are of none."""
    prompts = config.prompts
    if not (prompts.dataset or prompts.masks or prompts.table):
        return []
    return [
        "Prompts may quote reports, and name the radiographs and patients that they are from: an "
        "export with lineage none has neither."
    ]


def dry_run(config: GenerateConfig) -> str:
    """What a run would generate, and the time and disk space it would take; writes nothing.

    Time and space are extrapolated from one batch.
    """
    check_output(config.output, overwrite=config.overwrite)
    launch = this_launch()
    generator = make_generator(config, launch, _inputs(config))
    images = prompts = 0
    last, first = "", list[PlannedImage]()
    views, present = Counter[str](), Counter[str]()
    check = prompt_check(generator, config.prompts)
    for image in plan_for(generator, config.prompts, check):
        images += 1
        prompts += image.patient_id != last
        last = image.patient_id
        if len(first) < config.sampler.batch_size:
            first.append(image)
        views[image.view or "none"] += 1
        present.update({f.name for f in image.findings if f.state == "present"})
    started = time.perf_counter()
    size = sum(len(radiograph.image) for radiograph in generator.draw(first))
    seconds = (time.perf_counter() - started) / len(first) * images / launch.num_processes
    duration = f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.1f} minutes"
    counts = [
        f"{name}: " + ", ".join(f"{value} {n}" for value, n in sorted(counter.items()))
        for name, counter in (("views", views), ("present", present))
        if counter
    ]
    return "\n".join(
        [
            f"{images} images for {prompts} prompts",
            *counts,
            *(f"note: {note}" for note in check.notes(portable(config.model))),
            f"time: {duration} with {launch.num_processes} running, "
            f"extrapolated from {len(first)} images",
            f"disk: {size / len(first) * images / 1e9:.2f} GB, from the same images",
        ]
    )
