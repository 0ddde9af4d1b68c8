"""From planned images to pixels: the denoising loop.

An image depends on its prompt and its seed alone, not on the batch or the process it is drawn in
(but for the last bits of float arithmetic). Its seed is the one to give to diffusers' own
pipeline: `StableDiffusionPipeline(..., generator=torch.Generator().manual_seed(seed))`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from math import inf, sqrt
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import encode_prompts, token_counts, token_limit
from roentgen.diffusion.sampling.schedulers import SchedulerName, make_scheduler
from roentgen.diffusion.sampling.step_cache import Recall, deep_blocks, prompt_projections
from roentgen.errors import InputError
from roentgen.imaging.images import from_tensor
from roentgen.setting_checks import require_range

_KEPT_PROMPTS = 256  # embeddings held at a time; copies of a prompt are neighbours in a plan


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How images are drawn from noise."""

    scheduler: SchedulerName = "DPM-Solver++ Karras"
    """The solver: PNDM (as RoentGen), DDIM, DPM-Solver++ (2M) or UniPC (of order 2); the last two
    with steps even in time or, "Karras", denser where little noise is left. A model whose noise
    goes to zero signal needs even steps."""
    steps: int = 15
    """Its steps."""
    guidance_scale: float = 3.0
    """Classifier-free guidance scale; 1: none."""
    guidance_interval: tuple[float, float] | None = None
    """Guide only where low < sigma <= high, sigma being the noise's standard deviation beside a
    signal of scale 1 (Kynkäänniemi et al. 2024); elsewhere half the work. null: everywhere."""
    guidance_rescale: float | None = None
    """How far, in (0, 1], a guided prediction gets back the spread of the one that is not guided,
    against overexposure (Lin et al. 2023); null: not at all."""
    cache_interval: int = 1
    """The UNet's blocks below full resolution are computed at every so many steps, in between they
    are as they were (DeepCache, Ma et al. 2023): faster and a little less exact; 1: at each."""
    conditioning_scale: float = 1.0
    """How strongly a ControlNet's masks bear on the image; 0: not at all."""
    conditioning_interval: tuple[float, float] = (0.0, 1.0)
    """Between which shares of the steps they do, 0 being the first."""
    batch_size: int = 16
    """Images drawn together."""
    decode_batch_size: int = 4
    """Images the VAE decodes together."""
    device: Literal["cpu", "cuda", "mps"] | None = None
    """Where; null: a GPU if there is one."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of UNet and text encoder; the VAE stays float32."""
    compile: bool = False
    """Compile the UNet's repeated blocks (torch.compile): a start of a minute or two, faster steps
    on a GPU, hardly on a CPU."""

    def __post_init__(self) -> None:
        positive = ("cache_interval", "batch_size", "decode_batch_size")
        require_range(self, *(f"sampler.{name}" for name in positive), at_least=1)
        require_range(self, "sampler.steps", at_least=2)
        require_range(self, "sampler.guidance_scale", at_least=1, note="which is no guidance")
        low, high = self.guidance_interval or (0, 1)
        if not 0 <= low < high < inf:
            raise InputError(
                f"sampler.guidance_interval is [{low:g}, {high:g}]: two noise levels, the lower "
                "first, neither below 0 nor infinite"
            )
        require_range(self, "sampler.guidance_rescale", above=0, at_most=1, note="or null")
        first, last = self.conditioning_interval
        if not 0 <= first < last <= 1:
            raise InputError(
                f"sampler.conditioning_interval is [{first:g}, {last:g}]: two shares of the steps "
                "between 0 and 1, the smaller first"
            )
        require_range(self, "sampler.conditioning_scale", at_least=0, below=inf, note="1 is usual")
        for name in ("guidance_interval", "guidance_rescale"):
            if self.guidance_scale == 1 and getattr(self, name) is not None:
                raise InputError(
                    f"sampler.{name} has no effect without guidance: set sampler.guidance_scale "
                    "above 1, or leave it out"
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


@dataclass(frozen=True)
class Call:
    """One call of the UNet on the way from noise to an image."""

    timestep: Tensor  # int64, on the CPU
    guided: bool  # with both halves: two evaluations
    turned: bool  # guided or obeying unlike the call before, or the first
    cached: bool  # with the deep features of the call before
    obeys: bool  # the masks, where there are any


def course(settings: SamplerSettings, scheduler: Any) -> list[Call]:
    """The calls of a scheduler whose timesteps are set, on the CPU.

    Raises InputError if the guidance interval holds none of them.
    """
    low, high = settings.guidance_interval or (0, inf)
    calls: list[Call] = []
    sigmas, age = [], 0
    count = len(scheduler.timesteps)
    first, last = settings.conditioning_interval
    for number, timestep in enumerate(scheduler.timesteps):
        signal = float(scheduler.alphas_cumprod[timestep])
        sigmas.append(sqrt((1 - signal) / signal) if signal else inf)
        guided = settings.guidance_scale > 1 and low < sigmas[-1] <= high
        obeys = first <= number / count and (number + 1) / count <= last
        turned = not calls or (guided, obeys) != (calls[-1].guided, calls[-1].obeys)
        age = 0 if turned or age + 1 == settings.cache_interval else age + 1
        calls.append(Call(timestep, guided, turned, cached=age > 0, obeys=obeys))
    if settings.guidance_interval and not any(call.guided for call in calls):
        raise InputError(
            f"sampler.guidance_interval is [{low:g}, {high:g}], but the noise levels of these "
            f"steps are between {min(sigmas):.3g} and {max(sigmas):.3g}: none would be guided"
        )
    return calls


def guided_prediction(
    without: Tensor, told: Tensor, scale: float, rescale: float | None = None
) -> Tensor:
    """Classifier-free guidance, [N, 4, h, w] each (Ho & Salimans 2022, eq. 6).

    `rescale`: the share to which it gets back the standard deviation of `told` (Lin et al. 2023,
    eq. 15 and 16).
    """
    guided = without + scale * (told - without)
    if rescale is None:
        return guided
    dims = (1, 2, 3)
    ratio = told.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True)
    return guided * (rescale * ratio + 1 - rescale)


