"""One imaging study: a phantom patient, projected to films, with masks and ground truth."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom

from roentgen.phantom import strands
from roentgen.phantom.air import AP_TILT, fill_with_air
from roentgen.phantom.lesions import Lesions, draw_lesions
from roentgen.phantom.thorax import (
    LUNG_HEIGHT,
    NORMAL_AERATION,
    Thorax,
    draw_thorax,
    occupancy,
    outside_body,
)
from roentgen.projection.film import develop, draw_exposure
from roentgen.projection.rays import MU_WATER, Array, Geometry, Strands
from roentgen.record.radiograph import View

MU_BONE = 0.030  # 1/mm above soft tissue
MU_METAL = 0.16  # 1/mm above soft tissue: barium stripes and thin metal
SLAB = 12  # rows of rays computed together
FINEST_RAYS = 192  # fields are smooth: with more rays a side they are interpolated

# The least path length in mm for a pixel to belong to a structure's mask.
MASK_PATH: dict[str, float] = {
    "lungs": 24.0,
    "heart": 12.0,
    "pleural effusion": 6.0,
    "pneumothorax": 8.0,
    "consolidation": 8.0,
    "edema": 28.0,
    "atelectasis": 5.0,
    "nodule": 3.0,
    "support devices": 0.25,
}


@dataclass(frozen=True)
class Film:
    """A projected view: image uint8 [H, W] and masks bool [H, W] by structure."""

    view: View
    image: npt.NDArray[np.uint8]
    masks: dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Study:
    """A patient on one day, with films in the requested views."""

    thorax: Thorax
    lesions: Lesions
    films: tuple[Film, ...]


def draw_study(
    rng: np.random.Generator, views: Sequence[View], size: int, missing_bones: float = 0.0
) -> Study:
    """Draw a patient and project radiographs [size, size]; AP ones semi-upright or supine.

    `missing_bones` is the share of ribs, clavicles and scapulae that are not shown, a planted
    defect; all else is as without it.
    """
    thorax = draw_thorax(rng)
    lesions = draw_lesions(rng, thorax, supine="AP" in views)
    vessels = strands.vessels(rng)
    devices = strands.devices(rng, thorax, lesions)
    order = rng.spawn(1)[0].permutation(strands.PAIRED_BONES)
    missing = order < round(missing_bones * strands.PAIRED_BONES)
    films = tuple(
        take_film(rng, thorax, lesions, vessels, devices, view=view, size=size, missing=missing)
        for view in views
    )
    return Study(thorax, lesions, films)


def take_film(
    rng: np.random.Generator,
    thorax: Thorax,
    lesions: Lesions,
    vessels: Strands,
    devices: Strands,
    *,
    view: View,
    size: int,
    missing: npt.NDArray[np.bool_] | None = None,
) -> Film:
    """Project one view and develop it; `missing`: which of the paired bones are not shown."""
    tilt = AP_TILT if view == "AP" else 0.0
    fine = Geometry(
        view=view,
        size=size,
        field=float(rng.uniform(322, 362)),
        center=(float(rng.normal(0, 6)), float(rng.normal(2, 6))),
        half_thickness=(thorax.depth, thorax.width),
        rotation=thorax.rotation,
    )
    coarse = fine if size <= FINEST_RAYS else fine.resized(FINEST_RAYS)
    paths = _field_paths(thorax, lesions, coarse, tilt)
    if coarse is not fine:
        paths = {name: _enlarged(path, size / FINEST_RAYS) for name, path in paths.items()}

    air = paths.pop("air") - fine.project(_within_air(thorax, lesions, vessels, tilt))
    tissue = paths.pop("body") - np.clip(air, 0, None) - fine.project(strands.airways())
    tissue = np.clip(tissue, 0, None)
    metal = fine.project(devices)
    bone = fine.project(strands.bones(thorax, view != "AP", missing))
    integrals = MU_WATER * tissue + MU_BONE * bone + MU_METAL * metal
    image = develop(integrals, draw_exposure(rng, view), rng)

    if lesions.devices:
        paths["support devices"] = metal
    masks = {name: path > MASK_PATH[name] for name, path in paths.items()}
    masks["lungs"] &= ~masks["heart"]
    if view == "LATERAL":  # hidden by the other lung, so that no annotator would outline it
        masks.pop("pneumothorax", None)
    if "pneumothorax" in masks:  # the part of the lungs outside the collapsed lung
        collapsed = paths["lungs"] - paths["pneumothorax"] > MASK_PATH["lungs"]
        hidden = collapsed | masks.get("pleural effusion", False)
        masks["pneumothorax"] &= masks["lungs"] & ~hidden
    return Film(view, image, masks)


def _field_paths(
    thorax: Thorax, lesions: Lesions, geometry: Geometry, tilt: float
) -> dict[str, Array]:
    """Path lengths in mm, [H, W]: body, air, lungs, heart, and each finding's region."""
    x, y, z, step = geometry.rays()
    near = (np.abs(x) < thorax.width + 6) & (np.abs(z) < thorax.depth + 6)
    columns = _extent(np.any(near, axis=(0, 2)))
    rows = _extent(np.any(np.abs(y) < LUNG_HEIGHT * 0.7, axis=(1, 2)))  # no lung outside
    depths = _extent(np.any(near, axis=(0, 1)))
    edge_width = max(geometry.pixel, 2.5)
    x, z = x[:, columns, depths], z[:, columns, depths]
    paths: dict[str, Array] = defaultdict(lambda: np.zeros((geometry.size,) * 2, np.float32))
    for first in range(rows.start, rows.stop, SLAB):  # a slab of rows at a time fits the CPU cache
        slab = slice(first, min(first + SLAB, rows.stop))
        heights = y[slab, :, depths]
        air = fill_with_air(thorax, lesions, x, heights, z, tilt=tilt, edge_width=edge_width)
        fields = {"air": air.aeration, "lungs": air.lung, "heart": air.heart, **air.regions}
        for name, value in fields.items():
            paths[name][slab, columns] = step * value.sum(axis=2)
    x, y, z, step = geometry.rays(stride=2)  # the skin is smooth: half the rays suffice
    body = occupancy(outside_body(thorax, x, y, z), 6.0).sum(axis=2) * step
    paths["body"] = _enlarged(body, 2)
    return dict(paths)


def _enlarged(path: Array, factor: float) -> Array:
    """Linear interpolation aligned by pixel areas."""
    image: Array = zoom(path, factor, order=1, grid_mode=True, mode="nearest")
    return image


def _extent(inside: Array) -> slice:
    """The range from the first to the last true element."""
    places = np.flatnonzero(inside)
    return slice(int(places[0]), int(places[-1]) + 1)


def _within_air(thorax: Thorax, lesions: Lesions, vessels: Strands, tilt: float) -> Strands:
    """The air that vessels displace: none outside the lung, in fluid or in a pneumothorax."""
    x, y, z = vessels.points.T
    air = fill_with_air(thorax, lesions, x, y, z, tilt=tilt, edge_width=3.0)
    displaced = air.aeration
    if "pneumothorax" in air.regions:
        displaced = displaced * (1 - air.regions["pneumothorax"])
    swollen = 1 + 1.2 * lesions.congestion
    return Strands(
        points=vessels.points,
        volume=vessels.volume * displaced * swollen / NORMAL_AERATION,
        width=vessels.width * swollen,
    )
