"""Run folder: its manifest, configuration, and reports about the training data."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from roentgen.config import config_to_yaml
from roentgen.diffusion.training_record import describe_training_data
from roentgen.errors import InputError
from roentgen.generation.training_scope import TrainingScope, base_stages
from roentgen.manifest import fingerprint_of, inherit_licenses, provenance, write_manifest
from roentgen.preparation.filtered_split import excluded_summary, write_excluded
from roentgen.storage import MANIFEST, atomic_folder, reserve_output, write_file
from train.checkpoints.stop_signals import MARKER as STOP_MARKER
from train.config import RunConfig
from train.inputs import Inputs
from train.setup.base_model import base_manifests


def origin_of(program: str, config: RunConfig, inputs: Inputs) -> dict[str, Any]:
    """The licenses and the provenance of the run's results."""
    sources = base_manifests(config, inputs.base, inputs.identity)
    stages = [inputs.training.prompts.stage]
    if config.swapped() is None:  # else the base's prompts were read by another text encoder
        stages += base_stages(config.base, sources["base"])
    if start := config.first_controlnet():
        stages += base_stages(start, sources["controlnet"])
    sources["dataset"] = inputs.dataset.manifest
    made_from = provenance(program, config, sources, torch.get_num_threads())
    record = {
        "training_prompts": TrainingScope(tuple(stages)).to_json(),
        "training_data": describe_training_data(
            inputs.dataset.manifest, config.data.folder.name, config.data.split
        ),
    }
    return {"licenses": inherit_licenses(*sources.values()), "provenance": made_from | record}


@contextmanager
def reserved_run(config: RunConfig, accelerator: Accelerator) -> Iterator[None]:
    """Reserve the run folder. Raises InputError in all processes if another run has it."""
    with ExitStack() as stack:
        refusal = None
        if accelerator.is_main_process and not config.dry_run:
            try:
                stack.enter_context(reserve_output(config.output))
            except InputError as error:
                refusal = str(error)
        (refusal,) = broadcast_object_list([refusal])
        if refusal:
            raise InputError(refusal)
        yield


def make_run_folder(
    config: RunConfig, inputs: Inputs, origin: Mapping[str, Any], accelerator: Accelerator
) -> None:
    """Make the run folder, with its manifest, and remove what a killed run left incomplete.

    A resumed run keeps its first configuration; one that differs is written beside it.
    """
    folder = config.output
    accelerator.wait_for_everyone()  # all have checked it before it is changed
    if accelerator.is_main_process:
        if config.overwrite or not folder.exists() or not any(folder.iterdir()):
            with atomic_folder(folder, overwrite=True) as new:
                write_manifest(new, "run", fingerprint_of(inputs.identity), **origin)
        (folder / STOP_MARKER).unlink(missing_ok=True)
        if not inputs.checkpoint or not (folder / MANIFEST).exists():
            write_manifest(folder, "run", fingerprint_of(inputs.identity), **origin)
        text, path = config_to_yaml(config), folder / "config.yaml"
        if inputs.checkpoint and path.exists() and path.read_text() != text:
            path = folder / f"config-from-{inputs.checkpoint[0].name}.yaml"
        write_file(path, text)
        remove_incomplete(folder)
        report_prompts(config, inputs)
    accelerator.wait_for_everyone()


def report_prompts(config: RunConfig, inputs: Inputs) -> None:
    """Print the lengths of prompts and what data.filter excludes, which excluded.csv lists."""
    for of in inputs.splits:
        if summary := excluded_summary(of.split):
            print(summary)  # noqa: T201
        print(f"{of.split.name}: prompts have {of.prompts.lengths.summary()}")  # noqa: T201
    if config.data.filter:
        excluded = [item for of in inputs.splits for item in of.split.excluded]
        write_excluded(config.output / "excluded.csv", excluded)


def remove_incomplete(folder: Path) -> None:
    """Remove files and folders that have the name of one that is being written."""
    for place in ("", "checkpoints/", "averages/", "caches/*/"):
        pattern = f"{place}.*.partial"
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
