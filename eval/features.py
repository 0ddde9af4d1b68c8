"""Features of image sets: one pass for each set and extractor, cached by content."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.config import ComparisonConfig, ExtractorConfig
from roentgen.cache import Cache, CacheContents, open_cache
from roentgen.dataset.image_set import ImageSet
from roentgen.distributed import SINGLE_PROCESS, Processes
from roentgen.manifest import fingerprint_of
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.vision.features.extractor import load_extractor
from roentgen.vision.features.network import Extractor

_CHUNK = 64
_NAME = "features"


class CachedFeatures:
    """Features (n, d) on disk, read when they are indexed: memory does not grow with n."""

    def __init__(self, cache: Cache, shape: tuple[int, int]) -> None:
        self._cache, self.shape = cache, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[Any]:
        """float32, in the order of `rows`."""
        items = np.arange(len(self))[rows]
        if not len(items):
            return np.empty((0, self.shape[1]), np.float32)
        return self._cache.read(_NAME, items.tolist()).numpy()


def open_extractor(chosen: ExtractorConfig, device: torch.device | str = "cpu") -> Extractor:
    """A configured extractor. Raises InputError that says how to get weights that are missing."""
    return load_extractor(chosen.name, chosen.weights, device)


def features_of(
    config: ComparisonConfig,
    images: ImageSet,
    extractor: Extractor,
    processes: Processes = SINGLE_PROCESS,
) -> FeatureSet:
    """The features of every image of a set, in its order.

    Made by all of `processes`, unless cached for the same pixels, preparation and weights; after an
    interrupted run only what is missing. Raises InputError for a feature that is not finite.
    """
    d = extractor.definition.dimension
    key = fingerprint_of([images.key, images.size, asdict(extractor.definition)])
    contents = CacheContents(key=key, items=len(images), tensors={_NAME: (torch.float32, (d,))})

    def encode(items: range) -> dict[str, torch.Tensor]:
        pixels = images.images[slice(items.start, items.stop)]
        return {_NAME: torch.from_numpy(extractor(pixels))}

    cache = open_cache(
        config.caches_folder / f"features-{key}",
        contents,
        encode,
        label=f"{images.name} ({extractor.definition.name})",
        chunk=_CHUNK,
        name_of=lambda item: f"image {images.radiographs[item].id!r} of {images.name}",
        processes=processes,
    )
    return FeatureSet(features=CachedFeatures(cache, (len(images), d)), patients=images.patients)
