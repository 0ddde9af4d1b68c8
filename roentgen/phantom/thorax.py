"""Anatomy of a phantom thorax, as functions of points in millimeters."""

import math
from dataclasses import dataclass

import numpy as np

from roentgen.projection.rays import Array
from roentgen.record.radiograph import Sex

APEX = 122.0  # mm above the hila
LUNG_HEIGHT = 238.0  # mm from the apex to the costophrenic angles
NORMAL_AERATION = 0.74  # share of air in a normal lung; 0 is soft tissue, 1 is air


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """One patient's build; lengths in mm."""

    age: float
    sex: Sex
    width: float  # half inner width of the rib cage
    depth: float  # half inner depth
    wall: float  # muscle and fat around the cage
    heart_width: float  # widest transverse diameter over the cage's inner width, without findings
    heart_tilt: float  # radians, apex down to the left
    mediastinum: float  # half width
    aortic_knob: float  # prominence of the arch on the left
    right_dome: float  # height of the right hemidiaphragm
    left_dome: float
    breast: float  # thickness of the breast shadow, 0 for men
    rotation: float  # radians about the long axis, a positioning error
    inspiration: float  # lengthwise scale of the lungs


def draw_thorax(rng: np.random.Generator) -> Thorax:
    """A patient from the population: build varies with sex and age."""
    sex: Sex = "F" if rng.random() < 0.5 else "M"
    age = float(np.round(rng.uniform(18, 92)))
    size = (0.93 if sex == "F" else 1.03) * rng.normal(1.0, 0.035)
    return Thorax(
        age=age,
        sex=sex,
        width=float(134 * size),
        depth=float(84 * size * rng.normal(1.0, 0.05) * (1 + 0.0012 * (age - 50))),
        wall=float(rng.uniform(16, 34)),
        heart_width=float(np.clip(rng.normal(0.44 + 0.0004 * (age - 50), 0.02), 0.39, 0.485)),
        heart_tilt=float(rng.uniform(0.3, 0.75)),
        mediastinum=float(rng.uniform(24, 30)),
        aortic_knob=float(np.clip(rng.normal(33 + 0.12 * (age - 50), 2.5), 26, 42)),
        right_dome=float(rng.normal(-72, 6)),
        left_dome=float(rng.normal(-84, 6)),
        breast=float(rng.uniform(12, 34)) if sex == "F" else 0.0,
        rotation=float(rng.normal(0, 0.02)),
        inspiration=float(rng.normal(1.0, 0.03)),
    )


def cage_half_axes(thorax: Thorax, y: Array) -> tuple[Array, Array]:
    """Half width and half depth of the rib cage's inner ellipse at height y."""
    down = np.clip((APEX - y / thorax.inspiration) / LUNG_HEIGHT, 1e-3, 1.0)
    round_apex = down * (2 - down)
    width = thorax.width * round_apex**0.42 * (1 - 0.06 * np.maximum(down - 0.8, 0) / 0.2)
    return width, thorax.depth * round_apex**0.5


