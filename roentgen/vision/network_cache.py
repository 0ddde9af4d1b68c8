"""Network cache: networks trained once, in files named by all that their training depends on."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from roentgen.checksums import KEY, key_damage, write_checked_json
from roentgen.config import config_to_dict
from roentgen.dataset.image_set import ImageSet, LabeledImages
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.metrics.estimates import Floats
from roentgen.storage import (
    atomic_folder,
    discard_folder,
    remove_partials,
    reserve_output,
    write_file,
)
from roentgen.terminal.progress import Progress
from roentgen.vision.classifier import Classifier, load_classifier, settings_key, train_classifier
from roentgen.vision.network_settings import ClassifierConfig, SegmenterConfig
from roentgen.vision.segmenter import Segmenter, load_segmenter, train_segmenter

N = TypeVar("N", Classifier, Segmenter)


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

        def train() -> Classifier:
            return self._train_classifier([phase], config, seed)

        return self._network(folder, load_classifier, train)

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

        def train() -> Segmenter:
            return self.train_segmenter(images, structures, config, seed)

        return self._network(folder, load_segmenter, train)

    def _network(
        self, folder: Path, load: Callable[[Path, torch.device], N], train: Callable[[], N]
    ) -> N:
        """The network in a folder, trained if absent or damaged; another run's is awaited."""
        remove_partials(self.folder)
        damaged = False
        if folder.exists():
            try:
                for damage in key_damage(folder / KEY):
                    raise InputError(f"{folder} is damaged: {damage}")
                return load(folder, self.device)
            except InputError as error:
                print(f"trained again, as {error}")  # noqa: T201
                damaged = True
        with reserve_output(folder, wait=True):
            if damaged and folder.exists():
                discard_folder(folder, folder)
            if not folder.exists():
                network = train()
                with atomic_folder(folder) as partial:
                    network.save(partial)
                    write_checked_json(partial / KEY, {"key": folder.name})
        return load(folder, self.device)

    def train_segmenter(
        self, images: ImageSet, structures: Sequence[str], config: SegmenterConfig, seed: int
    ) -> Segmenter:
        """As `segmenter`, but trained in any case and not cached."""
        known = images.with_masks(structures)
        with Progress(config.steps, "segmenter", "step", shown=self.progress) as bar:
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
            write_file(file, save(arrays, metadata={"sha256": _digest(found, name)}))
        return found

    def _train_classifier(
        self, phases: Sequence[Phase], config: ClassifierConfig, seed: int
    ) -> Classifier:
        """The phases one after the other."""
        network = None
        steps = sum(phase.steps for phase in phases)
        with Progress(steps, "classifier", "step", shown=self.progress) as bar:
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
    """The arrays of a file; None if it is absent or not as it was written under its name."""
    try:
        with safe_open(file, framework="np") as opened:
            arrays = [opened.get_tensor(str(i)) for i in range(count)]
            digest = (opened.metadata() or {}).get("sha256")
    except (OSError, SafetensorError, TypeError, ValueError):
        return None
    return arrays if digest == _digest(arrays, file.stem) else None


def arrays_damage(file: Path) -> list[str]:
    """What is wrong with a file of `NetworkCache.arrays`, a line; none if it is as written."""
    try:
        with safe_open(file, framework="np") as opened:
            count = len(opened.keys())
    except (OSError, SafetensorError):
        return [f"{file.name} cannot be read"]
    is_intact = _read(file, count) is not None
    return [] if is_intact else [f"{file.name} has changed since it was written"]


def _digest(arrays: Sequence[NDArray[np.floating]], name: str = "") -> str:
    """Checksum of a name and of arrays: of their types, shapes and values."""
    digest = hashlib.sha256(name.encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
