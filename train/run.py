"""A training run from its checks to its result, the same whatever it trains.

The run folder gets roentgen.json, config.yaml, metrics.jsonl, tensorboard/, previews/, caches/,
checkpoints/ and at the end model/, a plain diffusers pipeline.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from roentgen.config import config_to_yaml
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.noise_schedule import process_of
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of, inherit_licenses, provenance, write_manifest
from roentgen.storage import MANIFEST, write_file
from train.checkpoints.checkpoint import State, load_checkpoint
from train.checkpoints.saver import Saver, tolerated
from train.checkpoints.stop_signals import MARKER as STOP_MARKER
from train.checkpoints.stop_signals import Stop
from train.checks import check_inputs
from train.config import RunConfig
from train.engine.attention import choose_attention
from train.engine.compiled_blocks import compile_blocks
from train.engine.deepspeed_zero import ZeroAccelerator, is_wanted
from train.engine.fsdp import check_engine, check_sharding, is_flattening, prepare_sharding
from train.inputs import Inputs
from train.loading.augment import Augmenter
from train.loading.batches import Examples, Prompts
from train.loading.draws import Plan, validation_draws
from train.loading.filtered_split import FilteredSplit, excluded_summary, write_excluded
from train.loading.latent_cache import cache_latents, plan_latents
from train.loading.mask_cache import cache_masks
from train.loading.text_cache import cache_states
from train.loop import Training, train
from train.monitor.mask_fidelity import prepare_mask_fidelity
from train.optim.ema import Ema
from train.optim.optimizer import build_optimizer
from train.optim.posthoc_ema import Posthoc
from train.setup.base_model import base_manifests
from train.setup.dry_run import dry_run

C = TypeVar("C", bound=RunConfig)


def run(
    program: str,
    config: C,
    choose: Callable[[C, Inputs, Denoiser], None],
    save: Callable[[C, Inputs, Training, dict[str, Any]], None],
) -> None:
    """Train as configured. Raises InputError before any work where it cannot succeed.

    `choose` says which weights train, and `save` writes what they came to be; all processes call
    both. Asked to stop by a signal it raises SystemExit; see `train.checkpoints.stop_signals`.
    """
    with Stop(config.output) as stop:
        accelerator = make_accelerator(config)
        inputs = check_inputs(config)
        denoiser = make_denoiser(config, inputs, accelerator, choose)
        if config.dry_run:
            dry_run(config, inputs, denoiser, accelerator)
            return
        origin = origin_of(program, config, inputs)
        make_run_folder(config, inputs, origin, accelerator)
        training = assemble(config, inputs, denoiser, accelerator, stop)
        if inputs.checkpoint:
            load_checkpoint(*inputs.checkpoint, training.state)
        train(training)
        training.state.optimizer.state.clear()  # it is saved; writing the result needs the memory
        save(config, inputs, training, origin)
        accelerator.wait_for_everyone()
        with tolerated("the end of TensorBoard's log"):
            accelerator.end_training()  # last: it takes the processes apart


def make_accelerator(config: RunConfig) -> Accelerator:
    """The accelerator of this process; the batch must fit the processes."""
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[config.precision]
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError("precision fp16 needs a GPU: choose bf16 or fp32")
    check_engine()  # else accelerate asks for its package, or on a CPU goes on without it
    slices = config.gradient_accumulation
    settings: dict[str, Any] = {
        # Without it, accelerate does not join torchrun's processes on a machine without a GPU.
        "cpu": not torch.accelerator.is_available(),
        "mixed_precision": precision,
        # Not as a number, which the launcher's environment would override.
        "gradient_accumulation_plugin": GradientAccumulationPlugin(num_steps=slices),
        "log_with": "tensorboard",
        "project_dir": config.output,
    }
    accelerator = ZeroAccelerator(config, **settings) if is_wanted() else Accelerator(**settings)
    check_sharding(config, accelerator)
    shares = accelerator.num_processes * slices
    if config.batch_size % shares:
        raise InputError(
            f"batch_size {config.batch_size} cannot be divided equally among "
            f"{accelerator.num_processes} processes with gradient_accumulation {slices}: choose a "
            f"multiple of {shares}"
        )
    return accelerator


def origin_of(program: str, config: RunConfig, inputs: Inputs) -> dict[str, Any]:
    """The licences and the provenance of all that the run makes."""
    sources = base_manifests(config, inputs.base, inputs.identity)
    sources["dataset"] = inputs.dataset.manifest
    made = provenance(program, config, sources)
    return {"licenses": inherit_licenses(*sources.values()), "provenance": made}


def make_run_folder(
    config: RunConfig, inputs: Inputs, origin: Mapping[str, Any], accelerator: Accelerator
) -> None:
    """Make the run folder, which says what it is, and rid it of what a killed run left half done.

    A resumed run keeps the configuration it began with; another one is written beside it.
    """
    folder = config.output
    accelerator.wait_for_everyone()  # every process has looked before anything is changed
    if accelerator.is_main_process:
        if config.overwrite and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STOP_MARKER).unlink(missing_ok=True)
        if not inputs.checkpoint or not (folder / MANIFEST).exists():
            write_manifest(folder, "run", fingerprint_of(inputs.identity), **origin)
        text, path = config_to_yaml(config), folder / "config.yaml"
        if inputs.checkpoint and path.exists() and path.read_text() != text:
            path = folder / f"config-from-{inputs.checkpoint[0].name}.yaml"
        write_file(path, text)
        remove_leftovers(folder)
        report_prompts(config, inputs)
    accelerator.wait_for_everyone()


def report_prompts(config: RunConfig, inputs: Inputs) -> None:
    """Tell how long the prompts are and what data.filter left out, which excluded.csv lists."""
    splits = [(inputs.split, inputs.prompts)] + ([inputs.held_out] if inputs.held_out else [])
    for split, prompts in splits:
        if told := excluded_summary(split):
            print(told)  # noqa: T201
        print(f"{split.name}: prompts have {prompts.lengths.summary()}")  # noqa: T201
    if config.data.filter:
        refused = [item for split, _ in splits for item in split.excluded]
        write_excluded(config.output / "excluded.csv", refused)


def remove_leftovers(folder: Path) -> None:
    """Remove what has the name of a file or folder that is being written."""
    for place in ("", "checkpoints/", "averages/", "caches/*/"):
        pattern = f"{place}.*.partial"
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def make_denoiser(
    config: C,
    inputs: Inputs,
    accelerator: Accelerator,
    choose: Callable[[C, Inputs, Denoiser], None],
) -> Denoiser:
    """The nets on the device as they train; the chosen attention kernel has been tried on them."""
    denoiser = Denoiser(inputs.components, caches_states=config.data.cache_text)
    choose(config, inputs, denoiser)
    if config.gradient_checkpointing:
        denoiser.save_memory()
    channels_last = config.channels_last and not is_flattening(accelerator)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    denoiser.to(accelerator.device)
    for net in denoiser.convolutional:
        net.to(memory_format=layout)
    if accelerator.device.type == "cpu":
        unmap(denoiser)
    choose_attention(denoiser, config.attention, accelerator)
    if config.compile:
        compile_blocks(denoiser)
    return denoiser


def unmap(module: torch.nn.Module) -> None:
    """Copy weights, or the files that any of them is mapped from stay in memory whole."""
    for weight in module.parameters():
        weight.data = weight.data.clone()


def assemble(
    config: RunConfig,
    inputs: Inputs,
    denoiser: Denoiser,
    accelerator: Accelerator,
    stop: Stop,
) -> Training:
    """Caches, optimizer and all else, ready for the loop."""
    components = inputs.components
    mask_dropout, structure_dropout = config.condition_dropout()
    process = process_of(components.scheduler)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    components.vae.to(accelerator.device, memory_format=layout).requires_grad_(False)
    if accelerator.device.type == "cpu":
        unmap(components.vae)
    augment = config.data.augment
    augmenter = Augmenter(config=augment, seed=config.seed) if augment else None

    def examples(
        split: FilteredSplit, prompts: Prompts, augmenter: Augmenter | None = None
    ) -> Examples:
        caches = config.data.caches or config.output / "caches"
        plan = plan_latents(
            split,
            components.vae,
            dataset=inputs.dataset.fingerprint,
            size=inputs.size,
            augmenter=augmenter,
        )
        latents = cache_latents(caches, plan, accelerator)
        states = None
        if not denoiser.runs_text_encoder:
            states = cache_states(
                caches,
                prompts.ids,
                components.text_encoder,
                chunks=components.prompt_chunks,
                told=split.name,
                accelerator=accelerator,
            )
        masks = None
        if components.controlnet is not None:
            masks = cache_masks(
                caches,
                split,
                components.structures,
                dataset=inputs.dataset.fingerprint,
                size=inputs.size,
                augmenter=augmenter,
                accelerator=accelerator,
            )
        return Examples(latents, prompts, components.vae.config.scaling_factor, states, masks)

    ready = examples(inputs.split, inputs.prompts, augmenter)
    shape = ready.latents.shape
    held_out = None
    if inputs.held_out and config.validation:
        split = inputs.held_out[0]
        count = min(config.validation.images, len(split))
        chosen = [i * len(split) // count for i in range(count)]
        ids = [split[i].id for i in chosen]
        draws = validation_draws(
            config.seed,
            ids,
            shape,
            process.timesteps,
            items=chosen,
            structures=len(components.structures),
        )
        held_out = examples(*inputs.held_out), draws
    mask_fidelity, measured = None, config.measured_fidelity()
    if measured and inputs.held_out:
        held_out_split = inputs.held_out[0]
        mask_fidelity = prepare_mask_fidelity(config, measured, inputs, held_out_split, accelerator)
    optimizer = build_optimizer(denoiser, config.optimizer, config.rates())
    prepare_sharding(denoiser, accelerator)
    model, wrapped = accelerator.prepare(denoiser, optimizer)
    ema, objective = config.ema, config.objective
    return Training(
        config=config,
        accelerator=accelerator,
        components=components,
        state=State(
            denoiser=denoiser,
            optimizer=optimizer,
            ema=Ema(denoiser, ema.decay, ema.start) if ema else None,
            posthoc=Posthoc(denoiser, ema.posthoc.widths) if ema and ema.posthoc else None,
            scaler=accelerator.scaler,
        ),
        model=model,
        optimizer=wrapped,
        split=inputs.split,
        examples=ready,
        plan=Plan(
            seed=config.seed,
            items=len(inputs.split),
            batch=config.batch_size,
            shape=shape,
            timesteps=process.timesteps,
            style_weights=[entry.weight for entry in config.mixture()],
            caption_dropout=objective.caption_dropout,
            spread=objective.timestep_sampling,
            offset_noise=objective.offset_noise,
            variants=config.data.augment.variants if config.data.augment else 1,
            structures=len(components.structures),
            mask_dropout=mask_dropout,
            structure_dropout=structure_dropout,
        ),
        held_out=held_out,
        mask_fidelity=mask_fidelity,
        process=process.to(accelerator.device),
        saver=Saver(
            config.output / "checkpoints", inputs.identity, config.checkpoint.keep, accelerator
        ),
        stop=stop,
    )
