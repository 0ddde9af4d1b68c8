"""Projection: divergent rays from a point source through a field, onto a flat detector.

One geometry serves the phantom's fields, which are evaluated on the rays themselves, and its
strands, which are projected as points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from roentgen.record.radiograph import View

Array = npt.NDArray[Any]  # of float32: fields, coordinates, path lengths

MU_WATER = 0.0185  # 1/mm at about 75 keV, the mean energy of a chest beam (NIST XCOM)
SOURCE_DISTANCE: dict[View, float] = {"PA": 1830.0, "AP": 1020.0, "LATERAL": 1830.0}
BEYOND_CAGE = 64.0  # mm of muscle, fat and breast around the cage, at the most
RAY_STEP = 4.0  # mm between samples along a ray


@dataclass(frozen=True, kw_only=True)
class Strands:
    """Points [N, 3] in mm with the volume [N] in mm^3 and the width [N] in mm of each."""

    points: Array
    volume: Array
    width: Array

    @classmethod
    def joined(cls, parts: Sequence["Strands"]) -> "Strands":
        """All points of several strands."""
        return cls(
            points=np.concatenate([part.points for part in parts]),
            volume=np.concatenate([part.volume for part in parts]),
            width=np.concatenate([part.width for part in parts]),
        )


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Positions of source, patient and detector, lengths in mm.

    PA and LATERAL films are taken at 1.8 m, AP films in bed at about 1 m, so AP enlarges what
    lies in front, the heart most of all. Frontal films show the patient's left on the right;
    lateral films (left side to the detector) show the front on the left.
    """

    view: View
    size: int  # pixels a side
    field: float  # side of the square detector area shown
    center: tuple[float, float] = (0.0, 0.0)  # of the film, to the right and up
    half_thickness: tuple[float, float] = (85.0, 140.0)  # of the cage front-back and sideways
    rotation: float = 0.0  # of the patient about the long axis, radians

    @property
    def pixel(self) -> float:
        """Side of a pixel on the detector."""
        return self.field / self.size

    @property
    def detector(self) -> float:
        """Distance from the origin to the detector, which touches the patient."""
        return self._reach

    @property
    def _reach(self) -> float:
        """Distance from the origin along the beam to the skin of the thickest patient."""
        return self.half_thickness[1 if self.view == "LATERAL" else 0] + BEYOND_CAGE

    def resized(self, size: int) -> "Geometry":
        """The same geometry with another number of pixels."""
        return replace(self, size=size)

    def _factor(self, toward_detector: Array) -> Array:
        """Scale of a detector length at a depth toward the detector."""
        distance = SOURCE_DISTANCE[self.view]
        return 1 - (self.detector - toward_detector) / distance

    def rays(self, stride: int = 1) -> tuple[Array, Array, Array, float]:
        """Samples on every `stride`-th ray: x [1,W,D], y [H,1,D], z [1,W,D] in mm, and the step.

        Rows run from head to feet, columns as on the viewing box.
        """
        n = self.size // stride
        offset = (np.arange(n) - (n - 1) / 2) * self.pixel * stride
        across = (offset + self.center[0])[None, :, None]
        up = (-offset + self.center[1])[:, None, None]
        depth = np.arange(-self._reach, self._reach, RAY_STEP) + RAY_STEP / 2
        factor = self._factor(depth)[None, None, :]
        u, v, w = across * factor, up * factor, np.broadcast_to(depth, (1, n, len(depth)))
        sides = {"PA": (u, w), "AP": (u, -w), "LATERAL": (w, -u)}[self.view]
        x, z = self._turn(*sides, self.rotation)
        return x.astype(np.float32), v.astype(np.float32), z.astype(np.float32), RAY_STEP

    def project(self, strands: Strands) -> Array:
        """Path length in mm through strands, [H, W]: each point's volume spread over its width."""
        x, y, z = strands.points.T
        x, z = self._turn(x, z, -self.rotation)
        u, w = {"PA": (x, z), "AP": (x, -z), "LATERAL": (-z, x)}[self.view]
        factor = self._factor(w)
        middle = (self.size - 1) / 2
        column = (u / factor - self.center[0]) / self.pixel + middle
        row = middle - (y / factor - self.center[1]) / self.pixel
        length = strands.volume / (self.pixel * factor) ** 2
        return self._splat(row, column, length, strands.width / (self.pixel * factor))

    @staticmethod
    def _turn(x: Array, z: Array, angle: float) -> tuple[Array, Array]:
        return (
            x * np.cos(angle) + z * np.sin(angle),
            z * np.cos(angle) - x * np.sin(angle),
        )

    def _splat(self, row: Array, column: Array, weight: Array, width: Array) -> Array:
        """Bilinear splatting, then a blur of each group of similar widths (in pixels)."""
        total = np.zeros((self.size, self.size), np.float32)
        edges = (0.45, 0.75, 1.2, 2.0, 3.5)
        group = np.digitize(width, edges)
        margin = 2
        side = self.size + 2 * margin
        inside = (row > -1) & (row < self.size) & (column > -1) & (column < self.size)
        for k in np.unique(group[inside]):
            chosen = inside & (group == k)
            r, c, value = row[chosen] + margin, column[chosen] + margin, weight[chosen]
            r0, c0 = np.floor(r).astype(np.int64), np.floor(c).astype(np.int64)
            fr, fc = r - r0, c - c0
            flat = np.zeros(side * side)
            for dr, dc, part in (
                (0, 0, (1 - fr) * (1 - fc)),
                (0, 1, (1 - fr) * fc),
                (1, 0, fr * (1 - fc)),
                (1, 1, fr * fc),
            ):
                flat += np.bincount((r0 + dr) * side + c0 + dc, part * value, side * side)
            sigma = float(np.mean(width[chosen]))
            image = gaussian_filter(flat.reshape(side, side), sigma, truncate=3.0)
            total += image[margin:-margin, margin:-margin].astype(np.float32)
        return total