def outside_cage(thorax: Thorax, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Signed distance in mm to the pleura (negative inside) and the relative radius (1 there)."""
    width, depth = cage_half_axes(thorax, y)
    radius = np.sqrt((x / width) ** 2 + (z / depth) ** 2)
    return (radius - 1) * np.minimum(width, 110.0), radius


def diaphragm(thorax: Thorax, x: Array, z: Array, raised_left: float, raised_right: float) -> Array:
    """Height of the diaphragm over the point (x, z): two domes."""
    right = x < 0
    top = np.where(right, thorax.right_dome + raised_right, thorax.left_dome + raised_left)
    middle = np.where(right, -0.49, 0.52) * thorax.width
    spread = 0.53 * thorax.width
    fall = ((x - middle) / spread) ** 2 + 0.95 * ((z - 8) / (1.02 * thorax.depth)) ** 2
    height: Array = (thorax.inspiration * top - 42 * np.minimum(fall, 2.2)).astype(np.float32)
    return height


def outside_heart(thorax: Thorax, x: Array, y: Array, z: Array, width_ratio: float) -> Array:
    """Signed distance in mm to the heart, a tilted ellipsoid of the given cardiothoracic ratio.

    An enlarging heart grows to the left and downward more than to the right.
    """
    half = width_ratio * thorax.width
    long, short = 1.06 * half, 0.86 * half
    cx = 0.34 * half + 0.25 * (half - 0.44 * thorax.width)
    cy = -47.0 * thorax.inspiration - 0.3 * (half - 0.44 * thorax.width)
    cos, sin = math.cos(thorax.heart_tilt), math.sin(thorax.heart_tilt)
    dx, dy = x - cx, y - cy
    q = ((cos * dx - sin * dy) / long) ** 2 + ((sin * dx + cos * dy) / short) ** 2
    outside: Array = (np.sqrt(q + ((z - 26) / (0.8 * half)) ** 2) - 1) * short
    return outside


def outside_mediastinum(thorax: Thorax, x: Array, y: Array, z: Array) -> Array:
    """Signed distance in mm to the mediastinum: vessels, spine, aorta."""
    half = thorax.mediastinum * (1 + 0.18 * np.clip((y - 50) / 70, -0.6, 1.0))
    core = (np.sqrt((x / half) ** 2 + ((z + 12) / 62) ** 2) - 1) * half
    spine = (np.sqrt((x / 25) ** 2 + ((z + thorax.depth) / 36) ** 2) - 1) * 25
    arch = np.sqrt((x - thorax.aortic_knob + 20) ** 2 + (y - 56) ** 2 + (0.45 * (z + 12)) ** 2) - 19
    descending = np.sqrt((x - 17) ** 2 + (z + 0.62 * thorax.depth) ** 2) - 13
    descending = descending + np.maximum(y - 58, 0)
    trunk = np.sqrt((x - 25) ** 2 + (0.6 * (y - 20)) ** 2 + (z - 14) ** 2) - 16
    hila = np.sqrt((np.abs(x) - 35) ** 2 + (0.55 * (y - 6 * np.sign(x))) ** 2 + (z + 8) ** 2) - 11
    outside: Array = np.minimum(core, np.minimum(spine, descending))
    for bulge in (arch, trunk, hila):
        outside = blended(outside, bulge, 14.0)
    return outside


def outside_body(thorax: Thorax, x: Array, y: Array, z: Array) -> Array:
    """Signed distance in mm to the skin; shoulders and neck above the lungs."""
    width = 0.985 * thorax.width + thorax.wall + 0.12 * np.maximum(y - 40, 0)
    depth = thorax.depth + 0.75 * thorax.wall + 12
    trunk = (np.sqrt(np.abs(x / width) ** 3 + np.abs((z + 9) / depth) ** 3) - 1) * 0.8 * depth
    shoulder = y - (172 - 0.3 * np.maximum(np.abs(x) - 55, 0)) + 0.25 * np.abs(z)
    neck = np.sqrt(x**2 + (z + 8) ** 2) - 60
    outside: Array = np.minimum(np.maximum(trunk, shoulder), neck)
    if thorax.breast:
        round_breast = (
            ((np.abs(x) - 0.52 * thorax.width) / 62) ** 2
            + ((y + 42) / 58) ** 2
            + ((z - depth + 12) / (thorax.breast + 12)) ** 2
        )
        outside = np.minimum(outside, (np.sqrt(round_breast) - 1) * 30)
    return outside


def blended(first: Array, second: Array, reach: float) -> Array:
    """Union of two signed distances, with the edge rounded over `reach` mm."""
    overlap = np.maximum(reach - np.abs(first - second), 0.0)
    union: Array = np.minimum(first, second) - overlap**2 / (4 * reach)
    return union


def occupancy(signed_distance: Array, softness: float) -> Array:
    """Share of a voxel inside a surface, from the signed distance of its center."""
    share: Array = np.clip(0.5 - signed_distance / softness, 0.0, 1.0)
    return share
