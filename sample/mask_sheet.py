"""Program: a sheet of films with their masks, and of what transforms make of the masks.

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
from roentgen.errors import InputError, run_program
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.imaging.overlay import colours, outlined, painted
from roentgen.randomness import derive_seed, numpy_generator
from roentgen.record.radiograph import Radiograph
from roentgen.record.structures import FINDING_OF, Masks
from roentgen.record.views import View
from roentgen.setting_checks import require, require_distinct, require_range
from roentgen.storage import check_writable, write_file
from sample.masks.transforms import MaskTransforms, is_mirrored, transformed

_LEGEND_HEIGHT = 24  # pixels
_FILL = 0.75  # of a mask's colour: what lies beneath shines through


@dataclass(frozen=True, kw_only=True)
class MaskSheetConfig:
    """What mask transforms do, to be looked at before a set is drawn with them."""

    dataset: Path
    """The radiograph dataset whose masks are moved."""
    split: str = "train"
    """Of the dataset."""
    structures: tuple[str, ...]
    """Masks to show. What bounds a finding, "lungs" above all, must be among them."""
    views: tuple[View, ...] | None = None
    """Only films of these views; null: all."""
    transforms: MaskTransforms = field(default_factory=MaskTransforms)
    """How far masks are moved."""
    rows: int = 6
    """Films, drawn by lot, each finding's in turn so that all are seen."""
    columns: int = 6
    """Transformed masks beside each film."""
    seed: int = 0
    """Of the lot, and of the transforms."""
    output: Path
    """The PNG that is made."""
    overwrite: bool = False
    """Replace the PNG if it exists."""

    def __post_init__(self) -> None:
        require_range(self, "rows", "columns", at_least=1)
        require_distinct(self, "structures")
        is_png = self.output.suffix.lower() == ".png"
        require(is_png, f"output {self.output} is no PNG: end it in .png")


def mask_sheet(config: MaskSheetConfig) -> str:
    """Make the sheet; returns what to tell the user.

    Raises InputError for a structure that the split has no mask of, and as `transformed` does.
    """
    if config.output.exists() and not config.overwrite:
        raise InputError(f"{config.output} exists: choose another, or set overwrite=true")
    check_writable(config.output.parent)
    dataset = open_dataset(config.dataset)
    split = dataset.split(config.split)
    counts = dataset.manifest["counts"][config.split]
    check_structures(counts, config.structures, str(config.dataset), config.split)
    films = list(_films(config, split))
    if not films:
        raise InputError(f"split {config.split!r} of {config.dataset} has no film of these views")
    cells = [cell for radiograph, masks in films for cell in _row(config, radiograph, masks)]
    pictures, captions = zip(*cells, strict=True)
    sheet = contact_sheet(pictures, captions, config.columns + 1)
    legend = _legend(config.structures, sheet.shape[1])
    config.output.parent.mkdir(parents=True, exist_ok=True)
    write_file(config.output, encode_png(np.concatenate([legend, sheet])))
    short = config.rows - len(films)
    return f"{config.output}: {len(films)} films" + (f", {short} fewer than asked" * bool(short))


def _films(config: MaskSheetConfig, split: RadiographSplit) -> Iterator[tuple[Radiograph, Masks]]:
    """The films of the rows with their masks: a film of each finding in turn, by lot."""
    order = numpy_generator(config.seed, "mask sheet").permutation(len(split)).tolist()
    rare = [name for name in config.structures if name in FINDING_OF] or config.structures
    left = dict.fromkeys(order)
    for row in range(config.rows):
        wanted = rare[row % len(rare)]
        chosen = next((i for i in left if _shows(split[i], wanted, config.views)), None)
        if chosen is None:
            chosen = next((i for i in left if _shows(split[i], None, config.views)), None)
        if chosen is None:
            return
        del left[chosen]
        radiograph = split[chosen]
        height, width = decode(radiograph.image).shape
        if height != width:
            raise InputError(
                f"radiograph {radiograph.id!r} is {width}x{height}: prepare images to a size"
            )
        yield radiograph, masks_of(radiograph, config.structures, width)


def _shows(radiograph: Radiograph, structure: str | None, views: Sequence[View] | None) -> bool:
    """Whether a film is of these views and has a mask or box of the structure."""
    has = structure in radiograph.masks or any(b.structure == structure for b in radiograph.boxes)
    return (views is None or radiograph.view in views) and (structure is None or has)


def _row(
    config: MaskSheetConfig, radiograph: Radiograph, masks: Masks
) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """A film with its masks' outlines, then transformed masks, each with its caption."""
    film = decode(radiograph.image)
    seen = [f.name for f in radiograph.findings if f.state == "present"]
    unknown = [f"{name} unknown" for name, mask in masks.items() if mask is None]
    yield outlined(film, masks), f"{radiograph.view or '?'}: {', '.join([*seen, *unknown])}"
    for column in range(config.columns):
        seed = derive_seed(config.seed, "mask sheet", radiograph.id, column)
        moved = transformed(masks, config.transforms, view=radiograph.view, seed=seed)
        area = ", ".join(_areas(masks, moved))
        flip = "mirrored; " if is_mirrored(config.transforms, seed) else ""
        yield painted(np.zeros((*film.shape, 3), np.uint8), moved, _FILL), flip + area


def _areas(before: Masks, after: Masks) -> Iterator[str]:
    """How large each finding is, in shares of what it was."""
    for name, old in before.items():
        new = after.get(name)
        if name in FINDING_OF and old is not None and new is not None and old.any():
            yield f"{name} x{new.sum() / old.sum():.2f}"


def _legend(structures: Sequence[str], width: int) -> NDArray[np.uint8]:
    """A strip [height, width, 3] with each structure's colour and name."""
    font = ImageFont.load_default(13)
    of = colours(structures)
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
