"""The sets that are compared: opened, read once, and checked to be comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.config import EvaluateConfig
from eval.features import image_batches
from roentgen.data.dataset import (
    RadiographDataset,
    RadiographSplit,
    check_patients_disjoint,
    open_dataset,
)
from roentgen.data.findings import FindingName
from roentgen.data.radiograph import Radiograph
from roentgen.errors import InputError
from roentgen.models.labels import NotMentioned, label_matrix, view_indices
from roentgen.randomness import numpy_generator

MINIMUM = 20  # images in a set, below which no number here means anything


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """One set, row by row: what is said of each image, and its pixels."""

    name: str
    dataset: RadiographDataset
    splits: tuple[str, ...]
    parts: tuple[tuple[RadiographSplit, NDArray[np.int64]], ...]  # the rows taken of each split
    radiographs: tuple[Radiograph, ...]  # without pixels
    images: NDArray[np.uint8]  # N, H, W
    labels: NDArray[np.float32]  # N, findings: 1, 0, NaN
    views: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.radiographs)

    @property
    def patients(self) -> list[str]:
        """The patient of each row, for resampling; a synthetic image may well be its own."""
        return [r.patient_id for r in self.radiographs]


def read_set(
    name: str,
    dataset: RadiographDataset,
    splits: Sequence[str],
    *,
    findings: Sequence[FindingName],
    not_mentioned: NotMentioned,
    max_images: int | None,
    seed: int,
) -> ImageSet:
    """Read splits of a dataset, or `max_images` of them drawn by the seed.

    Raises InputError for fewer images than a metric needs, or images of several sizes.
    """
    opened = [dataset.split(split) for split in splits]
    total = sum(len(split) for split in opened)
    rows = np.arange(total)
    if max_images is not None and total > max_images:
        draw = numpy_generator(seed, "images", name).permutation(total)
        rows = np.sort(draw[:max_images])
    if len(rows) < MINIMUM:
        raise InputError(
            f"set {name!r} ({dataset.folder}, split {' + '.join(splits)}) has {len(rows)} images; "
            f"evaluation needs at least {MINIMUM}"
        )
    ends = np.cumsum([len(split) for split in opened])
    parts = tuple(
        (split, rows[(rows >= end - len(split)) & (rows < end)] - (end - len(split)))
        for split, end in zip(opened, ends, strict=True)
    )
    radiographs: list[Radiograph] = []
    batches: list[NDArray[np.uint8]] = []
    for split, taken in parts:
        wanted = set(taken.tolist())
        radiographs += [r for i, r in enumerate(split.without_images()) if i in wanted]
        size = batches[0].shape[1] if batches else None
        batches += image_batches(split, taken, size)
    return ImageSet(
        name=name,
        dataset=dataset,
        splits=tuple(splits),
        parts=parts,
        radiographs=tuple(radiographs),
        images=np.concatenate(batches),
        labels=label_matrix(radiographs, findings, not_mentioned),
        views=view_indices(radiographs),
    )


def read_sets(config: EvaluateConfig) -> tuple[ImageSet, ImageSet, dict[str, ImageSet]]:
    """The reference's train and test split and the synthetic sets, checked to be comparable."""
    reference = open_dataset(config.reference.folder)
    synthetic = {name: open_dataset(folder) for name, folder in config.synthetic.items()}
    for name, dataset in synthetic.items():
        check_preparation(reference, dataset, name)
    train_split, test_split = config.reference.train_split, config.reference.test_split
    check_patients_disjoint(
        reference.split(train_split).patients(),
        reference.split(test_split).patients(),
        (f"{reference.folder}/{train_split}", f"{reference.folder}/{test_split}"),
    )

    def read(name: str, dataset: RadiographDataset, splits: Sequence[str]) -> ImageSet:
        return read_set(
            name,
            dataset,
            splits,
            findings=config.findings,
            not_mentioned=config.not_mentioned,
            max_images=config.max_images,
            seed=config.seed,
        )

    train = read("train", reference, [train_split])
    test = read("test", reference, [test_split])
    others = {name: read(name, dataset, dataset.splits) for name, dataset in synthetic.items()}
    for other in (test, *others.values()):
        if other.images.shape[1:] != train.images.shape[1:]:
            raise InputError(
                f"set {other.name!r} has images of {other.images.shape[1]} pixels a side, the "
                f"reference of {train.images.shape[1]}: prepare or generate both at one size"
            )
    return train, test, others


