"""Laplacian detail of an image: a measure of sharpness."""

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats

_NO_DETAIL = -20.0  # of an image without contrast


def laplacian_detail(images: NDArray[np.uint8]) -> Floats:
    """(N,): log of the Laplacian's standard deviation over the image's, of (N, H, W) images.

    4 neighbors, interior pixels; independent of brightness and contrast (Pech-Pacheco et al. 2000).
    -20 for an image without contrast.
    """
    x = images.astype(np.float64)
    inner = x[:, 1:-1, 1:-1]
    around = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]
    fine, everything = (part.std(axis=(1, 2)) for part in (4 * inner - around, x))
    has_detail = (fine > 0) & (everything > 0)
    ratio = np.divide(fine, everything, out=np.ones_like(fine), where=has_detail)
    result: Floats = np.where(has_detail, np.log(ratio), _NO_DETAIL)
    return result
