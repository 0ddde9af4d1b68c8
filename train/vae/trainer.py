"""Trainer of the VAE: losses, averaged weights and checkpoints.

The losses are those of Stable Diffusion's VAE (Rombach et al. 2022): mean absolute error,
perceptual distance, a small KL term, and from a later step on a discriminator of patches, whose
gradient at the last layer is balanced with that of the others (Esser et al. 2021). A distance of
local power spectra (Durall et al. 2020) is added to them.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from roentgen.diffusion.vae import Images
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.randomness import torch_generator
from roentgen.storage import write_file
from roentgen.terminal.progress import Progress
from train.optim.ema import decay_at, lerp_all
from train.optim.optimizer import rate_factor
from train.vae.config import AutoencoderConfig
from train.vae.crops import crop_batches, gray_input
from train.vae.losses import (
    PatchDiscriminator,
    PerceptualDistance,
    balance,
    hinge_loss,
    imagenet_weights,
    spectral_distance,
)

LOG_EVERY = 50  # steps


class AutoencoderTrainer:
    """A VAE in training: with its average, discriminator and optimizers."""

    def __init__(self, vae: AutoencoderKL, config: AutoencoderConfig) -> None:
        self._vae = vae.to(memory_format=torch.channels_last).train()
        self._config = config
        if config.freeze_encoder:
            vae.encoder.requires_grad_(False)
            vae.quant_conv.requires_grad_(False)
        self._trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
        self._average = [parameter.detach().clone() for parameter in self._trained]
        self._optimizers = {"vae_optimizer": _optimizer(self._trained, config.learning_rate)}
        self._perceptual = None
        if config.perceptual_weight:
            self._perceptual = PerceptualDistance(imagenet_weights())
        self._discriminator = None
        if config.adversarial is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                self._discriminator = PatchDiscriminator()
            self._optimizers["discriminator_optimizer"] = _optimizer(
                list(self._discriminator.parameters()), config.adversarial.learning_rate
            )

    def step(self, step: int, rate: float, batch: Tensor) -> dict[str, float]:
        """One step at a learning rate on a batch [B, 3, H, W]; returns what the log shows."""
        config = self._config
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            posterior = self._vae.encode(batch).latent_dist
            generator = torch_generator(config.seed, "z", step)
            noise = torch.randn(posterior.mean.shape, generator=generator)
            decoded = self._vae.decode(posterior.mean + posterior.std * noise).sample.float()
            loss = (decoded - batch).abs().mean()
            values = {"absolute": loss.item()}
            if self._perceptual is not None:
                perceptual = self._perceptual(decoded, batch)
                loss = loss + config.perceptual_weight * perceptual
                values["perceptual"] = perceptual.item()
        if config.spectral_weight:
            spectral = spectral_distance(decoded, batch)
            loss = loss + config.spectral_weight * spectral
            values["spectral"] = spectral.item()
        # kl() sums over a latent's elements; take the mean of one element
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        values["kl"] = kl.item()
        critic, settings = self._discriminator, config.adversarial
        if critic is not None and settings is not None and step >= settings.start:
            adversarial = -critic(decoded).mean()
            weight = balance(loss, adversarial, self._vae.decoder.conv_out.weight)
            loss = loss + settings.weight * weight * adversarial
        self._update("vae_optimizer", loss + config.kl_weight * kl, rate)
        share = torch.tensor(1 - decay_at(step, config.ema_decay))
        lerp_all(self._average, self._trained, share)
        if critic is not None and settings is not None:
            critic_loss = hinge_loss(critic(batch), critic(decoded.detach()))
            relative = rate / config.learning_rate  # else it wins once the VAE's rate is small
            self._update("discriminator_optimizer", critic_loss, relative * settings.learning_rate)
            values["discriminator"] = critic_loss.item()
        return values

    def finish(self) -> None:
        """Put the averaged weights in place of the last ones."""
        with torch.no_grad():
            for parameter, mean in zip(self._trained, self._average, strict=True):
                parameter.copy_(mean)
        self._vae.eval().requires_grad_(True)

    def state(self) -> dict[str, Tensor]:
        """All tensors that a resumed training needs, by name."""
        state = {f"average.{k}": mean for k, mean in enumerate(self._average)}
        for name, network in self._networks().items():
            state |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                state |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
        return {name: tensor.contiguous() for name, tensor in state.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state of the same training."""
        for k, mean in enumerate(self._average):
            mean.copy_(state[f"average.{k}"])
        for name, network in self._networks().items():
            network.load_state_dict(_below(name, state))
        for name, optimizer in self._optimizers.items():
            (group,) = optimizer.param_groups
            for key, value in _below(name, state).items():
                index, entry = key.split(".")
                parameter = group["params"][int(index)]
                if value.ndim:  # the fused optimizer needs the weight's own memory layout
                    value = torch.empty_like(parameter).copy_(value)
                optimizer.state[parameter][entry] = value

    def _networks(self) -> dict[str, nn.Module]:
        networks = {"vae": self._vae, "discriminator": self._discriminator}
        return {name: network for name, network in networks.items() if network is not None}

    def _update(self, name: str, loss: Tensor, rate: float) -> None:
        optimizer = self._optimizers[name]
        (group,) = optimizer.param_groups
        group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimizer.step()


