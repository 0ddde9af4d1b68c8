"""Transforms of masks against numpy, theory, and phantoms whose halves are known exactly."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label, map_coordinates

from roentgen.errors import InputError
from roentgen.phantom.air import AP_TILT, fill_with_air
from roentgen.phantom.lesions import Lesions, draw_lesions
from roentgen.phantom.study import MASK_PATH
from roentgen.phantom.thorax import draw_thorax
from roentgen.projection.rays import Geometry
from roentgen.randomness import numpy_generator
from roentgen.record.radiograph import Masks, View
from sample.masks.config import FindingTransforms, MaskTransforms
from sample.masks.motion import affine, elastic, pixel_grid, sample_mask
from sample.masks.transforms import (
    is_mirrored,
    mirror_masks,
    right_half,
    split_by_half,
    transform_masks,
)

Mask = NDArray[np.bool_]
SIZE = 96
STILL = MaskTransforms(shift=0, scale=0, rotation=0, shear=0, elastic=0, findings=None)
STRONG = MaskTransforms(
    shift=0.1,
    scale=0.25,
    rotation=20,
    shear=10,
    elastic=0.03,
    findings=FindingTransforms(thickness=1.0, shift=0.1, scale=0.5, rotation=30, elastic=0.03),
)


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """Masks as a film has them, and where the space of each pleura truly is: in no mask."""

    view: View
    lesions: Lesions
    masks: Masks
    pleura: dict[str, Mask]  # by the patient's side


def draw_phantom(number: int, view: View) -> Phantom:
    """A patient with an effusion, a pneumothorax, a consolidation and a nodule."""
    for attempt in range(1000):
        rng = numpy_generator(7, "phantom", number, attempt)
        thorax = draw_thorax(rng)
        lesions = draw_lesions(rng, thorax, supine=view == "AP")
        if lesions.fluid and lesions.consolidations and lesions.gap:
            break
    geometry = Geometry(
        view=view,
        size=SIZE,
        field=400,
        half_thickness=(thorax.depth, thorax.width),
        rotation=thorax.rotation,
    )
    x, y, z, step = geometry.rays()
    tilt = AP_TILT if view == "AP" else 0.0
    air = fill_with_air(thorax, lesions, x, y, z, tilt=tilt, edge_width=3.0)
    paths = {"lungs": air.lung, "heart": air.heart, **air.regions}
    masks: Masks = {name: step * part.sum(axis=2) > MASK_PATH[name] for name, part in paths.items()}
    # A pneumothorax as readers outline it: where there is more air than lung along the beam.
    gap, lung = (part.sum(axis=2) for part in (air.regions["pneumothorax"], air.lung))
    masks["pneumothorax"] = (gap > lung / 2) & (step * gap > MASK_PATH["pneumothorax"])
    assert masks["lungs"] is not None
    masks["lungs"] = masks["lungs"] & ~np.asarray(masks["heart"])
    left = np.broadcast_to(x > 0, air.lung.shape)
    pleura = {
        "left": step * (air.lung * left).sum(axis=2) > 1,
        "right": step * (air.lung * ~left).sum(axis=2) > 1,
    }
    return Phantom(view=view, lesions=lesions, masks=masks, pleura=pleura)


@pytest.fixture(scope="module")
def frontal() -> list[Phantom]:
    return [draw_phantom(number, "AP" if number % 3 == 2 else "PA") for number in range(12)]


@pytest.fixture(scope="module")
def lateral() -> Phantom:
    return draw_phantom(0, "LATERAL")


def moved_with_truth(
    phantoms: list[Phantom],
    transforms: MaskTransforms,
    truth: Callable[[Phantom], dict[str, Mask]],
    seeds: int = 15,
) -> Iterator[tuple[Phantom, dict[str, Mask], dict[str, Mask]]]:
    """Masks transformed, and their bodies: all masks and truths moved with the body alone.

    A body is another where a truth, asked for as a structure, would have left the picture: these
    few are passed over.
    """
    passed = 0
    body = replace(transforms, findings=None)
    for phantom, seed in _cases(phantoms, seeds):
        moved = known(transform_masks(phantom.masks, transforms, view=phantom.view, seed=seed))
        both: Masks = {**phantom.masks, **truth(phantom)}
        beside = known(transform_masks(both, body, view=phantom.view, seed=seed))
        if np.array_equal(moved["lungs"], beside["lungs"]):
            yield phantom, moved, beside
        else:
            passed += 1
    assert passed <= 0.1 * len(phantoms) * seeds


def known(masks: Masks) -> dict[str, Mask]:
    return {name: mask for name, mask in masks.items() if mask is not None}


def grown(mask: Mask, by: int = 1) -> Mask:
    """With the pixels around it: to which of two pixels a border is nearest is by chance."""
    padded = np.pad(mask, by)
    shifts = [
        np.roll(padded, (i, j), (0, 1)) for i in range(-by, by + 1) for j in range(-by, by + 1)
    ]
    return np.asarray(np.logical_or.reduce(shifts)[by:-by, by:-by])


def blot(shape: tuple[int, int] = (SIZE, SIZE)) -> Mask:
    """Something without any symmetry, in the middle."""
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0] - 0.5
    return np.asarray(
        (x**2 + (1.7 * y) ** 2 < 0.06) | ((x > 0.05) & (x < 0.3) & (y > 0) & (y < 0.2))
    )


# --- geometry, against numpy and theory ---


def test_whole_pixels_are_shifted_exactly() -> None:
    mask = blot()
    moved = sample_mask(mask, affine((47.5, 47.5), shift=(7.0, -12.0))(pixel_grid(mask.shape)))
    assert np.array_equal(moved, np.roll(mask, (7, -12), (0, 1)))


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, -1)])
@pytest.mark.parametrize("side", [96, 97])
def test_right_angles_are_those_of_numpy(degrees: float, turns: int, side: int) -> None:
    mask, middle = blot((side, side)), (side - 1) / 2
    moved = sample_mask(mask, affine((middle, middle), rotation=degrees)(pixel_grid(mask.shape)))
    assert np.array_equal(moved, np.rot90(mask, turns))


def test_pixels_are_the_nearest_as_scipy_takes_them() -> None:
    mask = blot((97, 97))
    places = affine((48, 48), scale=1.3, rotation=20, shift=(0.4, -3.7))(pixel_grid(mask.shape))
    assert np.array_equal(sample_mask(mask, places), map_coordinates(mask, places, order=0))
    still = affine((48, 48), shift=(0.4, -0.4))(pixel_grid(mask.shape))
    assert np.array_equal(sample_mask(mask, still), mask)


def random_places(seed: int, side: int, scale: float) -> NDArray[np.float64]:
    """A random transform as the body's, at this magnification."""
    rng = numpy_generator(seed, "lines")
    turn, across, down, lean = rng.uniform(-1, 1, 4).tolist()
    middle = (side - 1) / 2
    straight = affine(
        (middle, middle), scale=scale, rotation=20 * turn, shear=8 * lean, shift=(down, across)
    )
    return elastic(rng, side, reach=2.0, width=0.1)(straight(pixel_grid((side, side))))


