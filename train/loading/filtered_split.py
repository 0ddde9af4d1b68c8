"""The part of a split that is trained on, and what it leaves out."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roentgen.dataset.dataset import RadiographSplit
from roentgen.dataset.structure_masks import is_any_known, structures_shown
from roentgen.errors import InputError
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.token_lengths import TokenCounter
from roentgen.record.radiograph import Radiograph
from roentgen.storage import write_file


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A radiograph that is left out, and why."""

    split: str
    id: str
    reason: str


class KeptSplit:
    """The kept radiographs of a split, in its order; it is read as a split is."""

    def __init__(
        self, split: RadiographSplit, rows: Sequence[int], refused: Sequence[Refused] = ()
    ) -> None:
        self.split = split
        self.rows = list(rows)
        self.refused = list(refused)
        self.name = split.name
        self.folder = split.folder

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Radiograph:
        return self.split[self.rows[index]]

    def images(self, indices: Iterable[int]) -> list[np.ndarray]:
        """The decoded images of these items, each uint8 [height, width]."""
        return self.split.images(self.rows[index] for index in indices)

    def without_images(self) -> Iterator[Radiograph]:
        """All kept radiographs in order, without pixels."""
        kept = set(self.rows)
        for row, radiograph in enumerate(self.split.without_images()):
            if row in kept:
                yield radiograph

    def ids(self) -> list[str]:
        """The ids of all kept radiographs, in order."""
        ids = self.split.ids()
        return [ids[row] for row in self.rows]

    def patients(self) -> set[str]:
        """The ids of all patients of the whole split."""
        return self.split.patients()


def keep(
    split: RadiographSplit,
    rules: RadiographFilter | None,
    count_tokens: TokenCounter,
    styles: Sequence[PromptStyle],
    structures: Sequence[str] = (),
) -> KeptSplit:
    """The radiographs that the rules keep, and of which a structure is known if any are named.

    Raises InputError where nothing is left.
    """
    if rules is None and not structures:
        return KeptSplit(split, range(len(split)))
    shown = structures_shown(split)
    rows, refused = [], []
    for row, radiograph in enumerate(split.without_images()):
        reason = rules.exclusion_reason(radiograph, count_tokens, styles) if rules else None
        if reason is None and structures and not is_any_known(radiograph, shown(row), structures):
            reason = f"no mask of {', '.join(structures)}"
        if reason is None:
            rows.append(row)
        else:
            refused.append(Refused(split=split.name, id=radiograph.id, reason=reason))
    if not rows:
        commonest = Counter(item.reason for item in refused).most_common(3)
        told = "; ".join(f"{reason} ({n})" for reason, n in commonest) or "the split is empty"
        what = "data.keep leaves nothing" if rules else "nothing can be trained on"
        raise InputError(f"{what} of split {split.name!r}: {told}")
    return KeptSplit(split, rows, refused)


def write_refused(path: Path, refused: Iterable[Refused]) -> None:
    """What was left out as a CSV table: split, id, reason."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["split", "id", "reason"])
    table.writerows((item.split, item.id, item.reason) for item in refused)
    write_file(path, text.getvalue())


def tell_refused(split: KeptSplit) -> str | None:
    """In a line how many of a split were left out and why; None where none were."""
    if not split.refused:
        return None
    reasons = Counter(item.reason for item in split.refused).most_common()
    told = "; ".join(f"{n}: {reason}" for reason, n in reasons)
    return f"{split.name}: {len(split)} kept, {len(split.refused)} left out ({told})"
