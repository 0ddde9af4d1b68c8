"""Structures thinner than a voxel: bones, vessels and devices as strands of points.

A strand is a cloud of points with the volume that each stands for; `projection` turns it into
path lengths. Bone and metal bring their own attenuation, vessels replace air.
"""

import numpy as np
import numpy.typing as npt

from roentgen.phantom.lesions import Lesions
from roentgen.phantom.thorax import APEX, LUNG_HEIGHT, Thorax, cage_half_axes
from roentgen.projection.rays import Strands

PAIRED_BONES = 24  # ribs 1 to 10, clavicle and scapula of the right side, then of the left
NONE = Strands(
    points=np.zeros((0, 3), np.float32),
    volume=np.zeros(0, np.float32),
    width=np.zeros(0, np.float32),
)


def tube(path: npt.ArrayLike, area: float, width: float) -> Strands:
    """Points along a polyline [K, 3]; `area` is its cross-section in mm^2."""
    corners = np.asarray(path, dtype=np.float32)
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    n = max(int(at[-1] / 1.5), 2)  # points 1.5 mm apart
    along = np.linspace(0, at[-1], n)
    points = np.stack([np.interp(along, at, corners[:, k]) for k in range(3)], axis=1)
    return Strands(
        points=points.astype(np.float32),
        volume=np.full(n, area * at[-1] / n, np.float32),
        width=np.full(n, width, np.float32),
    )


def bones(
    thorax: Thorax, arms_forward: bool, missing: npt.NDArray[np.bool_] | None = None
) -> Strands:
    """Ribs, clavicles, spine, scapulae and sternum; `arms_forward` turns the scapulae aside.

    `missing`: which of the `PAIRED_BONES` of both sides are not there; None: all are there.
    """
    paired = []
    for sign in (-1, 1):
        paired += [_rib(thorax, number, sign) for number in range(1, 11)]
        paired += [_clavicle(sign), _scapula(thorax, sign, arms_forward)]
    if missing is not None:
        paired = [bone for bone, is_missing in zip(paired, missing, strict=True) if not is_missing]
    return Strands.joined([_spine(thorax), _sternum(thorax), *paired])


def _rib(thorax: Thorax, number: int, sign: int) -> Strands:
    """A shell of cortical bone around the cage, lower in front."""
    angle = np.linspace(0.16, 2.35 if number < 8 else 2.0, 130)
    head = 112 - 20.5 * (number - 1)
    fall = (26 + 5.2 * min(number, 8)) * (angle / angle[-1]) ** 1.7
    y = (head - fall + 7 * np.sin(np.minimum(2 * angle, np.pi))).astype(np.float32)
    width, depth = cage_half_axes(thorax, np.minimum(y, APEX - 12).astype(np.float32))
    middle = np.stack([sign * (width + 5) * np.sin(angle), y, -(depth + 5) * np.cos(angle)], axis=1)
    around = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    tall = 6.2 if number > 1 else 4.5
    outward = np.stack([sign * np.sin(angle), 0 * angle, -np.cos(angle)], axis=1)
    shell = (
        middle[:, None]
        + tall * np.sin(around)[None, :, None] * np.array([0.0, 1.0, 0.0])
        + 3.0 * np.cos(around)[None, :, None] * outward[:, None]
    ).reshape(-1, 3)
    length = float(np.linalg.norm(np.diff(middle, axis=0), axis=1).sum())
    strength = 1.25 - 0.006 * (thorax.age - 50)  # bones thin with age
    return _cloud(shell, strength * 46 * length, 1.5)


def _clavicle(sign: int) -> Strands:
    path = [(16, 104, 66), (45, 112, 62), (85, 124, 34), (120, 130, 4), (150, 128, -8)]
    return tube(np.array(path) * (sign, 1, 1), area=62, width=3.4)


def _spine(thorax: Thorax) -> Strands:
    """Vertebral bodies with denser end plates and pedicles, from neck to lumbar spine."""
    clouds = []
    for y in np.arange(-175, 215, 24.0):
        lean = 10 * np.cos((y + 20) / 150)  # the thoracic kyphosis
        z = -thorax.depth + 12 - lean
        grid = np.stack(
            np.meshgrid(np.linspace(-15, 15, 8), np.linspace(-9, 9, 6), np.linspace(-13, 13, 6)),
            axis=-1,
        ).reshape(-1, 3)
        clouds.append(_cloud(grid + np.array([0, y, z]), 3600, 3.2))
        plate = grid[np.abs(grid[:, 1]) == 9]
        clouds.append(_cloud(plate + np.array([0, y, z]), 1100, 1.6))
        for sign in (-1, 1):
            clouds.append(_cloud(np.array([(13.0 * sign, y + 3, z - 18)]), 260, 2.6))
        clouds.append(tube([(0, y - 2, z - 25), (0, y - 12, z - 38)], area=26, width=2.6))
    return Strands.joined(clouds)


def _sternum(thorax: Thorax) -> Strands:
    y = np.linspace(95, -60, 50)
    z = thorax.depth * (0.72 + 0.3 * (95 - y) / 155)
    grid = [np.stack([np.full_like(y, x), y, z], axis=1) for x in (-12, -4, 4, 12)]
    return _cloud(np.concatenate(grid), 12000, 3.0)


