"""ControlNet on masks: one channel a structure (Zhang et al. 2023)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from roentgen.errors import InputError
from roentgen.randomness import derive_seed
from roentgen.record.structures import Masks

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel

NEW_LAYERS = ("controlnet_cond_embedding", "controlnet_down_blocks", "controlnet_mid_block")
_WIDTHS = (16, 32, 96, 256)  # of the layers between masks and latents, as published


def new_controlnet(
    unet: "UNet2DConditionModel", structures: Sequence[str], *, seed: int = 0, halvings: int = 3
) -> "ControlNetModel":
    """A ControlNet that starts as the UNet's own encoder and, until it learns, changes nothing.

    Its outputs are zero at first, as published. What it sees of the masks is not, but as strong as
    what it sees of the latents: so it comes to obey in hundreds of steps, not in thousands.
    `halvings`: how often the VAE halves the side of an image, at most 3. Raises InputError unless
    each structure is named once.
    """
    from diffusers import ControlNetModel

    if not structures or len(set(structures)) < len(structures):
        raise InputError(f"structures are {list(structures)}: give at least one, each once")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "controlnet"))
        controlnet: ControlNetModel = ControlNetModel.from_unet(
            unet,
            conditioning_channels=len(structures),
            conditioning_embedding_out_channels=_WIDTHS[: halvings + 1],
        )
        for layer in controlnet.controlnet_cond_embedding.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
                layer.bias.data.zero_()  # type: ignore[union-attr]
    return controlnet.eval()


def conditioning(masks: Masks, structures: Sequence[str]) -> Tensor:
    """What a ControlNet is shown, float32 [structures, H, W]: 1 inside, -1 outside, 0 not known."""
    return torch.from_numpy(np.stack(_channels(masks, structures)))


def _channels(masks: Masks, structures: Sequence[str]) -> list[np.ndarray]:
    unknown = [name for name in masks if name not in structures]
    if unknown:
        raise InputError(
            f"the ControlNet knows no {unknown[0]!r}; it knows: {', '.join(structures)}"
        )
    known = {name: mask for name, mask in masks.items() if mask is not None}
    if not known:
        raise InputError(f"no mask of {', '.join(structures)} is given: give at least one")
    shape = next(iter(known.values())).shape
    for name, mask in known.items():
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape != shape:
            raise InputError(
                f"the mask of {name!r} is {mask.dtype} {list(mask.shape)}: masks of an image are "
                f"all bool [height, width] of one size (mask > 127, of 0 and 255)"
            )
    channels = []
    for structure in structures:
        given = known.get(structure)
        channels.append(
            np.zeros(shape, dtype=np.float32)
            if given is None
            else np.where(given, 1, -1).astype(np.float32)
        )
    return channels
