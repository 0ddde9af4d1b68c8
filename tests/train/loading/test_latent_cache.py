from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.components import Components
from roentgen.errors import InputError
from roentgen.preparation.filtered_split import FilteredSplit
from train.config_sections import AugmentConfig
from train.loading.augment import Augmenter
from train.loading.image_variants import ImageVariants
from train.loading.latent_cache import LatentCache, cache_latents, plan_latents

Make = Callable[..., LatentCache]


@pytest.fixture
def components(make_small_components: Callable[..., Components]) -> Components:
    return make_small_components()


@pytest.fixture
def split(small_dataset: Path) -> FilteredSplit:
    whole = open_dataset(small_dataset).split("train")
    return FilteredSplit.of(whole)


@pytest.fixture
def make(tmp_path: Path, components: Components, split: FilteredSplit) -> Make:
    """Makes the cache of a split below tmp_path: `make()`."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True)

    def cached(
        of: FilteredSplit = split, augmenter: Augmenter | None = None, dataset: str = "dataset"
    ) -> LatentCache:
        images = ImageVariants(images=of, dataset=dataset, size=32, augmenter=augmenter)
        return cache_latents(tmp_path, plan_latents(images, components.vae), accelerator)

    return cached


@torch.no_grad()
def posterior(components: Components, image: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """By diffusers' own preprocessing."""
    from diffusers.image_processor import VaeImageProcessor

    pixels = VaeImageProcessor().preprocess(np.stack([image] * 3, -1)[None] / 255)
    found = components.vae.encode(pixels.float()).latent_dist
    return found.mean[0], found.std[0]


def test_they_are_the_posteriors_of_the_images(
    make: Make, components: Components, split: FilteredSplit
) -> None:
    means, stds = make().posteriors([5, 0, 5])
    assert means.dtype == stds.dtype == torch.float32
    for k, item in enumerate([5, 0, 5]):
        mean, std = posterior(components, split.images[np.array([item])][0])
        torch.testing.assert_close(means[k], mean, rtol=2**-10, atol=2**-10)  # float16
        torch.testing.assert_close(stds[k], std, rtol=2**-10, atol=0)


def test_once_made_no_image_is_read(
    make: Make, split: FilteredSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make().posteriors(range(16))

    def unreadable(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("roentgen.dataset.dataset.decode", unreadable)
    again = make().posteriors(range(16))
    assert all(a.equal(b) for a, b in zip(made, again, strict=True))
    with pytest.raises(AssertionError):  # as soon as they belong to other images
        make(dataset="another")


def test_what_latents_depend_on_makes_another_folder(
    make: Make, components: Components, split: FilteredSplit, tmp_path: Path
) -> None:
    def folders() -> int:
        return len(list(tmp_path.iterdir()))

    make()
    with torch.no_grad():
        next(components.vae.decoder.parameters()).add_(1)
    make()
    assert folders() == 1  # the decoder has no say
    with torch.no_grad():
        next(components.vae.encoder.parameters()).add_(1)
    make()
    assert folders() == 2
    make(split.take(np.arange(15)))
    assert folders() == 3
    make(split.take(np.array([1, 0, *range(2, 15)])))
    assert folders() == 4
    make(augmenter=Augmenter(config=AugmentConfig(variants=2), seed=0))
    assert folders() == 5
    make(augmenter=Augmenter(config=AugmentConfig(variants=2), seed=1))
    assert folders() == 6


def test_variants_are_the_posteriors_of_changed_images(
    make: Make, components: Components, split: FilteredSplit
) -> None:
    augmenter = Augmenter(config=AugmentConfig(variants=3), seed=7)
    made, plain = make(augmenter=augmenter), make()
    items, variants = [4, 4, 4, 15], [0, 1, 2, 2]
    means, _ = made.posteriors(items, variants)
    assert means[0].equal(plain.posteriors([4])[0][0])
    for mean, item, variant in zip(means, items, variants, strict=True):
        image = augmenter.variant(split.images[np.array([item])][0], split[item].id, variant)
        expected, _ = posterior(components, image)
        torch.testing.assert_close(mean, expected, rtol=2**-10, atol=2**-10)
    assert not torch.allclose(means[1], means[0], atol=1e-3)


def test_a_broken_vae_is_told_by_the_radiograph(make: Make, components: Components) -> None:
    with torch.no_grad():
        next(components.vae.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="radiograph 'train-0': 'mean' is not finite"):
        make()


def test_an_image_of_another_size_is_refused(
    make: Make, tmp_path: Path, make_small_dataset: Callable[..., Path]
) -> None:
    other = open_dataset(make_small_dataset(tmp_path / "other", size=64)).split("train")
    with pytest.raises(InputError, match="image 'train-0' is 64x64, others are 32x32"):
        make(FilteredSplit.of(other).take(np.arange(2)))
