"""Image set: radiographs of a dataset in a given order; pixels are read when they are indexed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographDataset, RadiographSplit
from roentgen.dataset.label_arrays import NotMentioned, label_matrix, view_indices
from roentgen.dataset.structure_masks import UNKNOWN, annotated_structures, is_any_known, masks_of
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.record.finding import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph

Rows = NDArray[np.integer]
_TOGETHER = 1024  # records that are read together


class Images(Protocol):
    """Images, uint8 (N, H, W): an array, or one that reads rows when they are indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | Rows, /) -> NDArray[np.uint8]: ...


class LabeledImages(Protocol):
    """Images with what a classifier learns of them."""

    @property
    def images(self) -> Images:
        """The pixels."""

    @property
    def findings(self) -> tuple[FindingName, ...]:
        """The columns of the labels."""

    @property
    def labels(self) -> NDArray[np.float32]:
        """(N, findings): 1 present, 0 absent, NaN not known."""

    @property
    def views(self) -> NDArray[np.int64]:
        """(N,): index into VIEWS, or UNKNOWN_VIEW."""

    @property
    def key(self) -> str:
        """Fingerprint of the pixels, in their order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Some radiographs of one or more splits, in the order of `rows`.

    Records, labels and pixels are read when they are used: pixels each time, the others once.
    """

    splits: tuple[RadiographSplit, ...]
    rows: NDArray[np.int64]  # counted through the splits, one after the other
    name: str = ""
    findings: tuple[FindingName, ...] = FINDING_NAMES  # the columns of `labels`
    not_mentioned: NotMentioned = "ignore"

    @classmethod
    def of(cls, *splits: RadiographSplit, name: str | None = None) -> Self:
        """All radiographs of these splits; the name is theirs unless given."""
        names = " + ".join(split.name for split in splits)
        rows = np.arange(sum(len(split) for split in splits))
        return cls(splits=splits, rows=rows, name=names if name is None else name)

    def take(self, items: Rows) -> Self:
        """Some items alone, in the order given; what was read of them is not read again."""
        taken = replace(self, rows=self.rows[items])
        known = vars(self)
        for name in known.keys() & {"labels", "views"}:
            vars(taken)[name] = known[name][items]
        if "radiographs" in known:
            vars(taken)["radiographs"] = tuple(self.radiographs[i] for i in items.tolist())
        return taken

    def labeled(self, findings: Sequence[FindingName], not_mentioned: NotMentioned) -> Self:
        """The same radiographs with these columns of labels."""
        return replace(self, findings=tuple(findings), not_mentioned=not_mentioned)

    def with_masks(self, structures: Sequence[str]) -> Self:
        """The radiographs with annotations of any of these structures."""
        annotated = {split: annotated_structures(split) for split in self.splits}
        items = []
        for item, radiograph in enumerate(self.without_images()):
            split, row = self.place(item)
            if is_any_known(radiograph, annotated[split](row), structures):
                items.append(item)
        return self.take(np.array(items, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> Radiograph:
        """One record with its image and masks."""
        split, row = self.place(item)
        return split[row]

    def place(self, item: int) -> tuple[RadiographSplit, int]:
        """The split of an item, and its row there."""
        (owner,), (row,) = self._places(self.rows[[item]])
        return self.splits[owner], int(row)

    def without_images(self) -> Iterator[Radiograph]:
        """The records in order with image=b"" and masks={}; they are not held in memory."""
        for first in range(0, len(self), _TOGETHER):
            owners, rows = self._places(self.rows[first : first + _TOGETHER])
            records = np.empty(len(rows), dtype=object)
            for owner in np.unique(owners):
                mine = owners == owner
                records[mine] = self.splits[owner].records(rows[mine])
            yield from records

    @cached_property
    def radiographs(self) -> tuple[Radiograph, ...]:
        """The records without pixels."""
        return tuple(self.without_images())

    @cached_property
    def ids(self) -> list[str]:
        """The id of each radiograph."""
        return self._column("id")

    @cached_property
    def patients(self) -> list[str]:
        """The patient of each radiograph, for resampling."""
        return self._column("patient_id")

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """`label_matrix` of the radiographs: (N, findings)."""
        return label_matrix(self.radiographs, self.findings, self.not_mentioned)

    @cached_property
    def views(self) -> NDArray[np.int64]:
        """`view_indices` of the radiographs: (N,)."""
        return view_indices(self.radiographs)

    @property
    def images(self) -> "ReadImages":
        """The pixels, all of one square size."""
        return ReadImages(self)

    def masks(self, structures: Sequence[str]) -> "ReadMasks":
        """Masks of these structures, of the images' size."""
        return ReadMasks(self, structures)

    @cached_property
    def size(self) -> int:
        """The side of the images in pixels, by the first image of each split.

        Raises InputError for one that is not square, and for splits of several sizes.
        """
        owners, rows = self._places(self.rows if len(self) else np.zeros(1, np.int64))
        sizes: list[int] = []
        for owner, first in zip(*np.unique(owners, return_index=True), strict=True):
            split = self.splits[owner]
            (image,) = split.images([int(rows[first])])
            check_size(image, len(image), split, int(rows[first]))
            sizes.append(len(image))
            if sizes[-1] != sizes[0]:
                raise InputError(
                    f"split {split.name!r} of {split.folder} has images of {sizes[-1]} "
                    f"pixels a side, others of {sizes[0]}: prepare the set at one size"
                )
        return sizes[0]

    @cached_property
    def key(self) -> str:
        """Fingerprint of the content in the order of the set."""
        owners, _ = self._places(self.rows)
        used, owners = np.unique(owners, return_inverse=True)
        datasets = [self.splits[owner].dataset for owner in used]
        prints = [dataset.fingerprint if dataset else None for dataset in datasets]
        return fingerprint_of([prints, owners.tolist(), self.ids])

    @property
    def dataset(self) -> RadiographDataset:
        """The one dataset that the radiographs are of."""
        (dataset,) = {split.dataset for split in self.splits}
        assert dataset is not None
        return dataset

    def _places(self, rows: Rows) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The number of each row's split, and its row there."""
        ends = np.cumsum([len(split) for split in self.splits])
        owners = np.searchsorted(ends, rows, side="right")
        return owners, rows - np.concatenate([[0], ends])[owners]

    def _column(self, name: str) -> list[Any]:
        owners, rows = self._places(self.rows)
        values = np.empty(len(rows), dtype=object)
        for owner in np.unique(owners):
            mine = owners == owner
            column = self.splits[owner].column(name)
            values[mine] = column.take(pa.array(rows[mine])).to_pylist()
        result: list[Any] = values.tolist()
        return result


def join(sets: Iterable[ImageSet]) -> ImageSet:
    """The sets one after the other; they have the same columns of labels, the name is the first's.

    There must be one.
    """
    first, *others = sets
    if not others:
        return first
    every = [first, *others]
    assert len({(one.findings, one.not_mentioned) for one in every}) == 1
    starts = np.cumsum([0, *(sum(map(len, one.splits)) for one in every[:-1])])
    joined = ImageSet(
        splits=tuple(split for one in every for split in one.splits),
        rows=np.concatenate([one.rows + start for one, start in zip(every, starts, strict=True)]),
        name=first.name,
        findings=first.findings,
        not_mentioned=first.not_mentioned,
    )
    for name in ("labels", "views"):
        vars(joined)[name] = np.concatenate([getattr(one, name) for one in every])
    return joined


class ReadImages:
    """The pixels of an image set, read from disk each time they are indexed."""

    def __init__(self, images: ImageSet) -> None:
        self._set = images

    def __len__(self) -> int:
        return len(self._set)

    def __getitem__(self, rows: slice | Rows, /) -> NDArray[np.uint8]:
        """uint8 (n, size, size). Raises InputError naming the first image of another size."""
        owners, places = self._set._places(self._set.rows[rows])
        size = self._set.size
        result = np.empty((len(places), size, size), np.uint8)
        for owner in np.unique(owners):
            split, mine = self._set.splits[owner], np.flatnonzero(owners == owner)
            chosen = places[mine].tolist()
            for item, row, image in zip(mine, chosen, split.images(chosen), strict=True):
                check_size(image, size, split, row)
                result[item] = image
        return result


class ImageRows:
    """Some rows of images, read when they are indexed."""

    def __init__(self, images: Images, rows: Rows) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | Rows, /) -> NDArray[np.uint8]:
        return self._images[self._rows[rows]]


class ReadMasks:
    """The structure masks of an image set, read from disk each time they are indexed."""

    def __init__(self, images: ImageSet, structures: Sequence[str]) -> None:
        self._set, self._structures = images, tuple(structures)

    def __len__(self) -> int:
        return len(self._set)

    def __getitem__(self, rows: Rows, /) -> NDArray[np.uint8]:
        """uint8 (n, structures, size, size) of 0, 1 and UNKNOWN.

        Raises InputError for a mask of another size than its image.
        """
        size = self._set.size
        result = np.full((len(rows), len(self._structures), size, size), UNKNOWN, np.uint8)
        for number, row in enumerate(rows.tolist()):
            masks = masks_of(self._set[row], self._structures, size)
            for channel, structure in enumerate(self._structures):
                mask = masks[structure]
                if mask is not None:
                    result[number, channel] = mask
        return result


def check_one_size(reference: ImageSet, *others: ImageSet) -> None:
    """Raises InputError for a set whose images are of another size than the reference's."""
    for other in others:
        if other.size != reference.size:
            raise InputError(
                f"set {other.name!r} has images of {other.size} pixels a side, the reference of "
                f"{reference.size}: prepare or generate both at one size"
            )


def check_size(image: NDArray[np.uint8], size: int, split: RadiographSplit, row: int) -> None:
    """Raises InputError unless an image has `size` pixels a side."""
    if image.shape != (size, size):
        height, width = image.shape
        raise InputError(
            f"image {split[row].id!r} of {split.folder} is {width}x{height} pixels, not "
            f"{size}x{size}: prepare the set at one square size"
        )
