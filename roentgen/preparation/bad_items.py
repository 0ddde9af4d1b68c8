"""Limit of bad items, and their reasons by kind."""

import re
from collections import Counter
from collections.abc import Iterable

from roentgen.corpora.reader import CorpusPlan, Exclusion
from roentgen.errors import InputError

# Parts of a reason that differ from item to item: the file name at its beginning; a path, a
# patient or a number of bytes further on.
_FILE = re.compile(r"^[^\s/]+\.\w+(?=:? )")
_OTHERS = re.compile(
    r"(?<=^cannot read image ).+(?=: )|(?<=^path )'.*'(?= leads)|(?<=patient )'[^']*'"
    r"|[1-9]\d*(?= bytes)"
)


class Reasons:
    """Counts of reasons by kind: without the parts that differ from item to item."""

    def __init__(self, reasons: Iterable[str] = ()) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}  # by kind: the reason, while it is the same for all
        self.add(reasons)

    def add(self, reasons: Iterable[str]) -> None:
        """Count further reasons."""
        for reason in reasons:
            kind = _OTHERS.sub("...", _FILE.sub("file", reason))
            self._counts[kind] += 1
            if self._reasons.setdefault(kind, reason) != reason:
                self._reasons[kind] = kind

    def counts(self) -> Counter[str]:
        """Counts by kind; a kind with a single reason is given in full."""
        return Counter({self._reasons[kind]: n for kind, n in self._counts.items()})

    def total(self) -> int:
        """Number of reasons counted."""
        return self._counts.total()


class BadItems:
    """Counts bad items by reason and ends the run when there are too many.

    Whether a run fails depends on all its items, not on their order: the count can only grow.
    """

    def __init__(self, share: float, plan: CorpusPlan) -> None:
        self.share = share
        self.reasons = Reasons()
        self.add(plan.excluded)
        self.all = len(plan.items) + self.reasons.total()

    def add(self, excluded: Iterable[Exclusion]) -> None:
        """Count those that the configuration does not expect."""
        self.reasons.add(item.reason for item in excluded if item.is_bad)

    def most_frequent(self) -> str:
        """The most frequent reasons, "" if there is none."""
        return "; ".join(f"{text} ({n})" for text, n in self.reasons.counts().most_common(3))

    def check(self) -> None:
        """Raise InputError if too many are bad."""
        bad = self.reasons.total()
        if bad > self.share * self.all:
            raise InputError(
                f"{bad} of {self.all} items are bad, more than max_bad_share={self.share:g}; "
                f"the most frequent reasons: {self.most_frequent()}"
            )
