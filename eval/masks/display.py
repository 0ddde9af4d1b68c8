"""Mask fidelity display: its methods, tables, plots and pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.config import ComparisonConfig
from eval.masks.scores import FALSE_POSITIVE_AREA, MaskFidelity
from eval.networks import segmenter_text
from eval.report.as_requested import as_requested
from eval.report.plots import Plot, dots
from eval.report.section import CEILING, Better, Pictures, Strip, SummaryLine, Table
from eval.report.verdict import Verdict
from roentgen.dataset.image_set import ImageSet
from roentgen.imaging.overlay import color_names, outlined, painted
from roentgen.metrics.estimates import BOOTSTRAP, Floats
from roentgen.metrics.paired_scores import MEAN
from roentgen.randomness import numpy_generator
from roentgen.record.radiograph import Masks
from roentgen.vision.segmenter import Segmenter

DICE = (
    "Dice: twice the area that two masks share, over the sum of their areas; IoU: the area that "
    "they share, over the area that either covers."
)
_FILL = 0.45  # of the color of what the segmenter finds


def methods(config: ComparisonConfig, trained_on: int, held_out: int) -> tuple[str, ...]:
    """How it was measured, in words."""
    return (
        f"A segmenter is trained on the structures of {trained_on} radiographs of the train "
        "split and their masks. What it finds in a synthetic image is compared with the mask that "
        f'the image was generated from. "{CEILING}": what it finds in {held_out} held-out '
        "radiographs with masks, against these.",
        segmenter_text(config),
        f"{DICE} Both are means over the images whose mask of the structure is not empty.",
        "Chance: Dice with the mask of another image of the same set and view, sampled at random, "
        "where both masks are not empty: the level of a set that ignores its masks.",
        "False positives: of the images whose mask of the structure is empty, the share in which "
        f"it is found on at least {100 * FALSE_POSITIVE_AREA:g} % of the image.",
        BOOTSTRAP.format(samples=config.bootstrap, what="the patients of the masks"),
    )


def summary(numbers: Mapping[str, MaskFidelity]) -> tuple[SummaryLine, ...]:
    """The mean Dice."""
    means = {name: of.dice[MEAN] for name, of in numbers.items()}
    return (SummaryLine.of("Mask fidelity (mean Dice)", means, better="higher"),)


def verdict(numbers: Mapping[str, MaskFidelity], main: str) -> tuple[Verdict, ...]:
    """Whether structures lie where the masks have them; chance is another image's mask."""
    own, chance = numbers[main], numbers[main].shuffled_dice[MEAN].value
    if chance is None:
        return ()
    dice = own.dice[MEAN], numbers["test"].dice[MEAN]
    return as_requested("masks", "Structures", "mean Dice with their masks", *dice, chance)


def tables(numbers: Mapping[str, MaskFidelity], structures: Sequence[str]) -> tuple[Table, ...]:
    """One a measure: a structure a row and a set a column."""
    labeled = _labeled(numbers)

    def table(name: str, caption: str, field: str, better: Better | None = "higher") -> Table:
        rows = [
            (structure, *(getattr(of, field)[structure] for of in labeled.values()))
            for structure in (*structures, MEAN)
        ]
        return Table(
            name=name,
            caption=caption,
            columns=("Structure", *labeled),
            rows=tuple(rows),
            better=better,
            base=next(iter(labeled)),
            radiographs=CEILING,
            folded=field != "dice",
        )

    return (
        table("masks-dice", "Dice of masks and segmented structures", "dice"),
        table("masks-iou", "IoU of masks and segmented structures", "iou"),
        table("masks-chance", "Chance: Dice with another image's masks", "shuffled_dice", None),
        table(
            "masks-false-positives",
            "Share of images with an empty mask in which the structure is found",
            "false_positives",
            "lower",
        ),
    )


def plots(numbers: Mapping[str, MaskFidelity]) -> tuple[Plot, ...]:
    """Dice by structure."""
    plot = dots(
        {name: {**of.dice} for name, of in _labeled(numbers).items()},
        "Dice of masks and segmented structures, with 95% intervals. Held-out radiographs "
        "are the segmenter's ceiling.",
    )
    return (plot,) if plot is not None else ()


def pictures(
    config: ComparisonConfig, images: ImageSet, dice: Floats, segmenter: Segmenter
) -> list[Pictures]:
    """Triples of mask, image and overlay: sampled at random, and the best, median and worst."""
    structures = segmenter.spec.structures
    with_mask = np.flatnonzero(~np.isnan(dice).all(axis=1))
    if not len(with_mask):
        return []
    means = np.nanmean(dice[with_mask], axis=1)
    ranked = with_mask[np.argsort(-means, kind="stable")]
    order = numpy_generator(config.seed, "masks", images.name).permutation(with_mask)
    middle = (len(ranked) - 1) // 2
    rows = {
        "sampled at random": sorted(order[: 2 * config.pictures].tolist()),
        "highest, median and lowest mean Dice": ranked[[0, middle, -1]].tolist(),
    }
    legend = ", ".join(f"{name} {color}" for name, color in color_names(structures).items())
    return [
        Pictures(
            title=f"{images.name}, {how}: mask, image, and both with the segmentation ({legend})",
            strips=tuple(_triple(images, row, dice[row], segmenter) for row in chosen),
        )
        for how, chosen in rows.items()
    ]


def _triple(images: ImageSet, row: int, dice: Floats, segmenter: Segmenter) -> Strip:
    structures = segmenter.spec.structures
    rows = np.array([row])
    picture = images.images[rows]
    masks = _named(images.masks(structures)[rows][0] == 1, structures)
    found = _named(segmenter.predict(picture)[0] >= 0.5, structures)
    gray = np.repeat(picture[0][..., None], 3, axis=2)
    painted_masks = painted(np.zeros_like(gray), masks, 0.8)
    overlay = outlined(painted(gray, found, _FILL), masks)
    measured = zip(structures, dice, strict=True)
    scores = ", ".join(f"{name} {value:.2f}" for name, value in measured if not np.isnan(value))
    radiograph = images.radiographs[row]
    prompt = radiograph.synthesis.prompt if radiograph.synthesis else radiograph.id
    return Strip(
        caption=f"{prompt}. Dice: {scores}",
        alt=f"Masks of image {radiograph.id}, the image, and both with what the segmenter finds",
        images=np.stack([painted_masks, gray, overlay]),
    )


def _named(masks: NDArray[np.bool_], structures: Sequence[str]) -> Masks:
    return dict(zip(structures, masks, strict=True))


def _labeled(numbers: Mapping[str, MaskFidelity]) -> dict[str, MaskFidelity]:
    return {(CEILING if name == "test" else name): of for name, of in numbers.items()}
