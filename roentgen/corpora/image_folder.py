"""Hugging Face image folder: metadata.csv, .jsonl or .parquet beside the images.

train/metadata.csv with the columns file_name, ...; or one metadata file for all, whose file names
may begin with the split's folder. The other columns are mapped like those of a table.
"""

from dataclasses import dataclass, replace

from roentgen.corpora.reader import CorpusPlan
from roentgen.corpora.scanning.row_filter import RowFilters
from roentgen.corpora.scanning.scan import Scan, first_of
from roentgen.corpora.table import TableConfig, TableReader
from roentgen.errors import InputError, require
from roentgen.record.radiograph import Split
from roentgen.record.splits import Fractions, SplitRules

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
    """An image folder; the fields name the columns of its metadata, as those of a table do."""

    file: str = ""
    """The metadata file in each folder; blank: metadata.csv, .jsonl or .parquet."""
    image: str = "file_name"
    """Column with the image's path from the metadata file's folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.masks is None, "image_folder.masks is not possible: give the corpus as a table"
        )


@dataclass(frozen=True)
class ImageFolderReader(TableReader):
    """Reads an image folder. `split.published: folders` splits by the folders' names."""

    config: ImageFolderConfig

    section = "image_folder"
    published_splits = ("folders",)

    def plan(self) -> CorpusPlan:
        """The rows of all metadata files."""
        c = self.config
        scan, where = Scan(complete=c.complete), RowFilters(c.where)
        found = False
        for folder in ("", *_FOLDERS):
            table = first_of(c.root / folder, (c.file,) if c.file else _TABLES)
            if table is not None and table.is_file():
                found = True
                self._plan_folder(folder, table.name, scan, where)
        if not found:
            table_name = c.file or _TABLES[0]
            raise self.wrong_root(f"{table_name} here or in train/, validation/ and test/")
        self.finish(scan, where, c.file or "the metadata")
        scan.check_splits(f"image_folder.root {c.root}")
        return scan.plan()

    def _plan_folder(self, folder: str, table: str, scan: Scan, where: RowFilters) -> None:
        c = self.config
        rules = _ALL_TRAIN if self.split.published else self.split
        config = replace(c, root=c.root / folder, file=table)
        part = TableReader(config, rules, self.size, self.fit, self.seed).scan(where)

        def identify(name: str) -> str:  # file names may repeat from folder to folder, ids may not
            return f"{folder}/{name}" if folder and c.id is None else name

        scan.unmapped.update(part.unmapped)
        scan.files_missing |= part.files_missing
        scan.excluded += [replace(out, id=identify(out.id)) for out in part.excluded]
        for item in part.items.values():
            name = identify(item.id)
            with scan.excluding(name):
                path = f"{folder}/{item.path}" if folder else item.path
                split = item.split
                if self.split.published is not None:
                    split = self.split_of(item.patient, _split_of_folder(path))
                if name in scan.items:
                    raise InputError("the id appears twice")
                study = self._study(item.row, name)
                scan.accept(replace(item, id=name, study=study, split=split, path=path))


def _split_of_folder(path: str) -> Split:
    """The split whose folder an image is in."""
    folder = path.partition("/")[0]
    if folder not in _FOLDERS:
        raise InputError("the image is in no split's folder: train, validation or test")
    return _FOLDERS[folder]
