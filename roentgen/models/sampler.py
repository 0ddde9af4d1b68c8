"""From planned images to pixels: the denoising loop.

An image depends on its prompt and its seed alone, not on the batch or the process it is drawn in
(but for the last bits of float arithmetic). Its seed is the one to give to diffusers' own
pipeline: `StableDiffusionPipeline(..., generator=torch.Generator().manual_seed(seed))`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol

import diffusers
import numpy as np
import torch
from torch import Tensor

from roentgen.data.images import from_tensor
from roentgen.errors import InputError
from roentgen.models.conditioning import encode_prompts, token_counts, token_limit
from roentgen.models.stable_diffusion import Parts

SchedulerName = Literal["PNDM", "DDIM", "DPM-Solver++"]
# The noise schedule and the prediction type come from the model; what the solver adds stands here,
# so that it does not hang on which scheduler the model was saved with. Latents are not pixels:
# nothing is clipped.
SCHEDULERS: dict[SchedulerName, tuple[type[Any], dict[str, Any]]] = {
    "PNDM": (
        diffusers.PNDMScheduler,
        {"skip_prk_steps": True, "timestep_spacing": "leading", "steps_offset": 1},
    ),
    "DDIM": (
        diffusers.DDIMScheduler,
        {"clip_sample": False, "thresholding": False, "timestep_spacing": "trailing"},
    ),
    "DPM-Solver++": (
        diffusers.DPMSolverMultistepScheduler,
        {
            "algorithm_type": "dpmsolver++",
            "solver_order": 2,
            "thresholding": False,
            "timestep_spacing": "linspace",
            "final_sigmas_type": "zero",
        },
    ),
}
_KEPT_PROMPTS = 256  # embeddings held at a time; copies of a prompt are neighbours in a plan


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How images are drawn from noise."""

    scheduler: SchedulerName = "DPM-Solver++"
    """The solver: PNDM (as RoentGen), DDIM or DPM-Solver++ (2M)."""
    steps: int = 20
    """Its steps."""
    guidance_scale: float = 4.0
    """Classifier-free guidance scale; 1: none."""
    batch_size: int = 16
    """Images drawn together."""
    decode_batch_size: int = 4
    """Images the VAE decodes together."""
    device: Literal["cpu", "cuda", "mps"] | None = None
    """Where; null: a GPU if there is one."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of UNet and text encoder; the VAE stays float32."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "decode_batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"sampler.{name} is {getattr(self, name)}: at least 1")
        if self.steps < 2:
            raise InputError(f"sampler.steps is {self.steps}: at least 2")
        if not self.guidance_scale >= 1:
            raise InputError(
                f"sampler.guidance_scale is {self.guidance_scale}: at least 1, which is no guidance"
            )


class Drawable(Protocol):
    """What the sampler needs to know of an image; `PlannedImage` is one."""

    @property
    def prompt(self) -> str:
        """What it shows."""

    @property
    def negative_prompt(self) -> str | None:
        """What guidance leads away from; None: the empty prompt."""

    @property
    def seed(self) -> int:
        """The seed of its noise."""


def make_scheduler(name: SchedulerName, trained: Any) -> Any:
    """A fresh scheduler with the noise schedule and prediction type of the `trained` one.

    Raises InputError for an unknown name and for a solver that cannot follow the noise schedule.
    """
    if name not in SCHEDULERS:
        raise InputError(f"unknown scheduler {name!r}; choose one of: {', '.join(SCHEDULERS)}")
    if name == "PNDM" and trained.config.get("rescale_betas_zero_snr"):
        raise InputError("PNDM cannot start from zero signal, as this model's noise does: use DDIM")
    solver, options = SCHEDULERS[name]
    return solver.from_config(trained.config, **options)


def check_prompts(parts: Parts, images: Sequence[Drawable], ids: Sequence[str]) -> None:
    """Raises InputError naming the id of an image whose prompt is beyond the token limit."""
    limit = token_limit(parts.tokenizer, parts.prompt_chunks)
    names = dict(zip((image.prompt for image in images), ids, strict=True))
    names |= {image.negative_prompt: "negative_prompt" for image in images if image.negative_prompt}
    counts = token_counts(parts.tokenizer, list(names))
    long = [(name, n) for name, n in zip(names.values(), counts, strict=True) if n > limit]
    if long:
        more = f" ({len(long)} prompts are too long)" if len(long) > 1 else ""
        raise InputError(
            f"the prompt of {long[0][0]} has {long[0][1]} tokens and the text encoder takes "
            f"{limit}{more}: shorten it, tell less by `style`, or set long_prompts: truncate"
        )


class Sampler:
    """Draws images with a model's parts, which it takes to the device and the number format.

    Parts that are `live`, for they are training, stay where and as they are.
    """

    def __init__(
        self,
        parts: Parts,
        settings: SamplerSettings,
        device: torch.device | str | None = None,
        *,
        live: bool = False,
    ) -> None:
        self.parts = parts
        self.settings = settings
        self.device = torch.device(device or settings.device or _best_device())
        self.dtype: torch.dtype = getattr(torch, settings.dtype)
        levels = make_scheduler(settings.scheduler, parts.scheduler).config.num_train_timesteps
        if settings.steps >= levels:
            raise InputError(
                f"sampler.steps is {settings.steps}, but the model knows {levels} levels of noise"
            )
        self._embeddings: dict[str, Tensor] = {}
        if live:
            return
        for net in (parts.text_encoder, parts.unet):
            net.to(self.device).eval()
            if net.dtype != self.dtype:
                net.to(self.dtype)
        parts.vae.to(self.device).float().eval()
        for convolutional in (parts.unet, parts.vae):
            convolutional.to(memory_format=torch.channels_last)

    def sample(self, images: Iterable[Drawable]) -> Iterator[np.ndarray]:
        """The images in order, each uint8 [height, width], drawn `batch_size` at a time."""
        remaining = iter(images)
        while batch := list(islice(remaining, self.settings.batch_size)):
            latents = self.latents(batch)
            for part in torch.split(latents, self.settings.decode_batch_size):
                yield from self.decode(part)

    @torch.inference_mode()
    def latents(self, batch: Sequence[Drawable]) -> Tensor:
        """Denoised latents, float32 [N, 4, h, w], of images drawn together."""
        scale = self.settings.guidance_scale
        guided = scale > 1
        prompts = [image.prompt for image in batch]
        if guided:
            prompts = [image.negative_prompt or "" for image in batch] + prompts
        condition = self._embed(prompts)
        scheduler = make_scheduler(self.settings.scheduler, self.parts.scheduler)  # it has a memory
        scheduler.set_timesteps(self.settings.steps, device=self.device)
        # The solver works in float32 whatever the networks' format.
        latents: Tensor = self._noise(batch) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            noisy = scheduler.scale_model_input(latents, timestep).to(self.dtype)
            noisy = torch.cat([noisy, noisy]) if guided else noisy
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            predicted = self.parts.unet(noisy, timestep, encoder_hidden_states=condition).sample
            predicted = predicted.float()
            if guided:  # classifier-free guidance, Ho & Salimans 2022, eq. 6
                without, told = predicted.chunk(2)
                predicted = without + scale * (told - without)
            latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        return latents

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents [N, 4, h, w] as uint8 [N, height, width], in float32: these VAEs overflow."""
        vae = self.parts.vae
        scaled = (latents / vae.config.scaling_factor).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, enabled=False):
            return from_tensor(vae.decode(scaled).sample.clamp(-1, 1))

    def _noise(self, batch: Sequence[Drawable]) -> Tensor:
        """Each image's own noise, drawn on the CPU so that devices agree; float32 [N, 4, h, w]."""
        side = self.parts.unet.config.sample_size
        shape = (self.parts.unet.config.in_channels, side, side)
        draws = [
            torch.randn(shape, generator=torch.Generator().manual_seed(image.seed))
            for image in batch
        ]
        return torch.stack(draws).to(self.device)

    def _embed(self, prompts: Sequence[str]) -> Tensor:
        """Prompt embeddings [N, L, D]; each distinct prompt is encoded once while it is kept.

        Prompts beyond the token limit are cut: `check_prompts` is who refuses them.
        """
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._embeddings]
        if len(self._embeddings) + len(new) > _KEPT_PROMPTS:
            self._embeddings = {p: self._embeddings[p] for p in prompts if p in self._embeddings}
        if new:
            encoded = encode_prompts(self.parts, new, too_long="truncate")
            self._embeddings |= dict(zip(new, encoded.to(self.dtype), strict=True))
        return torch.stack([self._embeddings[prompt] for prompt in prompts])


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
