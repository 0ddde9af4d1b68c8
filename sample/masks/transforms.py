"""Random transforms of masks: the chest as one body, then each finding within it.

The body is scaled, sheared, rotated, shifted and bent with everything in it, as another patient's
might be. Within it, findings move a little further, each half of the chest by itself, and stay
where they can occur:

- an effusion rises or falls, and its base stays in place;
- a pneumothorax becomes wider or narrower, and stays at its wall; one that leaves no lung visible
  stays as it is;
- findings of the lung (consolidation, edema, nodule ...) stay in the lung of their side;
- devices move freely; everything else moves with the body.

No finding leaves the lung of its half except for where it already was. On lateral radiographs, on
which the halves overlap, and on those without lungs, "the half" is both lungs, or what there is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label
from scipy.stats import theilslopes

from roentgen.errors import InputError
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FINDING_OF
from roentgen.record.radiograph import Masks, View
from sample.masks.config import MaskTransforms
from sample.masks.mirroring import swap_sides_in_text
from sample.masks.motion import (
    Coordinates,
    Mask,
    Motion,
    affine,
    elastic,
    pixel_grid,
    sample_mask,
    stretch_from_base,
    stretch_from_wall,
)

DEVICES = "support devices"
FLUID = "pleural effusion"
AIR = "pneumothorax"
IN_LUNG = tuple(n for n in FINDING_OF if n not in (FLUID, AIR, DEVICES, "fracture"))

_AMPLITUDES = (1.0, 0.5, 0.25, 0.125, 0.0)  # of successive tries; the last moves nothing
_BODY_KEPT = 0.75  # least share of each structure's area, relative to its magnification
_FINDING_KEPT = 0.5
_FULL_WIDTH = 0.7  # of the chest's width: narrower rows may show one lung only
_TWO_LUNGS = 0.7  # least ratio of width to height: a narrower shape is one lung
_IN_BOTH = 0.1  # a piece with at least this share in each half is split at the midline
_TOUCHING = np.ones((3, 3), dtype=np.bool_)  # pixels are connected at corners, too


def is_mirrored(transforms: MaskTransforms, seed: int) -> bool:
    """Whether the masks of this seed are mirrored, and so the sides in prompt and findings."""
    return bool(numpy_generator(seed, "masks", "mirror").random() < transforms.mirror)


def mirror_masks(masks: Masks) -> Masks:
    """Masks [H, W] flipped left to right; names of structures have their sides exchanged."""
    return {
        swap_sides_in_text(name): None if mask is None else mask[:, ::-1].copy()
        for name, mask in masks.items()
    }


def transform_masks(
    masks: Masks, transforms: MaskTransforms, *, view: View | None, seed: int
) -> Masks:
    """One image's masks [H, W], all of one shape, transformed as `seed` determines.

    None stays None and empty stays empty. No structure is lost: if less than three quarters of one
    would stay in the image, or less than half of a finding in its place, it is drawn again with
    half the amplitude, at last with none. Lateral radiographs are not flipped, since a mirrored
    patient's look the same. Raises InputError for masks of several shapes.
    """
    shapes = {mask.shape for mask in masks.values() if mask is not None}
    if len(shapes) > 1:
        raise InputError(f"masks of one image have the sizes {sorted(shapes)}: they must be equal")
    present = {name: mask for name, mask in masks.items() if mask is not None and mask.any()}
    result = dict(masks)
    if present:
        source, magnification = _move_body(list(present.values()), transforms, seed)
        moved = {name: np.zeros_like(mask) for name, mask in present.items()}
        for piece in _pieces(present, right_half(masks, view)):
            moved[piece.structure] |= _move_piece(piece, source, magnification, transforms, seed)
        result |= moved
    flips = is_mirrored(transforms, seed) and view != "LATERAL"
    return mirror_masks(result) if flips else result


def right_half(masks: Masks, view: View | None) -> Mask | None:
    """Bool [H, W], True on the image's right, which is the patient's left on frontal radiographs.

    The midline runs between the outer edges of the chest, so that neither the heart nor a collapsed
    lung shifts it. None where there are no halves: on lateral radiographs, without lungs, and where
    only one lung is known. An unknown view is taken as frontal, since a midline only restrains.
    """
    lungs = masks.get("lungs")
    if view == "LATERAL" or lungs is None or not lungs.any():
        return None
    # Devices may begin anywhere.
    known = [mask for name, mask in masks.items() if mask is not None and name != DEVICES]
    chest = np.logical_or.reduce(known)
    rows = np.flatnonzero(chest.any(axis=1))
    left = chest.argmax(axis=1)[rows]
    right = chest.shape[1] - 1 - chest[:, ::-1].argmax(axis=1)[rows]
    width = right - left + 1
    if width.max() < _TWO_LUNGS * len(rows):
        return None
    full = width >= _FULL_WIDTH * width.max()
    middle, rows = ((left + right) / 2)[full], rows[full]
    slope, start, *_ = theilslopes(middle, rows) if len(rows) > 1 else (0.0, middle[0])
    down, across = np.indices(lungs.shape)
    return np.asarray(across > start + slope * down)


def split_by_half(mask: Mask, is_right: Mask | None) -> tuple[Mask, ...]:
    """A mask in the halves of the chest, the image's left first; undivided without halves.

    A connected piece belongs to one half entirely, unless a tenth of it or more is in the other.
    """
    if is_right is None:
        return (mask,)
    pieces, count = label(mask, _TOUCHING)
    share = np.bincount(pieces[is_right], minlength=count + 1) / np.bincount(pieces.ravel())
    on_right = np.where(is_right, share[pieces] >= _IN_BOTH, share[pieces] > 1 - _IN_BOTH)
    return mask & ~on_right, mask & on_right


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """What moves by itself: a structure, or the part of a finding in one half of the chest."""

    structure: str
    half: int
    mask: Mask
    region: Mask | None  # where it may be before the body moves; None: it moves with the body


def _pieces(present: dict[str, Mask], is_right: Mask | None) -> Iterator[_Piece]:
    """The pieces of every structure that is present."""
    lungs = present.get("lungs")
    for name, mask in present.items():
        if lungs is not None and name in (FLUID, AIR, *IN_LUNG):
            halves = zip(split_by_half(mask, is_right), split_by_half(lungs, is_right), strict=True)
            for half, (part, lung) in enumerate(halves):
                if part.any():
                    yield _Piece(structure=name, half=half, mask=part, region=part | lung)
        else:  # nothing would hold it in its place
            region = np.ones_like(mask) if name == DEVICES else None
            yield _Piece(structure=name, half=0, mask=mask, region=region)


def _move_body(
    masks: Sequence[Mask], transforms: MaskTransforms, seed: int
) -> tuple[Coordinates, float]:
    """The source coordinates of the moved body's pixels, and the magnification of its areas."""
    shape, limit = masks[0].shape, transforms
    side, center = max(shape), ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    for attempt, amplitude in enumerate(_AMPLITUDES):
        rng = numpy_generator(seed, "masks", "body", attempt)
        across, down, scale, turn, lean = (amplitude * rng.uniform(-1, 1, 5)).tolist()
        magnification = (1 + limit.scale) ** scale
        straight = affine(
            center,
            shift=(down * limit.shift * side, across * limit.shift * side),
            scale=magnification,
            rotation=turn * limit.rotation,
            shear=lean * limit.shear,
        )
        reach = amplitude * limit.elastic * side
        bend = elastic(rng, side, reach=reach, width=limit.elastic_width)
        source, area = bend(straight(pixel_grid(shape))), magnification**2
        shares = [sample_mask(mask, source).sum() / mask.sum() for mask in masks]
        if min(shares) >= _BODY_KEPT * area:
            break
    return source, area


