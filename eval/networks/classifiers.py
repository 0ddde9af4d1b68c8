"""Networks that evaluation trains: once for each training set and seed, kept in the caches.

What is trained for utility is kept as what it says of the films that it is judged on: that is all
that is asked of it, and a thousandth of its size.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from eval.comparison import ComparisonConfig
from roentgen.dataset.image_set import ImageSet, LabeledImages
from roentgen.distributed import this_launch
from roentgen.manifest import fingerprint_of
from roentgen.metrics.estimates import Floats
from roentgen.storage import whole_folder, write_file
from roentgen.vision.backbones import OURS
from roentgen.vision.classifier import (
    Classifier,
    load_classifier,
    settings_key,
    train_classifier,
)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of a training: on these images, for so many steps, at this peak rate."""

    images: LabeledImages
    steps: int
    learning_rate: float


def trained(config: ComparisonConfig, seed: int, images: LabeledImages) -> Classifier:
    """The network trained on these images, or as it was kept when that was done before."""
    told = config.classifier
    phases = [Phase(images=images, steps=told.steps, learning_rate=told.learning_rate)]
    folder = config.caches_folder / f"classifier-{_key(config, seed, phases)}"
    if not folder.exists():
        classifier = _train(config, seed, phases)
        with whole_folder(folder) as partial:
            classifier.save(partial)
    return load_classifier(folder, device())


def predicted(
    config: ComparisonConfig, seed: int, phases: Sequence[Phase], judged: Sequence[ImageSet]
) -> list[Floats]:
    """What a network trained in these phases says of each set, (N, findings) probabilities."""
    key = fingerprint_of([_key(config, seed, phases), [images.key for images in judged]])
    file = config.caches_folder / f"predictions-{key}.safetensors"

    def predict() -> list[Floats]:
        classifier = _train(config, seed, phases)
        return [classifier.predict(images.images).findings for images in judged]

    return cached(file, len(judged), predict)


def cached(file: Path, count: int, make: Callable[[], list[Floats]]) -> list[Floats]:
    """`count` arrays of a file, or made and kept there if it is not there or damaged."""
    kept = _kept(file, count)
    if kept is None:
        if file.exists():
            print(f"{file} is damaged: it is made again")  # noqa: T201
        kept = make()
        arrays = {str(i): np.ascontiguousarray(each) for i, each in enumerate(kept)}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, save(arrays, metadata={"sha256": _digest(kept)}))
    return kept


def network_text(config: ComparisonConfig, size: int) -> str:
    """The network in words, for images of `size` pixels."""
    c = config.classifier
    widths = f"residual CNN, widths {', '.join(map(str, c.widths))}"
    network = widths if c.network == OURS else f"{c.network} of timm, one gray channel"
    start = f"from the layers of {c.pretrained}" if c.pretrained else "from scratch"
    resize = f"none ({size}x{size})"
    if c.resize is not None and c.resize != size:
        resize = f"{size}x{size} to {c.resize}x{c.resize}, bilinear with antialiasing"
    return (
        f"Network: {network}, {c.steps} steps of {c.batch_size} images {start}, no flips; "
        f"resize {resize}, pixels [-1, 1]. A finding that is uncertain is left out; one not "
        f"mentioned is {'left out' if config.not_mentioned == 'ignore' else 'taken as absent'}."
    )


def _train(config: ComparisonConfig, seed: int, phases: Sequence[Phase]) -> Classifier:
    """The phases one after the other, each with its own schedule."""
    classifier = None
    for phase in phases:
        classifier = train_classifier(
            phase.images.images,
            phase.images.labels,
            phase.images.views,
            findings=config.findings,
            config=replace(config.classifier, steps=phase.steps, learning_rate=phase.learning_rate),
            seed=seed,
            start=classifier,
            device=device(),
        )
    assert classifier is not None
    return classifier


def _key(config: ComparisonConfig, seed: int, phases: Sequence[Phase]) -> str:
    """Of all that a network depends on."""
    said = [
        [p.steps, p.learning_rate, p.images.key, fingerprint_of(p.images.labels.tolist())]
        for p in phases
    ]
    return fingerprint_of([said, seed, list(config.findings), settings_key(config.classifier)])


def _kept(file: Path, count: int) -> list[Floats] | None:
    """The arrays of a file, None if it is not there or not what was written."""
    try:
        with safe_open(file, framework="np") as opened:
            arrays = [opened.get_tensor(str(i)) for i in range(count)]
            digest = (opened.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return arrays if digest == _digest(arrays) else None


def _digest(arrays: Sequence[Floats]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def device() -> torch.device:
    """Where networks of this process lie."""
    return this_launch().device()
