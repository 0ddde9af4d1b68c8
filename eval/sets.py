"""The sets that are compared: opened, read once, and checked to be comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.config import ComparisonConfig, ReferenceSetConfig
from eval.same_images import same_images
from roentgen.dataset.card import SIMULATED
from roentgen.dataset.dataset import (
    RadiographDataset,
    RadiographSplit,
    check_patients_disjoint,
    check_preparation,
    open_dataset,
)
from roentgen.dataset.image_set import ImageSet, check_one_size
from roentgen.dataset.label_arrays import NotMentioned
from roentgen.errors import InputError
from roentgen.manifest import portable
from roentgen.metrics.estimates import count_patients
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph

_HELD = 2**28  # bytes of decoded images of each split: 16,384 of 128 pixels a side
MINIMUM = 20  # patients of real, images of synthetic sets, below which no number means anything


@dataclass(frozen=True, kw_only=True)
class Sets:
    """What is compared: real radiographs to train on and held out, and synthetic sets.

    The real ones share no patient; they are of one dataset or of two.
    """

    train: ImageSet
    test: ImageSet
    synthetic: Mapping[str, ImageSet]
    main: str

    @property
    def two_datasets(self) -> bool:
        """Whether train and test are of two datasets: then floors include the shift between."""
        return self.train.dataset.fingerprint != self.test.dataset.fingerprint

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

    Raises InputError for too few synthetic images, or real ones of too few patients, and for
    images of several sizes.
    """
    images = ImageSet.of(*map(dataset.split, splits), name=name)
    if max_images is not None and len(images) > max_images:
        draw = numpy_generator(seed, "images", name).permutation(len(images))
        images = images.take(np.sort(draw[:max_images]))
    patients = count_patients(images.patients)
    is_synthetic = all(r.synthesis is not None for r in images.radiographs)
    if (len(images) if is_synthetic else patients) < MINIMUM:
        of = "" if is_synthetic else f" of {patients} patients"
        raise InputError(
            f"set {name!r} ({dataset.folder}, split {' + '.join(splits)}) has {len(images)} "
            f"images{of}; evaluation needs at least {MINIMUM}{' patients' if of else ''}"
        )
    return images.labeled(findings, not_mentioned)


def read_sets(config: ComparisonConfig) -> Sets:
    """The reference's train and test split and the synthetic sets, checked to be comparable."""
    train_split, test_split = read_reference(config.reference)
    synthetic = {name: open_dataset(folder) for name, folder in config.synthetic.items()}
    for name, dataset in synthetic.items():
        check_preparation(
            dataset_of(test_split),
            dataset,
            f"synthetic.{name}",
            allow_other_fit=config.allow_other_fit,
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

    train = read("train", dataset_of(train_split), [train_split.name])
    test = read("test", dataset_of(test_split), [test_split.name])
    if train.dataset.fingerprint != test.dataset.fingerprint:
        train, test = _without_unmatched(train, test), _without_unmatched(test, train)
    others = {name: read(name, dataset, dataset.splits) for name, dataset in synthetic.items()}
    sets = Sets(train=train, test=test, synthetic=others, main=config.main_name)
    for images in others.values():
        own, n = reference_images(images, sets, config.seed)
        if own >= n / 2 and not config.allow_reference_images:
            raise InputError(
                f"synthetic.{images.name} ({images.dataset.folder}): {own} of {n} images are "
                "radiographs of the reference itself, and a set compared with itself or with its "
                "training split says nothing: give a synthetic set, or set "
                "allow_reference_images=true for a control"
            )
    check_one_size(*sets.all())
    for split in (split for images in sets.all() for split in images.splits):
        split.hold_images(_HELD)  # classifiers read each image many times
    return sets


def read_reference(config: ReferenceSetConfig) -> tuple[RadiographSplit, RadiographSplit]:
    """The train and the test split.

    Raises InputError if one is absent, a patient is in both, or the images of two datasets were
    prepared in two ways. A patient of two datasets is one of the same id in the same source.
    """
    if config.train.folder.resolve() == config.test.folder.resolve():
        dataset = open_dataset(config.test.folder)
        return dataset.disjoint_splits(config.train.split, config.test.split)
    train, test = (open_dataset(one.folder) for one in (config.train, config.test))
    check_preparation(test, train, "reference.train")
    splits = train.split(config.train.split), test.split(config.test.split)
    one, two = map(_patients_by_source, splits)
    names = (f"{train.folder}/{config.train.split}", f"{test.folder}/{config.test.split}")
    check_patients_disjoint(one, two, names)
    return splits


def dataset_of(split: RadiographSplit) -> RadiographDataset:
    """The dataset that a split is of."""
    assert split.dataset is not None
    return split.dataset


def _patients_by_source(split: RadiographSplit) -> list[str]:
    columns = (split.column(name).to_pylist() for name in ("patient_id", "source"))
    return [f"{patient} (source {source})" for patient, source in zip(*columns, strict=True)]


def mentioned(images: ImageSet) -> set[FindingName]:
    """The findings that any radiograph of a set mentions."""
    return {finding.name for r in images.radiographs for finding in r.findings}


def _without_unmatched(images: ImageSet, other: ImageSet) -> ImageSet:
    """The set with unknown labels of findings that it or the other never mentions.

    Such a finding is not labeled there, which does not make it absent.
    """
    unmatched = ~np.isin(images.findings, list(mentioned(images) & mentioned(other)))
    vars(images)["labels"] = np.where(unmatched, np.nan, images.labels).astype(np.float32)
    return images


def reference_images(images: ImageSet, sets: Sets, seed: int) -> tuple[int, int]:
    """How many of a set's images are the reference's own, and of how many.

    By their ids where they have no record of a synthesis, or, of a sample, by their files.
    """
    datasets = {real.dataset.fingerprint: real.dataset for real in (sets.train, sets.test)}
    splits = [dataset.split(name) for dataset in datasets.values() for name in dataset.splits]
    ids = set().union(*(split.ids() for split in splits))
    by_id = sum(r.synthesis is None and r.id in ids for r in images.radiographs)
    same, n = same_images(images, splits, seed)
    return max((by_id, len(images)), (same, n), key=lambda found: found[0] / found[1])


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
