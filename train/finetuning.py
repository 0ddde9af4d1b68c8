"""Fine-tuning of UNet and text encoder: which weights train, and the model that is saved."""

from typing import Any

import torch

from roentgen.diffusion.backbones.stable_diffusion import save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config import FinetuneConfig
from train.engine.fsdp import unshard
from train.inputs import Inputs
from train.loop import TrainingRun
from train.optim.lora import adapt, merge, save_adapters
from train.run import run
from train.setup.base_model import load_base


def finetune(config: FinetuneConfig) -> None:
    """Fine-tune as configured; see `train.run`."""
    run("train.finetune", config, choose_weights, save_result)


def choose_weights(config: FinetuneConfig, inputs: Inputs, denoiser: Denoiser) -> None:
    """Freeze networks without a learning rate, and add adapters if set. Raises InputError."""
    denoiser.freeze(config.rates())
    if config.lora:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        tokenizer, held = inputs.components.tokenizer, dtype[config.precision]
        adapt(denoiser, tokenizer, config.lora, seed=config.seed, dtype=held)
    if not any(denoiser.trained()):
        raise InputError(
            "learning_rate: both networks are frozen, and states of this text encoder need no "
            "projection; give one a learning rate"
        )


def save_result(
    config: FinetuneConfig, inputs: Inputs, training: TrainingRun, origin: dict[str, Any]
) -> None:
    """Write the averaged weights, or the raw ones without an average, as a pipeline folder.

    All processes call it, as shards are gathered; the main one writes.
    """
    components, ema = inputs.components, training.state.ema
    denoiser, main = training.state.denoiser, training.accelerator.is_main_process
    if ema:
        denoiser.load(ema.weights)
    unshard(denoiser, keep=main)
    if not main:
        return
    if config.lora:
        result_of_adapters(config, denoiser, components, origin)
    for net in (components.unet, components.vae):
        net.to(memory_format=torch.contiguous_format)
    folder = config.output / "model"
    half = config.save_precision == "fp16"
    save_model(folder, components, **origin, half=half, overwrite=config.resume)
    print(f"model: {folder}")  # noqa: T201


def result_of_adapters(
    config: FinetuneConfig, denoiser: Denoiser, components: Components, origin: dict[str, Any]
) -> None:
    """Save the adapters by themselves, then merge them into the base's own weights."""
    if config.swap_text_encoder is None:  # else there is no pipeline that they would fit
        folder = config.output / "lora"
        save_adapters(folder, denoiser, components.tokenizer, origin, overwrite=config.resume)
        print(f"adapters: {folder}")  # noqa: T201
    nets = {"unet": denoiser.unet, "text_encoder": denoiser.text_encoder}
    base = None if config.precision == "fp32" else load_base(config)  # of which less was held
    for name, net in nets.items():
        merge(net, getattr(base, name).state_dict() if base else None)
