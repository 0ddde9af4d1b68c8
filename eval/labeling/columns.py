"""Columns of a user's table: names that are nearly right, and cells that name a place."""

from collections.abc import Collection, Sequence
from pathlib import Path

from eval.labeling.reading import location_words
from roentgen.errors import InputError
from roentgen.statements.hierarchy import places


def check_names(path: Path, header: Sequence[str], known: Collection[str]) -> None:
    """Raises InputError for a column that is a known one but for case and blanks."""
    by_letters = {_letters(name): name for name in known}
    for column in header:
        name = by_letters.get(_letters(column), column)
        if name != column:
            raise InputError(f"{path} has a column {column!r}: name it {name!r}")


def check_place(place: str, where: str) -> None:
    """Raises InputError for a place without a word of location that is none of the hierarchy."""
    if not location_words(place) and place not in places():
        raise InputError(
            f"{where}: unknown place {place!r}: name it by words such as upper, lower, base or "
            "apical, or as roentgen/statements/hierarchy.yaml does"
        )


def _letters(name: str) -> str:
    return "".join(name.split()).casefold()
