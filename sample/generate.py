"""Generate synthetic radiographs: `python -m sample.generate configs/sample/x.yaml`.

Under `accelerate launch` or `torchrun` the processes share the work out by batches; the set they
make is the same as one process makes. Each batch is written as a shard of its own beside the output
as soon as it is drawn; the first process joins the shards into the dataset at the end.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from roentgen.config import load_config
from roentgen.data.dataset import DatasetWriter
from roentgen.data.images import decode, encode_png
from roentgen.data.radiograph import Radiograph, Synthesis
from roentgen.data.schema import from_row
from roentgen.data.shards import ShardWriter
from roentgen.data.sheet import contact_sheet
from roentgen.data.views import VIEW_TOKENS
from roentgen.errors import InputError, run_program
from roentgen.models.conditioning import token_counts, token_limit
from roentgen.models.sampler import Sampler, check_prompts
from roentgen.models.stable_diffusion import Parts, load_parts
from roentgen.models.trained import (
    model_manifest,
    trained_long_prompts,
    trained_preparation,
    trained_style,
)
from roentgen.runs import (
    check_output,
    check_writable,
    inherit_licenses,
    provenance,
    read_manifest,
    write_file,
)
from sample.config import GenerateConfig
from sample.plan import PlannedImage, make_plan, write_plan

if TYPE_CHECKING:
    from accelerate import PartialState

PLAN, SHEET = "plan.parquet", "contact_sheet.png"
_SHEET_COLUMNS = 8


def generate(config: GenerateConfig) -> Path:
    """Make the synthetic set of a configuration and return its folder.

    Raises InputError for what the user must change, before anything is drawn.
    """
    from accelerate import PartialState

    check_output(config.output, overwrite=config.overwrite)
    check_writable(config.output)
    model = model_manifest(config.model)
    style = config.style or trained_style(model)
    plan = make_plan(config.prompts, style, config.seed)
    parts = load_parts(config.model)
    notes = check_plan(config, model, parts, plan)

    # Without cpu=True, accelerate does not join torchrun's processes on a machine without a GPU.
    state = PartialState(cpu=config.sampler.device == "cpu" or not torch.accelerator.is_available())
    if state.is_main_process:
        for note in notes:
            print(f"generate: {note}")  # noqa: T201
    if config.sampler.device not in (None, state.device.type):
        raise InputError(
            f"sampler.device is {config.sampler.device}, but this machine offers "
            f"{state.device.type}: set sampler.device to null"
        )
    sampler = Sampler(parts, config.sampler, state.device)
    inputs = {"model": model}
    if config.prompts.dataset is not None:
        inputs["prompts"] = read_manifest(config.prompts.dataset.folder, "dataset")
    licenses = inherit_licenses(*inputs.values())
    size = config.sampler.batch_size
    batches = [plan[start : start + size] for start in range(0, len(plan), size)]
    with shard_folder(config.output, state) as folder:
        make = RadiographMaker(config, model["fingerprint"], licenses)
        draw(batches, sampler, make, folder, state)
        state.wait_for_everyone()
        if state.is_main_process:
            made_from = provenance("sample.generate", config, inputs) | {"notes": notes}
            preparation = trained_preparation(model)
            assemble(config, plan, len(batches), folder, licenses, made_from, preparation)
        state.wait_for_everyone()
    return config.output


def check_plan(
    config: GenerateConfig, model: dict[str, Any], parts: Parts, plan: Sequence[PlannedImage]
) -> list[str]:
    """What is to be known of how the model reads the prompts, a line each.

    Raises InputError for prompts beyond the token limit unless they are cut, as in training.
    """
    notes = []
    vocabulary = parts.tokenizer.get_vocab()
    texts = {text for image in plan for text in (image.prompt, image.negative_prompt) if text}
    tokens = (token for token in VIEW_TOKENS.values() if token not in vocabulary)
    unknown = [token for token in tokens if any(token in text for text in texts)]
    if unknown:
        notes.append(
            f"the tokenizer of {config.model} does not know {', '.join(unknown)}: it reads them as "
            "ordinary characters, so the view is hardly told"
        )
    if (config.long_prompts or trained_long_prompts(model)) == "refuse":
        check_prompts(parts, plan, [image.id for image in plan])
        return notes
    limit = token_limit(parts.tokenizer, parts.prompt_chunks)
    long = sum(count > limit for count in token_counts(parts.tokenizer, sorted(texts)))
    if long:
        notes.append(f"{long} of {len(texts)} prompts were cut to {limit} tokens")
    return notes


class RadiographMaker:
    """Makes the record of a drawn image."""

    def __init__(
        self, config: GenerateConfig, model_fingerprint: str, licenses: Sequence[dict[str, Any]]
    ) -> None:
        self.config = config
        self.model = model_fingerprint
        self.license = "; ".join(str(item["name"]) for item in licenses)

    def __call__(self, planned: PlannedImage, image: np.ndarray) -> Radiograph:
        """The radiograph of a planned image, `image` being its pixels, uint8 [height, width]."""
        sampler = self.config.sampler
        return Radiograph(
            id=planned.id,
            patient_id=planned.patient_id,
            study_id=planned.patient_id,
            split=self.config.split,
            image=encode_png(image),
            view=planned.view,
            findings=planned.findings,
            age=planned.age,
            sex=planned.sex,
            race=planned.race,
            source="synthetic",
            license=self.license,
            synthesis=Synthesis(
                prompt=planned.prompt,
                negative_prompt=planned.negative_prompt,
                seed=planned.seed,
                guidance_scale=sampler.guidance_scale,
                steps=sampler.steps,
                scheduler=sampler.scheduler,
                model=self.model,
                from_radiograph=planned.from_radiograph,
                from_patient=planned.from_patient,
            ),
        )


@contextmanager
def shard_folder(output: Path, state: "PartialState") -> Iterator[Path]:
    """A folder beside the output for the shards of all processes; it goes when the block ends."""
    folder = output.resolve().with_name(f".{output.name}.shards")
    if state.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    state.wait_for_everyone()
    try:
        yield folder
    finally:
        if state.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)


def draw(
    batches: Sequence[Sequence[PlannedImage]],
    sampler: Sampler,
    make: RadiographMaker,
    folder: Path,
    state: "PartialState",
) -> None:
    """Draw this process's batches, each into a shard of its own."""
    mine = range(state.process_index, len(batches), state.num_processes)
    total = sum(len(batches[number]) for number in mine)
    name = "generating" if state.num_processes == 1 else f"generating (1 of {state.num_processes})"
    with tqdm(total=total, desc=name, unit="image", disable=not state.is_main_process) as bar:
        for number in mine:
            with ShardWriter(shard_path(folder, number)) as shard:
                for planned, image in zip(
                    batches[number], sampler.sample(batches[number]), strict=True
                ):
                    shard.add(make(planned, image))
                    bar.update()


