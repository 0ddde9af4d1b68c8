"""The Hugging Face image-folder layout: metadata.csv, .jsonl or .parquet beside the images.

train/metadata.csv with the columns file_name, ...; or one metadata file for all, whose file names
may begin with the split's folder. The other columns are mapped as a table's are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from roentgen.corpora.reader import Exclusion, Plan, Unmapped
from roentgen.corpora.scanning.file_index import first_of, wrong_root
from roentgen.corpora.table import Item, TableConfig, TableReader
from roentgen.errors import InputError
from roentgen.imaging.images import Fit
from roentgen.manifest import License
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import Fractions, SplitRules
from roentgen.setting_checks import require

_TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
# The names that `datasets` takes for a split's folder.
_FOLDERS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validate"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_ALL_TRAIN = SplitRules(fractions=Fractions(train=1, validate=0, test=0))


@dataclass(frozen=True, kw_only=True)
class ImageFolderConfig(TableConfig):
    """An image folder; the fields name the columns of its metadata, as a table's do."""

    file: str = ""
    """The metadata file in each folder; blank: metadata.csv, .jsonl or .parquet."""
    image: str = "file_name"
    """Column with the image's path from the metadata file's folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.masks is None, "image_folder.masks is not possible: give the corpus as a table"
        )


class ImageFolderItem(NamedTuple):
    """One row of a metadata file."""

    id: str
    folder: str  # "" for the root
    item: Item


@dataclass(frozen=True)
class ImageFolderReader:
    """Reads an image folder; see `roentgen.corpora.reader.CorpusReader`.

    `split.published: folders` splits by the folders' names.
    """

    config: ImageFolderConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    def __post_init__(self) -> None:
        if self.split.column is None:
            self.split.check_published(("folders",))

    @property
    def licenses(self) -> Sequence[License]:
        """As configured."""
        return self.config.licenses

    @cached_property
    def _readers(self) -> dict[str, TableReader]:
        """A table reader for each folder with a metadata file."""
        c = self.config
        readers = {}
        rules = _ALL_TRAIN if self.split.published else self.split
        for folder in ("", *_FOLDERS):
            table = first_of(c.root / folder, (c.file,) if c.file else _TABLES)
            if table is not None and table.is_file():
                config = replace(c, root=c.root / folder, file=table.name)
                readers[folder] = TableReader(config, rules, self.size, self.fit, self.seed)
        return readers

    def plan(self) -> Plan:
        """The rows of all metadata files."""
        root = self.config.root
        if not self._readers:
            expected = f"{self.config.file or _TABLES[0]} here or in train/, validation/ and test/"
            raise wrong_root("image_folder.root", root, expected)
        items: dict[str, ImageFolderItem] = {}
        excluded: list[Exclusion] = []
        unmapped: Counter[Unmapped] = Counter()
        splits: dict[str, Split] = {}
        for folder, reader in self._readers.items():
            plan = reader.plan()
            unmapped.update(plan.unmapped)
            excluded += [replace(out, id=self._id(folder, out.id)) for out in plan.excluded]
            for item in plan.items:
                name = self._id(folder, item.id)
                try:
                    mine = self._split(folder, item)
                except InputError as error:
                    excluded.append(Exclusion(id=name, reason=str(error)))
                    continue
                if name in items:
                    excluded.append(Exclusion(id=name, reason="the id stands twice"))
                    continue
                patient = item.row[self.config.patient_id]
                if splits.setdefault(patient, mine) != mine:
                    raise InputError(
                        f"image_folder.root {root}: patient {patient!r} is in both "
                        f"{splits[patient]} and {mine}; use split.fractions"
                    )
                items[name] = ImageFolderItem(name, folder, replace(item, id=name, split=mine))
        return Plan(list(items.values()), excluded, unmapped)

    def _id(self, folder: str, name: str) -> str:
        """File names may repeat from folder to folder; ids of a column may not."""
        return f"{folder}/{name}" if folder and self.config.id is None else name

    def _split(self, folder: str, item: Item) -> Split:
        """The split of a row: its own, or that of its folder."""
        if self.split.published is None:
            return item.split
        first = folder or item.row[self.config.image].partition("/")[0]
        patient = item.row[self.config.patient_id]
        if first not in _FOLDERS:
            raise InputError("the image is in no split's folder: train, validation or test")
        return self.split.of_patient(patient, self.seed, _FOLDERS[first])

    def read(self, item: ImageFolderItem) -> list[Radiograph]:
        """Read one row's image."""
        reader = self._readers[item.folder]
        source = self.config.source or self.config.root.name
        read = reader.read(item.item)
        return read if self.config.source_column else [replace(r, source=source) for r in read]
