"""The projector against closed forms."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from roentgen.phantom.strands import tube
from roentgen.projection.rays import MU_WATER, SOURCE_DISTANCE, Array, Geometry
from roentgen.record.radiograph import VIEWS, View


def _geometry(view: View, size: int = 48) -> Geometry:
    return Geometry(view=view, size=size, field=240.0)


def project_volume(
    attenuation: Array, spacing: tuple[float, float, float], geometry: Geometry
) -> Array:
    """Line integrals [H, W] through a voxel volume, e.g. a CT, centered on the origin.

    `attenuation` [X, Y, Z] in 1/mm with axes along the patient's left, head and front;
    `spacing` in mm. Beyond the volume there is air.
    """
    x, y, z, step = geometry.rays()
    shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
    total = np.zeros(shape[:2], np.float32)
    middle = [(n - 1) / 2 for n in attenuation.shape]
    for k in range(shape[2]):  # one sheet of samples at a time keeps memory small
        sheet = [
            np.broadcast_to(axis[..., k], shape[:2]) / mm + center
            for axis, mm, center in zip((x, y, z), spacing, middle, strict=True)
        ]
        total += map_coordinates(attenuation, sheet, order=1, cval=0.0, output=np.float32)
    return total * step


@pytest.mark.parametrize("view", VIEWS)
def test_a_water_sphere_casts_its_chords(view: View) -> None:
    n, spacing, radius = 81, 2.0, 60.0
    axis = (np.arange(n) - (n - 1) / 2) * spacing
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2)
    sphere = (MU_WATER * np.clip(0.5 - (distance - radius) / spacing, 0, 1)).astype(np.float32)
    geometry = _geometry(view)
    film = project_volume(sphere, (spacing,) * 3, geometry)
    # A ray that meets the detector at r passes the center at distance r * (1 - detector / SID).
    offset = (np.arange(geometry.size) - (geometry.size - 1) / 2) * geometry.pixel
    at_detector = np.hypot(offset[:, None], offset[None, :])
    source = SOURCE_DISTANCE[view]
    nearest = at_detector * (source - geometry.detector) / np.hypot(source, at_detector)
    chord = 2 * np.sqrt(np.clip(radius**2 - nearest**2, 0, None))
    inner = nearest < 0.9 * radius
    assert np.abs(film / MU_WATER - chord)[inner].max() < 3.0  # mm, of chords up to 120
    assert film[nearest > 1.1 * radius].max() < 1e-6


@pytest.mark.parametrize("view", VIEWS)
def test_a_strand_keeps_its_volume(view: View) -> None:
    strand = tube([(-20, -15, 0), (10, 20, 0)], area=12.0, width=2.0)
    geometry = _geometry(view, 96)
    length = np.linalg.norm([30, 35])
    magnification = SOURCE_DISTANCE[view] / (SOURCE_DISTANCE[view] - geometry.detector)
    measured = geometry.project(strand).sum() * (geometry.pixel / magnification) ** 2
    assert measured == pytest.approx(12.0 * length, rel=0.03)


def test_what_is_far_from_the_detector_is_larger() -> None:
    at_front = tube([(-30, 0, 70), (30, 0, 70)], area=9.0, width=1.0)

    def width_of(view: View) -> float:
        row = _geometry(view, 240).project(at_front).sum(axis=0)
        return float((row > 0.3 * row.max()).sum())

    assert width_of("AP") / width_of("PA") == pytest.approx(
        (1020 / (1020 - 125 - 70)) / (1830 / (1830 - 125 + 70)), rel=0.03
    )


def test_sides_lie_as_on_the_viewing_box() -> None:
    left = tube([(50, 0, 0), (60, 0, 0)], area=9.0, width=1.0)
    front = tube([(0, 0, 50), (0, 0, 60)], area=9.0, width=1.0)
    high = tube([(0, 50, 0), (0, 60, 0)], area=9.0, width=1.0)
    for view in ("PA", "AP"):
        film = _geometry(view).project(left)
        assert film[:, 24:].sum() > 0.99 * film.sum()  # the patient's left on the right
    film = _geometry("LATERAL").project(front)
    assert film[:, :24].sum() > 0.99 * film.sum()
    film = _geometry("PA").project(high)
    assert film[:24].sum() > 0.99 * film.sum()
