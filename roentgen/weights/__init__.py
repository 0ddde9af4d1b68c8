"""Weights that come with the package, trained on phantoms only: one folder each."""

from pathlib import Path

TINY = Path(__file__).parent / "tiny"  # a Stable Diffusion pipeline for two cores
TINY_CONTROLNET = Path(__file__).parent / "tiny_controlnet"  # a ControlNet alone, for TINY
EXTRACTOR = Path(__file__).parent / "extractor"  # features of the Fréchet distance
