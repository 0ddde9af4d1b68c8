"""Overlap of masks: Dice coefficient and intersection over union, by torchmetrics."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.bool_]


def dice(a: Mask, b: Mask) -> NDArray[np.float64]:
    """2 |A and B| / (|A| + |B|) of masks [..., H, W] (Dice 1945), [...] in [0, 1].

    1 for two empty masks; 0 for an empty and a nonempty one.
    """
    from torchmetrics.functional.segmentation import dice_score

    found = dice_score(*_one_class(a, b), num_classes=1, average="none")
    return _of_masks(found.nan_to_num(1.0), a)


def iou(a: Mask, b: Mask) -> NDArray[np.float64]:
    """|A and B| / |A or B| of masks [..., H, W] (Jaccard 1912), [...] in [0, 1]; see `dice`."""
    from torchmetrics.functional.segmentation import mean_iou

    found = mean_iou(*_one_class(a, b), num_classes=1, per_class=True)
    return _of_masks(torch.where(found < 0, 1.0, found), a)  # -1: both are empty


def _one_class(a: Mask, b: Mask) -> tuple[Tensor, Tensor]:
    """Each mask [N, 1, H, W] on its own, of one class."""
    if a.dtype != np.bool_ or b.dtype != np.bool_ or a.shape != b.shape:
        raise ValueError(f"masks are {a.dtype} {a.shape} and {b.dtype} {b.shape}: both bool, alike")
    first, second = (torch.from_numpy(x.reshape(-1, 1, *x.shape[-2:]).copy()) for x in (a, b))
    return first, second


def _of_masks(found: Tensor, masks: Mask) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = found.double().numpy().reshape(masks.shape[:-2])
    return scores
