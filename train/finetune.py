"""Fine-tune Stable Diffusion on a radiograph dataset: UNet and text encoder together.

    accelerate launch -m train.finetune configs/train/demo.yaml [--section.key=value ...]
    torchrun --nproc_per_node 2 -m train.finetune configs/train/demo.yaml

The run folder gets config.yaml, metrics.jsonl, tensorboard/, previews/, checkpoints/, latents/ and
at the end model/, a plain diffusers pipeline.
"""

import shutil

import torch
import transformers
from accelerate import Accelerator
from diffusers import DDPMScheduler

from roentgen.config import config_to_yaml, load_config
from roentgen.data.dataset import RadiographSplit
from roentgen.errors import InputError, run_program
from roentgen.models.stable_diffusion import model_fingerprint, module_fingerprint, save_model
from roentgen.runs import (
    MANIFEST,
    fingerprint_of,
    inherit_licenses,
    provenance,
    read_manifest,
    write_file,
)
from train.checkpoint import State, load_checkpoint
from train.checks import Inputs, check_inputs
from train.config import FinetuneConfig
from train.denoiser import Denoiser
from train.draws import Plan, validation_draws
from train.ema import Ema
from train.examples import Examples, Prompts
from train.latents import cache_latents
from train.loop import Training, train
from train.optimizer import build_optimizer


def main() -> None:
    """Read the configuration and fine-tune."""
    transformers.utils.logging.disable_progress_bar()  # ours says more
    finetune(load_config(FinetuneConfig))


def finetune(config: FinetuneConfig) -> None:
    """Fine-tune as configured. Raises InputError before any work where it cannot succeed."""
    accelerator = make_accelerator(config)
    inputs = check_inputs(config)
    make_run_folder(config, accelerator)
    training = assemble(config, inputs, accelerator)
    if inputs.checkpoint:
        load_checkpoint(*inputs.checkpoint, training.state)
    train(training)
    if accelerator.is_main_process:
        save_result(config, inputs, training)
    accelerator.wait_for_everyone()
    accelerator.end_training()  # last: it takes the processes apart


def make_accelerator(config: FinetuneConfig) -> Accelerator:
    """The accelerator of this process; the batch must fit the processes."""
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[config.precision]
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError("precision fp16 needs a GPU: choose bf16 or fp32")
    accelerator = Accelerator(
        # Without it, accelerate does not join torchrun's processes on a machine without a GPU.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=precision,
        gradient_accumulation_steps=config.accumulation,
        log_with="tensorboard",
        project_dir=config.output,
    )
    shares = accelerator.num_processes * config.accumulation
    if config.batch % shares:
        raise InputError(
            f"batch {config.batch} cannot be shared out equally over {accelerator.num_processes} "
            f"processes with accumulation {config.accumulation}: choose a multiple of {shares}"
        )
    return accelerator


def make_run_folder(config: FinetuneConfig, accelerator: Accelerator) -> None:
    """Make the run folder with the resolved configuration. Raises InputError if that fails."""
    folder = config.output
    accelerator.wait_for_everyone()  # every process has looked before anything is changed
    if accelerator.is_main_process:
        try:
            if config.overwrite and folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / "config.yaml", config_to_yaml(config))
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise InputError(f"cannot write to output {folder}: {error.strerror}") from error
    accelerator.wait_for_everyone()


def assemble(config: FinetuneConfig, inputs: Inputs, accelerator: Accelerator) -> Training:
    """Caches, optimizer and all else, ready for the loop."""
    parts = inputs.parts
    alpha_bars = DDPMScheduler.from_config(parts.scheduler.config).alphas_cumprod.float()
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    parts.vae.to(accelerator.device, memory_format=layout).requires_grad_(False)
    parts.unet.to(memory_format=layout)
    key = fingerprint_of([inputs.dataset.fingerprint, module_fingerprint(parts.vae)])

    def examples(split: RadiographSplit, prompts: Prompts) -> Examples:
        folder = config.output / "latents" / split.name
        latents = cache_latents(
            folder, split, parts.vae, key=key, size=inputs.size, accelerator=accelerator
        )
        return Examples(latents, prompts, parts.vae.config.scaling_factor)

    ready = examples(inputs.split, inputs.prompts)
    shape = ready.latents.shape
    held_out = None
    if inputs.held_out and config.validation:
        split = inputs.held_out[0]
        count = min(config.validation.images, len(split))
        chosen = [i * len(split) // count for i in range(count)]
        ids = [split[i].id for i in chosen]
        draws = validation_draws(config.seed, ids, shape, len(alpha_bars), items=chosen)
        held_out = examples(*inputs.held_out), draws
    denoiser = Denoiser(parts)
    rates = config.learning_rate
    denoiser.freeze(unet=rates.unet is None, text_encoder=rates.text_encoder is None)
    if config.gradient_checkpointing:
        denoiser.save_memory()
    denoiser.to(accelerator.device)
    optimizer = build_optimizer(denoiser, config.optimizer, rates)
    model, wrapped = accelerator.prepare(denoiser, optimizer)
    return Training(
        config=config,
        accelerator=accelerator,
        parts=parts,
        state=State(
            denoiser=denoiser,
            optimizer=optimizer,
            ema=Ema(denoiser, config.ema.decay) if config.ema else None,
            scaler=accelerator.scaler,
        ),
        model=model,
        optimizer=wrapped,
        examples=ready,
        plan=Plan(
            seed=config.seed,
            items=len(inputs.split),
            batch=config.batch,
            shape=shape,
            timesteps=len(alpha_bars),
            style_weights=[entry.weight for entry in config.mixture()],
            caption_dropout=config.objective.caption_dropout,
        ),
        held_out=held_out,
        prediction=inputs.prediction,
        alpha_bars=alpha_bars.to(accelerator.device),
        identity=inputs.identity,
    )


def save_result(config: FinetuneConfig, inputs: Inputs, training: Training) -> None:
    """Write the averaged weights, or the raw ones without an average, as a pipeline folder."""
    parts, base, dataset, ema = inputs.parts, inputs.base, inputs.dataset, training.state.ema
    if (base / MANIFEST).exists():
        source = read_manifest(base, "model")
    else:
        terms = {"name": f"as of base model {config.base}", "data_use": None, "may_share": False}
        source = {"kind": "model", "fingerprint": model_fingerprint(base), "path": str(base)}
        source["licenses"] = [terms]
    made = provenance("train.finetune", config, {"base": source, "dataset": dataset.manifest})
    if ema:
        training.state.denoiser.load(ema.weights)
    for net in (parts.unet, parts.vae):
        net.to(memory_format=torch.contiguous_format)
    if config.result == "fp16":
        for net in (parts.unet, parts.vae, parts.text_encoder):
            net.half()
    folder = config.output / "model"
    licenses = inherit_licenses(source, dataset.manifest)
    save_model(folder, parts, licenses=licenses, provenance=made, overwrite=config.resume)
    print(f"model: {folder}")  # noqa: T201


if __name__ == "__main__":
    run_program(main)