def shard_path(folder: Path, number: int) -> Path:
    """Where the batch of that number is written."""
    return folder / f"batch-{number:06d}.arrow"


def read_shard(path: Path) -> Iterator[Radiograph]:
    """The radiographs of a shard."""
    with pa.ipc.open_stream(pa.memory_map(str(path))) as stream:
        for batch in stream:
            yield from map(from_row, batch.to_pylist())


def assemble(
    config: GenerateConfig,
    plan: Sequence[PlannedImage],
    shards: int,
    folder: Path,
    licenses: Sequence[dict[str, Any]],
    made_from: dict[str, Any],
    preparation: dict[str, Any],
) -> None:
    """Join the shards into the dataset, with its plan and contact sheet."""
    columns, shown = sheet_choice(plan, config.sheet_prompts)
    pictures: dict[str, np.ndarray] = {}
    with DatasetWriter(
        config.output,
        licenses=licenses,
        provenance=made_from,
        preparation=preparation,
        overwrite=config.overwrite,
    ) as writer:
        for number in range(shards):
            for radiograph in read_shard(shard_path(folder, number)):
                writer.add(radiograph)
                if radiograph.id in shown:
                    pictures[radiograph.id] = decode(radiograph.image)
        write_plan(writer.folder / PLAN, plan)
        sheet = contact_sheet(list(pictures.values()), [shown[key] for key in pictures], columns)
        write_file(writer.folder / SHEET, encode_png(sheet))


def sheet_choice(plan: Sequence[PlannedImage], prompts: int) -> tuple[int, dict[str, str]]:
    """The contact sheet's columns, and the captions of the images on it by their ids.

    The prompts are evenly spread over the plan. Each has a row of its own if all have the same
    number of images, more than one; else the images follow each other.
    """
    copies: dict[str, list[PlannedImage]] = {}
    for image in plan:
        copies.setdefault(image.patient_id, []).append(image)
    groups = list(copies.values())
    count = min(prompts, len(groups))
    chosen = [groups[i * len(groups) // count] for i in range(count)]
    most = max(map(len, chosen))
    even = most > 1 and all(len(group) == most for group in chosen)
    columns = min(_SHEET_COLUMNS, most) if even else _SHEET_COLUMNS
    shown = {image.id: image.prompt for group in chosen for image in group[:columns]}
    return columns, shown


def main() -> None:
    """Read the command line, generate, and say where the set is."""
    from accelerate import PartialState

    folder = generate(load_config(GenerateConfig))
    if PartialState().is_main_process:
        print(f"{folder}: dataset, {PLAN}, {SHEET}")  # noqa: T201
    PartialState().destroy_process_group()


if __name__ == "__main__":
    run_program(main)
