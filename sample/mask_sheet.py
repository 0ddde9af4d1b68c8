"""Program: a contact sheet of radiographs with their masks and transformed masks.

`python -m sample.mask_sheet configs/sample/mask_sheet.yaml [--key=value ...]`
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from roentgen.config import load_config
from roentgen.dataset.dataset import RadiographSplit, open_dataset
from roentgen.dataset.structure_masks import check_structures, masks_of
from roentgen.errors import InputError, require, require_distinct, require_range, run_program
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.imaging.overlay import outlined, painted, structure_colors
from roentgen.prompts.captions import radiograph_caption
from roentgen.randomness import derive_seed, numpy_generator
from roentgen.record.finding import FINDING_OF
from roentgen.record.radiograph import Masks, Radiograph, View
from roentgen.storage import reserve_output, write_file
from sample.masks.config import MaskTransforms
from sample.masks.transforms import is_mirrored, transform_masks

_LEGEND_HEIGHT = 24  # pixels
_FILL = 0.75  # opacity of a mask's color


@dataclass(frozen=True, kw_only=True)
class MaskSheetConfig:
    """Show the effect of mask transforms, before a synthetic set is drawn with them."""

    dataset: Path
    """The radiograph dataset whose masks are transformed."""
    split: str = "train"
    """Its split."""
    structures: tuple[str, ...]
    """Masks to show. Include those that bound findings, "lungs" above all."""
    views: tuple[View, ...] | None = None
    """Only radiographs of these views; null: all."""
    transforms: MaskTransforms = field(default_factory=MaskTransforms)
    """The transforms to show."""
    rows: int = 6
    """Number of radiographs, sampled at random for each finding in turn."""
    columns: int = 6
    """Number of transformed masks beside each radiograph."""
    seed: int = 0
    """Seed of the sample and of the transforms."""
    output: Path
    """The PNG to write."""
    overwrite: bool = False
    """Replace the PNG if it exists."""

    def __post_init__(self) -> None:
        require_range(self, "rows", "columns", at_least=1)
        require_distinct(self, "structures")
        is_png = self.output.suffix.lower() == ".png"
        require(is_png, f"output {self.output} is no PNG: end it in .png")


def mask_sheet(config: MaskSheetConfig) -> str:
    """Make the sheet; returns a line for the user.

    Raises InputError for a structure of which the split has no mask, and as `transform_masks` does.
    """
    with reserve_output(config.output):
        if config.output.exists() and not config.overwrite:
            raise InputError(f"{config.output} exists: choose another, or set overwrite=true")
        return _write_sheet(config)


def _write_sheet(config: MaskSheetConfig) -> str:
    dataset = open_dataset(config.dataset)
    split = dataset.split(config.split)
    counts = dataset.manifest["counts"][config.split]
    check_structures(counts, config.structures, str(config.dataset), config.split)
    examples = list(_examples(config, split))
    if not examples:
        raise InputError(
            f"split {config.split!r} of {config.dataset} has no radiograph of these views"
        )
    cells = [cell for radiograph, masks in examples for cell in _row(config, radiograph, masks)]
    pictures, captions = zip(*cells, strict=True)
    sheet = contact_sheet(pictures, captions, config.columns + 1)
    legend = _legend(config.structures, sheet.shape[1])
    write_file(config.output, encode_png(np.concatenate([legend, sheet])))
    missing = config.rows - len(examples)
    fewer = f", {missing} fewer than requested" * bool(missing)
    return f"{config.output}: {len(examples)} radiographs{fewer}"


def _examples(
    config: MaskSheetConfig, split: RadiographSplit
) -> Iterator[tuple[Radiograph, Masks]]:
    """The rows' radiographs with their masks: a random one of each finding in turn."""
    order = numpy_generator(config.seed, "mask sheet").permutation(len(split)).tolist()
    rare = [name for name in config.structures if name in FINDING_OF] or config.structures
    remaining = dict.fromkeys(order)
    for row in range(config.rows):
        structure = rare[row % len(rare)]
        chosen = next((i for i in remaining if _qualifies(split[i], structure, config.views)), None)
        if chosen is None:
            chosen = next((i for i in remaining if _qualifies(split[i], None, config.views)), None)
        if chosen is None:
            return
        del remaining[chosen]
        radiograph = split[chosen]
        height, width = decode(radiograph.image).shape
        if height != width:
            raise InputError(
                f"radiograph {radiograph.id!r} is {width}x{height}: prepare images to a size"
            )
        yield radiograph, masks_of(radiograph, config.structures, width)


def _qualifies(radiograph: Radiograph, structure: str | None, views: Sequence[View] | None) -> bool:
    """Whether a radiograph is of these views and has a mask or box of the structure."""
    has = structure in radiograph.masks or any(b.structure == structure for b in radiograph.boxes)
    return (views is None or radiograph.view in views) and (structure is None or has)


def _row(
    config: MaskSheetConfig, radiograph: Radiograph, masks: Masks
) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """A radiograph with its masks' outlines, then transformed masks, each with its caption."""
    image = decode(radiograph.image)
    unknown = [f"no mask of {name}" for name, mask in masks.items() if mask is None]
    yield outlined(image, masks), "\n".join([radiograph_caption(radiograph), *unknown])
    for column in range(config.columns):
        seed = derive_seed(config.seed, "mask sheet", radiograph.id, column)
        moved = transform_masks(masks, config.transforms, view=radiograph.view, seed=seed)
        area = ", ".join(_areas(masks, moved))
        flip = "mirrored; " if is_mirrored(config.transforms, seed) else ""
        yield painted(np.zeros((*image.shape, 3), np.uint8), moved, _FILL), flip + area


def _areas(before: Masks, after: Masks) -> Iterator[str]:
    """The area of each finding relative to its area before."""
    for name, old in before.items():
        new = after.get(name)
        if name in FINDING_OF and old is not None and new is not None and old.any():
            yield f"{name} x{new.sum() / old.sum():.2f}"


def _legend(structures: Sequence[str], width: int) -> NDArray[np.uint8]:
    """A strip [height, width, 3] with each structure's color and name."""
    font = ImageFont.load_default(13)
    of = structure_colors(structures)
    strip = Image.new("RGB", (width, _LEGEND_HEIGHT), "#181818")
    draw = ImageDraw.Draw(strip)
    left = 4
    for name in structures:
        draw.rectangle((left, 6, left + 12, 18), fill=of[name])
        draw.text((left + 18, 4), name, fill="white", font=font)
        left += 34 + round(font.getlength(name))
    return np.asarray(strip)


def main() -> None:
    """Read the command line, make the sheet, and say where it is."""
    print(mask_sheet(load_config(MaskSheetConfig)))  # noqa: T201


if __name__ == "__main__":
    run_program(main)
