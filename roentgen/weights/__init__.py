"""Weights that come with the package: one folder each, chosen by name.

They were trained on phantoms; the extractor learned corruptions of openly licensed radiographs too.
"""

from collections.abc import Mapping
from pathlib import Path

TINY = Path(__file__).parent / "tiny"  # a Stable Diffusion pipeline for two cores
TINY_CONTROLNET = Path(__file__).parent / "tiny_controlnet"  # a ControlNet alone, for TINY
CLASSIFIER = Path(__file__).parent / "classifier"  # what classifiers start from
EXTRACTOR = Path(__file__).parent / "extractor"  # also sees corruptions: the features of FID

# The names that configurations give them, by what is chosen.
PIPELINES = {"tiny": TINY}
CONTROLNETS = {"tiny": TINY_CONTROLNET}
CLASSIFIERS = {"embedded": CLASSIFIER}


def shipped_or_path(name: str, shipped: Mapping[str, Path]) -> Path:
    """The folder of shipped weights with this name; anything else is a path as it is."""
    return shipped.get(name, Path(name))
