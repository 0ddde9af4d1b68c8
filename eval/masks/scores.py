"""Mask fidelity scores of one image set, by structure."""

from collections.abc import Mapping
from dataclasses import dataclass

from roentgen.metrics.estimates import Estimate


@dataclass(frozen=True, kw_only=True)
class Obeyed:
    """Of one set, by structure and their mean."""

    dice: Mapping[str, Estimate]
    iou: Mapping[str, Estimate]
    shuffled: Mapping[str, Estimate]
    """Dice with another image's masks: what not obeying gives."""
    strays: Mapping[str, Estimate]
    """Share of images in which a structure is found that was asked to be nowhere."""
