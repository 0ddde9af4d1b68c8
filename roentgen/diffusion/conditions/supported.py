"""Checks that a model supports the conditions it is given."""

from collections.abc import Iterable

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.errors import InputError


def check_supported(conditions: Conditions, components: Components, images: int) -> None:
    """Raise InputError for conditions of so many images that the model does not take."""
    for name, tensor in conditions.given().items():
        match name:
            case "text":
                continue
            case "masks":
                check_masks_supported(components, ())
                side = components.image_size
                required = (images, len(components.structures), side, side)
                if tensor.shape != required:
                    raise InputError(
                        f"masks are {list(tensor.shape)}, the model takes {list(required)}: "
                        f"{', '.join(components.structures)} of {side}x{side} pixels for each image"
                    )
            case _ if name not in components.condition_networks:
                raise InputError(f"{name} is given, but the model is not conditioned on it")


def check_masks_supported(components: Components, structures: Iterable[str]) -> None:
    """Raise InputError unless the model takes masks of these structures."""
    if components.controlnet is None:
        raise InputError(
            "masks need a model with a ControlNet, as train.controlnet makes one; this one has none"
        )
    check_structures_known(structures, components.structures)


def check_structures_known(structures: Iterable[str], known: Iterable[str]) -> None:
    """Raise InputError for structures that a ControlNet does not know."""
    known = list(known)
    if unknown := [name for name in structures if name not in known]:
        raise InputError(
            f"the ControlNet does not know {', '.join(unknown)}; it knows: {', '.join(known)}"
        )
