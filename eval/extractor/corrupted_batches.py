"""Batches of corrupted images with the strength of each corruption: what the extractor learns from.

Most corruptions are applied when a batch is drawn. Two kinds are made beforehand, as they take
long: round trips through a VAE, and phantoms without some of their bones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.extractor.config import CorruptionConfig
from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.dataset.image_set import Images
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.vae import reconstruct
from roentgen.imaging.images import decode
from roentgen.metrics.estimates import Floats
from roentgen.randomness import derive_seed, numpy_generator
from roentgen.vision.features.corruptions import CORRUPTIONS, Image, corrupt

VAE, BONES = len(CORRUPTIONS), len(CORRUPTIONS) + 1
KINDS = (*CORRUPTIONS, "vae", "bones")  # the columns of targets
_LEVELS = 4  # of missing bones: 1/4, 2/4, 3/4 and all


class Batch(NamedTuple):
    """Images (N, H, W) uint8 and strengths (N, KINDS) in [0, 1], 0 without the corruption."""

    images: NDArray[np.uint8]
    strengths: NDArray[np.float32]


class CorruptedBatches:
    """Batches drawn from image sets; the next batch depends on the seed and on those before."""

    def __init__(self, sources: Sequence[Images], config: CorruptionConfig, seed: int) -> None:
        """`sources`: the labeled images, and the unlabeled ones if there are any."""
        self._sources, self._config = sources, config
        self._generator = numpy_generator(seed, "extractor", "corruptions")
        self._passed = _through_vae(sources, config, self._generator)
        self._incomplete = _incomplete(sources[0][:1].shape[1], config.incomplete_studies, seed)

    def draw(self) -> Batch:
        """The next batch."""
        drawn = [self._image() for _ in range(self._config.batch_size)]
        images, strengths = zip(*drawn, strict=True)
        return Batch(np.stack(images), np.stack(strengths))

    def _image(self) -> tuple[Image, NDArray[np.float32]]:
        config, draw = self._config, self._generator
        strengths = np.zeros(len(KINDS), np.float32)
        kind = None if draw.random() < config.clean else int(draw.integers(len(KINDS)))
        if kind == VAE:
            trips = int(draw.integers(config.round_trips))
            image = self._passed[trips, draw.integers(len(self._passed[trips]))]
            strengths[VAE] = (trips + 1) / config.round_trips
        elif kind == BONES:
            chosen = int(draw.integers(len(self._incomplete.images)))
            image = self._incomplete.images[chosen]
            strengths[BONES] = self._incomplete.strengths[chosen, BONES]
        else:
            source = self._sources[int(draw.random() < config.unlabeled and len(self._sources) > 1)]
            image = source[np.array([draw.integers(len(source))])][0]
        image = varied(image, draw)
        kinds = [] if kind is None or kind in (VAE, BONES) else [kind]
        if kind is not None and draw.random() < config.twice:
            kinds.append(int(draw.integers(len(CORRUPTIONS))))
        for each in kinds:
            strength = 1 - draw.random()
            image = corrupt(image, CORRUPTIONS[each], strength, draw)
            strengths[each] = max(strengths[each], strength)
        return image, strengths


def varied(image: Image, generator: np.random.Generator) -> Image:
    """The image shifted by whole pixels, with another contrast and brightness: nothing is blurred.

    Shifts are up to a twentieth of the side; what enters repeats the edge.
    """
    side = len(image)
    most = side // 20
    down, right = generator.integers(0, 2 * most + 1, 2)
    moved = np.pad(image, most, mode="edge")[down : down + side, right : right + side]
    gain, offset = generator.uniform(0.85, 1.15), generator.uniform(-19, 19)
    changed = (moved - 127.5) * gain + 127.5 + offset
    result: Image = changed.round().clip(0, 255).astype(np.uint8)
    return result


def _through_vae(
    sources: Sequence[Images], config: CorruptionConfig, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """(round trips, N, H, W): some images of each source after each pass through the VAE."""
    each = config.vae_images // len(sources)
    images = np.concatenate(
        [source[np.sort(generator.permutation(len(source))[:each])] for source in sources]
    )
    vae = load_components(config.vae).vae
    passes = []
    for _ in range(config.round_trips):
        images = np.stack(list(reconstruct(vae, images)))
        passes.append(images)
    return np.stack(passes)


def _incomplete(size: int, studies: int, seed: int) -> Batch:
    """Phantoms without some of their bones, as many studies of each share."""
    images: list[Image] = []
    strengths: list[Floats] = []
    for level in range(1, _LEVELS + 1):
        share = level / _LEVELS
        drawn = PhantomConfig(
            train=studies // _LEVELS, validate=0, test=0, masks=False, missing_bones=share
        )
        reader = PhantomReader(drawn, size, derive_seed(seed, "incomplete phantoms", level))
        found = [decode(r.image) for item in reader.plan().items for r in reader.read(item)]
        images += found
        target = np.zeros(len(KINDS))
        target[BONES] = share
        strengths += [target] * len(found)
    return Batch(np.stack(images), np.stack(strengths).astype(np.float32))