def catheter(thickness: int) -> Mask:
    """A curved line."""
    line = np.zeros((128, 128), dtype=np.bool_)
    for column in np.linspace(28, 99, 500):
        row = round(64 + 30 * math.sin(column / 14))
        line[row : row + thickness, round(column)] = True
    return line


@pytest.mark.parametrize("thickness", [1, 2])
@pytest.mark.parametrize("scale", [0.5, 0.7, 0.9, 1.0, 1.3])
def test_lines_stay_one_piece_of_their_length(thickness: int, scale: float) -> None:
    line, breaks = catheter(thickness), 0
    assert label(line, np.ones((3, 3)))[1] == 1
    areas = []
    for seed in range(50):
        places = random_places(seed, 128, scale)
        moved = sample_mask(line, places)
        assert label(moved, np.ones((3, 3)))[1] == 1
        nearest = map_coordinates(line, places, order=0)
        assert not (nearest & ~moved).any()
        length = np.ptp(np.argwhere(moved)[:, 1]) / np.ptp(np.argwhere(line)[:, 1])
        assert length == pytest.approx(scale, rel=0.15)
        areas.append(moved.sum() / line.sum())
        breaks += label(nearest, np.ones((3, 3)))[1] > 1
    # It is as long as its magnification, and as wide, but for pixels that it touches.
    assert scale**2 * 0.9 < np.mean(areas) < scale * (max(1.0, scale) + 0.25)
    assert breaks >= 40 or scale >= 1 or thickness == 2  # what it holds against


