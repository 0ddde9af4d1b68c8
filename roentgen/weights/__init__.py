"""Weights that come with the package, trained on phantoms only: one folder each, chosen by name."""

from collections.abc import Mapping
from pathlib import Path

TINY = Path(__file__).parent / "tiny"  # a Stable Diffusion pipeline for two cores
TINY_CONTROLNET = Path(__file__).parent / "tiny_controlnet"  # a ControlNet alone, for TINY
EXTRACTOR = Path(__file__).parent / "extractor"  # a classifier, also the features of FID

# The names that configurations give them, by what is chosen.
PIPELINES = {"tiny": TINY}
CONTROLNETS = {"tiny": TINY_CONTROLNET}
CLASSIFIERS = {"embedded": EXTRACTOR}


def shipped_or_path(name: str, shipped: Mapping[str, Path]) -> Path:
    """The folder of shipped weights with this name; anything else is a path as it is."""
    return shipped.get(name, Path(name))