def _scapula(thorax: Thorax, sign: int, arms_forward: bool) -> Strands:
    inner = thorax.width * (0.98 if arms_forward else 0.72)
    medial, tip, glenoid = (
        np.array((inner, 88, -thorax.depth - 2)),
        np.array((inner + 12, -32, -thorax.depth - 4)),
        np.array((inner + 58, 92, -thorax.depth + 42)),
    )
    s, t = np.meshgrid(np.linspace(0, 1, 22), np.linspace(0, 1, 22))
    keep = s + t <= 1
    blade = medial + s[keep, None] * (tip - medial) + t[keep, None] * (glenoid - medial)
    flip = np.array([sign, 1, 1])
    return Strands.joined(
        [
            _cloud(blade * flip, 9500, 2.4),
            tube(np.stack([glenoid, tip]) * flip, area=45, width=2.6),
            tube(np.stack([medial, tip]) * flip, area=16, width=1.6),
            tube(np.stack([medial - (0, 12, 4), np.add(glenoid, (8, 22, 0))]) * flip, 40, 2.6),
            _cloud(np.add(glenoid, (16, -4, 4))[None] * flip, 21000, 12.0),
        ]
    )


def vessels(rng: np.random.Generator) -> Strands:
    """Two trees of arteries and veins: from each hilum outward, halving as they branch."""
    clouds = []
    for sign in (-1, 1):
        n = 9
        start = np.tile([sign * 34.0, 4.0 * sign, -6.0], (n, 1)) + rng.normal(0, 5, (n, 3))
        azimuth = np.linspace(-1.75, 1.35, n) + rng.normal(0, 0.08, n)
        direction = np.stack(
            [sign * np.cos(azimuth), np.sin(azimuth), rng.uniform(-0.75, 0.75, n)], axis=1
        )
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length, radius = 30.0, 5.4
        for _ in range(5):
            n = len(start)
            reach = (length * rng.uniform(0.75, 1.25, n))[:, None]
            end = start + reach * direction
            steps = np.linspace(0, 1, 12)[None, :, None]
            points = start[:, None] + steps * (end - start)[:, None]
            volume = np.repeat(np.pi * radius**2 * reach[:, 0] / 12, 12)
            clouds.append(
                Strands(
                    points=points.reshape(-1, 3).astype(np.float32),
                    volume=volume.astype(np.float32),
                    width=np.full(n * 12, 0.55 * radius, np.float32),
                )
            )
            start = np.repeat(end, 2, axis=0)
            direction = np.repeat(direction, 2, axis=0) + rng.normal(0, 0.32, (2 * n, 3))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            length, radius = 0.82 * length, 0.67 * radius
    return Strands.joined(clouds)


def airways() -> Strands:
    """Trachea and main bronchi: air within the mediastinum (negative volume)."""
    carina = (2.0, 38.0, -14.0)
    return Strands.joined(
        [
            tube([(0, 215, -2), (0, 130, -4), carina], area=230, width=5.0),
            tube([carina, (-34, 14, -14)], area=120, width=4.0),
            tube([carina, (40, 12, -14)], area=105, width=3.6),
        ]
    )


def devices(rng: np.random.Generator, thorax: Thorax, lesions: Lesions) -> Strands:
    """Tubes, lines and boxes of metal and barium; empty where there are none."""
    parts = [NONE]
    wobble = rng.normal(0, 2.5, 8)
    base = APEX - LUNG_HEIGHT
    for device in lesions.devices:
        match device:
            case "endotracheal tube":
                tip = 72 + 2 * wobble[0]
                parts.append(tube([(3, 230, 2), (1, 140, -4), (wobble[1], tip, -10)], 6.0, 1.6))
            case "nasogastric tube":
                path = [(-4, 230, -20), (wobble[2], 110, -28), (8, 20, -30), (16, -60, -12)]
                parts.append(tube([*path, (45, base + 5, 10), (78, base - 25, 30)], 4.2, 1.3))
            case "central line":
                path = [(-42, 215, 10), (-36, 140, 22), (-26, 95, 10), (-29 + wobble[3], 18, 4)]
                parts.append(tube(path, 3.6, 1.2))
            case "pacemaker":
                parts.append(_box((92 + wobble[4], 84 + wobble[5], thorax.depth + 14)))
                lead = [(92, 84, 80), (40, 118, 60), (0, 96, 20), (-27, 60, 4), (-24, -10, 10)]
                parts.append(tube([*lead, (20, -62, 42), (46, -74, 48)], 2.8, 1.0))
            case "chest tube":
                sign = 1 if "left" in lesions.gap else -1
                wall = sign * (thorax.width + 22)
                path = [(wall, -58, 0), (sign * thorax.width * 0.86, -30, 0)]
                parts.append(tube([*path, (sign * (66 + wobble[6]), 82, -18)], 6.5, 1.9))
    return Strands.joined(parts)


def _box(center: tuple[float, float, float]) -> Strands:
    """A pacemaker's generator: a rounded slab."""
    x, y = np.meshgrid(np.linspace(-21, 21, 30), np.linspace(-19, 19, 28))
    keep = (np.abs(x) / 21) ** 3 + (np.abs(y) / 19) ** 3 <= 1
    slab = np.stack([x[keep], y[keep], 0 * x[keep]], axis=1) + center
    return _cloud(slab, 2600, 1.2)


def _cloud(points: npt.NDArray[np.floating], volume: float, width: float) -> Strands:
    n = len(points)
    return Strands(
        points=points.astype(np.float32),
        volume=np.full(n, volume / n, np.float32),
        width=np.full(n, width, np.float32),
    )
