"""Comparison of two sets of images: FID, KID, precision, recall, density, coverage and MS-SSIM.

`eval.evaluate` measures the same with confidence intervals, floors and by group; this is one call
for two folders.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import Images, ImageSet
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, image_size, prepare_image
from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.metrics.features.kernel_distances import kernel_distance
from roentgen.metrics.features.prdc import prdc
from roentgen.metrics.images.ms_ssim import ms_ssim_pairs, scale_weights
from roentgen.randomness import numpy_generator
from roentgen.storage import MANIFEST
from roentgen.vision.features.extractor import load_extractor
from roentgen.vision.features.network import Definition, Extractor
from roentgen.vision.network_settings import ExtractorName

_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".webp")
_CHUNK = 64  # images read together
_PAIRS = 16  # whose images are read together


@dataclass(frozen=True, kw_only=True)
class ImageComparison:
    """The distances between real and synthetic images; `extractor` defines all but MS-SSIM."""

    n_real: int
    n_synthetic: int
    fid: float  # biased upwards, the more the fewer the images: compare at equal n only
    kid: float
    precision: float
    recall: float
    density: float
    coverage: float
    ms_ssim_real: float  # mean of random pairs; lower is more diverse
    ms_ssim_synthetic: float
    extractor: Definition


class ImageFiles:
    """The image files below a folder as arrays of one square size, read when they are indexed."""

    def __init__(self, folder: Path | str, size: int | None = None, fit: Fit = "pad") -> None:
        """`size` is the side in pixels; None keeps that of the first image, which must be square.

        Raises InputError for a folder without images.
        """
        found = Path(folder).rglob("*")
        self.files = sorted(file for file in found if file.suffix.lower() in _SUFFIXES)
        if not self.files:
            raise InputError(f"{folder} has no image files ({', '.join(_SUFFIXES)})")
        if size is None:
            width, height = image_size(self.files[0])
            if width != height:
                raise InputError(
                    f"{self.files[0]} is {width}x{height} pixels: give the `size` to which images "
                    "are brought"
                )
        self.size = size or width
        self._own, self._fit = size is None, fit

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[np.uint8]:
        """uint8 (n, size, size). Raises InputError naming a file that cannot be read."""
        chosen = [self.files[row] for row in np.arange(len(self))[rows].tolist()]
        result = np.empty((len(chosen), self.size, self.size), np.uint8)
        for place, file in enumerate(chosen):
            pixels = prepare_image(file, None if self._own else self.size, self._fit)
            if pixels.shape != result.shape[1:]:
                raise InputError(
                    f"{file} is {pixels.shape[1]}x{pixels.shape[0]} pixels, others are "
                    f"{self.size}x{self.size}: give the `size` to which images are brought"
                )
            result[place] = pixels
        return result


def open_images(folder: Path | str, size: int | None = None, fit: Fit = "pad") -> Images:
    """The images of a radiograph dataset (all its splits), or the image files below a folder.

    Raises InputError for images that are not square or, without `size`, of several sizes.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        return ImageFiles(folder, size, fit)
    dataset = open_dataset(folder)
    images = ImageSet.of(*map(dataset.split, dataset.splits))
    if size and images.size != size:
        raise InputError(
            f"{folder} has images of {images.size} pixels a side, not {size}: prepare it at that "
            "size"
        )
    return images.images


def extract_features(images: Images, extractor: Extractor) -> NDArray[np.float32]:
    """The features (n, d) of images (n, H, W)."""
    return np.concatenate(
        [
            extractor(images[slice(start, min(start + _CHUNK, len(images)))])
            for start in range(0, len(images), _CHUNK)
        ]
    )


def compare_images(
    real: Path | str,
    synthetic: Path | str,
    *,
    extractor: ExtractorName = "roentgen",
    weights: str | None = None,
    size: int | None = None,
    fit: Fit = "pad",
    neighbors: int = 5,
    pairs: int = 500,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> ImageComparison:
    """Compares two folders of images, each a radiograph dataset or a folder of image files.

    `size` brings image files to squares of that side by `fit`; without it they must be square and
    of one size. `neighbors` is the k of precision, recall, density and coverage; MS-SSIM is the
    mean of `pairs` random pairs, drawn by `seed`. Raises InputError for images that cannot be
    compared, or too few of them.
    """
    images = [open_images(folder, size, fit) for folder in (real, synthetic)]
    sides = [one[:1].shape[1] for one in images]
    if sides[0] != sides[1]:
        raise InputError(
            f"images of {real} are {sides[0]} pixels a side, of {synthetic} {sides[1]}: bring both "
            "to one size"
        )
    for folder, one in zip((real, synthetic), images, strict=True):
        if len(one) <= max(neighbors, 3):
            raise InputError(
                f"{folder} has {len(one)} images: more than {max(neighbors, 3)} are needed"
            )
    scale_weights(sides[0])
    network = load_extractor(extractor, weights, device)
    a, b = (extract_features(one, network) for one in images)
    shares = prdc(a, b, k=neighbors)
    return ImageComparison(
        n_real=len(a),
        n_synthetic=len(b),
        fid=frechet_distance_of_features(a, b),
        kid=kernel_distance(a, b),
        precision=shares.precision,
        recall=shares.recall,
        density=shares.density,
        coverage=shares.coverage,
        ms_ssim_real=mean_ms_ssim(images[0], pairs=pairs, seed=seed),
        ms_ssim_synthetic=mean_ms_ssim(images[1], pairs=pairs, seed=seed),
        extractor=network.definition,
    )


def mean_ms_ssim(images: Images, *, pairs: int, seed: int = 0) -> float:
    """Mean MS-SSIM of at most `pairs` random pairs, no image in two of them."""
    order = numpy_generator(seed, "ms-ssim pairs", "").permutation(len(images))
    rows = order[: 2 * min(pairs, len(images) // 2)]
    values = []
    for start in range(0, len(rows), 2 * _PAIRS):
        part = images[rows[start : start + 2 * _PAIRS]]
        values.append(ms_ssim_pairs(part, [(i, i + 1) for i in range(0, len(part), 2)]))
    return float(np.concatenate(values).mean())