def test_solid_shapes_are_moved_as_the_nearest_pixels_give_them() -> None:
    solid = blot((128, 128))
    with_line = solid | catheter(2)
    for seed in range(50):
        places = random_places(seed, 128, 0.8)
        assert np.array_equal(sample_mask(solid, places), map_coordinates(solid, places, order=0))
        added = sample_mask(with_line, places) & ~map_coordinates(with_line, places, order=0)
        beside = map_coordinates(grown(catheter(2), 2), places, order=0)
        assert not (added & ~beside).any()  # nothing but the line is completed


def test_vertical_lines_tilt_to_the_right() -> None:
    mask = np.zeros((101, 101), dtype=np.bool_)
    mask[20:81, 50] = True
    moved = sample_mask(mask, affine((50, 50), shear=45)(pixel_grid(mask.shape)))
    exact = np.eye(101, dtype=np.bool_)[::-1] & mask.any(axis=1, keepdims=True)
    assert moved[exact].all()  # the top to the right, by as much as it is high
    assert (moved & ~exact).sum() <= 2  # an end of which a pixel has only a part


@pytest.mark.parametrize("scale", [0.7, 0.9, 1.0, 1.2, 1.5])
def test_areas_are_magnified_by_the_square(scale: float) -> None:
    mask = blot((256, 256))
    change = affine((127.5, 127.5), scale=scale, rotation=17, shear=8, shift=(3.3, -2.2))
    moved = sample_mask(mask, change(pixel_grid(mask.shape)))
    # A border pixel is in or out by chance: an error of about the square root of their number.
    border = (grown(mask) & ~mask).sum() * scale
    assert abs(moved.sum() - scale**2 * mask.sum()) < 3 * np.sqrt(border)


def test_bending_reaches_its_limit_and_does_not_tear() -> None:
    places = pixel_grid((128, 128))
    bend = elastic(numpy_generator(0, "bend"), 128, reach=4.0, width=0.1)
    shift = bend(places) - places
    assert 3.5 < np.hypot(*shift).max() <= 4.0
    down, across = np.gradient(bend(places)[0]), np.gradient(bend(places)[1])
    assert (down[0] * across[1] - down[1] * across[0]).min() > 0  # nothing is turned inside out


def test_the_same_seed_gives_the_same_shape_at_another_size(frontal: list[Phantom]) -> None:
    for seed, phantom in enumerate(frontal):
        once = known(transform_masks(phantom.masks, STRONG, view=phantom.view, seed=seed))
        twice: Masks = {
            name: mask.repeat(2, 0).repeat(2, 1) for name, mask in known(phantom.masks).items()
        }
        large = known(transform_masks(twice, STRONG, view=phantom.view, seed=seed))
        for name in ("lungs", "heart"):
            small = once[name].repeat(2, 0).repeat(2, 1)
            both = (small & large[name]).sum()
            assert 2 * both / (small.sum() + large[name].sum()) > 0.95


# --- one body ---


def test_without_amounts_nothing_moves(frontal: list[Phantom], lateral: Phantom) -> None:
    none = FindingTransforms(thickness=0, shift=0, scale=0, rotation=0, elastic=0)
    for phantom in (*frontal, lateral):
        for transforms in (STILL, replace(STILL, findings=none)):
            moved = transform_masks(phantom.masks, transforms, view=phantom.view, seed=3)
            assert moved.keys() == phantom.masks.keys()
            for name, mask in known(phantom.masks).items():
                assert np.array_equal(known(moved)[name], mask)


def test_all_structures_move_as_one_body(frontal: list[Phantom]) -> None:
    phantom = frontal[0]
    body = replace(STRONG, findings=None)
    lungs, heart = known(phantom.masks)["lungs"], known(phantom.masks)["heart"]
    masks: Masks = {**phantom.masks, "both": lungs | heart, "not a lung": ~lungs}
    for seed in range(20):
        moved = known(transform_masks(masks, body, view="PA", seed=seed))
        # But for recesses and gaps of a pixel's width, which stay whole.
        few = 0.002 * moved["both"].sum()
        assert (moved["both"] ^ (moved["lungs"] | moved["heart"])).sum() <= few
        assert (moved["not a lung"] & moved["lungs"]).sum() <= few
        assert not np.array_equal(moved["lungs"], lungs)


