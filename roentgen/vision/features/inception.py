"""Inception of the original FID: TensorFlow's of 2015-12-05, in torchvision's blocks.

It differs from torchvision's Inception v3 in how its branches pool (Seitzer's pytorch-fid and
torch-fidelity found the differences); layer names are theirs, so their weights load.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.inception import inception_v3


def _average(x: Tensor) -> Tensor:
    """TensorFlow's average ignores the padding; torchvision's counts it as zeros."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _branch_a(block: Any, x: Tensor) -> Tensor:
    parts = [
        block.branch1x1(x),
        block.branch5x5_2(block.branch5x5_1(x)),
        block.branch3x3dbl_3(block.branch3x3dbl_2(block.branch3x3dbl_1(x))),
        block.branch_pool(_average(x)),
    ]
    return torch.cat(parts, dim=1)


def _branch_c(block: Any, x: Tensor) -> Tensor:
    single = block.branch7x7_3(block.branch7x7_2(block.branch7x7_1(x)))
    double = block.branch7x7dbl_3(block.branch7x7dbl_2(block.branch7x7dbl_1(x)))
    double = block.branch7x7dbl_5(block.branch7x7dbl_4(double))
    return torch.cat([block.branch1x1(x), single, double, block.branch_pool(_average(x))], dim=1)


def _branch_e(block: Any, x: Tensor, pooled: Tensor) -> Tensor:
    single = block.branch3x3_1(x)
    double = block.branch3x3dbl_2(block.branch3x3dbl_1(x))
    parts = [
        block.branch1x1(x),
        block.branch3x3_2a(single),
        block.branch3x3_2b(single),
        block.branch3x3dbl_3a(double),
        block.branch3x3dbl_3b(double),
        block.branch_pool(pooled),
    ]
    return torch.cat(parts, dim=1)


class FidInception(nn.Module):
    """(N, 3, 299, 299), (pixel - 128) / 128 -> pool3 features (N, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        base = inception_v3(weights=None, aux_logits=False, init_weights=False)
        for name, child in base.named_children():
            if name not in ("fc", "AuxLogits", "avgpool", "dropout"):
                self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        for name, block in self.named_children():
            match name:
                case "Mixed_5b" | "Mixed_5c" | "Mixed_5d":
                    x = _branch_a(block, x)
                case "Mixed_6b" | "Mixed_6c" | "Mixed_6d" | "Mixed_6e":
                    x = _branch_c(block, x)
                case "Mixed_7b":
                    x = _branch_e(block, x, _average(x))
                case "Mixed_7c":
                    x = _branch_e(block, x, functional.max_pool2d(x, 3, stride=1, padding=1))
                case _:
                    x = block(x)
        return x.mean(dim=(2, 3))
