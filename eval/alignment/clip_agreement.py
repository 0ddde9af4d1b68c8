"""CLIP agreement of images and prompts, with cached embeddings."""

import numpy as np
import torch
from numpy.typing import NDArray

from eval.config import AlignmentConfig, ComparisonConfig
from eval.sets import MINIMUM, Sets
from roentgen.cache import Cache, CacheContents, open_cache
from roentgen.dataset.image_set import ImageSet
from roentgen.distributed import SINGLE_PROCESS, Processes
from roentgen.manifest import fingerprint_of
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.clip_score import RECALLS, clip_scores, distinct, recalls
from roentgen.metrics.estimates import Estimate, NotMeasured
from roentgen.prompts.parser import split_view
from roentgen.record.radiograph import VIEW_WORDS
from roentgen.vision.clip import ClipModel

Prompted = dict[str, tuple[ImageSet, list[str]]]
_CHUNK = 64
CEILING_KEY = "ceiling"
CLIP_METHODS = (
    "Cosine of the embeddings of image and prompt; a view token is written as words. Its floor is "
    "the cosine with a differently worded prompt of another image of the same set. Recall@k: "
    "the share of images whose own prompt is among the k nearest of a pool of differently worded "
    "ones. Real radiographs: the held-out ones that the main set's prompts came from, with those "
    "prompts."
)


def prompted_sets(sets: Sets) -> Prompted:
    """Each synthetic set's images with their prompts, and the real radiographs they came from.

    Images without a prompt are excluded.
    """
    result: Prompted = {name: _own_prompts(images) for name, images in sets.synthetic.items()}
    made_of: dict[str, str] = {}
    for radiograph in sets.synthetic[sets.main].radiographs:
        if radiograph.synthesis and radiograph.synthesis.from_radiograph:
            made_of[radiograph.synthesis.from_radiograph] = radiograph.synthesis.prompt
    rows = [k for k, r in enumerate(sets.test.radiographs) if r.id in made_of]
    prompts = [worded(made_of[sets.test.radiographs[k].id]) for k in rows]
    return {**result, CEILING_KEY: (sets.test.take(np.array(rows, dtype=np.int64)), prompts)}


def worded(prompt: str) -> str:
    """The prompt with its view token as words, which a CLIP model has read before."""
    view, text = split_view(prompt)
    return text if view is None else ", ".join(part for part in (VIEW_WORDS[view], text) if part)


def agreement(
    settings: AlignmentConfig, config: ComparisonConfig, model: ClipModel, prompted: Prompted
) -> tuple[int, dict[str, dict[str, Estimate]]]:
    """The size of the pools, and by set: score, floor, gain and recalls."""
    embedded = {
        name: embed(config, model, images, prompts, SINGLE_PROCESS)
        for name, (images, prompts) in prompted.items()
    }
    pools = {name: distinct(prompts, config.seed, name) for name, (_, prompts) in prompted.items()}
    enough = [len(pool) for pool in pools.values() if len(pool) >= MINIMUM]
    size = min([settings.pool, *enough])
    result: dict[str, dict[str, Estimate]] = {}
    for name, (images, prompts) in prompted.items():
        if len(prompts) < MINIMUM:
            missing = NotMeasured(_few(name, len(prompts)), len(prompts))
            keys = ("score", "floor", "gain", *(f"recall@{k}" for k in RECALLS))
            result[name] = dict.fromkeys(keys, missing)
            continue
        seen, texts = embedded[name]
        weights = resamples(images.patients, config.bootstrap, config.seed)
        found = clip_scores(
            seen, texts, prompts, images.patients, weights, name=name, seed=config.seed
        )
        rows = pools[name][:size]
        if len(rows) < MINIMUM:
            why = f"{len(rows)} differently worded prompts (at least {MINIMUM} needed)"
            found |= {f"recall@{k}": NotMeasured(why, len(rows)) for k in RECALLS}
        else:
            found |= recalls(seen[rows], texts[rows])
        result[name] = found
    return size, result


def embed(
    config: ComparisonConfig,
    model: ClipModel,
    images: ImageSet,
    prompts: list[str],
    processes: Processes,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images and prompts, (N, d) each; computed by all of `processes` unless cached."""
    d = model.dimension
    if not prompts:
        return np.empty((0, d), np.float32), np.empty((0, d), np.float32)
    key = fingerprint_of([images.key, prompts, model.definition])
    contents = CacheContents(
        key=key,
        items=len(prompts),
        tensors={"image": (torch.float32, (d,)), "text": (torch.float32, (d,))},
    )

    def encode(items: range) -> dict[str, torch.Tensor]:
        seen = model.encode_images(images.images[slice(items.start, items.stop)])
        texts = model.encode_texts([prompts[k] for k in items])
        return {"image": torch.from_numpy(seen), "text": torch.from_numpy(texts)}

    cache: Cache = open_cache(
        config.caches_folder / f"clip-{key}",
        contents,
        encode,
        label=f"images and prompts of {images.name}",
        chunk=_CHUNK,
        name_of=lambda item: f"image {images.radiographs[item].id!r}",
        processes=processes,
    )
    everything = range(len(prompts))
    return cache.read("image", everything).numpy(), cache.read("text", everything).numpy()


def _own_prompts(images: ImageSet) -> tuple[ImageSet, list[str]]:
    rows = [k for k, r in enumerate(images.radiographs) if r.synthesis]
    made = [images.radiographs[k].synthesis for k in rows]
    chosen = images.take(np.array(rows, dtype=np.int64))
    return chosen, [worded(synthesis.prompt) for synthesis in made if synthesis]


def _few(name: str, count: int) -> str:
    if name == CEILING_KEY:
        return f"the prompts were made of {count} held-out radiographs (at least {MINIMUM} needed)"
    return f"{count} images have a prompt (at least {MINIMUM} needed)"
