"""The sets that are compared: opened, read once, and checked to be comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.comparison import ComparisonConfig
from roentgen.dataset.dataset import (
    RadiographDataset,
    RadiographSplit,
    check_patients_disjoint,
    open_dataset,
)
from roentgen.dataset.image_arrays import Chosen, Images, Joined, Pixels
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.randomness import numpy_generator
from roentgen.record.findings import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.label_arrays import NotMentioned, label_matrix, view_indices
from roentgen.vision.segmenter import StructureMasks

MINIMUM = 20  # images in a set, below which no number here means anything


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """One set, row by row: what is said of each image; its pixels are read when asked for."""

    name: str
    dataset: RadiographDataset
    splits: tuple[str, ...]
    radiographs: tuple[Radiograph, ...]  # without pixels
    images: Images  # N, H, W
    places: tuple[tuple[RadiographSplit, int], ...]  # split and row of each
    size: int  # pixels a side
    labels: NDArray[np.float32]  # N, findings: 1, 0, NaN
    views: NDArray[np.int64]
    key: str  # of all pixels, in this order

    def __len__(self) -> int:
        return len(self.radiographs)

    @property
    def patients(self) -> list[str]:
        """The patient of each row, for resampling; a synthetic image may well be its own."""
        return [r.patient_id for r in self.radiographs]

    def masks(self, structures: Sequence[str]) -> StructureMasks:
        """Their masks (N, structures, H, W), read when asked for."""
        return StructureMasks(self.places, structures, self.size)

    def take(self, rows: NDArray[np.integer]) -> "ImageSet":
        """These rows alone."""
        return replace(
            self,
            radiographs=tuple(self.radiographs[row] for row in rows),
            images=Chosen(self.images, rows),
            places=tuple(self.places[row] for row in rows),
            labels=self.labels[rows],
            views=self.views[rows],
            key=fingerprint_of([self.key, rows.tolist()]),
        )


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
    radiographs: list[Radiograph] = []
    parts: list[Pixels] = []
    places: list[tuple[RadiographSplit, int]] = []
    first = 0
    for split in opened:
        taken = rows[(rows >= first) & (rows < first + len(split))] - first
        first += len(split)
        if len(taken):
            wanted = set(taken.tolist())
            radiographs += [r for i, r in enumerate(split.without_images()) if i in wanted]
            parts.append(Pixels(split, taken))
            places += [(split, row) for row in taken.tolist()]
            if parts[-1].size != parts[0].size:
                raise InputError(
                    f"split {split.name!r} of {dataset.folder} has images of {parts[-1].size} "
                    f"pixels a side, others of {parts[0].size}: prepare the set at one size"
                )
    return ImageSet(
        name=name,
        dataset=dataset,
        splits=tuple(splits),
        radiographs=tuple(radiographs),
        images=Joined(parts),
        places=tuple(places),
        size=parts[0].size,
        labels=label_matrix(radiographs, findings, not_mentioned),
        views=view_indices(radiographs),
        key=fingerprint_of([dataset.fingerprint, list(splits), rows.tolist()]),
    )


def read_sets(config: ComparisonConfig) -> Sets:
    """The reference's train and test split and the synthetic sets, checked to be comparable."""
    reference = open_dataset(config.reference.folder)
    synthetic = {name: open_dataset(folder) for name, folder in config.synthetic.items()}
    for name, dataset in synthetic.items():
        check_preparation(reference, dataset, name, allow_other_fit=config.allow_other_fit)
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
        if other.size != train.size:
            raise InputError(
                f"set {other.name!r} has images of {other.size} pixels a side, the "
                f"reference of {train.size}: prepare or generate both at one size"
            )
    return Sets(train=train, test=test, synthetic=others, main=config.main_name)


def check_preparation(
    reference: RadiographDataset, other: RadiographDataset, name: str, *, allow_other_fit: bool
) -> None:
    """Raise InputError where both say how images were fitted and the ways differ.

    A synthetic set has its way from the dataset that its model was trained on.
    """
    ours, theirs = (d.manifest.get("preparation") or {} for d in (reference, other))
    for key in ("size",) if allow_other_fit else ("size", "fit"):
        if ours.get(key) is not None and theirs.get(key) is not None and ours[key] != theirs[key]:
            way_out = ", or set allow_other_fit=true" if key == "fit" else ""
            raise InputError(
                f"synthetic.{name} ({other.folder}) was prepared with {key} {theirs[key]}, the "
                f"reference ({reference.folder}) with {key} {ours[key]}: prepare both alike"
                f"{way_out}"
            )


def fitted(dataset: RadiographDataset) -> str | None:
    """How a dataset's images were fitted, None if it does not say."""
    fit = (dataset.manifest.get("preparation") or {}).get("fit")
    return None if fit is None else str(fit)


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