def test_a_seed_decides(frontal: list[Phantom]) -> None:
    for phantom in frontal:
        first, again, other = (
            known(transform_masks(phantom.masks, STRONG, view=phantom.view, seed=seed))
            for seed in (1, 1, 2)
        )
        assert all(np.array_equal(first[name], again[name]) for name in first)
        assert all(not np.array_equal(first[name], other[name]) for name in first)


def test_a_seed_moves_the_body_alike_for_any_structures(frontal: list[Phantom]) -> None:
    phantom = frontal[0]
    few: Masks = {name: phantom.masks[name] for name in ("consolidation", "lungs", "heart")}
    all_ = known(transform_masks(phantom.masks, STRONG, view="PA", seed=5))
    assert np.array_equal(
        known(transform_masks(few, STRONG, view="PA", seed=5))["lungs"], all_["lungs"]
    )


def test_unknown_stays_unknown_and_empty_empty(frontal: list[Phantom]) -> None:
    empty = np.zeros((SIZE, SIZE), dtype=np.bool_)
    masks: Masks = {**frontal[0].masks, "edema": None, "nodule": empty}
    moved = transform_masks(masks, STRONG, view="PA", seed=0)
    assert list(moved) == list(masks)
    assert moved["edema"] is None
    assert not known(moved)["nodule"].any()
    nothing: Masks = {"lungs": None, "heart": empty}
    assert transform_masks(nothing, STRONG, view="PA", seed=0).keys() == nothing.keys()
    assert all(mask.dtype == np.bool_ for mask in known(moved).values())


# --- nothing is lost ---


def test_what_was_there_is_still_there() -> None:
    masks: Masks = {"lungs": blot(), "support devices": np.zeros((SIZE, SIZE), dtype=np.bool_)}
    corner, dot = np.zeros((2, SIZE, SIZE), dtype=np.bool_)
    corner[:6, :6] = True
    dot[40, 30] = True
    masks |= {"marker": corner, "nodule": dot, "pneumothorax": blot() & ~np.tri(SIZE, dtype=bool)}
    wild = MaskTransforms(
        **{"shift": 0.25, "scale": 0.5, "rotation": 45, "shear": 30, "elastic": 0.1},
        elastic_width=0.2,
        findings=FindingTransforms(thickness=2, shift=0.25, scale=1, rotation=90, elastic=0.1),
    )
    for seed in range(200):
        moved = known(transform_masks(masks, wild, view=None, seed=seed))
        assert moved["nodule"].any()
        for name in ("lungs", "marker"):
            # No body is made smaller than by 1.5 on a side, and three quarters of that are kept.
            assert moved[name].sum() >= 0.75 / 1.5**2 * known(masks)[name].sum()
        least = 0.5 / 1.5**2 * known(masks)["pneumothorax"].sum()
        assert moved["pneumothorax"].sum() >= least


def test_findings_keep_half_of_their_area(frontal: list[Phantom]) -> None:
    inside = replace(STILL, findings=STRONG.findings)
    for phantom, seed in _cases(frontal, 10):
        moved = known(transform_masks(phantom.masks, inside, view=phantom.view, seed=seed))
        for name in ("pneumothorax", "pleural effusion", "consolidation"):
            assert moved[name].sum() >= 0.5 * known(phantom.masks)[name].sum()
            lungs = known(phantom.masks)["lungs"]
            assert np.array_equal(moved["lungs"], lungs)


# --- where findings can be ---


def test_halves_are_those_of_the_patient(frontal: list[Phantom]) -> None:
    for phantom in frontal:
        is_right = right_half(phantom.masks, phantom.view)
        lungs = split_by_half(known(phantom.masks)["lungs"], is_right)
        for lung, side in zip(lungs, ("right", "left"), strict=True):
            # Where the lungs touch, less than a tenth of one may be assigned to the other.
            beyond = lung & ~grown(phantom.pleura[side], round(0.03 * SIZE))
            assert beyond.sum() < 0.1 * lung.sum()
        for name, sides in (
            ("pneumothorax", phantom.lesions.gap),
            ("pleural effusion", phantom.lesions.fluid),
        ):
            mask = known(phantom.masks)[name]
            for part, side in zip(split_by_half(mask, is_right), ("right", "left"), strict=True):
                # Crumbs at the midline aside: a wrong midline cuts off more than a tenth.
                share = part.sum() / mask.sum()
                assert share > 0.1 if side in sides else share < 0.05


