"""The radiograph dataset: one folder that every stage reads and writes.

It is laid out as `datasets.DatasetDict.save_to_disk` does, so `datasets.load_from_disk` opens it
without our code; beside it are excluded.csv, README.md (the dataset card) and roentgen.json,
written last. Shards are memory-mapped: opening and random access take no memory that grows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.checksums import check_files, read_checked_json, read_checksums
from roentgen.csv_table import CsvTable
from roentgen.dataset import schema
from roentgen.dataset.finalize import SPLITS, finalize_dataset
from roentgen.dataset.label_arrays import NotMentioned, label_matrix, view_indices
from roentgen.dataset.shard_index import INDEX, ShardIndex
from roentgen.dataset.shards import Shard, ShardWriter
from roentgen.dataset.verified_batches import VerifiedBatches
from roentgen.errors import InputError
from roentgen.imaging.images import decode
from roentgen.manifest import License, license_terms, read_manifest
from roentgen.record.finding import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.storage import CARD, atomic_folder

if TYPE_CHECKING:
    import datasets

EXCLUDED = "excluded.csv"
# expected: yes (the configuration excludes it), missing (of a partial copy) or no (bad)
EXCLUDED_COLUMNS = ("id", "reason", "expected")
_WITHOUT_PIXELS = [name for name in schema.SCHEMA.names if name not in schema.PIXEL_COLUMNS]
_SHARD_ROWS = 20_000
_SHARD_BYTES = 512_000_000


def check_patients_disjoint(a: Iterable[str], b: Iterable[str], names: tuple[str, str]) -> None:
    """Raises InputError if a patient is in both sets, which it calls by `names`."""
    both = sorted(set(a) & set(b))
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise InputError(
            f"patient {both[0]!r}{more} is in both {names[0]} and {names[1]}: split by patient"
        )


def check_preparation(
    reference: "RadiographDataset",
    other: "RadiographDataset",
    name: str,
    *,
    allow_other_fit: bool | None = None,
) -> None:
    """Raises InputError where both record how images were prepared and the ways differ.

    A synthetic set has the way of the dataset that its model was trained on. `name` is the other's;
    `allow_other_fit` is a setting of that name, None where there is none.
    """
    ours, theirs = (d.manifest.get("preparation") or {} for d in (reference, other))
    for key in ("size",) if allow_other_fit else ("size", "fit"):
        if ours.get(key) is not None and theirs.get(key) is not None and ours[key] != theirs[key]:
            has_setting = key == "fit" and allow_other_fit is not None
            setting = ", or set allow_other_fit=true" if has_setting else ""
            raise InputError(
                f"{name} ({other.folder}) was prepared with {key} {theirs[key]}, the reference "
                f"({reference.folder}) with {key} {ours[key]}: prepare both alike{setting}"
            )


class Identities:
    """Check of what is unique in a dataset: ids, and the split of each patient.

    It holds some 200 bytes a radiograph, the only memory of writing that grows.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._splits: dict[str, str] = {}

    def add(self, id: str, patient_id: str, split: str) -> None:  # noqa: A002 (the record's word)
        """Raises InputError for an id seen before or a patient seen in another split."""
        if split not in SPLITS:
            raise InputError(
                f"radiograph {id!r} has the unknown split {split!r}; "
                f"choose one of: {', '.join(SPLITS)}"
            )
        if id in self._ids:
            raise InputError(f"two radiographs have the id {id!r}: ids must differ")
        earlier = self._splits.setdefault(patient_id, split)
        if earlier != split:
            check_patients_disjoint([patient_id], [patient_id], (earlier, split))
        self._ids.add(id)

    def patients(self) -> Counter[str]:
        """The number of patients in each split."""
        return Counter(self._splits.values())