def check_preparation(reference: RadiographDataset, other: RadiographDataset, name: str) -> None:
    """Raise InputError where both say how images were fitted and the ways differ."""
    ours, theirs = (d.manifest.get("preparation") or {} for d in (reference, other))
    for key in ("size", "fit"):
        if ours.get(key) is not None and theirs.get(key) is not None and ours[key] != theirs[key]:
            raise InputError(
                f"synthetic.{name} ({other.folder}) was prepared with {key} {theirs[key]}, the "
                f"reference ({reference.folder}) with {key} {ours[key]}: prepare both alike"
            )


def describe_set(images: ImageSet) -> dict[str, Any]:
    """What the report says of a set."""
    sources = sorted({(r.source, r.license) for r in images.radiographs})
    return {
        "folder": str(images.dataset.folder),
        "split": " + ".join(images.splits),
        "n": len(images),
        "patients": len(set(images.patients)),
        "fingerprint": images.dataset.fingerprint,
        "sources": [{"source": source, "license": terms} for source, terms in sources],
        "licenses": images.dataset.licenses,
        "made_from": images.dataset.manifest["provenance"].get("made_from", {}),
        "models": sorted({r.synthesis.model for r in images.radiographs if r.synthesis}),
        "sampling": _sampling(images),
    }


def patient_checks(
    train: ImageSet, test: ImageSet, synthetic: Mapping[str, ImageSet]
) -> list[dict[str, str]]:
    """What is known of patients on both sides; train against test was refused if they met."""
    result = [
        {
            "check": "train and test share no patient",
            "result": f"holds: {len(set(train.patients))} and {len(set(test.patients))} patients",
        }
    ]
    held_out = set(test.patients)
    for name, images in synthetic.items():
        named = len(held_out & set(images.patients))
        result.append(
            {
                "check": f"{name}: patients of the test split named by its images",
                "result": f"{named} (their prompts were asked; no pixel of theirs is in the set)"
                if named
                else "none",
            }
        )
        result.append(
            {
                "check": f"{name}: the model was not trained on the test split",
                "result": _model_training(images, test),
            }
        )
    return result


def _model_training(images: ImageSet, test: ImageSet) -> str:
    """Follow the set's model to the dataset that it was tuned on, as far as manifests say."""
    from pathlib import Path

    from roentgen.runs import read_manifest

    model = images.dataset.manifest["provenance"].get("made_from", {}).get("model") or {}
    try:
        manifest = read_manifest(Path(model["path"]), "model")
    except (InputError, KeyError, TypeError):
        return "unknown: the set does not lead to a model folder"
    sources = manifest["provenance"].get("made_from", {})
    prints = [s.get("fingerprint") for s in sources.values() if s.get("kind") == "dataset"]
    if not prints:
        return "the model names no dataset that it was trained on"
    if test.dataset.fingerprint not in prints:
        return f"unknown: it was trained on another dataset ({', '.join(map(str, prints))})"
    config = manifest["provenance"].get("config", {})
    data = config.get("data", config)
    split = data.get("split") or data.get("train_split") if isinstance(data, dict) else None
    if split in test.splits:
        raise InputError(
            f"synthetic.{images.name} was made by a model trained on split {split!r} of "
            f"{test.dataset.folder}, which is held out here: choose another reference.test_split"
        )
    return (
        f"holds: trained on split {split!r} of the same dataset"
        if split
        else ("trained on the same dataset; its split is not recorded")
    )


def _sampling(images: ImageSet) -> list[str]:
    """How synthetic images were sampled, each way once."""
    made = [r.synthesis for r in images.radiographs if r.synthesis]
    return sorted({f"{s.scheduler}, {s.steps} steps, guidance {s.guidance_scale:g}" for s in made})
