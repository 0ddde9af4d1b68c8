"""Mask fidelity: whether what is drawn lies where its masks say."""

import numpy as np

from eval.config import EvaluateConfig
from eval.config_sections import MasksConfig
from eval.finding_scores import resamples
from eval.masks.display import MEAN, REAL, definition, pictures, plots, summary, tables
from eval.masks.overlap import Overlap, overlap, score, sources
from eval.masks.scores import Obeyed
from eval.networks.segmenters import trained_segmenter, with_masks
from eval.report.section import Part
from eval.sets import ImageSet, Sets
from roentgen.dataset.structure_masks import check_structures
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.paired_scores import Score, mean_of, share
from roentgen.vision.segmenter import FOLD, Segmenter

SEED = 0  # of the segmenter's training


def check_masks(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for a set without the masks, or images that the segmenter cannot read."""
    check_have_masks(_section(config).structures, *sets.all())


def check_have_masks(structures: tuple[str, ...], *sets: ImageSet) -> None:
    """Raise InputError for a set without a mask of one of the structures, or of no such size."""
    for images in sets:
        for split in images.splits:
            folder, counts = images.dataset.folder, images.dataset.manifest["counts"][split]
            check_structures(counts, structures, str(folder), split)
        if images.size % FOLD:
            raise InputError(
                f"images of {images.dataset.folder} have {images.size} pixels a side: segmenters "
                f"read multiples of {FOLD}; prepare both sets at such a size"
            )


def fill_masks(config: EvaluateConfig, sets: Sets) -> None:
    """Train the segmenter, unless it was; the first process does."""
    if this_launch().is_main_process:
        judge(config, sets)


def measure_masks(config: EvaluateConfig, sets: Sets) -> Part:
    """What the segmenter finds in every set, and in the held-out real films: its ceiling."""
    segmenter = judge(config, sets)
    compared = {**sets.synthetic, REAL: sets.test}
    found = {name: overlap(images, segmenter, config.seed) for name, images in compared.items()}
    obeyed = {name: _obeyed(config, compared[name], each) for name, each in found.items()}
    return Part(
        name="masks",
        title="Masks: does it lie where it was asked?",
        definition=definition(
            config,
            *(len(with_masks(s, segmenter.spec.structures)) for s in (sets.train, sets.test)),
        ),
        numbers=obeyed,
        summary=summary(obeyed),
        tables=tables(obeyed, _section(config).structures),
        plots=plots(obeyed),
        pictures=tuple(
            group
            for name, images in sets.synthetic.items()
            for group in pictures(config, images, found[name].dice, segmenter)
        ),
    )


def judge(config: EvaluateConfig, sets: Sets) -> Segmenter:
    """The segmenter of the real train split."""
    return trained_segmenter(config, _section(config).structures, SEED, sets.train)


def _obeyed(config: EvaluateConfig, images: ImageSet, found: Overlap) -> Obeyed:
    weights = resamples(sources(images), config.bootstrap, config.seed)

    def each(values: np.ndarray) -> dict[str, Estimate]:
        scores: dict[str, Score] = {
            name: score([values[:, k]], weights, config.min_cases)
            for k, name in enumerate(_section(config).structures)
        }
        mean, note = mean_of(list(scores.values()), "structures")
        return {
            MEAN: share(mean, note),
            **{name: share(one) for name, one in scores.items()},
        }

    return Obeyed(
        dice=each(found.dice),
        iou=each(found.iou),
        shuffled=each(found.shuffled),
        strays=each(found.strays),
    )


def _section(config: EvaluateConfig) -> MasksConfig:
    assert config.masks is not None
    return config.masks
