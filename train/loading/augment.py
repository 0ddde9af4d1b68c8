"""Augmentation of training images: a slight rotation, shift, scaling and change of exposure.

Never a flip: hearts are on the left. A variant is a function of its identity (seed, radiograph,
number), so that all caches of it are the same.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from roentgen.imaging.masks import resize_mask
from roentgen.randomness import numpy_generator
from train.config_sections import AugmentConfig


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a variant differs from its image."""

    angle: float  # degrees, counterclockwise
    shift: tuple[float, float]  # to the right and down, in shares of the side
    scale: float  # 1: as it is
    gain: float  # of the levels; black stays black
    gamma: float  # of the levels; black and white stay


@dataclass(frozen=True, kw_only=True)
class Augmenter:
    """Draws and makes the variants of a run's images."""

    config: AugmentConfig
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """Values that the variants depend on, besides their images."""
        return {"seed": self.seed, **asdict(self.config)}

    def change(self, radiograph_id: str, variant: int) -> Change:
        """What is drawn for a variant; 0 is the image itself and has none."""
        assert 0 < variant < self.config.variants
        draws = numpy_generator(self.seed, "augment", radiograph_id, variant).uniform(-1, 1, 6)
        angle, right, down, scale, gain, gamma = draws.tolist()
        limit = self.config
        return Change(
            angle=angle * limit.rotation,
            shift=(right * limit.shift, down * limit.shift),
            scale=(1 + limit.scale) ** scale,
            gain=1 + gain * limit.contrast,
            gamma=(1 + limit.contrast) ** gamma,
        )

    def variant(self, image: np.ndarray, radiograph_id: str, variant: int) -> np.ndarray:
        """A variant of an image, uint8 [H, W] both."""
        if variant == 0:
            return image
        change = self.change(radiograph_id, variant)
        return expose(move(image, change), change)


def move(image: np.ndarray, change: Change) -> np.ndarray:
    """Rotate, scale and shift a square image about its center; uncovered pixels are background.

    The background is the level of the border's darkest twentieth: air or padding around the body.
    """
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    background = round(float(np.quantile(border, 0.05)))
    return _moved(image, change, Image.Resampling.BICUBIC, background)


def move_mask(mask: np.ndarray, change: Change) -> np.ndarray:
    """A mask bool [H, W] moved as its image is; what comes in is outside.

    It is sampled three times as finely and then reduced by area: thin structures stay whole.
    """
    levels = 255 * mask.astype(np.uint8)
    fine = _moved(levels, change, Image.Resampling.NEAREST, 0, fineness=3) == 255
    return resize_mask(fine, mask.shape[::-1], (0, 0, *fine.shape[::-1]))


def _moved(
    image: np.ndarray,
    change: Change,
    resample: Image.Resampling,
    background: int,
    *,
    fineness: int = 1,
) -> np.ndarray:
    """A square image [S, S] moved, as [S * fineness, S * fineness]."""
    side = image.shape[0]
    center = side / 2
    unit = 1 / fineness / change.scale
    cosine, sine = (unit * f(math.radians(change.angle)) for f in (math.cos, math.sin))
    x, y = (center + share * side for share in change.shift)  # of the center, moved
    x, y = fineness * x, fineness * y
    # Pillow wants the way back: from a place in the result to its source.
    across = cosine, -sine, center - cosine * x + sine * y
    down = sine, cosine, center - sine * x - cosine * y
    moved = Image.fromarray(image).transform(
        (side * fineness, side * fineness),
        Image.Transform.AFFINE,
        across + down,
        resample=resample,
        fillcolor=background,
    )
    return np.array(moved)


def expose(image: np.ndarray, change: Change) -> np.ndarray:
    """Levels to the power of gamma, times gain; both of levels as shares of white."""
    levels = np.arange(256) / 255
    table = (change.gain * levels**change.gamma * 255).round().clip(0, 255).astype(np.uint8)
    return np.asarray(table[image])
