"""Whether masks are obeyed: held-out ones are drawn, and a segmenter reads the pictures.

ControlNets come to obey suddenly, and the loss does not show it: so the weights are kept that
obeyed best.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm import tqdm

from roentgen.config import config_to_dict
from roentgen.dataset.structure_masks import masks_of
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.controlnet import mask_conditions
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.sampling.sampler import Sampler, SamplerSettings
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.overlay import outlined
from roentgen.manifest import fingerprint_of
from roentgen.metrics.images.dice import dice
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.randomness import derive_seed, numpy_generator
from roentgen.record.findings import states
from roentgen.record.radiograph import Radiograph
from roentgen.record.structures import FINDING_OF, Masks
from roentgen.storage import write_file, write_json
from roentgen.vision.segmenter import (
    SPEC_FILE,
    Segmenter,
    SegmenterConfig,
    load_segmenter,
    train_segmenter,
)
from train.config import ControlnetConfig
from train.config_sections import Attention, ObedienceConfig
from train.engine.attention import attending
from train.inputs import Inputs
from train.loading.filtered_split import FilteredSplit
from train.monitor.previews import PREVIEW_BATCH, PreviewImage, evaluating

if TYPE_CHECKING:
    from accelerate import Accelerator

BEST, SCORE = "best", "best.json"
ON_SHEET = 12


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One held-out radiograph's prompt and masks."""

    image: PreviewImage
    masks: Masks


