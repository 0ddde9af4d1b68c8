"""Which split a patient belongs to."""

import hashlib
import math
from dataclasses import dataclass, field

from roentgen.data.radiograph import Split
from roentgen.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """Shares of the patients, by hash; they add up to 1."""

    train: float
    validate: float
    test: float

    def __post_init__(self) -> None:
        shares = (self.train, self.validate, self.test)
        if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise InputError(f"split.fractions add up to {sum(shares):g}: they must add up to 1")


@dataclass(frozen=True, kw_only=True)
class SplitRules:
    """How radiographs are split: by a column of the corpus, or by patient hash."""

    column: str | None = None
    """The column that names each row's split."""
    words: dict[str, Split] = field(default_factory=dict)
    """The column's words for train, validate and test, where they differ."""
    fractions: Fractions | None = None
    """Shares of the patients, chosen by the hash of patient and seed."""

    def __post_init__(self) -> None:
        if (self.column is None) == (self.fractions is None):
            raise InputError("split needs either split.column or split.fractions")


def split_of_patient(patient_id: str, seed: int, fractions: Fractions) -> Split:
    """The same split for the same patient and seed wherever it runs, however many others."""
    digest = hashlib.sha256(f"{seed}\x1f{patient_id}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if draw < fractions.train:
        return "train"
    return "validate" if draw < fractions.train + fractions.validate else "test"