def train_autoencoder(
    vae: AutoencoderKL, images: Images, config: AutoencoderConfig, checkpoint: Path | None = None
) -> None:
    """Train a VAE in place on uint8 images [N, H, W], average its weights, measure its latents.

    The training is saved in the file `checkpoint` every `checkpoint_every` steps; with `resume` it
    continues from there. Raises InputError for a checkpoint of other settings.
    """
    trainer = AutoencoderTrainer(vae, config)
    total = sum(phase.steps for phase in config.phases)
    first = 0
    if config.resume and checkpoint is not None and checkpoint.exists():
        state = _read_checkpoint(checkpoint, config)
        first = int(state["step"])
        trainer.load_state(state)
    started = time.monotonic()
    progress = Progress(total, "VAE", "step", done=first)
    for step, batch in enumerate(progress.over(crop_batches(images, config, first)), first):
        rate = config.learning_rate * rate_factor(step, total, config.warmup, config.schedule)
        values = trainer.step(step, rate, batch)
        if step % LOG_EVERY == 0:
            shown = {name: float(f"{value:.4g}") for name, value in values.items()}
            seconds = round(time.monotonic() - started)
            progress.write(json.dumps({"step": step, **shown, "seconds": seconds}))
        if checkpoint is not None and (step + 1) % config.checkpoint_every == 0:
            state = {**trainer.state(), "step": torch.tensor(step + 1)}
            write_file(checkpoint, save(state, {"config": _identity(config)}))
    trainer.finish()
    if not config.freeze_encoder:
        vae.register_to_config(scaling_factor=_scaling_factor(vae, images))


def _read_checkpoint(path: Path, config: AutoencoderConfig) -> dict[str, Tensor]:
    """A checkpoint of these settings."""
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("config") == _identity(config):
                state: dict[str, Tensor] = load_file(path)
                return state
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a checkpoint ({error}); remove it to start again") from error
    raise InputError(f"{path}: made with other settings; give those, or remove it to start again")


def _identity(config: AutoencoderConfig) -> str:
    """Fingerprint of the settings that the trained weights depend on."""
    plain = replace(config, resume=False, overwrite=False, checkpoint_every=1)
    return fingerprint_of(repr(plain))


def _below(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries whose names begin with `name` and a point, without them."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


def _optimizer(parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.5, 0.99), weight_decay=0.0, fused=True)


@torch.inference_mode()
def _scaling_factor(vae: AutoencoderKL, images: Images) -> float:
    """One over the standard deviation of the latents, so that diffusion sees unit variance."""
    sample = images[:: max(len(images) // 512, 1)]
    latents = []
    for start in range(0, len(sample), 16):
        x = gray_input(torch.from_numpy(sample[start : start + 16].copy()).float() / 127.5 - 1)
        latents.append(vae.encode(x).latent_dist.mean)
    return float(1 / torch.cat(latents).std())