class DatasetWriter:
    """Writes a dataset in constant memory; the folder appears only once it is complete.

    `licenses` are the license dicts it carries, `preparation` how images were fitted ({"size",
    "fit"}). Leaving the `with` block without error finalizes it; an error removes everything.
    Raises InputError for an existing folder (unless `overwrite`), no license, a duplicate id, a
    patient in two splits, or a dataset without a radiograph.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        licenses: Sequence[License | Mapping[str, Any]],
        provenance: Mapping[str, Any],
        preparation: Mapping[str, Any] | None = None,
        about: Mapping[str, Sequence[str]] | None = None,
        overwrite: bool = False,
        shard_rows: int = _SHARD_ROWS,
        shard_bytes: int = _SHARD_BYTES,
    ) -> None:
        self._target = Path(folder)
        self._licenses = license_terms(licenses)
        self._provenance = provenance
        self._preparation = preparation
        self.about = dict(about or {})  # further sections of the card; may grow until the end
        self._overwrite = overwrite
        self._shard_rows = shard_rows
        self._shard_bytes = shard_bytes
        self._identities = Identities()
        self._open: dict[str, ShardWriter] = {}
        self._shards: dict[str, list[Shard]] = {}
        self.excluded: Counter[str] = Counter()  # by reason

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = atomic_folder(self._target, overwrite=self._overwrite)
            self.folder = stack.enter_context(temporary)  # temporary until the end
            stack.callback(self._discard_open_shards)
            file = (self.folder / EXCLUDED).open("w", newline="", encoding="utf-8")
            self._excluded_file = stack.enter_context(file)
            self._excluded = CsvTable(file, EXCLUDED_COLUMNS)
            self._stack = stack.pop_all()
        return self

    def add(self, radiograph: Radiograph) -> None:
        """Append one radiograph to its split."""
        split = radiograph.split
        self._identities.add(radiograph.id, radiograph.patient_id, split)
        if split not in self._open:
            (self.folder / split).mkdir(exist_ok=True)
            number = len(self._shards.setdefault(split, []))
            self._open[split] = ShardWriter(self.folder / split / f"data-{number:05d}.arrow")
        shard = self._open[split]
        shard.add(radiograph)
        if shard.counts.rows >= self._shard_rows or shard.bytes >= self._shard_bytes:
            self._finish_shard(split)

    def exclude(self, id: str, reason: str) -> None:  # noqa: A002 (the record's own word)
        """List something that does not enter the dataset, and why."""
        self._excluded.add(id, reason, "no")
        self.excluded[reason] += 1

    def _finish_shard(self, split: str) -> None:
        shard = self._open[split]
        shard.close()
        del self._open[split]
        file = shard.path.relative_to(self.folder).as_posix()
        self._shards[split].append(shard.shard(file))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            for split in list(self._open):
                self._finish_shard(split)
            self._excluded_file.close()
            finalize_dataset(
                self.folder,
                name=self._target.name,
                shards=self._shards,
                excluded=self.excluded,
                licenses=self._licenses,
                provenance=self._provenance,
                preparation=self._preparation,
                about=self.about,
                patients=self._identities.patients(),
            )

    def _discard_open_shards(self) -> None:
        for shard in self._open.values():
            shard.discard()


class RadiographSplit(Sequence[Radiograph]):
    """The radiographs of one split, memory-mapped; safe to hand to other processes."""

    def __init__(
        self, folder: Path, name: str, rows: int, dataset: "RadiographDataset | None" = None
    ) -> None:
        """`dataset` is the finished one that it is of, if there is one."""
        self.folder = folder
        self.name = name
        self.dataset = dataset
        self._rows = rows
        self._held: dict[int, np.ndarray] = {}  # images by their rows
        self._room = 0  # bytes for more of them
        self._batches = VerifiedBatches(folder, _read_index(folder / name))
        if self._batches.rows != rows:
            raise InputError(
                f"split {name!r} of {folder} is damaged: it has {self._batches.rows} of {rows} "
                "radiographs; make it again"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return RadiographSplit, (self.folder, self.name, self._rows, self.dataset)

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, index: int) -> Radiograph: ...
    @overload
    def __getitem__(self, index: slice) -> list[Radiograph]: ...
    def __getitem__(self, index: int | slice) -> Radiograph | list[Radiograph]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._batches.radiograph(self._row(index))

    def images(self, indices: Iterable[int]) -> list[np.ndarray]:
        """The decoded images of these rows, each uint8 [height, width].

        Raises InputError naming the radiograph whose image is damaged.
        """
        images = []
        for index in indices:
            number = self._row(index)
            image = self._held.get(number)
            if image is None:
                image = self._decoded(number)
                if image.nbytes <= self._room:
                    image.flags.writeable = False
                    self._held[number] = image
                    self._room -= image.nbytes
            images.append(image)
        return images

    def hold_images(self, room: int) -> None:
        """Hold images in memory once they are decoded, at most so many bytes of them; read-only."""
        self._room = room

    def _decoded(self, number: int) -> np.ndarray:
        batch, row = self._batches.locate(number)
        try:
            return decode(bytes(batch.image(row)))
        except InputError as error:
            identity = batch.plain.column("id")[row].as_py()
            raise InputError(f"radiograph {identity!r} of {self.folder}: {error}") from None

    def without_images(self) -> Iterator[Radiograph]:
        """All radiographs in order with image=b"" and masks={}: pixels are never read."""
        for batch in self._batches:
            yield from map(schema.from_row, batch.plain.select(_WITHOUT_PIXELS).to_pylist())

    def records(self, rows: NDArray[np.integer]) -> list[Radiograph]:
        """The radiographs of these rows, in their order, without pixels."""
        numbers = np.searchsorted(self._batches.ends, rows, side="right")
        found: list[Any] = [None] * len(rows)
        for number in np.unique(numbers):
            places = np.flatnonzero(numbers == number)
            first = self._batches.ends[number - 1] if number else 0
            batch = self._batches[int(number)].plain.select(_WITHOUT_PIXELS)
            plain = batch.take(pa.array(rows[places] - first)).to_pylist()
            for place, row in zip(places, plain, strict=True):
                found[place] = schema.from_row(row)
        return found

    def ids(self) -> list[str]:
        """The ids of all radiographs, in order."""
        return self.column("id").to_pylist()  # type: ignore[no-any-return]

    def patients(self) -> set[str]:
        """The ids of all patients."""
        return set(self.column("patient_id").to_pylist())

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all radiographs, memory-mapped. Pixels in it are not verified."""
        return pa.chunked_array([batch.plain.column(name) for batch in self._batches])

    def hugging_face(
        self,
        findings: Sequence[FindingName] = FINDING_NAMES,
        not_mentioned: NotMentioned = "ignore",
    ) -> "datasets.Dataset":
        """The split as a table of Hugging Face `datasets`; `with_format("torch")` for a DataLoader.

        Columns: id, patient_id, image (memory-mapped, decoded when it is read: as a tensor uint8
        [1, height, width]), labels (`label_matrix`: float32, 1 present, 0 absent, NaN not known)
        and view (index into VIEWS, -1 unknown). `datasets.load_from_disk` has all columns of the
        folder. Raises InputError for damaged records; pixels are not verified (`roentgen.verify`
        does), which is why no program of ours reads images so.
        """
        import datasets  # takes half a second

        stored = datasets.load_from_disk(str(self.folder / self.name))
        records = list(self.without_images())
        labels = datasets.List(datasets.Value("float32"), length=len(findings))
        learned = datasets.Dataset.from_dict(
            {
                "labels": label_matrix(records, findings, not_mentioned),
                "view": view_indices(records),
            },
            features=datasets.Features(labels=labels, view=datasets.Value("int64")),
        )
        images = stored.select_columns(["id", "patient_id", "image"])
        return datasets.concatenate_datasets([images, learned], axis=1)

    def _row(self, index: int) -> int:
        if not -self._rows <= index < self._rows:
            raise IndexError(f"radiograph {index} of {self._rows}")
        return index % self._rows


