"""How mask fidelity is shown: the tables, plots, pictures and words made of its numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.config import EvaluateConfig
from eval.masks.overlap import STRAY
from eval.masks.scores import Obeyed
from eval.networks.segmenters import segmenter_text
from eval.report.plots import Plot, dots
from eval.report.section import Line, Pictures, Strip, Table
from eval.sets import ImageSet
from roentgen.imaging.overlay import colour_names, outlined, painted
from roentgen.metrics.estimates import BOOTSTRAP, Floats
from roentgen.randomness import numpy_generator
from roentgen.record.structures import Masks
from roentgen.vision.segmenter import Segmenter

REAL, MEAN = "real films", "mean"
DICE = (
    "Dice: twice what two masks have in common by the sum of their areas; IoU: what they have in "
    "common by what either covers."
)
_FILL = 0.45  # of the colour of what was found


def definition(config: EvaluateConfig, learnt: int, held_out: int) -> tuple[str, ...]:
    """What was done, in words."""
    assert config.masks is not None
    return (
        f"A segmenter learns the structures from {learnt} real films of the train split and their "
        "own masks. Where it finds each in a synthetic image is compared with the mask that was "
        f'asked for. "{REAL}": what it finds in {held_out} held-out real films that have masks, '
        "against these: the ceiling of what it can see.",
        segmenter_text(config),
        f"{DICE} Both are the mean over the images for which the structure was asked for, that is "
        "whose mask has a pixel.",
        "By chance: Dice with the mask of another image of the same set and view, drawn by lot, "
        "where both have the structure: what a set has that does not heed its masks.",
        "Stray: of the images whose mask of the structure is empty, the share in which it is found "
        f"all the same, on at least {100 * STRAY:g} % of the image.",
        BOOTSTRAP.format(samples=config.bootstrap, what="patients whose masks were asked for"),
    )


def summary(obeyed: Mapping[str, Obeyed]) -> tuple[Line, ...]:
    """The mean Dice."""
    return (
        Line(
            measure="Mean Dice of structures asked for and found (higher is better)",
            sets={name: each.dice[MEAN] for name, each in obeyed.items() if name != REAL},
            real=obeyed[REAL].dice[MEAN],
        ),
    )


def tables(obeyed: Mapping[str, Obeyed], structures: Sequence[str]) -> tuple[Table, ...]:
    """Each measure, a structure a row and a set a column."""

    def table(name: str, caption: str, field: str) -> Table:
        rows = [
            (structure, *(getattr(each, field)[structure] for each in obeyed.values()))
            for structure in (*structures, MEAN)
        ]
        return Table(name=name, caption=caption, columns=("Structure", *obeyed), rows=tuple(rows))

    return (
        table("masks-dice", "Dice of what was asked for and what is found", "dice"),
        table("masks-iou", "IoU of what was asked for and what is found", "iou"),
        table("masks-by-chance", "Dice by chance, with another image's mask", "shuffled"),
        table("masks-strays", "Share of images with a structure that was not asked for", "strays"),
    )


def plots(obeyed: Mapping[str, Obeyed]) -> tuple[Plot, ...]:
    """Dice by structure."""
    plot = dots(
        {name: {**each.dice} for name, each in obeyed.items()},
        "Dice of what was asked for and what is found, with 95 % intervals. Real films are the "
        "segmenter's ceiling.",
    )
    return (plot,) if plot is not None else ()


def pictures(
    config: EvaluateConfig, images: ImageSet, found: Floats, segmenter: Segmenter
) -> list[Pictures]:
    """Triples of mask, picture and overlay: drawn by lot, and the best, median and worst."""
    structures = segmenter.spec.structures
    asked = np.flatnonzero(~np.isnan(found).all(axis=1))
    if not len(asked):
        return []
    means = np.nanmean(found[asked], axis=1)
    ranked = asked[np.argsort(-means, kind="stable")]
    lot = numpy_generator(config.seed, "masks", images.name).permutation(asked)
    middle = (len(ranked) - 1) // 2
    rows = {
        "drawn by lot": sorted(lot[: 2 * config.pictures].tolist()),
        "highest, median and lowest mean Dice": ranked[[0, middle, -1]].tolist(),
    }
    legend = ", ".join(f"{name} {colour}" for name, colour in colour_names(structures).items())
    return [
        Pictures(
            title=f"{images.name}, {how}: mask, picture, and both with what is found ({legend})",
            strips=tuple(_triple(images, row, found[row], segmenter) for row in chosen),
        )
        for how, chosen in rows.items()
    ]


def _triple(images: ImageSet, row: int, values: Floats, segmenter: Segmenter) -> Strip:
    structures = segmenter.spec.structures
    rows = np.array([row])
    picture = images.images[rows]
    asked = _named(images.masks(structures)[rows][0] == 1, structures)
    found = _named(segmenter.predict(picture)[0] >= 0.5, structures)
    gray = np.repeat(picture[0][..., None], 3, axis=2)
    mask = painted(np.zeros_like(gray), asked, 0.8)
    overlay = outlined(painted(gray, found, _FILL), asked)
    measured = zip(structures, values, strict=True)
    told = ", ".join(f"{name} {value:.2f}" for name, value in measured if not np.isnan(value))
    radiograph = images.radiographs[row]
    prompt = radiograph.synthesis.prompt if radiograph.synthesis else radiograph.id
    return Strip(
        caption=f"{prompt}. Dice: {told}",
        alt=f"Masks asked for, image {radiograph.id}, and the image with masks and what is found",
        images=np.stack([mask, gray, overlay]),
    )


def _named(masks: NDArray[np.bool_], structures: Sequence[str]) -> Masks:
    return dict(zip(structures, masks, strict=True))
