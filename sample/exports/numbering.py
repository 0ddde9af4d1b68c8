"""Numbering of patients and studies, for layouts that identify them by number."""

import hashlib

from roentgen.errors import InputError


class IdentityNumbers:
    """A number for each identity, from its hash; on a collision the later takes the next free one.

    The same identities in the same order have the same numbers; without a collision also in any
    order and among any others. Memory grows by some 200 bytes per identity.
    """

    def __init__(self, first: int, count: int) -> None:
        self._first, self._count = first, count
        self._numbers: dict[tuple[object, ...], int] = {}
        self._taken: set[int] = set()

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, identity: tuple[object, ...]) -> bool:
        return identity in self._numbers

    def __call__(self, *identity: object) -> int:
        """Its number, from `first` to below `first + count`. Raises InputError if none is left."""
        known = self._numbers.get(identity)
        if known is not None:
            return known
        if len(self._taken) == self._count:
            raise InputError(f"the layout has numbers for {self._count} only: export fewer splits")
        digest = hashlib.sha256("\x1f".join(map(str, identity)).encode()).digest()
        place = int.from_bytes(digest[:8], "big") % self._count
        while place in self._taken:
            place = (place + 1) % self._count
        self._taken.add(place)
        self._numbers[identity] = self._first + place
        return self._first + place
