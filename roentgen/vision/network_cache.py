"""Network cache: networks trained once, in files named by all that their training depends on."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from tqdm import tqdm

from roentgen.config import config_to_dict
from roentgen.dataset.image_set import ImageSet, LabeledImages
from roentgen.distributed import this_launch
from roentgen.manifest import fingerprint_of
from roentgen.metrics.estimates import Floats
from roentgen.storage import atomic_folder, write_file
from roentgen.vision.classifier import (
    Classifier,
    ClassifierConfig,
    load_classifier,
    settings_key,
    train_classifier,
)
from roentgen.vision.segmenter import Segmenter, SegmenterConfig, load_segmenter, train_segmenter


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of a classifier's training, with a schedule of its own."""

    images: LabeledImages
    steps: int
    learning_rate: float  # the peak


@dataclass(frozen=True, kw_only=True)
class NetworkCache:
    """Trained networks in a folder; equal images, labels, settings and seeds train once."""

    folder: Path
    device: torch.device = field(default_factory=lambda: this_launch().device())
    progress: bool = False  # a bar for each training

    def classifier(self, images: LabeledImages, config: ClassifierConfig, seed: int) -> Classifier:
        """The classifier that learns the labels of these images."""
        phase = Phase(images=images, steps=config.steps, learning_rate=config.learning_rate)
        folder = self.folder / f"classifier-{classifier_key([phase], config, seed)}"
        if not folder.exists():
            network = self._train_classifier([phase], config, seed)
            with atomic_folder(folder) as partial:
                network.save(partial)
        return load_classifier(folder, self.device)

    def probabilities(
        self, phases: Sequence[Phase], config: ClassifierConfig, seed: int, sets: Sequence[ImageSet]
    ) -> list[Floats]:
        """A classifier's probabilities of findings in each set, (N, findings).

        They are cached in place of the classifier, a thousand times its size.
        """
        key = [classifier_key(phases, config, seed), [images.key for images in sets]]

        def predict() -> list[Floats]:
            network = self._train_classifier(phases, config, seed)
            return [network.predict(images.images).findings for images in sets]

        return self.arrays(f"predictions-{fingerprint_of(key)}", len(sets), predict)

    def segmenter(
        self, images: ImageSet, structures: Sequence[str], config: SegmenterConfig, seed: int
    ) -> Segmenter:
        """The segmenter that learns these structures from the images of which one is known."""
        folder = self.folder / f"segmenter-{segmenter_key(images, structures, config, seed)}"
        if not folder.exists():
            network = self.train_segmenter(images, structures, config, seed)
            with atomic_folder(folder) as partial:
                network.save(partial)
        return load_segmenter(folder, self.device)

    def train_segmenter(
        self, images: ImageSet, structures: Sequence[str], config: SegmenterConfig, seed: int
    ) -> Segmenter:
        """As `segmenter`, but trained in any case and not cached."""
        known = images.with_masks(structures)
        with tqdm(
            total=config.steps, desc="segmenter", unit="step", disable=not self.progress
        ) as bar:
            return train_segmenter(
                known.images,
                known.masks(structures),
                structures=structures,
                config=config,
                seed=seed,
                device=self.device,
                watch=lambda step, loss: bar.update(),
            )

    def arrays(
        self, name: str, count: int, make: Callable[[], list[Floats]]
    ) -> list[NDArray[np.float64]]:
        """`count` arrays of the file of this name; made if it is absent or damaged."""
        file = self.folder / f"{name}.safetensors"
        found = _read(file, count)
        if found is None:
            if file.exists():
                print(f"{file} is damaged: it is made again")  # noqa: T201
            found = make()
            arrays = {str(i): np.ascontiguousarray(each) for i, each in enumerate(found)}
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, save(arrays, metadata={"sha256": _digest(found)}))
        return found

    def _train_classifier(
        self, phases: Sequence[Phase], config: ClassifierConfig, seed: int
    ) -> Classifier:
        """The phases one after the other."""
        network = None
        steps = sum(phase.steps for phase in phases)
        with tqdm(total=steps, desc="classifier", unit="step", disable=not self.progress) as bar:
            for phase in phases:
                network = train_classifier(
                    phase.images.images,
                    phase.images.labels,
                    phase.images.views,
                    findings=phase.images.findings,
                    config=replace(config, steps=phase.steps, learning_rate=phase.learning_rate),
                    seed=seed,
                    start=network,
                    device=self.device,
                    watch=lambda step, loss: bar.update(),
                )
        assert network is not None
        return network


def classifier_key(phases: Sequence[Phase], config: ClassifierConfig, seed: int) -> str:
    """Fingerprint of all that a classifier depends on."""
    trained_on = [
        [p.steps, p.learning_rate, p.images.key, _digest([p.images.labels])] for p in phases
    ]
    findings = list(phases[0].images.findings)
    return fingerprint_of([trained_on, seed, findings, settings_key(config)])


def segmenter_key(
    images: ImageSet, structures: Sequence[str], config: SegmenterConfig, seed: int
) -> str:
    """Fingerprint of all that a segmenter depends on."""
    return fingerprint_of([images.key, list(structures), seed, config_to_dict(config)])


def _read(file: Path, count: int) -> list[Floats] | None:
    """The arrays of a file; None if it is absent or not as it was written."""
    try:
        with safe_open(file, framework="np") as opened:
            arrays = [opened.get_tensor(str(i)) for i in range(count)]
            digest = (opened.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return arrays if digest == _digest(arrays) else None


def _digest(arrays: Sequence[NDArray[np.floating]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