@dataclass(frozen=True, kw_only=True)
class Obedience:
    """What is measured, always with the same masks, prompts and noise."""

    config: ObedienceConfig
    asked: Sequence[Asked]
    structures: tuple[str, ...]
    segmenter: Segmenter

    def measure(
        self,
        components: Components,
        denoiser: Denoiser,
        attention: Attention,
        accelerator: "Accelerator",
    ) -> tuple[dict[str, float], NDArray[np.uint8]]:
        """Mean Dice of each structure where it is asked for, their mean as "", and a sheet.

        The sheet has a pair for each of some images: the picture, and it with the masks' outlines.
        """
        pictures = self._draw(components, denoiser, attention, accelerator)
        found = self.segmenter.predict(pictures) >= 0.5
        scores = {}
        for channel, structure in enumerate(self.structures):
            pairs = [
                (mask, found[i, channel])
                for i, asked in enumerate(self.asked)
                if (mask := asked.masks[structure]) is not None and mask.any()
            ]
            if pairs:
                masks, drawn = map(np.stack, zip(*pairs, strict=True))
                scores[structure] = float(dice(masks, drawn).mean())
        shown = range(0, len(self.asked), max(1, len(self.asked) // ON_SHEET))
        tiles, captions = [], []
        for i in list(shown)[:ON_SHEET]:
            tiles += [pictures[i], outlined(pictures[i], self.asked[i].masks)]
            captions += [self.asked[i].image.prompt, ""]
        return {"": float(np.mean(list(scores.values()))), **scores}, contact_sheet(
            tiles, captions, 6
        )

    def _draw(
        self,
        components: Components,
        denoiser: Denoiser,
        attention: Attention,
        accelerator: "Accelerator",
    ) -> NDArray[np.uint8]:
        """The pictures by the live modules, uint8 [N, H, W]."""
        settings = SamplerSettings(
            scheduler="DPM-Solver++",  # for any noise schedule
            steps=self.config.steps,
            guidance_scale=self.config.guidance_scale,
            conditioning_scale=self.config.conditioning_scale,
        )
        sampler = Sampler(components, settings, accelerator.device, live=True)
        pictures: list[np.ndarray] = []
        with evaluating(denoiser), accelerator.autocast():
            for first in range(0, len(self.asked), PREVIEW_BATCH):
                batch = self.asked[first : first + PREVIEW_BATCH]
                masks = [mask_conditions(asked.masks, self.structures) for asked in batch]
                with attending(attention):
                    latents = sampler.latents([a.image for a in batch], Conditions.joined(masks))
                for latent in torch.split(latents, 1):
                    pictures.extend(sampler.decode(latent))
        return np.stack(pictures)


def prepare_obedience(
    config: ControlnetConfig, inputs: Inputs, accelerator: "Accelerator"
) -> Obedience:
    """Choose what is drawn, and train the segmenter, or find it where a run before left it.

    The main process does; the others wait.
    """
    assert config.obedience is not None
    assert inputs.held_out is not None
    structures = config.structures
    place = segmenter_folder(config, inputs)
    if accelerator.is_main_process and not (place / SPEC_FILE).exists():
        train_on(inputs, structures, config.obedience.segmenter, config.seed).save(place)
    accelerator.wait_for_everyone()
    (style,) = config.mixture()
    asked = choose_asked(
        inputs.held_out[0],
        structures,
        style.style,
        size=inputs.size,
        count=config.obedience.images,
        seed=config.seed,
    )
    return Obedience(
        config=config.obedience,
        asked=asked,
        structures=structures,
        segmenter=load_segmenter(place, accelerator.device),
    )


def segmenter_folder(config: ControlnetConfig, inputs: Inputs) -> Path:
    """Where the segmenter lies, named for all that it depends on."""
    assert config.obedience is not None
    ids = hashlib.sha256("\n".join(inputs.split.ids).encode()).hexdigest()
    settings = config_to_dict(config.obedience.segmenter)
    known = [inputs.dataset.fingerprint, inputs.split.name, ids, list(config.structures)]
    key = fingerprint_of([*known, settings, config.seed])
    return (config.data.caches or config.output / "caches") / f"segmenter-{key}"


def train_on(
    inputs: Inputs, structures: tuple[str, ...], config: SegmenterConfig, seed: int
) -> Segmenter:
    """A segmenter of the images that are trained on."""
    with tqdm(total=config.steps, desc="segmenter", unit="step") as bar:
        return train_segmenter(
            inputs.split.images,
            inputs.split.masks(structures),
            structures=structures,
            config=config,
            seed=seed,
            watch=lambda step, loss: bar.update(),
        )


def choose_asked(
    split: FilteredSplit,
    structures: Sequence[str],
    style: PromptStyle,
    *,
    size: int,
    count: int,
    seed: int,
) -> list[Asked]:
    """`count` held-out radiographs: of each finding's structure as many as there are, in turns.

    Raises InputError for a mask that does not lie on its image.
    """
    having: dict[str, list[int]] = {name: [] for name in structures}
    for item, radiograph in enumerate(split.without_images()):
        for name in structures:
            if _has(radiograph, name):
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
    return [_asked(split[item], structures, style, size, seed) for item in sorted(chosen)]


def _has(radiograph: Radiograph, structure: str) -> bool:
    finding = FINDING_OF.get(structure)
    return finding is None or states(radiograph.findings).get(finding) == "present"


def _asked(
    radiograph: Radiograph, structures: Sequence[str], style: PromptStyle, size: int, seed: int
) -> Asked:
    noise = derive_seed(seed, "obedience", radiograph.id)
    image = PreviewImage(prompt=prompt_of(radiograph, style), seed=noise)
    return Asked(image=image, masks=masks_of(radiograph, structures, size))


def keep_best(
    output: Path, step: int, scores: Mapping[str, float], weights: Mapping[str, Tensor]
) -> bool:
    """Keep the weights below `output` if none before obeyed better; whether they were kept."""
    best = _score(output)
    if best is not None and best["step"] < step and best["score"] >= scores[""]:
        return False
    folder = output / BEST
    folder.mkdir(exist_ok=True)
    file = f"step-{step:08d}.safetensors"
    write_file(folder / file, save({k: w.detach().cpu().contiguous() for k, w in weights.items()}))
    dices = {name: value for name, value in scores.items() if name}
    told = {"step": step, "score": scores[""], "dice": dices, "file": file}
    write_json(folder / SCORE, told)  # from here on the new ones are the best
    for other in folder.glob("*.safetensors"):
        if other.name != file:
            other.unlink()
    return True


def read_best(output: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The most obedient weights of a run by name, and when they were and how obedient.

    Raises InputError if they are not there or damaged.
    """
    best = _score(output)
    try:
        if best is None:
            raise FileNotFoundError(SCORE)
        return load_file(output / BEST / best["file"]), best
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the best weights of {output} cannot be read ({error}): train again with "
            "overwrite=true, or set obedience to null for the last ones"
        ) from None


def _score(output: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((output / BEST / SCORE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
