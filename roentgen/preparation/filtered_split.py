"""Filtered split: the radiographs of a split that are used, and those that are excluded."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roentgen.csv_table import CsvTable
from roentgen.dataset.dataset import RadiographSplit
from roentgen.dataset.image_set import ImageSet
from roentgen.errors import InputError
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.token_lengths import TokenCounter
from roentgen.record.radiograph import Radiograph
from roentgen.storage import write_file


@dataclass(frozen=True, kw_only=True)
class ExcludedRadiograph:
    """A radiograph that is not used, and why."""

    split: str
    id: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class FilteredSplit(ImageSet):
    """The radiographs of a split that are used, in its order, and those that are not."""

    excluded: tuple[ExcludedRadiograph, ...] = ()


def filter_split(
    split: RadiographSplit,
    rules: RadiographFilter | None,
    count_tokens: TokenCounter,
    styles: Sequence[PromptStyle],
    exclusions: Sequence[Callable[[int, Radiograph], str | None]] = (),
    *,
    key: str = "data.filter",
) -> FilteredSplit:
    """The radiographs that pass the filter, set by `key`, and that no other exclusion excludes.

    An exclusion gives the reason by row and radiograph, or None. Raises InputError if none is left.
    """
    if rules is None and not exclusions:
        return FilteredSplit.of(split)
    rows, excluded = [], []
    for row, radiograph in enumerate(split.without_images()):
        reason = rules.exclusion_reason(radiograph, count_tokens, styles) if rules else None
        for exclusion in exclusions:
            reason = reason or exclusion(row, radiograph)
        if reason is None:
            rows.append(row)
        else:
            excluded.append(ExcludedRadiograph(split=split.name, id=radiograph.id, reason=reason))
    if not rows:
        commonest = Counter(item.reason for item in excluded).most_common(3)
        listed = "; ".join(f"{reason} ({n})" for reason, n in commonest) or "the split is empty"
        what = f"{key} leaves nothing" if rules else "nothing can be used"
        raise InputError(f"{what} of split {split.name!r}: {listed}")
    return FilteredSplit(
        splits=(split,), rows=np.array(rows), name=split.name, excluded=tuple(excluded)
    )


def write_excluded(path: Path, excluded: Iterable[ExcludedRadiograph]) -> None:
    """Writes a CSV table: split, id, reason."""
    text = io.StringIO(newline="")
    table = CsvTable(text, ["split", "id", "reason"])
    for item in excluded:
        table.add(item.split, item.id, item.reason)
    write_file(path, text.getvalue())


def excluded_summary(split: FilteredSplit) -> str | None:
    """One line on how many radiographs are excluded and why; None if none is."""
    if not split.excluded:
        return None
    reasons = Counter(item.reason for item in split.excluded).most_common()
    listed = "; ".join(f"{n}: {reason}" for reason, n in reasons)
    return f"{split.name}: {len(split)} used, {len(split.excluded)} excluded ({listed})"
