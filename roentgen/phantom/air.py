"""Air of a thorax with its findings: the field that the beam passes through."""

import math
from dataclasses import dataclass, field

import numpy as np

from roentgen.phantom.lesions import Blob, Lesions, LungSide
from roentgen.phantom.thorax import (
    NORMAL_AERATION,
    Thorax,
    blended,
    diaphragm,
    occupancy,
    outside_cage,
    outside_heart,
    outside_mediastinum,
)
from roentgen.projection.rays import Array

AP_TILT = 0.45  # radians a patient leans back for an AP radiograph in bed; fluid follows gravity


@dataclass(frozen=True, kw_only=True)
class Air:
    """Fields at given points, each a share in 0..1 with the broadcast shape of x, y, z.

    `aeration` is air as the beam meets it; `lung` the pleural space before any finding;
    `heart` the heart; `regions` the space that each finding takes.
    """

    aeration: Array
    lung: Array
    heart: Array
    regions: dict[str, Array] = field(default_factory=dict)


def fill_with_air(
    thorax: Thorax,
    lesions: Lesions,
    x: Array,
    y: Array,
    z: Array,
    *,
    tilt: float,
    edge_width: float,
) -> Air:
    """Evaluate a patient's air at points in mm (arrays that broadcast together).

    `tilt` leans gravity from feet (0) toward the back (pi/2); `edge_width` is the width in mm over
    which surfaces are smoothed, about a voxel.
    """
    to_pleura, radius = outside_cage(thorax, x, y, z)
    raised = {side: 11.0 for side, _, _ in lesions.plates}
    floor = diaphragm(thorax, x, z, raised.get("left", 0.0), raised.get("right", 0.0))
    to_heart = outside_heart(thorax, x, y, z, lesions.heart_width)
    between = blended(outside_mediastinum(thorax, x, y, z), to_heart, 18.0)
    outside = np.maximum(np.maximum(to_pleura, floor - y), -between)
    lung = occupancy(outside, edge_width)
    heart = occupancy(np.maximum(to_heart, floor - 14 - y), edge_width)

    # There is a little less air toward the base, where blood pools.
    aeration = lung * (NORMAL_AERATION + 0.0003 * np.clip(y, -100, 100)).astype(np.float32)
    regions: dict[str, Array] = {}

    def opacify(name: str, region: Array, density: float) -> None:
        nonlocal aeration
        aeration = aeration * (1 - density * region)
        regions[name] = np.maximum(regions[name], region) if name in regions else region

    if lesions.congestion:
        hilum = np.exp(-((np.abs(x) - 46) ** 2 + (0.62 * (y + 8)) ** 2 + (0.7 * z) ** 2) / 52**2)
        opacify("edema", lung * hilum.astype(np.float32), lesions.congestion)
    for blob in lesions.consolidations:
        opacify("consolidation", lung * _blob_share(blob, x, y, z, edge_width), blob.density)
    for side, height, slope in lesions.plates:
        band = np.abs(y - height - slope * (np.abs(x) - 70)) - 2.6
        inside = np.maximum(np.maximum(band, np.abs(z) - 55), 42 - np.abs(x))
        opacify("atelectasis", lung * _on_side(side, x) * occupancy(inside, edge_width), 0.8)
    for blob in lesions.nodules:
        opacify("nodule", lung * _blob_share(blob, x, y, z, edge_width), blob.density)
    for side, gap in lesions.gap.items():
        upward = np.clip((y * math.cos(tilt) + z * math.sin(tilt) + 70) / 180, 0.0, 1.0)
        pleura = (radius - 1 + gap * (0.3 + 0.7 * upward)) * np.minimum(thorax.width, 110.0)
        pleura = -blended(-pleura, 118 - 115 * gap - y - 0.0012 * z**2, 40.0)
        leak = lung * _on_side(side, x) * occupancy(-pleura, edge_width)
        # The collapsed lung is a little denser, and its pleura is a thin line.
        collapse = 1 - 0.35 * gap * _on_side(side, x)
        line = _on_side(side, x) * occupancy(np.abs(pleura + 1.5) - 1.4, edge_width)
        aeration = aeration * (1 - leak) * collapse * (1 - 0.7 * line) + leak
        regions["pneumothorax"] = leak
    for side, height in lesions.fluid.items():
        # The meniscus: fluid is higher near the wall.
        climb = 38 * np.exp(np.minimum(to_pleura, 0.0) / 17)
        level = -116 * thorax.inspiration + height + climb
        below = (y * math.cos(tilt) + (z + 20) * math.sin(tilt)) - level
        opacify("pleural effusion", lung * _on_side(side, x) * occupancy(below, edge_width), 1.0)
    return Air(aeration=aeration, lung=lung, heart=heart, regions=regions)


def _on_side(side: LungSide, x: Array) -> Array:
    return ((x > 0) if side == "left" else (x < 0)).astype(np.float32)


def _blob_share(blob: Blob, x: Array, y: Array, z: Array, edge_width: float) -> Array:
    """Share of each point inside an ellipsoid whose surface is roughened by a few waves."""
    (cx, cy, cz), (ax, ay, az) = blob.center, blob.half_axes
    q = np.sqrt(((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2 + ((z - cz) / az) ** 2)
    if blob.roughness:
        p = blob.phases
        waves = (
            np.sin(x / 7 + p[0]) * np.sin(y / 8 + p[1])
            + np.sin(z / 7 + p[2]) * np.sin(y / 11 + p[3])
            + np.sin(x / 13 + p[4]) * np.sin(z / 12 + p[5])
        )
        q = q + 0.25 * blob.roughness * waves
        edge_width = 0.45 * min(blob.half_axes)  # an infiltrate has an indistinct margin
    return occupancy(((q - 1) * min(blob.half_axes)).astype(np.float32), edge_width)
