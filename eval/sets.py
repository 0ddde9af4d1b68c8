"""The sets that are compared: opened, read once, and checked to be comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.config import ComparisonConfig
from roentgen.dataset.card import SIMULATED
from roentgen.dataset.dataset import RadiographDataset, check_preparation, open_dataset
from roentgen.dataset.image_set import ImageSet, check_one_size
from roentgen.dataset.label_arrays import NotMentioned
from roentgen.errors import InputError
from roentgen.manifest import portable
from roentgen.metrics.estimates import count_patients
from roentgen.randomness import numpy_generator
from roentgen.record.radiograph import FindingName, Radiograph

MINIMUM = 20  # patients (of synthetic images: prompts), below which no number means anything


@dataclass(frozen=True, kw_only=True)
class Sets:
    """What is compared: two splits of the reference that share no patient, and synthetic sets."""

    train: ImageSet
    test: ImageSet
    synthetic: Mapping[str, ImageSet]
    main: str

    def all(self) -> tuple[ImageSet, ...]:
        """Train, test and the synthetic sets."""
        return self.train, self.test, *self.synthetic.values()


def read_set(
    name: str,
    dataset: RadiographDataset,
    splits: Sequence[str],
    *,
    findings: Sequence[FindingName],
    not_mentioned: NotMentioned,
    max_images: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Read splits of a dataset, or `max_images` of them drawn by the seed.

    Raises InputError for images of fewer patients than metrics need, or of several sizes.
    """
    images = ImageSet.of(*map(dataset.split, splits), name=name)
    if max_images is not None and len(images) > max_images:
        draw = numpy_generator(seed, "images", name).permutation(len(images))
        images = images.take(np.sort(draw[:max_images]))
    patients = count_patients(images.patients)
    if patients < MINIMUM:
        raise InputError(
            f"set {name!r} ({dataset.folder}, split {' + '.join(splits)}) has {len(images)} "
            f"images of {patients} patients (of synthetic images: prompts); evaluation needs at "
            f"least {MINIMUM}"
        )
    return images.labeled(findings, not_mentioned)


def read_sets(config: ComparisonConfig) -> Sets:
    """The reference's train and test split and the synthetic sets, checked to be comparable."""
    reference = open_dataset(config.reference.folder)
    synthetic = {name: open_dataset(folder) for name, folder in config.synthetic.items()}
    for name, dataset in synthetic.items():
        check_preparation(
            reference, dataset, f"synthetic.{name}", allow_other_fit=config.allow_other_fit
        )
    for name, dataset in synthetic.items():
        if dataset.fingerprint == reference.fingerprint:
            raise InputError(
                f"synthetic.{name} ({dataset.folder}) is the reference dataset itself, so every "
                "number would be of a set compared with itself: give a synthetic set"
            )
    train_split, test_split = config.reference.train_split, config.reference.test_split
    reference.disjoint_splits(train_split, test_split)

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
    for name, images in others.items():
        if len(not_synthetic(images, reference)) == len(images):
            raise InputError(
                f"synthetic.{name} ({images.dataset.folder}) holds radiographs of the reference "
                "alone: none has a record of its synthesis; give a synthetic set"
            )
    check_one_size(train, test, *others.values())
    return Sets(train=train, test=test, synthetic=others, main=config.main_name)


def not_synthetic(images: ImageSet, reference: RadiographDataset) -> set[str]:
    """The ids of the reference's own radiographs in a set: without a record of a synthesis."""
    real = {r.id for r in images.radiographs if r.synthesis is None}
    return real & set().union(*(reference.split(name).ids() for name in reference.splits))


def shows_patient(radiograph: Radiograph) -> bool:
    """Whether it is a patient's radiograph: neither generated nor simulated."""
    return radiograph.synthesis is None and radiograph.source not in SIMULATED


def without_patients(images: ImageSet) -> ImageSet:
    """The images of a set that show no patient."""
    rows = [i for i, record in enumerate(images.radiographs) if not shows_patient(record)]
    return images.take(np.array(rows, dtype=np.int64))


def kind_of(radiographs: Sequence[Radiograph]) -> str:
    """What a set's images are: real, simulated, synthetic, or partly so."""
    made = sum(record.synthesis is not None for record in radiographs)
    if made == len(radiographs):
        return "synthetic"
    other = "real" if any(map(shows_patient, radiographs)) else "simulated"
    return f"partly {other}" if made else other


def fitted(dataset: RadiographDataset) -> str | None:
    """How a dataset's images were fitted, None if it does not say."""
    fit = (dataset.manifest.get("preparation") or {}).get("fit")
    return None if fit is None else str(fit)


def describe_set(images: ImageSet) -> dict[str, Any]:
    """What the report says of a set."""
    sources = sorted({(r.source, r.license) for r in images.radiographs})
    return {
        "folder": portable(str(images.dataset.folder)),
        "split": " + ".join(split.name for split in images.splits),
        "kind": kind_of(images.radiographs),
        "n": len(images),
        "patients": count_patients(images.patients),
        "fingerprint": images.dataset.fingerprint,
        "sources": [{"source": source, "license": terms} for source, terms in sources],
        "licenses": images.dataset.licenses,
        "origin": _origin(images.dataset),
        "made_from": images.dataset.manifest["provenance"].get("made_from", {}),
        "models": sorted({r.synthesis.model for r in images.radiographs if r.synthesis}),
        "sampling": _sampling(images),
        "notes": list(images.dataset.manifest["provenance"].get("notes", [])),
    }


def _origin(dataset: RadiographDataset) -> str:
    """By which program and code a dataset was made, and how its images were fitted."""
    made = dataset.manifest["provenance"]
    preparation = dataset.manifest.get("preparation") or {}
    text = f"{made.get('program') or 'unknown program'}, commit {made.get('commit') or 'not known'}"
    return ", ".join([text, *(f"{key} {value}" for key, value in preparation.items())])


def _sampling(images: ImageSet) -> list[str]:
    """How synthetic images were sampled, each way once."""
    made = [r.synthesis for r in images.radiographs if r.synthesis]
    return sorted({f"{s.scheduler}, {s.steps} steps, guidance {s.guidance_scale:g}" for s in made})
