"""Mask fidelity while training: the Dice of held-out masks and the images generated from them.

ControlNets begin to follow masks suddenly, and the loss does not show it, so the checkpoint of the
best Dice is saved. A segmenter trained on the training split reads the images.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from roentgen.dataset.structure_masks import masks_of
from roentgen.diffusion.conditions.controlnet import mask_conditions
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import contact_sheet, side_by_side
from roentgen.imaging.overlay import outlined
from roentgen.metrics.images.dice import dice
from roentgen.preparation.filtered_split import FilteredSplit
from roentgen.prompts.captions import prompt_caption
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.randomness import derive_seed, numpy_generator
from roentgen.record.finding import FINDING_OF, states
from roentgen.record.radiograph import Masks
from roentgen.storage import write_file, write_json
from roentgen.vision.network_cache import NetworkCache
from roentgen.vision.segmenter import Segmenter
from train.config import RunConfig
from train.config_sections import MaskFidelityConfig
from train.inputs import Inputs
from train.monitor.previews import LiveModel, PreviewImage

BEST, SCORES = "best", "best.json"
SHEET_IMAGES = 12


@dataclass(frozen=True, kw_only=True)
class MaskedPrompt:
    """Prompt and masks of a held-out radiograph, and the seed of the image generated from them."""

    image: PreviewImage
    masks: Masks


@dataclass(frozen=True, kw_only=True)
class MaskFidelityMonitor:
    """The measurement: the same prompts, masks and noise every time, and the segmenter."""

    config: MaskFidelityConfig
    prompts: Sequence[MaskedPrompt]
    structures: tuple[str, ...]
    segmenter: Segmenter

    def measure(self, live: LiveModel) -> tuple[dict[str, float], NDArray[np.uint8]]:
        """Dice by structure, over the images whose mask has it, and their "mean"; and a sheet.

        The sheet has pairs of an image and the same image with the outlines of its masks.
        """
        images = self._generate(live)
        found = self.segmenter.predict(images) >= 0.5
        scores = {}
        for channel, structure in enumerate(self.structures):
            pairs = [
                (mask, found[i, channel])
                for i, prompt in enumerate(self.prompts)
                if (mask := prompt.masks[structure]) is not None and mask.any()
            ]
            if pairs:
                masks, segmented = map(np.stack, zip(*pairs, strict=True))
                scores[structure] = float(dice(masks, segmented).mean())
        on_sheet = range(0, len(self.prompts), max(1, len(self.prompts) // SHEET_IMAGES))
        tiles, captions = [], []
        for i in list(on_sheet)[:SHEET_IMAGES]:
            tiles.append(side_by_side([images[i], outlined(images[i], self.prompts[i].masks)]))
            captions.append(prompt_caption(self.prompts[i].image.prompt))
        mean = float(np.mean(list(scores.values())))
        return {"mean": mean, **scores}, contact_sheet(tiles, captions)

    def _generate(self, live: LiveModel) -> NDArray[np.uint8]:
        """Images [N, H, W], uint8, by the weights as they are now."""
        settings = SamplerSettings(
            scheduler="DPM-Solver++",  # for any noise schedule
            steps=self.config.steps,
            guidance_scale=self.config.guidance_scale,
            conditioning_scale=self.config.conditioning_scale,
        )
        masks = (mask_conditions(prompt.masks, self.structures) for prompt in self.prompts)
        return live.images([prompt.image for prompt in self.prompts], settings, masks)


def prepare_mask_fidelity(
    config: RunConfig,
    measured: MaskFidelityConfig,
    inputs: Inputs,
    split: FilteredSplit,
    accelerator: Accelerator,
) -> MaskFidelityMonitor:
    """Choose prompts and masks of a held-out split, and train the segmenter unless it is cached.

    The main process trains; the others wait.
    """
    structures = config.condition_structures()
    cache = NetworkCache(folder=config.caches, device=accelerator.device, progress=True)
    network = inputs.training.split, structures, measured.segmenter, config.seed
    if accelerator.is_main_process:
        cache.segmenter(*network)
    accelerator.wait_for_everyone()
    (style,) = config.mixture()
    return MaskFidelityMonitor(
        config=measured,
        prompts=choose_prompts(
            split,
            structures,
            style.style,
            size=inputs.size,
            count=measured.images,
            seed=config.seed,
        ),
        structures=structures,
        segmenter=cache.segmenter(*network),
    )


def choose_prompts(
    split: FilteredSplit,
    structures: Sequence[str],
    style: PromptStyle,
    *,
    size: int,
    count: int,
    seed: int,
) -> list[MaskedPrompt]:
    """`count` held-out radiographs, taken from each structure's in turn as far as there are any.

    Raises InputError for a mask whose size does not fit its image.
    """
    having: dict[str, list[int]] = {name: [] for name in structures}
    for item, radiograph in enumerate(split.without_images()):
        present = states(radiograph.findings)
        for name in structures:
            finding = FINDING_OF.get(name)
            if finding is None or present.get(finding) == "present":
                having[name].append(item)
    turns = []
    for name, items in having.items():
        order = numpy_generator(seed, "obedience", name).permutation(len(items))
        turns.append([items[i] for i in order])
    chosen: dict[int, None] = {}
    for place in range(max(map(len, turns))):
        for items in turns:
            if place < len(items) and len(chosen) < count:
                chosen[items[place]] = None
    prompts = []
    for item in sorted(chosen):
        radiograph = split[item]
        noise = derive_seed(seed, "obedience", radiograph.id)
        image = PreviewImage(prompt=prompt_of(radiograph, style), seed=noise)
        prompts.append(MaskedPrompt(image=image, masks=masks_of(radiograph, structures, size)))
    return prompts


def save_if_best(
    output: Path, step: int, scores: Mapping[str, float], weights: Mapping[str, Tensor]
) -> bool:
    """Save the weights below `output` unless an earlier step's mean Dice is as good.

    Returns whether they were saved.
    """
    best = _scores(output)
    if best is not None and best["step"] < step and best["score"] >= scores["mean"]:
        return False
    folder = output / BEST
    folder.mkdir(exist_ok=True)
    file = f"step-{step:08d}.safetensors"
    write_file(folder / file, save({k: w.detach().cpu().contiguous() for k, w in weights.items()}))
    by_structure = {name: value for name, value in scores.items() if name != "mean"}
    best = {"step": step, "score": scores["mean"], "dice": by_structure, "file": file}
    write_json(folder / SCORES, best)  # from here on the new ones are the best
    for other in folder.glob("*.safetensors"):
        if other.name != file:
            other.unlink()
    return True


def read_best(output: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A run's weights of the best mean Dice by name, and their step and scores.

    Raises InputError if they are absent or damaged.
    """
    best = _scores(output)
    try:
        if best is None:
            raise FileNotFoundError(SCORES)
        return load_file(output / BEST / best["file"]), best
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the best weights of {output} cannot be read ({error}): train again with "
            "overwrite=true, or set mask_fidelity to null to use the last ones"
        ) from None


def _scores(output: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((output / BEST / SCORES).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