def check_prompts(components: Components, images: Sequence[Drawable], ids: Sequence[str]) -> None:
    """Raises InputError naming the id of an image whose prompt is beyond the token limit."""
    limit = token_limit(components.tokenizer, components.prompt_chunks)
    names = dict(zip((image.prompt for image in images), ids, strict=True))
    names |= {image.negative_prompt: "negative_prompt" for image in images if image.negative_prompt}
    counts = token_counts(components.tokenizer, list(names))
    long = [(name, n) for name, n in zip(names.values(), counts, strict=True) if n > limit]
    if long:
        more = f" ({len(long)} prompts are too long)" if len(long) > 1 else ""
        raise InputError(
            f"the prompt of {long[0][0]} has {long[0][1]} tokens and the text encoder takes "
            f"{limit}{more}: shorten it, tell less by `style`, or set long_prompts: truncate"
        )


class Sampler:
    """Draws images with a model's components, which it takes to the device and the number format.

    Components that are `live`, for they are training, stay where and as they are.
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
        self.settings = settings
        self.device = torch.device(device or settings.device or _best_device())
        self.dtype: torch.dtype = getattr(torch, settings.dtype)
        self._scheduler = make_scheduler(settings.scheduler, components.scheduler)
        levels = self._scheduler.config.num_train_timesteps
        if settings.steps >= levels:
            raise InputError(
                f"sampler.steps is {settings.steps}, but the model knows {levels} levels of noise"
            )
        self._scheduler.set_timesteps(settings.steps)
        self.calls = course(settings, self._scheduler)
        # Compiled blocks are not to be looked into.
        nets = [net for net in (components.unet, components.controlnet) if net is not None]
        unchanging = [layer for net in nets for layer in prompt_projections(net)]
        if components.controlnet is not None:
            unchanging.append(components.controlnet.controlnet_cond_embedding)
        self._prompts = Recall([] if settings.compile else unchanging)
        self._deep = Recall(deep_blocks(components.unet) if settings.cache_interval > 1 else [])
        self._embeddings: dict[str, Tensor] = {}
        if live:
            return
        for net in (components.text_encoder, *nets):
            net.to(self.device).eval()
            if net.dtype != self.dtype:
                net.to(self.dtype)
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
        self, images: Iterable[Drawable], conditions: Iterable[Tensor] | None = None
    ) -> Iterator[np.ndarray]:
        """The images in order, each uint8 [height, width], drawn `batch_size` at a time.

        `conditions` are the images' masks as `control.conditioning` makes them.
        """
        remaining = iter(images)
        told = None if conditions is None else iter(conditions)
        while batch := list(islice(remaining, self.settings.batch_size)):
            shown = None if told is None else torch.stack(list(islice(told, len(batch))))
            latents = self.latents(batch, shown)
            for part in torch.split(latents, self.settings.decode_batch_size):
                yield from self.decode(part)

    @torch.inference_mode()
    def latents(self, batch: Sequence[Drawable], conditions: Tensor | None = None) -> Tensor:
        """Denoised latents, float32 [N, 4, h, w], of images drawn together.

        `conditions`, [N, structures, height, width], are for the ControlNet. The schedule is on the
        CPU, and nothing on the way waits for the device. Raises InputError for conditions that the
        model cannot take.
        """
        shown = None if conditions is None else self._shown(conditions, len(batch))
        prompts = [image.prompt for image in batch]
        if any(call.guided for call in self.calls):
            prompts = [image.negative_prompt or "" for image in batch] + prompts
        both = self._embed(prompts)
        told = both[-len(batch) :]
        scale, rescale = self.settings.guidance_scale, self.settings.guidance_rescale
        scheduler = self._scheduler
        scheduler.set_timesteps(self.settings.steps)  # it forgets the batch before
        timesteps = scheduler.timesteps.to(self.device)
        # The solver works in float32 whatever the networks' format.
        latents: Tensor = self._noise(batch) * scheduler.init_noise_sigma
        with ExitStack() as recalling:
            for recall in (self._prompts, self._deep):
                recalling.enter_context(recall.at_work())
            for call, timestep in zip(self.calls, timesteps, strict=True):
                self._prompts.again, self._deep.again = not call.turned, call.cached
                noisy = scheduler.scale_model_input(latents, call.timestep).to(self.dtype)
                noisy = torch.cat([noisy, noisy]) if call.guided else noisy
                noisy = noisy.contiguous(memory_format=torch.channels_last)
                states = both if call.guided else told
                added = {}
                if shown is not None and call.obeys:
                    added = self._control(noisy, timestep, states, shown)
                unet = self.components.unet
                predicted = unet(noisy, timestep, encoder_hidden_states=states, **added).sample
                predicted = predicted.float()
                if call.guided:
                    without, with_prompt = predicted.chunk(2)
                    predicted = guided_prediction(without, with_prompt, scale, rescale)
                latents = scheduler.step(predicted, call.timestep, latents, return_dict=False)[0]
        return latents

    def _shown(self, conditions: Tensor, count: int) -> Tensor:
        """Conditions on the device. Raises InputError for those that the model cannot take."""
        if self.components.controlnet is None:
            raise InputError(
                "masks are given, but the model has no ControlNet: give one of train.controlnet"
            )
        side = self.components.image_size
        wanted = (count, len(self.components.structures), side, side)
        if conditions.shape != wanted:
            raise InputError(
                f"masks are {list(conditions.shape)}, the model takes {list(wanted)}: "
                f"{', '.join(self.components.structures)} of {side}x{side} pixels for each image"
            )
        if self.settings.cache_interval > 1:
            raise InputError("sampler.cache_interval does not go with masks: set it to 1")
        return conditions.to(self.device, self.dtype)

    def _control(
        self, noisy: Tensor, timestep: Tensor, states: Tensor, shown: Tensor
    ) -> dict[str, Any]:
        """What the ControlNet adds within the UNet."""
        assert self.components.controlnet is not None
        down, middle = self.components.controlnet(
            noisy,
            timestep,
            encoder_hidden_states=states,
            controlnet_cond=torch.cat([shown, shown]) if len(noisy) > len(shown) else shown,
            conditioning_scale=self.settings.conditioning_scale,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents [N, 4, h, w] as uint8 [N, height, width], in float32: these VAEs overflow."""
        vae = self.components.vae
        scaled = (latents / vae.config.scaling_factor).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, enabled=False):
            return from_tensor(vae.decode(scaled).sample.clamp(-1, 1))

    def _noise(self, batch: Sequence[Drawable]) -> Tensor:
        """Each image's own noise, drawn on the CPU so that devices agree; float32 [N, 4, h, w]."""
        side = self.components.unet.config.sample_size
        shape = (self.components.unet.config.in_channels, side, side)
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
            encoded = encode_prompts(self.components, new, too_long="truncate")
            self._embeddings |= dict(zip(new, encoded.to(self.dtype), strict=True))
        return torch.stack([self._embeddings[prompt] for prompt in prompts])


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
