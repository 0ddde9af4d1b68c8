"""A training run from its checks to its result, the same for every program.

The run folder gets roentgen.json, config.yaml, metrics.jsonl, tensorboard/, previews/, caches/,
checkpoints/ and at the end model/, a plain diffusers pipeline.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate import Accelerator

from roentgen.cpu.threads import choose_threads
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.noise_schedule import process_of
from train.checkpoints.checkpoint import TrainingState, load_checkpoint, prune_checkpoints
from train.checkpoints.saver import CheckpointSaver, warn_if_unwritable
from train.checkpoints.stop_signals import StopSignals
from train.checks import check_inputs
from train.config import RunConfig
from train.engine.fsdp import prepare_sharding
from train.engine.runtime import Runtime
from train.inputs import Inputs, SplitInputs
from train.loading.batches import Examples, HeldOut, TextSource
from train.loading.draws import DrawPlan, Draws, DrawSettings, validation_draws
from train.loading.latent_cache import cache_latents, plan_latents
from train.loading.text_cache import cache_states
from train.loop import TrainingRun, train
from train.monitor.mask_fidelity import prepare_mask_fidelity
from train.optim.ema import Ema, PosthocEma
from train.optim.optimizer import build_optimizer
from train.setup.conditions import training_conditions
from train.setup.dry_run import dry_run
from train.setup.networks import make_denoiser, place_vae
from train.setup.processes import make_accelerator, with_precision
from train.setup.run_folder import make_run_folder, origin_of, reserved_run


def assemble(
    config: RunConfig,
    inputs: Inputs,
    denoiser: Denoiser,
    accelerator: Accelerator,
    stop: StopSignals,
) -> TrainingRun:
    """Fill the caches, and put together all that the loop works with."""
    place_vae(config, inputs, accelerator)
    examples = cached_examples(config, inputs, inputs.training, denoiser, accelerator)
    held_out = None
    if inputs.held_out and config.validation:
        held_out_examples = cached_examples(config, inputs, inputs.held_out, denoiser, accelerator)
        held_out = HeldOut(
            examples=held_out_examples,
            draws=held_out_draws(config, inputs, held_out_examples, config.validation.images),
        )
    mask_fidelity, measured = None, config.measured_fidelity()
    if measured and inputs.held_out:
        split = inputs.held_out.split
        mask_fidelity = prepare_mask_fidelity(config, measured, inputs, split, accelerator)
    optimizer = build_optimizer(denoiser, config.optimizer, config.rates())
    prepare_sharding(denoiser, accelerator)
    model, wrapped = accelerator.prepare(denoiser, optimizer)
    ema = config.ema
    return TrainingRun(
        config=config,
        runtime=Runtime.of(config, accelerator),
        components=inputs.components,
        state=TrainingState(
            denoiser=denoiser,
            optimizer=optimizer,
            ema=Ema(denoiser, ema.decay, ema.start) if ema else None,
            posthoc=PosthocEma(denoiser, ema.posthoc.widths) if ema and ema.posthoc else None,
            scaler=accelerator.scaler,
        ),
        model=model,
        optimizer=wrapped,
        split=inputs.training.split,
        examples=examples,
        plan=DrawPlan(draw_settings(config, inputs, examples)),
        held_out=held_out,
        mask_fidelity=mask_fidelity,
        process=process_of(inputs.components.scheduler).to(accelerator.device),
        saver=CheckpointSaver(
            config.output / "checkpoints", inputs.identity, config.checkpoint.keep, accelerator
        ),
        stop=stop,
    )


def cached_examples(
    config: RunConfig, inputs: Inputs, of: SplitInputs, denoiser: Denoiser, accelerator: Accelerator
) -> Examples:
    """The examples of a split, its caches filled."""
    components, folder = inputs.components, config.caches
    latents = cache_latents(folder, plan_latents(of.images, components.vae), accelerator)
    text: TextSource = of.prompts
    if not denoiser.runs_text_encoder:
        text = cache_states(of.prompts, components, folder, accelerator)
    conditions = [
        kind.cache(of.images, folder, accelerator) for kind in training_conditions(config)
    ]
    return Examples(
        latents=latents,
        scaling_factor=components.vae.config.scaling_factor,
        prompts=of.prompts,
        text=text,
        conditions=conditions,
    )


def held_out_draws(config: RunConfig, inputs: Inputs, examples: Examples, images: int) -> Draws:
    """The fixed draws of at most so many held-out images, evenly spaced in the split."""
    assert inputs.held_out is not None
    split = inputs.held_out.split
    count = min(images, len(split))
    chosen = [i * len(split) // count for i in range(count)]
    timesteps = process_of(inputs.components.scheduler).timesteps
    ids = [split.ids[i] for i in chosen]
    return validation_draws(config.seed, ids, examples.latents.shape, timesteps, items=chosen)


def draw_settings(config: RunConfig, inputs: Inputs, examples: Examples) -> DrawSettings:
    """What each step's draws are drawn from."""
    return DrawSettings(
        seed=config.seed,
        items=len(inputs.training.split),
        batch_size=config.batch_size,
        shape=examples.latents.shape,
        timesteps=process_of(inputs.components.scheduler).timesteps,
        style_weights=[entry.weight for entry in config.drawn_styles()],
        caption_dropout=config.objective.caption_dropout,
        timestep_sampling=config.objective.timestep_sampling,
        offset_noise=config.objective.offset_noise,
        variants=inputs.training.images.count,
        dropouts=config.dropouts(),
    )


C = TypeVar("C", bound=RunConfig)


def run(
    program: str,
    config: C,
    choose: Callable[[C, Inputs, Denoiser], None],
    save: Callable[[C, Inputs, TrainingRun, dict[str, Any]], None],
) -> None:
    """Train as configured. Raises InputError before any work where it cannot succeed.

    `choose` selects the weights that train, and `save` writes the result; all processes call both.
    Stopped by a signal it raises SystemExit; see `train.checkpoints.stop_signals`.
    """
    config = with_precision(config)
    with StopSignals(config.output) as stop:
        accelerator = make_accelerator(config)
        with reserved_run(config, accelerator):
            inputs = check_inputs(config)
            choose_threads(inputs.checkpoint[1].get("threads") if inputs.checkpoint else None)
            denoiser = make_denoiser(config, inputs, accelerator, choose)
            if config.dry_run:
                dry_run(config, inputs, denoiser, accelerator)
                return
            origin = origin_of(program, config, inputs)
            make_run_folder(config, inputs, origin, accelerator)
            training = assemble(config, inputs, denoiser, accelerator, stop)
            if inputs.checkpoint:
                load_checkpoint(*inputs.checkpoint, training.state)
                if accelerator.is_main_process:  # a kill may have come between saving and pruning
                    folder, step = inputs.checkpoint[0].parent, training.state.step
                    prune_checkpoints(folder, step, config.checkpoint.keep)
            train(training)
            # It is saved; writing the result needs the memory.
            training.state.optimizer.state.clear()
            save(config, inputs, training, origin)
            accelerator.wait_for_everyone()
            with warn_if_unwritable("the end of the tracker's log"):
                accelerator.end_training()  # last: it takes the processes apart
