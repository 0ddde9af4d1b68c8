"""Screening of a synthetic set: inputs, screened set, provenance."""

from contextlib import nullcontext
from typing import Any

from roentgen.config import config_to_dict
from roentgen.cpu.threads import choose_threads
from roentgen.dataset.dataset import (
    RadiographDataset,
    RadiographSplit,
    check_preparation,
    open_dataset,
)
from roentgen.dataset.image_set import ImageSet, check_one_size
from roentgen.dataset.work_folder import WorkFolder
from roentgen.diffusion.backbones.model_folder import model_manifest, recorded_model
from roentgen.diffusion.training_record import trained_split
from roentgen.distributed import Launch, this_launch
from roentgen.errors import InputError
from roentgen.manifest import check_unchanged, inherit_licenses, provenance
from roentgen.storage import check_free_space, check_output
from sample.drawn_part import DrawnPart
from sample.plan import PLAN
from sample.screening.config import ScreenConfig
from sample.screening.filter_setup import make_screener
from sample.screening.redraw import Redraw, plan_of, planned
from sample.screening.reference_classifiers import read_reference
from sample.screening.result import write_pictures, write_screened
from sample.screening.rounds import Candidate, Screener, screen_rows
from sample.screening.summary import limits_of, page, summarize

# Settings that do not change the set: a run may resume with other values.
_FREE = ("output", "overwrite", "caches", "pictures", "model")


def screen(config: ScreenConfig) -> str:
    """Writes the screened set of a configuration and returns the summary as Markdown.

    Under a launcher the first process filters and the others draw; for them it returns "".
    Raises InputError for what the user must change, KeyboardInterrupt with what remains
    of an interrupted run.
    """
    launch = this_launch()
    work = WorkFolder(config.output, DrawnPart, launch.process_index, "screening")
    try:
        with work.lock() if launch.is_main_process else nullcontext():
            return _screen(config, work, launch)
    except KeyboardInterrupt:
        remaining = f"{len(work.finished())} finished parts remain, and the same command resumes"
        raise KeyboardInterrupt(f"interrupted: {remaining}") from None


def _screen(config: ScreenConfig, work: WorkFolder[DrawnPart], launch: Launch) -> str:
    if launch.is_main_process:
        check_output(config.output, overwrite=config.overwrite)
        check_output(config.dropped, overwrite=True)  # it goes with the output
    dataset, reference = open_dataset(config.dataset), open_dataset(config.reference.folder)
    rows = ImageSet.of(*map(dataset.split, dataset.splits), name="dataset")
    check_synthetic(dataset, rows)
    check_preparation(reference, dataset, "dataset")
    train, held_out = read_reference(reference, config.reference)
    check_one_size(train, held_out, rows)
    notes = list(dataset.manifest["provenance"].get("notes", []))
    notes += check_model(config, dataset, reference)
    size = sum(file.stat().st_size for file in dataset.folder.glob("*/*.arrow"))
    check_free_space(config.output, config.best_of * size)  # it has no more images than the set
    redraw = None
    if config.attempts or config.best_of > 1:
        redraw = Redraw(config, dataset, rows.ids, launch)
    inputs = dataset.manifest["provenance"].get("made_from", {})  # its own model and prompts
    inputs = {**inputs, "set": dataset.manifest, "reference": reference.manifest}
    begun_with = (work.identity() or {}).get("threads")
    threads = choose_threads(begun_with)
    made_from = provenance("sample.screen", config, inputs, threads)
    identity = _identity(config, made_from)
    if not launch.is_main_process:
        launch.wait_for_everyone()
        if redraw is not None:
            work.join(identity)
            redraw.follow(work)
        return ""
    for note in work.open(identity | {"threads": begun_with or threads}):
        print(f"screen: {note}", flush=True)  # noqa: T201
    if redraw is not None:
        redraw.begin(work)
    launch.wait_for_everyone()
    screener = make_screener(config, rows, train, held_out)
    return _write(config, dataset, reference, rows, screener, redraw, work, made_from, notes)


def _write(
    config: ScreenConfig,
    dataset: RadiographDataset,
    reference: RadiographDataset,
    rows: ImageSet,
    screener: Screener,
    redraw: Redraw | None,
    work: WorkFolder[DrawnPart],
    made_from: dict[str, Any],
    notes: list[str],
) -> str:
    def draw(requested: list[tuple[int, int]]) -> tuple[list[Candidate], RadiographSplit]:
        assert redraw is not None
        return redraw(work, requested)

    screening, pool = screen_rows(
        rows, screener, attempts=config.attempts, best_of=config.best_of, draw=draw
    )
    if redraw is not None:
        noted, on_images = redraw.noted(work)
        made_from |= noted
        notes = [*notes, *on_images]
    summary = summarize(config, screening, screener, notes)
    text = page(config, summary)
    licenses = inherit_licenses(dataset.manifest, reference.manifest)
    train = reference.split(config.reference.train_split)
    write_pictures(config, screening, pool, train, licenses, made_from)
    accepted = [
        (row, screening.accepted[row].candidate.attempt) for row in sorted(screening.accepted)
    ]
    plan = None
    if (dataset.folder / PLAN).is_file():
        plan = planned(plan_of(dataset.folder, rows.ids), accepted, config.seed)
    folder = work.folder / "result" / config.output.name
    write_screened(
        folder,
        dataset,
        screening,
        pool,
        licenses=licenses,
        provenance=made_from | {"notes": notes},
        plan=plan,
        limits=limits_of(screener),
        summary=summary,
        summary_text=text,
    )
    check_unchanged(dataset.manifest, reference.manifest)
    work.install(folder, overwrite=config.overwrite)
    return text


def _identity(config: ScreenConfig, made_from: dict[str, Any]) -> dict[str, Any]:
    """Everything that redrawing depends on, as JSON values."""
    settings = {k: v for k, v in config_to_dict(config).items() if k not in _FREE}
    prints = {role: source["fingerprint"] for role, source in made_from["made_from"].items()}
    return {**settings, "made_from": prints, "versions": made_from["versions"]}


def check_synthetic(dataset: RadiographDataset, rows: ImageSet) -> None:
    """Raise InputError for a set with an image that is not marked as synthetic."""
    for radiograph in rows.without_images():
        if radiograph.synthesis is None:
            raise InputError(
                f"image {radiograph.id!r} of {dataset.folder} is not synthetic: dataset must be a "
                "set that sample.generate made"
            )


def check_model(
    config: ScreenConfig, dataset: RadiographDataset, reference: RadiographDataset
) -> list[str]:
    """Notes on the model's training data.

    Raises InputError for a model that was trained on the radiographs that limits are set on:
    memorized images would raise the limits.
    """
    splits = config.reference
    path = config.model or recorded_model(dataset.manifest["provenance"])
    unknown = (
        "It is not recorded which radiographs the model was trained on, so copies are only "
        f"searched in split {splits.train_split!r} of {reference.folder}."
    )
    try:
        model = model_manifest(str(path)) if path else {"provenance": {}}
    except InputError:
        return [unknown]
    sources = (model["provenance"].get("made_from") or {}).values()
    if not any(source.get("fingerprint") == reference.fingerprint for source in sources):
        return [unknown]
    split = trained_split(model)
    if split == splits.held_out_split:
        raise InputError(
            f"the model of {dataset.folder} was trained on split {split!r} of {reference.folder}, "
            "which must be held out here: choose another reference.held_out_split"
        )
    if split != splits.train_split:
        return [unknown]
    return []
