"""Sides and severities dealt out to the findings of a plan."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.prompts.vocabulary import SIDE_IMPLIED, SIDED, SIZED
from roentgen.randomness import numpy_generator
from roentgen.record.findings import FINDING_NAMES, Finding
from sample.prompts.apportion import apportion, shuffle
from sample.prompts.label_table import Column, Findings

Mark = Literal["side", "severity"]


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """The side, or the severity, that each image's findings are given."""

    mark: Mark
    words: tuple[str, ...]
    places: list[list[int]]  # of each of the distinct findings: those that are given one
    picks: NDArray[np.uint8]  # of one image after the other: places in `words`
    ends: NDArray[np.int64]  # (images,): where in `picks` each image's end

    def block(self, start: int, stop: int) -> Iterator[bytes]:
        """The picks of these images."""
        ends = self.ends[start:stop].tolist()
        first = int(self.ends[start - 1]) if start else 0
        picks, at = self.picks[first : ends[-1]].tobytes(), 0
        for end in ends:
            yield picks[at : end - first]
            at = end - first

    def say(self, findings: Findings, code: int, picks: bytes) -> Findings:
        """The findings of this code with what one image's picks give them."""
        said = list(findings)
        for place, pick in zip(self.places[code], picks, strict=True):
            said[place] = _saying(said[place], self.mark, self.words[pick])
        return tuple(said)


def deal(
    column: Column[Findings], mark: Mark, shares: Mapping[str, float] | None, seed: int
) -> Dealt:
    """Deal sides or severities to findings that have them and tell none; none of a mix of None.

    The shares are met exactly in each finding, so that none has a side of its own. Raises
    InputError where no finding is open to them.
    """
    places = [
        [i for i, finding in enumerate(told) if shares and _lacks(finding, mark)]
        for told in column.values
    ]
    width = np.array([len(own) for own in places], dtype=np.int64)
    names = [
        FINDING_NAMES.index(told[i].name)
        for told, own in zip(column.values, places, strict=True)
        for i in own
    ]
    each = width[column.codes]
    ends = np.cumsum(each)
    # Of which finding each pick is: those of an image's code, which stand together in `names`.
    first = np.repeat((np.cumsum(width) - width)[column.codes] - (ends - each), each)
    whose = np.array(names, dtype=np.uint8)[first + np.arange(len(first))]
    if shares and not len(whose):
        key = "sides" if mark == "side" else "severities"
        raise InputError(f"prompts.labels.{key} is set, but no planned finding lacks a {mark}")
    picks = np.zeros(len(whose), dtype=np.uint8)
    for number in np.unique(whose).tolist():
        rng = numpy_generator(seed, "labels", mark, FINDING_NAMES[number])
        own = whose == number
        picks[own] = shuffle(apportion([*(shares or {}).values()], int(own.sum())), rng)
    return Dealt(mark=mark, words=tuple(shares or ()), places=places, picks=picks, ends=ends)


@cache
def _saying(finding: Finding, mark: Mark, word: str) -> Finding:
    """The finding with a side or severity; equal ones are one object."""
    return replace(finding, **{mark: word})  # type: ignore[arg-type]


def _lacks(finding: Finding, mark: Mark) -> bool:
    """Whether a side or severity could be said of a finding, and is not."""
    if finding.state == "absent" or getattr(finding, mark) is not None:
        return False
    if mark == "severity":
        return finding.name in SIZED
    return finding.name in SIDED and not any(d in (finding.detail or "") for d in SIDE_IMPLIED)