def test_where_there_are_no_halves(frontal: list[Phantom], lateral: Phantom) -> None:
    masks = frontal[0].masks
    assert right_half(lateral.masks, "LATERAL") is None
    assert right_half({**masks, "lungs": None}, "PA") is None
    assert right_half({"lungs": np.zeros((8, 8), dtype=np.bool_)}, "PA") is None
    halves, unknown = right_half(masks, "PA"), right_half(masks, None)
    assert halves is not None
    assert unknown is not None
    assert np.array_equal(halves, unknown)
    one = split_by_half(known(masks)["lungs"], halves)[0]
    assert right_half({"lungs": one}, "PA") is None


@pytest.mark.parametrize("transforms", [MaskTransforms(), STRONG])
def test_a_pneumothorax_never_leaves_its_side(
    frontal: list[Phantom], transforms: MaskTransforms
) -> None:
    changed = 0
    for phantom, moved, body in moved_with_truth(frontal, transforms, lambda p: p.pleura):
        (side,) = phantom.lesions.gap
        assert not (moved["pneumothorax"] & ~grown(body[side], 2)).any()
        changed += int((moved["pneumothorax"] != body["pneumothorax"]).sum())
    assert changed > 0


def test_air_stays_at_the_pleura(frontal: list[Phantom]) -> None:
    """What touched the chest wall does so still: no pixel of the wall's air is given up."""

    def wall(phantom: Phantom) -> dict[str, Mask]:
        masks = known(phantom.masks)
        outside = ~(masks["lungs"] | masks["pneumothorax"] | masks["heart"])
        return {"wall": masks["pneumothorax"] & grown(outside)}

    for _, moved, body in moved_with_truth(frontal, MaskTransforms(), wall):
        assert (body["wall"] & grown(moved["pneumothorax"])).sum() >= 0.95 * body["wall"].sum()


@pytest.mark.parametrize("transforms", [MaskTransforms(), STRONG])
def test_an_effusion_stays_at_the_base_of_its_side(
    frontal: list[Phantom], lateral: Phantom, transforms: MaskTransforms
) -> None:
    def base(phantom: Phantom) -> dict[str, Mask]:
        fluid, lungs = known(phantom.masks)["pleural effusion"], known(phantom.masks)["lungs"]
        below = np.cumsum((fluid | lungs)[::-1], axis=0)[::-1]  # of the chest, from here down
        return {"base": fluid & (below <= 2), **phantom.pleura}

    changed = 0
    for phantom, moved, body in moved_with_truth([*frontal, lateral], transforms, base):
        fluid = moved["pleural effusion"]
        assert (body["base"] & grown(fluid)).sum() >= 0.95 * body["base"].sum()
        reach = np.logical_or.reduce([body[side] for side in phantom.lesions.fluid])
        assert not (fluid & ~grown(reach, 2)).any()
        changed += int((fluid != body["pleural effusion"]).sum())
    assert changed > 0


def test_no_lung_comes_between_an_effusion_and_its_base(frontal: list[Phantom]) -> None:
    """In an upright body all of a column below fluid is fluid, but for overhanging borders."""
    inside = replace(STILL, findings=STRONG.findings)
    for phantom, seed in _cases(frontal, 15):
        lungs, fluid = known(phantom.masks)["lungs"], known(phantom.masks)["pleural effusion"]
        moved = known(transform_masks(phantom.masks, inside, view=phantom.view, seed=seed))
        after = moved["pleural effusion"]
        floats = [_gap(mask, lungs) for mask in (fluid, after)]
        assert floats[1] <= floats[0] + 0.01 * after.sum()


def _gap(fluid: Mask, lungs: Mask) -> int:
    """The number of lung pixels that have fluid above them in their column."""
    above = np.maximum.accumulate(fluid, axis=0)
    return int((above & lungs & ~fluid).sum())


