"""A table of masks that joins a table of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.corpora.reader import Exclusion
from roentgen.corpora.scanning.row_filter import Where
from roentgen.corpora.scanning.rows import read_rows
from roentgen.errors import InputError
from roentgen.imaging.images import Fit


@dataclass(frozen=True, kw_only=True)
class MaskTable:
    """A second table: one row a mask, joined on the image path."""

    root: Path
    """Folder that the mask paths start from."""
    file: str
    """The table, below `root`."""
    image: str = "image"
    """Column with the image path as the first table has it."""
    mask: str = "mask"
    """Column with the mask path."""
    structure: str = "structure"
    """Column with the structure's name."""
    where: tuple[Where, ...] = ()
    """Which rows to take."""
    valid_region: str | None = None
    """Column that says where a mask holds: "full" or "centre_square" (used with fit: crop only)."""


def plan_masks(table: MaskTable, fit: Fit) -> tuple[dict[str, dict[str, str]], list[Exclusion]]:
    """Mask paths by image and structure, and the masks that cannot be used."""
    found: dict[str, dict[str, str]] = {}
    excluded: list[Exclusion] = []
    columns = [table.image, table.mask, table.structure, *(w.column for w in table.where)]
    columns += [table.valid_region] if table.valid_region else []
    for number, row in enumerate(read_rows(table.root / table.file, columns), start=1):
        if row is None:
            reason = "the row has not as many fields as the header"
            excluded.append(Exclusion(id=f"mask row {number}", reason=reason))
            continue
        refusal = next(filter(None, (w.refusal(row[w.column]) for w in table.where)), None)
        if refusal is None and table.valid_region:
            refusal = region_refusal(row[table.valid_region], fit)
        if refusal is not None:
            reason = f"mask not taken: {refusal}"
            excluded.append(Exclusion(id=row[table.mask], reason=reason, expected=True))
            continue
        mine = found.setdefault(row[table.image], {})
        if row[table.structure] in mine:
            reason = f"second mask of {row[table.structure]} for one image"
            excluded.append(Exclusion(id=row[table.mask], reason=reason))
            continue
        mine[row[table.structure]] = row[table.mask]
    return found, excluded


def region_refusal(region: str, fit: Fit) -> str | None:
    """Why a mask that holds only in `region` of its image cannot be used with `fit`."""
    allowed: dict[str, tuple[Literal["pad", "crop"], ...]] = {
        "full": ("pad", "crop"),
        "centre_square": ("crop",),
    }
    if region not in allowed:
        raise InputError(f"unknown valid region {region!r} of a mask: {', '.join(allowed)}")
    return None if fit in allowed[region] else f"it holds in the {region} only, but fit is {fit}"
