"""How many bad items a run may have, and why they are bad."""

import re
from collections import Counter
from collections.abc import Iterable

from roentgen.corpora.reader import CorpusPlan, Exclusion
from roentgen.errors import InputError

# What differs from item to item where the reason is the same: its file's name at the beginning;
# further on a path, a patient, a number of bytes.
_FILE = re.compile(r"^[^\s/]+\.\w+(?=:? )")
_OTHERS = re.compile(
    r"(?<=^cannot read image ).+(?=: )|(?<=^path )'.*'(?= leads)|(?<=patient )'[^']*'"
    r"|[1-9]\d*(?= bytes)"
)


class Reasons:
    """Counts reasons by their kind, which leaves out what only one item has."""

    def __init__(self, reasons: Iterable[str] = ()) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}  # of a kind: the reason, while all are the same
        self.add(reasons)

    def add(self, reasons: Iterable[str]) -> None:
        """Count further reasons."""
        for reason in reasons:
            kind = _OTHERS.sub("...", _FILE.sub("file", reason))
            self._counts[kind] += 1
            if self._reasons.setdefault(kind, reason) != reason:
                self._reasons[kind] = kind

    def counts(self) -> Counter[str]:
        """How often each kind is met; where it is always the same reason, in full."""
        return Counter({self._reasons[kind]: n for kind, n in self._counts.items()})

    def total(self) -> int:
        """How many were counted."""
        return self._counts.total()


class BadItems:
    """Counts bad items by reason, and ends the run when there are too many.

    Whether a run fails depends on all its items, not on the order in which they are made: those
    counted so far can only become more.
    """

    def __init__(self, share: float, plan: CorpusPlan) -> None:
        self.share = share
        self.reasons = Reasons()
        self.add(plan.excluded)
        self.all = len(plan.items) + self.reasons.total()

    def add(self, excluded: Iterable[Exclusion]) -> None:
        """Count those that the configuration did not ask for."""
        self.reasons.add(item.reason for item in excluded if not item.expected)

    def commonest(self) -> str:
        """The commonest reasons, "" if there is none."""
        return "; ".join(f"{text} ({n})" for text, n in self.reasons.counts().most_common(3))

    def check(self) -> None:
        """Raise InputError if too many are bad."""
        bad = self.reasons.total()
        if bad > self.share * self.all:
            raise InputError(
                f"{bad} of {self.all} items are bad, more than max_bad_share={self.share:g}; "
                f"the commonest reasons: {self.commonest()}"
            )
