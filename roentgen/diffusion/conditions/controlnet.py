"""ControlNet on masks, one channel a structure (Zhang et al. 2023)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.supported import check_structures_known
from roentgen.errors import InputError
from roentgen.randomness import derive_seed
from roentgen.record.radiograph import Masks

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel

_WIDTHS = (16, 32, 96, 256)  # of the layers between masks and latents, as published


def new_controlnet(
    unet: "UNet2DConditionModel", structures: Sequence[str], *, seed: int = 0, halvings: int = 3
) -> "ControlNetModel":
    """A ControlNet that starts as a copy of the UNet's encoder and at first changes nothing.

    Its outputs are zero at first, as published. The embedding of the masks is not, but as strong as
    that of the latents: so masks are followed after hundreds of steps, not thousands. `halvings`:
    how often the VAE halves the side of an image, at most 3. Raises InputError unless each
    structure is named once.
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


def mask_conditions(masks: Masks, structures: Sequence[str]) -> Conditions:
    """The masks of one image as a ControlNet of these structures takes them.

    Raises InputError for other structures, no known mask and masks that are not bool of one size.
    """
    channels = torch.from_numpy(np.stack(_channels(masks, structures)))
    return Conditions(masks=channels[None])


def _channels(masks: Masks, structures: Sequence[str]) -> list[np.ndarray]:
    check_structures_known(masks, structures)
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
