"""Prompts with masks: a dataset's masks, as they are or moved, with what their radiographs show."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographSplit, open_dataset
from roentgen.errors import InputError
from roentgen.prompts.grammar import PromptStyle, compose, findings_text, findings_told, prompt_of
from roentgen.randomness import derive_seed
from roentgen.record.findings import Finding, states
from roentgen.record.radiograph import Radiograph
from roentgen.record.structures import (
    FINDING_OF,
    Masks,
    check_structures,
    masks_of,
    structures_shown,
)
from roentgen.record.views import View
from sample.masks.transforms import MaskTransforms, transformed
from sample.prompts.row import PromptRow, told_findings

if TYPE_CHECKING:
    from roentgen.diffusion.backbones.stable_diffusion import Parts
    from sample.plan import PlannedImage

_NORMAL = (Finding(name="No Finding"),)


@dataclass(frozen=True, kw_only=True)
class MaskPrompts:
    """The masks of a split's radiographs, for a model with a ControlNet."""

    folder: Path
    """A radiograph dataset with masks, prepared to the size of the model's images."""
    split: str = "train"
    """Its split. Masks of held-out patients would carry them into the synthetic set."""
    structures: tuple[str, ...] | None = None
    """Which masks are shown; of the others nothing is said. Radiographs that have none of them are
    not taken. null: all that the model knows."""
    views: tuple[View, ...] | None = None
    """Only radiographs of these views; null: all."""
    limit: int | None = None
    """At most so many radiographs, drawn by lot; null: all."""
    prompt: Literal["radiograph", "single disease"] = "radiograph"
    """radiograph: what its prompt tells, in the style of the model. single disease: for each of its
    findings that has a mask, that finding alone, and no other finding's mask; a normal film where
    there is none (as the best-practices study prompts)."""
    transforms: MaskTransforms | None = None
    """Each image's masks are moved, each by its own seed; null: they are as they are."""
    first_as_it_is: bool = False
    """The first image of each prompt has its masks unmoved."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"prompts.masks.limit is {self.limit}: at least 1, or null for all")
        if self.structures == ():
            raise InputError("prompts.masks.structures is empty: name at least one, or null")
        if self.first_as_it_is and self.transforms is None:
            raise InputError("prompts.masks.first_as_it_is has no effect without transforms")


def rows_of_masks(source: MaskPrompts, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """The prompts of a split's masks, in its order; one radiograph is held at a time.

    Raises InputError for a structure of which the split has no mask, and where nothing is left.
    """
    dataset = open_dataset(source.folder)
    split = dataset.split(source.split)
    if source.structures is not None:
        counts = dataset.manifest["counts"][source.split]
        check_structures(counts, source.structures, str(source.folder), source.split)
    shown = structures_shown(split)
    chosen = _chosen(split, shown, source, seed)
    for row, radiograph in enumerate(split.without_images()):
        if chosen[row]:
            yield from _rows(radiograph, row, source, style, shown(row))


def _chosen(
    split: RadiographSplit, shown: Callable[[int], set[str]], source: MaskPrompts, seed: int
) -> NDArray[np.bool_]:
    """(radiographs,): those that have a mask of the views asked for, or a lot of them."""
    asked = set(source.structures or ())
    found = (shown(row) for row in range(len(split)))
    have = (bool(names & asked if asked else names) for names in found)
    wanted = np.fromiter(have, dtype=np.bool_, count=len(split))
    if source.views is not None:
        wanted &= np.isin(split.column("view").to_numpy(), source.views)
    if not wanted.any():
        views = f" of the views {', '.join(source.views)}" if source.views else ""
        raise InputError(
            f"split {source.split!r} of {source.folder} has no radiograph{views} with a mask: "
            "change prompts.masks"
        )
    if source.limit is not None and source.limit < wanted.sum():
        rows = np.flatnonzero(wanted)
        ids = split.column("id").take(pa.array(rows)).to_pylist()
        lots = np.array([derive_seed(seed, "limit", name) for name in ids])
        wanted[rows[lots > np.partition(lots, source.limit - 1)[source.limit - 1]]] = False
    return wanted


def _rows(
    radiograph: Radiograph,
    row: int,
    source: MaskPrompts,
    style: PromptStyle,
    shown: set[str],
) -> Iterator[PromptRow]:
    common = PromptRow(
        prompt="",
        view=radiograph.view if style.view_token else None,
        age=radiograph.age if style.demographics else None,
        sex=radiograph.sex if style.demographics else None,
        race=radiograph.race if style.race else None,
        radiograph=radiograph.id,
        patient=radiograph.patient_id,
        mask_row=row,
    )
    if source.prompt == "radiograph":
        findings = told_findings(findings_told(radiograph, style), style)
        yield replace(common, prompt=prompt_of(radiograph, style), findings=findings)
        return
    names = {FINDING_OF[structure] for structure in shown if structure in FINDING_OF}
    present = [finding for finding in radiograph.findings if finding.state == "present"]
    alone = [
        tuple(finding for finding in present if finding.name == name)
        for name in dict.fromkeys(finding.name for finding in present)
        if name in names
    ]
    told = replace(style, text="findings")
    normal = [] if any(finding.name != "No Finding" for finding in present) else [_NORMAL]
    for findings in alone or normal:
        words = findings_text(findings, told)
        prompt = compose(
            words,
            told,
            view=common.view,
            age=common.age,
            sex=common.sex,
            race=common.race,
        )
        yield replace(common, prompt=prompt, findings=findings)


class MaskSource:
    """Gives the masks of planned images, read as they are drawn."""

    def __init__(self, source: MaskPrompts, parts: "Parts") -> None:
        """Raises InputError for masks that the model cannot take."""
        if parts.controlnet is None:
            raise InputError(
                "prompts.masks needs a model with a ControlNet, as train.controlnet makes one: "
                "this one has none"
            )
        dataset = open_dataset(source.folder)
        self._split = dataset.split(source.split)
        self.structures = source.structures or parts.structures
        unknown = [name for name in self.structures if name not in parts.structures]
        if unknown:
            raise InputError(
                f"the model's ControlNet does not know {', '.join(unknown)}; it knows: "
                f"{', '.join(parts.structures)}"
            )
        size = (dataset.manifest.get("preparation") or {}).get("size")
        if size is not None and size != parts.image_size:
            raise InputError(
                f"masks of {source.folder} are {size}x{size}, the model draws "
                f"{parts.image_size}x{parts.image_size}: prepare the dataset with that size"
            )
        self._size = parts.image_size
        self._transforms = source.transforms

    def masks(self, image: "PlannedImage") -> Masks:
        """Bool [H, W] by structure, as planned; what its findings do not have is nowhere.

        Raises InputError for a mask that does not lie on its image, or where none is known.
        """
        assert image.mask_row is not None
        radiograph = self._split[image.mask_row]
        if radiograph.id != image.from_radiograph:
            raise InputError(
                f"the plan was made for another dataset: its row {image.mask_row} is "
                f"{radiograph.id!r}, not {image.from_radiograph!r}; plan anew"
            )
        masks = masks_of(radiograph, self.structures, self._size)
        if image.mask_seed is not None and self._transforms is not None:
            masks = transformed(masks, self._transforms, view=radiograph.view, seed=image.mask_seed)
        present = {n for n, s in states(image.findings).items() if s != "absent"}
        for name, mask in masks.items():
            if mask is not None and name in FINDING_OF and FINDING_OF[name] not in present:
                masks[name] = np.zeros_like(mask)
        if all(mask is None for mask in masks.values()):
            raise InputError(
                f"radiograph {radiograph.id!r} has no mask of {', '.join(self.structures)}: name "
                "others in prompts.masks.structures"
            )
        return masks
