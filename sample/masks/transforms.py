"""Masks moved as another patient's might lie: the chest as one body, then each finding in it.

The body is magnified, leant, turned, shifted and bent with all that is in it. Within it, findings
move a little further, each half of the chest by itself, and stay where such a thing can be:

- an effusion rises or sinks, and stands on its base;
- a pneumothorax becomes wider or narrower, and stays at its wall; one that leaves no lung to be
  seen stays as it is;
- what lies in the lung (consolidation, edema, nodule ...) stays in the lung of its side;
- devices move freely; all else goes with the body.

No finding leaves the lung of its half but for where it already was. On lateral films, on which both
halves lie on each other, and on those without lungs, "the half" is both lungs, or what there is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.randomness import numpy_generator
from roentgen.record.structures import FINDING_OF, Masks
from roentgen.record.views import View
from roentgen.setting_checks import require_range
from sample.masks.hemithorax import parts_by_half, right_half
from sample.masks.laterality import swap_words
from sample.masks.motion import Motion, Places, affine, elastic, from_base, from_wall, grid, sampled

Mask = NDArray[np.bool_]

DEVICES = "support devices"
FLUID = "pleural effusion"
AIR = "pneumothorax"
IN_LUNG = tuple(n for n in FINDING_OF if n not in (FLUID, AIR, DEVICES, "fracture"))

_AMPLITUDES = (1.0, 0.5, 0.25, 0.125, 0.0)  # of one try after the other; the last moves nothing
_BODY_KEPT = 0.75  # of each structure's area, as its magnification would have it
_FINDING_KEPT = 0.5


@dataclass(frozen=True, kw_only=True)
class FindingTransforms:
    """How far findings move within their body, beyond what the body does."""

    thickness: float = 0.3
    """Effusions and pneumothoraces: higher or lower, wider or narrower, by at most this share. In
    [0, 2]."""
    shift: float = 0.03
    """Others, and devices: at most this share of the side, either way. In [0, 0.25]."""
    scale: float = 0.2
    """Others: magnified or made smaller by at most this share. In [0, 1]."""
    rotation: float = 10.0
    """Others, and devices: at most so many degrees about their middle. In [0, 90]."""
    elastic: float = 0.01
    """Others: bent by at most this share of the side. In [0, 0.1]."""

    def __post_init__(self) -> None:
        limits = {"thickness": 2, "shift": 0.25, "scale": 1, "rotation": 90, "elastic": 0.1}
        for name, limit in limits.items():
            require_range(self, f"transforms.findings.{name}", at_least=0, at_most=limit)


@dataclass(frozen=True, kw_only=True)
class MaskTransforms:
    """How far masks are moved; each amount is drawn evenly between none and these."""

    shift: float = 0.04
    """At most this share of the side, either way, across and down. In [0, 0.25]."""
    scale: float = 0.1
    """Magnified or made smaller by at most this share. In [0, 0.5]."""
    rotation: float = 5.0
    """At most so many degrees, either way. In [0, 45]."""
    shear: float = 4.0
    """Leant by at most so many degrees, either way. In [0, 30]."""
    elastic: float = 0.015
    """Bent smoothly by at most this share of the side. In [0, 0.1]."""
    elastic_width: float = 0.1
    """Smoothness of what bends: its standard deviation, as a share of the side. In [0.05, 0.5], and
    at least twice `elastic`, or masks would be torn."""
    findings: FindingTransforms | None = field(default_factory=FindingTransforms)
    """How far findings move within the body; null: not at all."""
    mirror: float = 0.0
    """Share of images that are mirrored, hearts and all. Where it is not 0, who draws the images
    also exchanges sides in their prompts and findings (`sample.masks.laterality`). In [0, 1]."""

    def __post_init__(self) -> None:
        limits = {"shift": 0.25, "scale": 0.5, "rotation": 45, "shear": 30, "elastic": 0.1}
        for name, limit in (limits | {"mirror": 1}).items():
            require_range(self, f"transforms.{name}", at_least=0, at_most=limit)
        elastic = max(self.elastic, self.findings.elastic if self.findings else 0.0)
        least = max(0.05, 2 * elastic)
        why = "twice the larger elastic and no less than 0.05"
        require_range(self, "transforms.elastic_width", at_least=least, at_most=0.5, note=why)


def is_mirrored(transforms: MaskTransforms, seed: int) -> bool:
    """Whether the masks of this seed are mirrored, so that sides change in words and findings."""
    return bool(numpy_generator(seed, "masks", "mirror").random() < transforms.mirror)


def mirrored(masks: Masks) -> Masks:
    """Masks [H, W] flipped left to right; what is named for its side goes by the other's name."""
    return {
        swap_words(name): None if mask is None else mask[:, ::-1].copy()
        for name, mask in masks.items()
    }


