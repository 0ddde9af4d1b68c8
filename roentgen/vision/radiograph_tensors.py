"""Torch dataset of a split's radiographs: image, masks, labels and prompt as tensors and text."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.dataset.structure_masks import check_structures, masks_of
from roentgen.errors import InputError
from roentgen.imaging.images import decode, to_tensor
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.record.finding import FINDING_NAMES, FindingName


class RadiographItem(TypedDict):
    """One radiograph for PyTorch's default collation: tensors, numbers and text, never None."""

    id: str
    patient_id: str
    image: Tensor
    """float32 (1, H, W) in [-1, 1]."""
    masks: Tensor
    """float32 (structures, H, W): 1 inside, 0 outside or unknown."""
    masks_known: Tensor
    """bool (structures,): whether the structure has a mask or is known to be absent."""
    findings: Tensor
    """float32 (findings,): 1 present, 0 absent, NaN uncertain or not mentioned."""
    view: int
    """Index into `roentgen.record.radiograph.VIEWS`; -1 unknown."""
    age: float
    """Years; NaN unknown."""
    prompt: str
    """In the requested style; "" where none is requested."""


class RadiographTensors(Dataset[RadiographItem]):
    """A split of a radiograph dataset for a `DataLoader`; images are read when they are indexed.

    Safe to hand to worker processes: the shards are memory-mapped.
    """

    def __init__(
        self,
        folder: Path | str,
        split: str = "train",
        *,
        structures: Sequence[str] = (),
        findings: Sequence[FindingName] = FINDING_NAMES,
        prompt: PromptStyle | None = None,
    ) -> None:
        """`structures` are those whose masks are read, `prompt` is the style of prompts.

        Raises InputError for a folder that is no finished dataset, a split that it lacks, and a
        structure of which the split has no mask.
        """
        dataset = open_dataset(Path(folder))
        self.radiographs = dataset.split(split)
        check_structures(dataset.manifest["counts"][split], structures, str(folder), split)
        self.structures, self.findings, self.prompt = tuple(structures), tuple(findings), prompt

    def __len__(self) -> int:
        return len(self.radiographs)

    def __getitem__(self, index: int) -> RadiographItem:
        """One radiograph.

        Raises InputError for an image that is not square or cannot be decoded, and for a mask of
        another size than its image.
        """
        radiograph = self.radiographs[index]
        pixels = decode(radiograph.image)
        if pixels.shape[0] != pixels.shape[1]:
            raise InputError(
                f"image {radiograph.id!r} is {pixels.shape[1]}x{pixels.shape[0]} pixels: prepare "
                "the dataset with a size, so that images are square"
            )
        masks = masks_of(radiograph, self.structures, len(pixels))
        inside = [np.zeros(pixels.shape, bool) if m is None else m for m in masks.values()]
        return {
            "id": radiograph.id,
            "patient_id": radiograph.patient_id,
            "image": to_tensor(pixels)[:1],
            "masks": torch.from_numpy(np.array(inside).reshape(-1, *pixels.shape)).float(),
            "masks_known": torch.tensor([m is not None for m in masks.values()], dtype=torch.bool),
            "findings": torch.from_numpy(label_matrix([radiograph], self.findings)[0]),
            "view": int(view_indices([radiograph])[0]),
            "age": math.nan if radiograph.age is None else radiograph.age,
            "prompt": prompt_of(radiograph, self.prompt) if self.prompt else "",
        }
