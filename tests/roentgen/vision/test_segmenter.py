from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from roentgen.dataset.structure_masks import UNKNOWN
from roentgen.errors import InputError
from roentgen.metrics.images.dice import dice
from roentgen.vision.network_settings import SegmenterConfig
from roentgen.vision.segmenter import augment, load_segmenter, masked_loss, train_segmenter

SIZE = 32
CONFIG = SegmenterConfig(widths=(16, 16, 8, 8, 8), steps=60, batch_size=8, learning_rate=4e-3)
STRUCTURES = ("disc", "bar")


def drawn(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bright discs and dark bars on noise, and where they are; every second has no bar."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    images, masks = [], []
    for i in range(count):
        y, x = generator.uniform(8, 24, 2)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < 36
        top = generator.integers(2, 28)
        bar = (rows >= top) & (rows < top + 3) & bool(i % 2)
        image = 110 + generator.normal(0, 8, (SIZE, SIZE)) + 90 * disc - 90 * bar
        images.append(image.clip(0, 255).astype(np.uint8))
        masks.append(np.stack([disc, bar]))
    return np.stack(images), np.stack(masks).astype(np.uint8)


def test_it_finds_what_it_was_shown_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    images, masks = drawn(64, seed=0)
    made = train_segmenter(images, masks, structures=STRUCTURES, config=CONFIG, seed=1)
    others, truth = drawn(20, seed=1)
    found = made.predict(others)
    assert found.shape == (20, 2, SIZE, SIZE)
    scores = dice(found >= 0.5, truth == 1).mean(axis=0)
    assert scores.min() > 0.85, scores

    short = replace(CONFIG, steps=2)
    pair = [
        train_segmenter(images, masks, structures=STRUCTURES, config=short, seed=seed)
        for seed in (1, 1, 2)
    ]
    same, other = (
        all(
            torch.equal(a, b)
            for a, b in zip(pair[0].network.parameters(), later.network.parameters(), strict=True)
        )
        for later in pair[1:]
    )
    assert same
    assert not other

    made.save(tmp_path / "s")
    again = load_segmenter(tmp_path / "s")
    assert again.spec == made.spec
    np.testing.assert_array_equal(again.predict(others), found)


def test_what_is_not_known_bears_on_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 8, 8, generator=generator)
    masks = (torch.rand(2, 2, 8, 8, generator=generator) < 0.5).float()
    masks[0, :, 4:] = UNKNOWN
    masks[1, 1] = UNKNOWN
    before = masked_loss(logits, masks)
    changed = logits.clone()
    changed[masks == UNKNOWN] += 5
    assert torch.equal(masked_loss(changed, masks), before)
    known = logits.clone()
    known[1, 0, 0, 0] += 5
    assert not torch.equal(masked_loss(known, masks), before)
    # A perfect answer costs nothing, the contrary everything.
    sure = torch.where(masks == 1, 50.0, -50.0)
    assert masked_loss(sure, masks) < 1e-3
    assert masked_loss(-sure, masks) > 1.5


def test_masks_move_with_their_images_and_do_not_blend() -> None:
    _, masks = drawn(6, seed=3)
    told = torch.from_numpy(masks)
    as_images = told[:, :1].float() * 2 - 1
    config = SegmenterConfig(shift=0.1, rotation=20, scale=0.2, contrast=0)
    moved, labels = augment(as_images, told, config, torch.Generator().manual_seed(0))
    assert set(labels.flatten().tolist()) <= {0, 1, UNKNOWN}
    inside = labels[:, 0] != UNKNOWN
    agree = ((moved[:, 0] > 0) == (labels[:, 0] == 1))[inside].float().mean()
    assert agree > 0.97
    assert not torch.equal(labels[:, 0], told[:, 0].float())


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    images, masks = drawn(4, seed=0)

    def train(images: NDArray[np.uint8], masks: NDArray[np.uint8], **changes: object) -> None:
        config = replace(CONFIG, steps=1, **changes)  # type: ignore[arg-type]
        train_segmenter(images, masks, structures=STRUCTURES, config=config, seed=0)

    with pytest.raises(InputError, match="nothing to train a segmenter on: 0 images"):
        train(images[:0], masks[:0])
    with pytest.raises(InputError, match="images of 30x32 pixels"):
        train(images[:, :, :30], masks[..., :30])
    with pytest.raises(InputError, match="encoder 'resnet17' is not known"):
        train(images, masks, encoder="resnet17")
    with pytest.raises(InputError, match="give five numbers"):
        replace(CONFIG, widths=(8,))
    made = train_segmenter(
        images, masks, structures=STRUCTURES, config=replace(CONFIG, steps=1), seed=0
    )
    with pytest.raises(InputError, match="32 pixels a side, these are 16x16"):
        made.predict(images[:, :16, :16])
    with pytest.raises(InputError, match="no segmenter in"):
        load_segmenter(tmp_path)
    made.save(tmp_path)
    (tmp_path / "segmenter.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="is damaged"):
        load_segmenter(tmp_path)