def transformed(masks: Masks, transforms: MaskTransforms, *, view: View | None, seed: int) -> Masks:
    """One image's masks [H, W], all of one shape, moved as `seed` has it.

    None stays None and empty stays empty. Nothing that was there is lost: if less than three
    quarters of a structure would stay in the picture, or less than half of a finding in its place,
    it is drawn again with half the amplitude, at last with none. A mirrored patient's lateral film
    looks as before, so its masks are not flipped. Raises InputError for masks of several shapes.
    """
    shapes = {mask.shape for mask in masks.values() if mask is not None}
    if len(shapes) > 1:
        raise InputError(f"masks of one image have the sizes {sorted(shapes)}: they must be alike")
    there = {name: mask for name, mask in masks.items() if mask is not None and mask.any()}
    result = dict(masks)
    if there:
        places, magnified = _body(list(there.values()), transforms, seed)
        moved = {name: np.zeros_like(mask) for name, mask in there.items()}
        for part in _parts(there, right_half(masks, view)):
            moved[part.structure] |= _moved(part, places, magnified, transforms, seed)
        result |= moved
    flips = is_mirrored(transforms, seed) and view != "LATERAL"
    return mirrored(result) if flips else result


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What moves by itself: a structure, or that of a finding which is in one half of the chest."""

    structure: str
    half: int
    mask: Mask
    room: Mask | None  # where it may be before the body moves; None: it goes with the body


def _parts(there: dict[str, Mask], is_right: Mask | None) -> Iterator[_Part]:
    """The parts of every structure that is there."""
    lungs = there.get("lungs")
    for name, mask in there.items():
        if lungs is not None and name in (FLUID, AIR, *IN_LUNG):
            halves = zip(parts_by_half(mask, is_right), parts_by_half(lungs, is_right), strict=True)
            for half, (part, lung) in enumerate(halves):
                if part.any():
                    yield _Part(structure=name, half=half, mask=part, room=part | lung)
        else:  # nothing would keep it in its place
            room = np.ones_like(mask) if name == DEVICES else None
            yield _Part(structure=name, half=0, mask=mask, room=room)


def _body(masks: Sequence[Mask], transforms: MaskTransforms, seed: int) -> tuple[Places, float]:
    """Where each pixel of the moved body comes from, and how much larger areas are in it."""
    shape, limit = masks[0].shape, transforms
    side, centre = max(shape), ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    for attempt, amplitude in enumerate(_AMPLITUDES):
        rng = numpy_generator(seed, "masks", "body", attempt)
        across, down, scale, turn, lean = (amplitude * rng.uniform(-1, 1, 5)).tolist()
        magnification = (1 + limit.scale) ** scale
        straight = affine(
            centre,
            shift=(down * limit.shift * side, across * limit.shift * side),
            scale=magnification,
            rotation=turn * limit.rotation,
            shear=lean * limit.shear,
        )
        reach = amplitude * limit.elastic * side
        bend = elastic(rng, side, reach=reach, width=limit.elastic_width)
        places, area = bend(straight(grid(shape))), magnification**2
        kept = [sampled(mask, places).sum() / mask.sum() for mask in masks]
        if min(kept) >= _BODY_KEPT * area:
            break
    return places, area


def _moved(
    part: _Part, places: Places, magnified: float, transforms: MaskTransforms, seed: int
) -> Mask:
    """A part as the body has it, moved further if it is a finding's and enough of it remains."""
    if part.room is not None and transforms.findings is not None:
        for attempt, amplitude in enumerate(_AMPLITUDES[:-1]):
            rng = numpy_generator(seed, "masks", part.structure, part.half, attempt)
            motion = _further(rng, part.mask, part.room, part.structure, transforms, amplitude)
            moved = sampled(part.mask, motion(places)) & sampled(part.room, places)
            if moved.any() and moved.sum() >= _FINDING_KEPT * magnified * part.mask.sum():
                return moved
    return sampled(part.mask, places)


def _further(
    rng: np.random.Generator,
    mask: Mask,
    room: Mask,
    structure: str,
    transforms: MaskTransforms,
    amplitude: float,
) -> Motion:
    """How a finding moves within its body, at this share of what is allowed."""
    limit = transforms.findings
    assert limit is not None
    if structure == FLUID:
        return from_base(room, (1 + limit.thickness) ** (amplitude * rng.uniform(-1, 1)))
    if structure == AIR:
        return from_wall(rng, mask, room, thickness=amplitude * limit.thickness)
    side, (row, column) = max(mask.shape), np.argwhere(mask).mean(axis=0).tolist()
    across, down, scale, turn = (amplitude * rng.uniform(-1, 1, 4)).tolist()
    is_device = structure == DEVICES
    straight = affine(
        (row, column),
        shift=(down * limit.shift * side, across * limit.shift * side),
        scale=1.0 if is_device else (1 + limit.scale) ** scale,
        rotation=turn * limit.rotation,
    )
    if is_device:
        return straight
    reach = amplitude * limit.elastic * side
    return _then(straight, elastic(rng, side, reach=reach, width=transforms.elastic_width))


def _then(first: Motion, second: Motion) -> Motion:
    return lambda places: second(first(places))