def _move_piece(
    piece: _Piece, source: Coordinates, magnification: float, transforms: MaskTransforms, seed: int
) -> Mask:
    """A piece moved with the body, and further if it is a finding's and enough of it remains."""
    if piece.region is not None and transforms.findings is not None:
        for attempt, amplitude in enumerate(_AMPLITUDES[:-1]):
            rng = numpy_generator(seed, "masks", piece.structure, piece.half, attempt)
            motion = _motion(rng, piece.structure, piece.mask, piece.region, transforms, amplitude)
            moved = sample_mask(piece.mask, motion(source)) & sample_mask(piece.region, source)
            if moved.any() and moved.sum() >= _FINDING_KEPT * magnification * piece.mask.sum():
                return moved
    return sample_mask(piece.mask, source)


def _motion(
    rng: np.random.Generator,
    structure: str,
    mask: Mask,
    region: Mask,
    transforms: MaskTransforms,
    amplitude: float,
) -> Motion:
    """The motion of a finding within the body, at this share of its limits."""
    limit = transforms.findings
    assert limit is not None
    if structure == FLUID:
        return stretch_from_base(region, (1 + limit.thickness) ** (amplitude * rng.uniform(-1, 1)))
    if structure == AIR:
        return stretch_from_wall(rng, mask, region, thickness=amplitude * limit.thickness)
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
    bend = elastic(rng, side, reach=reach, width=transforms.elastic_width)
    return lambda to: bend(straight(to))