def test_a_consolidation_stays_in_the_lung_of_its_side(frontal: list[Phantom]) -> None:
    def room(phantom: Phantom) -> dict[str, Mask]:
        masks = known(phantom.masks)
        return {"room": masks["lungs"] | masks["consolidation"], **phantom.pleura}

    changed = 0
    for phantom, moved, body in moved_with_truth(frontal, STRONG, room):
        assert not (moved["consolidation"] & ~body["room"]).any()
        side = "left" if phantom.lesions.consolidations[0].center[0] > 0 else "right"
        assert not (moved["consolidation"] & ~grown(body[side], 2)).any()
        changed += int((moved["consolidation"] != body["consolidation"]).sum())
    assert changed > 0


def test_findings_without_lungs_go_with_the_body(frontal: list[Phantom]) -> None:
    masks: Masks = {**frontal[0].masks, "lungs": None}
    moved = transform_masks(masks, STRONG, view="PA", seed=4)
    body = transform_masks(masks, replace(STRONG, findings=None), view="PA", seed=4)
    assert all(np.array_equal(known(moved)[name], mask) for name, mask in known(body).items())


def test_devices_move_by_themselves(frontal: list[Phantom]) -> None:
    line = np.zeros((SIZE, SIZE), dtype=np.bool_)
    line[:50, 45:47] = True
    masks: Masks = {**frontal[0].masks, "support devices": line}
    moved = transform_masks(masks, STRONG, view="PA", seed=11)
    body = transform_masks(masks, replace(STRONG, findings=None), view="PA", seed=11)
    assert np.array_equal(known(moved)["heart"], known(body)["heart"])
    assert not np.array_equal(known(moved)["support devices"], known(body)["support devices"])


def _cases(phantoms: list[Phantom], seeds: int) -> Iterator[tuple[Phantom, int]]:
    """Each phantom with seeds of its own."""
    for number, phantom in enumerate(phantoms):
        yield from ((phantom, seed) for seed in range(number * seeds, (number + 1) * seeds))


# --- mirroring ---


def test_mirrored_twice_is_the_original(frontal: list[Phantom]) -> None:
    masks: Masks = {**frontal[0].masks, "left lung": blot(), "edema": None}
    once = mirror_masks(masks)
    assert np.array_equal(known(once)["right lung"], np.fliplr(blot()))
    assert "left lung" not in once
    twice = mirror_masks(once)
    assert twice.keys() == masks.keys()
    assert all(np.array_equal(known(twice)[name], mask) for name, mask in known(masks).items())


def test_mirroring_is_a_choice(frontal: list[Phantom], lateral: Phantom) -> None:
    assert not any(is_mirrored(STRONG, seed) for seed in range(500))
    assert all(is_mirrored(replace(STRONG, mirror=1.0), seed) for seed in range(500))
    some = sum(is_mirrored(replace(STRONG, mirror=0.3), seed) for seed in range(2000))
    assert abs(some - 600) < 4 * np.sqrt(2000 * 0.3 * 0.7)
    for phantom in (frontal[0], lateral):
        plain = transform_masks(phantom.masks, STRONG, view=phantom.view, seed=1)
        always = replace(STRONG, mirror=1.0)
        flipped = transform_masks(phantom.masks, always, view=phantom.view, seed=1)
        for name, mask in known(plain).items():
            expected = mask if phantom.view == "LATERAL" else np.fliplr(mask)
            assert np.array_equal(known(flipped)[name], expected)


# --- bad input ---


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shift": 0.3}, r"transforms.shift is 0.3: it must be at least 0 and at most 0.25"),
        ({"rotation": -1.0}, r"transforms.rotation is -1.0: it must be at least 0 and at most 45"),
        ({"mirror": 1.5}, r"transforms.mirror is 1.5"),
        ({"elastic": 0.08}, r"transforms.elastic_width is 0.1: it must be at least 0.16"),
        (
            {"elastic": 0.0, "elastic_width": 0.01},
            r"elastic_width is 0.01: it must be at least 0.05",
        ),
    ],
)
def test_amounts_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MaskTransforms(**values)
    with pytest.raises(InputError, match=r"transforms.findings.thickness is 3"):
        FindingTransforms(thickness=3)


def test_masks_of_several_sizes_are_refused() -> None:
    masks: Masks = {"lungs": blot(), "heart": blot((64, 64))}
    with pytest.raises(InputError, match=r"\(64, 64\), \(96, 96\)"):
        transform_masks(masks, STRONG, view="PA", seed=0)