def _read_index(folder: Path) -> list[ShardIndex]:
    """The indices of a split's shards. Raises InputError if they are damaged."""
    try:
        plain = read_checked_json(folder / INDEX)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"dataset split {folder} is damaged: {INDEX} cannot be read ({reason}); make it again"
        ) from None
    return [ShardIndex.from_json(shard) for shard in plain["shards"]]


class RadiographDataset:
    """A complete dataset folder."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.fingerprint: str = manifest["fingerprint"]
        self.licenses: list[dict[str, Any]] = manifest["licenses"]
        self.splits: tuple[str, ...] = tuple(manifest["counts"])

    def split(self, name: str) -> RadiographSplit:
        """Raises InputError for a split that is absent or empty, listing those that exist."""
        counts = self.manifest["counts"]
        if name not in counts:
            have = ", ".join(f"{split} ({counts[split]['radiographs']})" for split in self.splits)
            raise InputError(f"dataset {self.folder} has no split {name!r}; it has: {have}")
        return RadiographSplit(self.folder, name, counts[name]["radiographs"], self)

    def disjoint_splits(self, first: str, second: str) -> tuple[RadiographSplit, RadiographSplit]:
        """Two splits. Raises InputError if one is absent or empty, or a patient is in both."""
        one, two = self.split(first), self.split(second)
        names = (f"{self.folder}/{first}", f"{self.folder}/{second}")
        check_patients_disjoint(one.patients(), two.patients(), names)
        return one, two


def check_splits(folder: Path, *names: str) -> None:
    """Raises InputError as `open_dataset` does, and for a dataset without one of these splits."""
    dataset = open_dataset(folder)
    for name in names:
        dataset.split(name)


def open_dataset(folder: Path | str) -> RadiographDataset:
    """The dataset in a folder.

    The sizes of all files are verified here, and the checksums of all but the shards, which are
    verified as they are read; of README.md, which may be edited, neither. Raises InputError when
    the folder is absent, unfinished, damaged or of another kind.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, "dataset")
    sums = read_checksums(folder, manifest["checksums"])
    sums.pop(CARD, None)
    shards = [name for name in sums if name.endswith(".arrow")]
    check_files(folder, sums, "dataset", sizes_only=frozenset(shards))
    return RadiographDataset(folder, manifest)
