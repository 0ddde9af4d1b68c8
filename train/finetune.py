"""Fine-tune Stable Diffusion on a radiograph dataset: UNet and text encoder together.

    accelerate launch -m train.finetune configs/train/demo.yaml [--section.key=value ...]
    torchrun --nproc_per_node 2 -m train.finetune configs/train/demo.yaml

The run folder gets roentgen.json, config.yaml, metrics.jsonl, tensorboard/, previews/, latents/,
checkpoints/ and at the end model/, a plain diffusers pipeline.
"""

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from diffusers import DDPMScheduler

from roentgen.config import config_to_yaml, load_config
from roentgen.errors import InputError, run_program
from roentgen.models.stable_diffusion import module_fingerprint, save_model
from roentgen.runs import (
    MANIFEST,
    fingerprint_of,
    inherit_licenses,
    provenance,
    read_manifest,
    write_file,
    write_manifest,
)
from train.checkpoint import State, load_checkpoint
from train.checks import Inputs, check_inputs
from train.config import FinetuneConfig
from train.denoiser import Denoiser
from train.draws import Plan, validation_draws
from train.ema import Ema
from train.examples import Examples, Prompts
from train.kept import KeptSplit, tell_refused, write_refused
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
    origin = origin_of(config, inputs)
    make_run_folder(config, inputs, origin, accelerator)
    training = assemble(config, inputs, accelerator)
    if inputs.checkpoint:
        load_checkpoint(*inputs.checkpoint, training.state)
    train(training)
    if accelerator.is_main_process:
        save_result(config, inputs, training, origin)
    accelerator.wait_for_everyone()
    accelerator.end_training()  # last: it takes the processes apart


def make_accelerator(config: FinetuneConfig) -> Accelerator:
    """The accelerator of this process; the batch must fit the processes."""
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[config.precision]
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError("precision fp16 needs a GPU: choose bf16 or fp32")
    if config.xformers and not (importlib.util.find_spec("xformers") and torch.cuda.is_available()):
        raise InputError(
            "xformers=true needs a CUDA GPU and the package: pip install -e '.[xformers]', or set "
            "xformers=false"
        )
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


def origin_of(config: FinetuneConfig, inputs: Inputs) -> dict[str, Any]:
    """The licences and the provenance of all that the run makes."""
    base, data = inputs.base, inputs.dataset.manifest
    if (base / MANIFEST).exists():
        source = read_manifest(base, "model")
    else:
        terms = {"name": f"as of base model {config.base}", "data_use": None, "may_share": False}
        source = {"kind": "model", "fingerprint": inputs.identity["base"], "path": str(base)}
        source["licenses"] = [terms]
    made = provenance("train.finetune", config, {"base": source, "dataset": data})
    return {"licenses": inherit_licenses(source, data), "provenance": made}


def make_run_folder(
    config: FinetuneConfig, inputs: Inputs, origin: Mapping[str, Any], accelerator: Accelerator
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
        if not (folder / MANIFEST).exists():
            write_manifest(folder, "run", fingerprint_of(inputs.identity), **origin)
        text, path = config_to_yaml(config), folder / "config.yaml"
        if inputs.checkpoint and path.exists() and path.read_text() != text:
            path = folder / f"config-from-{inputs.checkpoint[0].name}.yaml"
        write_file(path, text)
        remove_leftovers(folder)
        report_prompts(config, inputs)
    accelerator.wait_for_everyone()


def report_prompts(config: FinetuneConfig, inputs: Inputs) -> None:
    """Tell how long the prompts are and what data.keep left out, which left_out.csv lists."""
    parts = [(inputs.split, inputs.prompts)] + ([inputs.held_out] if inputs.held_out else [])
    for split, prompts in parts:
        if told := tell_refused(split):
            print(told)  # noqa: T201
        print(f"{split.name}: prompts have {prompts.lengths.summary()}")  # noqa: T201
    if config.data.keep:
        refused = [item for split, _ in parts for item in split.refused]
        write_refused(config.output / "left_out.csv", refused)


def remove_leftovers(folder: Path) -> None:
    """Remove what has the name of a file or folder that is being written."""
    for pattern in (".*.partial", "checkpoints/.*.partial", "latents/*/*.partial"):
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def assemble(config: FinetuneConfig, inputs: Inputs, accelerator: Accelerator) -> Training:
    """Caches, optimizer and all else, ready for the loop."""
    parts = inputs.parts
    alpha_bars = DDPMScheduler.from_config(parts.scheduler.config).alphas_cumprod.float()
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    parts.vae.to(accelerator.device, memory_format=layout).requires_grad_(False)
    parts.unet.to(memory_format=layout)
    sources = [inputs.dataset.fingerprint, module_fingerprint(parts.vae)]

    def examples(split: KeptSplit, prompts: Prompts) -> Examples:
        key = fingerprint_of([*sources, split.rows] if split.refused else sources)
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
    if config.xformers:
        denoiser.use_xformers()
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


def save_result(
    config: FinetuneConfig, inputs: Inputs, training: Training, origin: dict[str, Any]
) -> None:
    """Write the averaged weights, or the raw ones without an average, as a pipeline folder."""
    parts, ema = inputs.parts, training.state.ema
    if ema:
        training.state.denoiser.load(ema.weights)
    for net in (parts.unet, parts.vae):
        net.to(memory_format=torch.contiguous_format)
    if config.result == "fp16":
        for net in (parts.unet, parts.vae, parts.text_encoder):
            net.half()
    folder = config.output / "model"
    save_model(folder, parts, **origin, overwrite=config.resume)
    print(f"model: {folder}")  # noqa: T201


if __name__ == "__main__":
    run_program(main)
