"""Row filter of a table, and check of its paths."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from roentgen.errors import InputError


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """Accepts the rows whose cell passes; a cell is a list of words separated by ";"."""

    column: str
    """The column that decides."""
    any_of: tuple[str, ...] | None = None
    """Accept a row if its cell has one of these words ("" for an empty cell)."""
    none_of: tuple[str, ...] = ()
    """Exclude a row if its cell has one of these words."""

    def refusal(self, cell: str) -> str | None:
        """Why a row with this cell is excluded, None if it is accepted."""
        words = [word.strip() for word in cell.split(";")]
        for word in self.none_of:
            if word in words:
                return f"{self.column} has {word!r}"
        if self.any_of is not None and not set(self.any_of) & set(words):
            return f"{self.column} is {cell!r}"
        return None


def check_path(path: str) -> None:
    """Raises InputError for a path that could leave its root folder or cannot be a file name."""
    if "\0" in path:
        raise InputError(f"path {path!r} is not a file name")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise InputError(f"path {path!r} leads out of the corpus folder")
