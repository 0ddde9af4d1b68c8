"""Segmenters that evaluation trains: once for each training set and seed, kept in the caches."""

from collections.abc import Sequence

import numpy as np

from eval.comparison import ComparisonConfig
from eval.networks.classifiers import device
from roentgen.config import config_to_dict
from roentgen.dataset.image_set import ImageSet, join
from roentgen.dataset.structure_masks import is_any_known, structures_shown
from roentgen.manifest import fingerprint_of
from roentgen.storage import whole_folder
from roentgen.vision.segmenter import Segmenter, load_segmenter, train_segmenter


def trained_segmenter(
    config: ComparisonConfig, structures: Sequence[str], seed: int, *sets: ImageSet
) -> Segmenter:
    """Trained on these sets together, or as it was kept when that was done before."""
    folder = config.caches_folder / f"segmenter-{segmenter_key(config, structures, seed, *sets)}"
    if not folder.exists():
        segmenter = train(config, structures, seed, *sets)
        with whole_folder(folder) as partial:
            segmenter.save(partial)
    return load_segmenter(folder, device())


def train(
    config: ComparisonConfig, structures: Sequence[str], seed: int, *sets: ImageSet
) -> Segmenter:
    """One network on these sets together: on those images of which a structure is known."""
    known = join(with_masks(images, structures) for images in sets)
    return train_segmenter(
        known.images,
        known.masks(structures),
        structures=structures,
        config=config.segmenter,
        seed=seed,
        device=device(),
    )


def with_masks(images: ImageSet, structures: Sequence[str]) -> ImageSet:
    """Those images of which a structure is known."""
    shown = {split: structures_shown(split) for split in images.splits}
    items = []
    for item, radiograph in enumerate(images.without_images()):
        split, row = images.place(item)
        if is_any_known(radiograph, shown[split](row), structures):
            items.append(item)
    return images.take(np.array(items, dtype=int))


def segmenter_key(
    config: ComparisonConfig, structures: Sequence[str], seed: int, *sets: ImageSet
) -> str:
    """Of all that a network depends on."""
    settings = config_to_dict(config.segmenter)
    return fingerprint_of([[s.key for s in sets], list(structures), seed, settings])


def segmenter_text(config: ComparisonConfig) -> str:
    """The network in words."""
    c = config.segmenter
    return (
        f"Network: U-Net of segmentation_models_pytorch with the encoder {c.encoder}, from "
        f"scratch, {c.steps} steps of {c.batch_size} images, cross-entropy and soft Dice; shifted, "
        "turned and scaled a little, never flipped. Pixels whose structure is not known bear on "
        "nothing. A pixel is inside from a probability of 0.5 on."
    )
