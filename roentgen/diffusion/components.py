"""The components of a diffusion pipeline: VAE, denoiser, text encoder, scheduler, ControlNet."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, ControlNetModel, SchedulerMixin, UNet2DConditionModel


@dataclass(kw_only=True)
class Components:
    """The components of a Stable Diffusion pipeline.

    The scheduler holds the noise schedule and the prediction type. After loading, weights are
    float32 and all modules are in eval mode.
    """

    vae: "AutoencoderKL"
    unet: "UNet2DConditionModel"
    text_encoder: Any  # a text model of transformers
    tokenizer: Any  # its tokenizer
    scheduler: "SchedulerMixin"
    prompt_chunks: int = 1  # of the tokenizer's limit, that a prompt is given
    projection: torch.nn.Linear | None = None  # of text encoder states, while it trains
    controlnet: "ControlNetModel | None" = None
    structures: tuple[str, ...] = ()  # the ControlNet's channels, in order
    # Of the conditions that it takes besides text and masks, by name.
    condition_networks: dict[str, torch.nn.Module] = field(default_factory=dict)

    def networks(self) -> dict[str, Any]:
        """All networks, by name."""
        names = ("unet", "text_encoder", "vae", "projection", "controlnet")
        nets = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        added = {"condition_networks": torch.nn.ModuleDict(self.condition_networks)}
        return nets | (added if self.condition_networks else {})

    @property
    def image_size(self) -> int:
        """Pixels a side of the images that the UNet was trained on."""
        halvings = len(self.vae.config.block_out_channels) - 1
        return int(self.unet.config.sample_size * 2**halvings)
