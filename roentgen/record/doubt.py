"""Degrees of doubt: the probability that a finding is present, by the words that report it.

The labeler and the prompt parser read the same words the same way. Numbers of "most likely",
"likely", "may represent", "unlikely" and "very unlikely" are within the bands of the Radiologist
Diagnostic Certainty Scale (Shinagare et al., Brigham and Women's Hospital 2020,
rad.bwh.harvard.edu/diagnostic-certainty-scale: above 90 %, 75-90 %, 25-75 %, 5-25 %, below 5 %),
which has "consistent with" and "compatible with" for established diagnoses. The others are our own
choice. docs/sampling.md has the table.
"""

from dataclasses import dataclass
from functools import cache

from roentgen.record.finding import State

# A finding is present from the one probability on ("likely"), and absent up to the other.
PRESENT_FROM = 0.75
ABSENT_UP_TO = 0.1


@dataclass(frozen=True)
class Doubt:
    """Words of one degree: those in front of a finding and those that follow it."""

    probability: float  # that the finding is present, 0 to 1
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The state of a finding in this degree."""
        return state_of(self.probability)


DOUBTS: tuple[Doubt, ...] = (
    Doubt(
        0.95,
        before=("most likely", "very likely", "highly likely"),
        after=("most likely", "very likely", "highly likely"),
    ),
    Doubt(0.9, before=("consistent with", "compatible with", "in keeping with")),
    Doubt(0.8, before=("likely", "presumed", "presumably"), after=("likely", "presumed")),
    Doubt(
        0.75,
        before=("probable", "probably", "favored", "suggestive of", "suggests", "suggesting"),
        after=("probable", "favored"),
    ),
    Doubt(
        0.6,
        before=(
            *("suspected", "suspicion of", "suspicion for", "suspicious for"),
            *("concern for", "concerning for", "worrisome for"),
        ),
        after=("suspected",),
    ),
    Doubt(
        0.5,
        before=(
            *("may represent", "may reflect", "may be", "might represent", "could represent"),
            *("possible", "possibly", "uncertain"),
        ),
        after=("possible", "uncertain"),
    ),
    Doubt(0.4, before=("questionable", "question of"), after=("questionable",)),
    Doubt(
        0.3,
        before=("cannot exclude", "cannot rule out"),
        after=("cannot be excluded", "cannot be ruled out", "not excluded", "not ruled out"),
    ),
    Doubt(0.2, before=("less likely",), after=("less likely",)),
    Doubt(0.15, before=("unlikely", "doubtful"), after=("unlikely", "doubtful")),
    Doubt(
        0.04,
        before=("very unlikely", "highly unlikely"),
        after=("very unlikely", "highly unlikely"),
    ),
)


def state_of(probability: float) -> State:
    """The state of a finding that is present with this probability, 0 to 1."""
    if probability >= PRESENT_FROM:
        return "present"
    return "absent" if probability <= ABSENT_UP_TO else "uncertain"


@cache
def doubt_of(words: str) -> Doubt | None:
    """The degree of words in lower case with single spaces ("may represent"); None if unknown."""
    return next((doubt for doubt in DOUBTS if words in (*doubt.before, *doubt.after)), None)


def probability_of(words: str) -> float:
    """The probability of a degree. Raises KeyError for words that are not in the table."""
    if doubt := doubt_of(words):
        return doubt.probability
    raise KeyError(words)
