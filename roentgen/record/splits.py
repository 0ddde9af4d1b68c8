"""Split of a patient."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from roentgen.errors import InputError, require_range
from roentgen.record.radiograph import Split


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """Shares of the patients, by hash; they add up to 1."""

    train: float
    """Share of training patients."""
    validate: float
    """Share of validation patients."""
    test: float
    """Share of held-out test patients."""

    def __post_init__(self) -> None:
        shares = (self.train, self.validate, self.test)
        if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise InputError(f"split.fractions add up to {sum(shares):g}: they must add up to 1")


@dataclass(frozen=True, kw_only=True)
class SplitRules:
    """How radiographs are split: by a column, by the corpus's published split, or by hash."""

    column: str | None = None
    """The column that names each row's split."""
    words: dict[str, Split] = field(default_factory=dict)
    """The column's words for train, validate and test, where they differ."""
    fractions: Fractions | None = None
    """Shares of the patients, chosen by the hash of patient and seed."""
    published: str | None = None
    """A published split by name: "official", "p19"."""
    validate_share: float = 0.0
    """Share of the published train patients that validate instead, by hash; for published splits
    without a validation part."""

    def __post_init__(self) -> None:
        given = [x for x in (self.column, self.fractions, self.published) if x is not None]
        if len(given) != 1:
            raise InputError("split needs one of split.column, split.fractions and split.published")
        require_range(self, "split.validate_share", at_least=0, below=1)

    def check_published(self, known: Sequence[str]) -> None:
        """Raise InputError unless the rules go with a corpus that has these published splits."""
        choices = ", ".join(known) or "none"
        if self.column is not None:
            raise InputError(
                "split.column goes with table only: give split.fractions or split.published "
                f"(this corpus's: {choices})"
            )
        if self.published is not None and self.published not in known:
            raise InputError(
                f"unknown split.published {self.published!r}; this corpus's: {choices}"
            )

    def of_patient(self, patient_id: str, seed: int, published: Split | None) -> Split:
        """The split of a patient; `published` is its split in the published one."""
        if self.fractions is not None:
            return split_of_patient(patient_id, seed, self.fractions)
        if published is None:
            raise InputError(f"the {self.published} split does not contain patient {patient_id!r}")
        if published == "train" and self.validate_share:
            share = self.validate_share
            return split_of_patient(
                patient_id, seed, Fractions(train=1 - share, validate=share, test=0)
            )
        return published


def split_of_patient(patient_id: str, seed: int, fractions: Fractions) -> Split:
    """The split by the hash of patient and seed, independent of other patients."""
    digest = hashlib.sha256(f"{seed}\x1f{patient_id}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if draw < fractions.train:
        return "train"
    return "validate" if draw < fractions.train + fractions.validate else "test"
