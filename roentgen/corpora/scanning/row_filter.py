"""Row filter of a table, and the table of masks that joins it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.corpora.scanning.scan import Scan
from roentgen.errors import InputError, UnwantedError, require
from roentgen.imaging.images import Fit

_SHOWN = 10  # words of a column in a message


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """Accepts the rows whose cell passes; a cell is a list of words separated by ";"."""

    column: str
    """The column that decides."""
    any_of: tuple[str, ...] | None = None
    """Accept a row if its cell has one of these words ("" for an empty cell)."""
    none_of: tuple[str, ...] = ()
    """Exclude a row if its cell has one of these words."""

    def __post_init__(self) -> None:
        for word in (*(self.any_of or ()), *self.none_of):
            require(
                ";" not in word and word == word.strip(),
                f"where: the word {word!r} of column {self.column!r} is never found, for cells are "
                'divided at ";" and stripped: give each part as a word of its own',
            )

    def refusal(self, cell: str) -> str | None:
        """Why a row with this cell is excluded, None if it is accepted."""
        words = words_of(cell)
        for word in self.none_of:
            if word in words:
                return f"{self.column} has {word!r}"
        if self.any_of is not None and not set(self.any_of) & set(words):
            return f"{self.column} is {cell!r}"
        return None


def words_of(cell: str) -> list[str]:
    """The words of a cell."""
    return [word.strip() for word in cell.split(";")]


class RowFilters:
    """The filters of a table, and the words of its rows."""

    def __init__(self, filters: Sequence[RowFilter]) -> None:
        self._filters = filters
        self._words: dict[str, set[str]] = {each.column: set() for each in filters}

    def refusal(self, row: Mapping[str, str]) -> str | None:
        """Why a row is excluded, None if it is accepted."""
        for column, words in self._words.items():
            words.update(words_of(row[column]))
        refusals = (each.refusal(row[each.column]) for each in self._filters)
        return next(filter(None, refusals), None)

    def check(self, setting: str, table: str) -> None:
        """Raises InputError for a word of a filter that no row has had, such as a misspelled one.

        Without any row there is nothing to compare with.
        """
        for each in self._filters:
            have = self._words[each.column]
            for word in (*(each.any_of or ()), *each.none_of):
                if have and word not in have:
                    found = ", ".join(map(repr, sorted(have)[:_SHOWN]))
                    more = ", ..." if len(have) > _SHOWN else ""
                    raise InputError(
                        f"{setting}: no row of {table} has {word!r} in column {each.column!r}, "
                        f"which has: {found}{more}; correct the word, or remove it"
                    )


@dataclass(frozen=True, kw_only=True)
class MaskTable:
    """A second table: one row a mask, joined on the image path."""

    root: Path
    """Folder that the mask paths start from."""
    file: str
    """The table, below `root`."""
    image: str = "image"
    """Column with the image path, equal to that of the first table."""
    mask: str = "mask"
    """Column with the mask path."""
    structure: str = "structure"
    """Column with the structure's name."""
    where: tuple[RowFilter, ...] = ()
    """Filters of the rows."""
    valid_region: str | None = None
    """Column with the region of the image that a mask covers: "full" or "center_square" (used with
    fit: crop only)."""


def read_mask_table(table: MaskTable, fit: Fit, scan: Scan) -> dict[str, dict[str, str]]:
    """Mask paths by image and structure; the masks that cannot be used are excluded."""
    found: dict[str, dict[str, str]] = {}
    where = RowFilters(table.where)
    columns = [table.image, table.mask, table.structure, *(w.column for w in table.where)]
    columns += [table.valid_region] if table.valid_region else []
    for _, row in scan.rows(table.root / table.file, columns):
        with scan.excluding(row[table.mask]):
            refusal = where.refusal(row)
            if refusal is None and table.valid_region:
                refusal = region_refusal(row[table.valid_region], fit)
            if refusal is not None:
                raise UnwantedError(f"mask excluded: {refusal}")
            masks = found.setdefault(row[table.image], {})
            if row[table.structure] in masks:
                raise InputError(f"second mask of {row[table.structure]} for one image")
            masks[row[table.structure]] = row[table.mask]
    where.check("masks.where", table.file)
    return found


def region_refusal(region: str, fit: Fit) -> str | None:
    """The reason why a mask that covers only `region` of its image does not go with `fit`."""
    allowed: dict[str, tuple[Literal["pad", "crop"], ...]] = {
        "full": ("pad", "crop"),
        "center_square": ("crop",),
        "centre_square": ("crop",),  # in tables that spell it so
    }
    if region not in allowed:
        raise InputError(f"unknown valid region {region!r} of a mask: {', '.join(allowed)}")
    return None if fit in allowed[region] else f"it covers the {region} only, but fit is {fit}"
