"""Development of a film: line integrals to the gray image that a workstation displays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from roentgen.projection.rays import Array
from roentgen.record.radiograph import View


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Exposure and display of one film."""

    center: float  # line integral shown as middle gray
    latitude: float  # range of line integrals shown with contrast
    scatter: float  # share of scattered light
    noise: float  # standard deviation of the quantum noise, of full scale
    edge: float  # strength of edge enhancement
    marker: bool  # a lead letter on the film


def draw_exposure(rng: np.random.Generator, view: View) -> Exposure:
    """An exposure as it varies in practice; bedside AP films scatter and vary more."""
    bedside = view == "AP"
    return Exposure(
        center=float(rng.normal(0.0, 0.16 if bedside else 0.1)),
        latitude=float(rng.uniform(0.66, 0.84)) * (1.25 if view == "LATERAL" else 1.0),
        scatter=float(rng.uniform(0.25, 0.4) if bedside else rng.uniform(0.1, 0.22)),
        noise=float(rng.uniform(0.004, 0.009) if bedside else rng.uniform(0.003, 0.006)),
        edge=float(rng.uniform(0.2, 0.6)),
        marker=bool(rng.random() < 0.7),
    )


def develop(
    line_integrals: Array, exposure: Exposure, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Gray film uint8 [H, W], bone white, from line integrals [H, W] (Beer-Lambert).

    Intensity is the primary beam plus scatter, read out as its logarithm, mapped through a
    sigmoid around the film's own median over the body as automatic exposure does.
    """
    size = line_integrals.shape[0]
    primary = np.exp(-line_integrals)
    scattered = gaussian_filter(primary, 0.06 * size)
    density = -np.log((1 - exposure.scatter) * primary + exposure.scatter * scattered)
    density += exposure.edge * (density - gaussian_filter(density, 0.02 * size))
    body = density[line_integrals > 0.4]
    middle = np.median(body) if body.size else 1.0
    film = 1 / (1 + np.exp(-(density - middle - exposure.center) / exposure.latitude))
    low, high = np.quantile(film, (0.004, 0.996))
    film = np.clip((film - low) / max(high - low, 1e-3), 0, 1)
    grain = gaussian_filter(rng.standard_normal(film.shape).astype(np.float32), 0.45)
    film = film + exposure.noise * grain * (1.6 - film)
    if exposure.marker:
        film = _lead_letter(film, rng)
    gray: npt.NDArray[np.uint8] = np.round(255 * np.clip(film, 0, 1)).astype(np.uint8)
    return gray


def _lead_letter(film: Array, rng: np.random.Generator) -> Array:
    """The side marker: an L at the patient's left, near the upper right corner."""
    size = film.shape[0]
    height = max(size // 14, 7)
    stencil = Image.new("L", (size, size))
    place = (size * rng.uniform(0.86, 0.93), size * rng.uniform(0.04, 0.14))
    ImageDraw.Draw(stencil).text(place, "L", fill=255, font=ImageFont.load_default(height))
    return np.maximum(film, 0.92 * np.asarray(stencil, np.float32) / 255)
