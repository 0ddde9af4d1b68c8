"""Sampler: the denoising loop, from prompts, seeds and conditions to images.

An image depends on its conditions and its seed alone, not on the batch or the process it is drawn
in (but for the last bits of float arithmetic). diffusers' own pipeline draws it from the same seed:
`StableDiffusionPipeline(..., generator=torch.Generator().manual_seed(seed))`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, repeat
from math import inf
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roentgen.cpu.bfloat16 import computes_bfloat16
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.prompt_encoding import encode_prompts
from roentgen.diffusion.conditions.supported import check_supported
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.objective import noise_level
from roentgen.diffusion.sampling.schedulers import make_scheduler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.diffusion.sampling.step_cache import StepCache, condition_layers, deep_blocks
from roentgen.errors import InputError
from roentgen.imaging.images import from_tensor

_CACHED_PROMPTS = 256  # whose states are held at a time; a plan has equal prompts side by side


class Drawable(Protocol):
    """An image to draw, as far as the sampler is concerned; `PlannedImage` is one."""

    @property
    def prompt(self) -> str:
        """Its prompt."""

    @property
    def negative_prompt(self) -> str | None:
        """The prompt that guidance leads away from; None: the empty one."""

    @property
    def seed(self) -> int:
        """The seed of its noise."""


@dataclass(frozen=True)
class UnetCall:
    """One call of the UNet on the way from noise to an image."""

    timestep: Tensor  # int64, on the CPU
    guided: bool  # on conditional and unconditional halves: two evaluations
    controlled: bool  # with the ControlNet, if there are masks
    first_of_kind: bool  # guided or controlled unlike the call before, or the first
    cached: bool  # with the deep features of the call before


def unet_calls(settings: SamplerSettings, scheduler: Any) -> list[UnetCall]:
    """The calls of a scheduler whose timesteps are set, on the CPU.

    Raises InputError if the guidance interval holds none of them.
    """
    low, high = settings.guidance_interval or (0, inf)
    calls: list[UnetCall] = []
    sigmas, age = [], 0
    count = len(scheduler.timesteps)
    first, last = settings.conditioning_interval
    for number, timestep in enumerate(scheduler.timesteps):
        sigmas.append(noise_level(float(scheduler.alphas_cumprod[timestep])))
        guided = settings.guidance_scale > 1 and low < sigmas[-1] <= high
        controlled = first <= number / count and (number + 1) / count <= last
        changed = not calls or (guided, controlled) != (calls[-1].guided, calls[-1].controlled)
        age = 0 if changed or age + 1 == settings.cache_interval else age + 1
        calls.append(UnetCall(timestep, guided, controlled, changed, cached=age > 0))
    if settings.guidance_interval and not any(call.guided for call in calls):
        raise InputError(
            f"sampler.guidance_interval is [{low:g}, {high:g}], but the noise levels of these "
            f"steps are between {min(sigmas):.3g} and {max(sigmas):.3g}: none would be guided"
        )
    return calls


def guided_prediction(
    unconditional: Tensor, conditional: Tensor, scale: float, rescale: float | None = None
) -> Tensor:
    """Classifier-free guidance, [N, 4, h, w] each (Ho & Salimans 2022, eq. 6).

    `rescale`: the share to which it gets back the standard deviation of `conditional` (Lin et al.
    2023, eq. 15 and 16).
    """
    guided = unconditional + scale * (conditional - unconditional)
    if rescale is None:
        return guided
    dims = (1, 2, 3)
    ratio = conditional.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True)
    return guided * (rescale * ratio + 1 - rescale)


def with_dtype(settings: SamplerSettings, device: torch.device) -> SamplerSettings:
    """The settings with what dtype `auto` is on this device."""
    if settings.dtype != "auto":
        return settings
    return replace(settings, dtype="bfloat16" if computes_bfloat16(device) else "float32")


class Sampler:
    """Draws images with a model's components, moved to the device and the number format.

    Components that are `live`, as they are training, stay where and as they are.
    """

    def __init__(
        self,
        components: Components,
        settings: SamplerSettings,
        device: torch.device | str | None = None,
        *,
        live: bool = False,
    ) -> None:
        self.components = components
        self.device = torch.device(device or settings.device or _best_device())
        self.settings = with_dtype(settings, self.device)
        self.dtype: torch.dtype = getattr(torch, self.settings.dtype)
        self._scheduler = make_scheduler(settings.scheduler, components.scheduler)
        levels = self._scheduler.config.num_train_timesteps
        if settings.steps >= levels:
            raise InputError(
                f"sampler.steps is {settings.steps}, but the model knows {levels} levels of noise"
            )
        self._scheduler.set_timesteps(settings.steps)
        self.calls = unet_calls(settings, self._scheduler)
        self._denoiser = Denoiser(components, conditioning_scale=settings.conditioning_scale)
        # The cache replaces methods, which compiled blocks do not allow.
        unchanging = [] if settings.compile else condition_layers(self._denoiser)
        self._condition_cache = StepCache(unchanging)
        deep = deep_blocks(components.unet) if settings.cache_interval > 1 else []
        self._deep_cache = StepCache(deep)
        self._states: dict[str, Tensor] = {}  # of prompts
        self._live = live
        self.redrawn: list[int] = []  # seeds of the images that were drawn again in float32
        self.constant: list[int] = []  # seeds of the images that are black, or of one gray level
        if live:
            return
        self._denoiser.to(self.device, self.dtype).eval()
        nets = self._denoiser.convolutional
        components.vae.to(self.device).float().eval()
        for convolutional in (*nets, components.vae):
            convolutional.to(memory_format=torch.channels_last)
        if settings.compile:
            for net in nets:
                net.compile_repeated_blocks()

    @property
    def evaluations(self) -> int:
        """Single evaluations of the UNet an image, cached ones among them."""
        return sum(1 + call.guided for call in self.calls)

    def sample(
        self, images: Iterable[Drawable], conditions: Iterable[Conditions] | None = None
    ) -> Iterator[np.ndarray]:
        """The images in order, each uint8 [height, width], drawn `batch_size` at a time.

        `conditions` are each image's besides its prompt. Raises InputError as `pictures`.
        """
        remaining = iter(images)
        given = repeat(Conditions()) if conditions is None else iter(conditions)
        while batch := list(islice(remaining, self.settings.batch_size)):
            of_batch = list(islice(given, len(batch)))
            latents = self.latents(batch, Conditions.joined(of_batch))
            yield from self.pictures(latents, batch, of_batch)

    def pictures(
        self, latents: Tensor, batch: Sequence[Drawable], conditions: Sequence[Conditions]
    ) -> Iterator[np.ndarray]:
        """The images, each uint8 [height, width], of latents [N, 4, h, w] of a batch.

        One that is not finite, as half precision may overflow, is drawn again alone, in float32.
        Raises InputError, naming it, if it is not finite then.
        """
        size = self.settings.decode_batch_size
        for first in range(0, len(batch), size):
            pixels, finite = self.decode(latents[first : first + size])
            for place, picture in enumerate(pixels):
                image, given = batch[first + place], conditions[first + place]
                if not finite[place]:
                    picture = self._drawn_again(image, given)
                if picture.min() == picture.max():
                    self.constant.append(image.seed)
                yield picture

    def _drawn_again(self, image: Drawable, given: Conditions) -> np.ndarray:
        if self.dtype != torch.float32 or torch.is_autocast_enabled(self.device.type):
            with self._float32():
                pixels, finite = self.decode(self.latents([image], given))
            if finite[0]:
                self.redrawn.append(image.seed)
                return np.asarray(pixels[0])
        raise InputError(
            f"the image of {image.prompt!r} with seed {image.seed} is not finite, in float32 too: "
            "the model's weights are damaged, or its training diverged"
        )

    @contextmanager
    def _float32(self) -> Iterator[None]:
        """Networks and prompts' states in float32; live networks stay as they are."""
        before = self.dtype, self._states
        self.dtype, self._states = torch.float32, {}
        try:
            if not self._live:
                self._denoiser.float()
            with torch.autocast(self.device.type, enabled=False):
                yield
        finally:
            self.dtype, self._states = before
            if not self._live:
                self._denoiser.to(self.dtype)

    @torch.inference_mode()
    def latents(self, batch: Sequence[Drawable], conditions: Conditions | None = None) -> Tensor:
        """Denoised latents, float32 [N, 4, h, w], of images drawn together.

        `conditions` are the images' besides their prompts. The schedule is on the CPU, and nothing
        on the way waits for the device. Raises InputError for conditions that the model does not
        take.
        """
        of_call = self._conditions_of_calls(batch, conditions or Conditions())
        scale, rescale = self.settings.guidance_scale, self.settings.guidance_rescale
        scheduler = self._scheduler
        scheduler.set_timesteps(self.settings.steps)  # which clears the state of the last batch
        timesteps = scheduler.timesteps.to(self.device)
        # The solver works in float32, whatever the networks' format.
        latents: Tensor = self._noise(batch) * scheduler.init_noise_sigma
        with self._condition_cache.active(), self._deep_cache.active():
            for call, timestep in zip(self.calls, timesteps, strict=True):
                self._condition_cache.reuse = not call.first_of_kind
                self._deep_cache.reuse = call.cached
                noisy = scheduler.scale_model_input(latents, call.timestep).to(self.dtype)
                noisy = torch.cat([noisy, noisy]) if call.guided else noisy
                noisy = noisy.contiguous(memory_format=torch.channels_last)
                given = of_call[call.guided, call.controlled]
                predicted = self._denoiser(noisy, timestep, given).float()
                if call.guided:
                    unconditional, conditional = predicted.chunk(2)
                    predicted = guided_prediction(unconditional, conditional, scale, rescale)
                latents = scheduler.step(predicted, call.timestep, latents, return_dict=False)[0]
        return latents

    def _conditions_of_calls(
        self, batch: Sequence[Drawable], given: Conditions
    ) -> dict[tuple[bool, bool], Conditions]:
        """All conditions of the images, on the device, by whether a call is guided and controlled.

        Raises InputError for conditions that the model does not take.
        """
        check_supported(given, self.components, len(batch))
        if given.masks is not None and self.settings.cache_interval > 1:
            raise InputError("sampler.cache_interval does not support masks: set it to 1")
        guided = any(call.guided for call in self.calls)
        negative = [image.negative_prompt or "" for image in batch] if guided else []
        states = self._encode(negative + [image.prompt for image in batch])
        unconditional = Conditions(text=states[: len(negative)])
        given = given.to(self.device, self.dtype) | Conditions(text=states[len(negative) :])
        found = {}
        for controlled in (False, True):
            conditional = given if controlled else given.without("masks")
            found[False, controlled] = conditional
            if guided:
                found[True, controlled] = conditional.doubled(unconditional)
        return found

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> tuple[np.ndarray, NDArray[np.bool_]]:
        """Latents [N, 4, h, w] as uint8 [N, height, width], and whether all is finite (N,).

        In float32 unless the networks are in bfloat16: in float16 these VAEs overflow.
        """
        half = self.dtype == torch.bfloat16
        vae = self.components.vae
        scaled = (latents / vae.config.scaling_factor).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            decoded = vae.decode(scaled).sample.float()
        finite = [values.isfinite().flatten(1).all(dim=1) for values in (latents, decoded)]
        return from_tensor(decoded.nan_to_num().clamp(-1, 1)), (finite[0] & finite[1]).cpu().numpy()

    def _noise(self, batch: Sequence[Drawable]) -> Tensor:
        """Each image's own noise, drawn on the CPU so that devices agree; float32 [N, 4, h, w]."""
        side = self.components.unet.config.sample_size
        shape = (self.components.unet.config.in_channels, side, side)
        draws = [
            torch.randn(shape, generator=torch.Generator().manual_seed(image.seed))
            for image in batch
        ]
        return torch.stack(draws).to(self.device)

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        """Text encoder states [N, L, D]; those of each distinct prompt are cached.

        Prompts beyond the token limit are truncated: a plan's check refuses them before.
        """
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._states]
        if len(self._states) + len(new) > _CACHED_PROMPTS:
            self._states = {p: self._states[p] for p in prompts if p in self._states}
        if new:
            encoded = encode_prompts(self.components, new, too_long="truncate")
            self._states |= dict(zip(new, encoded.to(self.dtype), strict=True))
        return torch.stack([self._states[prompt] for prompt in prompts])


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
