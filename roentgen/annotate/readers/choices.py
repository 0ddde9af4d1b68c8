"""Choice questions about a report, and the interface of what answers them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

# Why a question has no answer: the server did not reply in time, replied with an error, not in the
# form that was required, without probabilities, only in part, with another choice; or the report
# does not fit the model's context.
Fault = Literal[
    "timeout",
    "server error",
    "wrong form",
    "no probabilities",
    "cut off",
    "other choice",
    "too long",
]


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question about a report that one of its choices answers ("yes", "no")."""

    text: str
    choices: tuple[str, ...]  # distinct, at least two


@dataclass(frozen=True, slots=True)
class Answer:
    """The probabilities of a question's choices, or why there are none.

    Those of a reader that names one choice without probabilities are 1 and 0, with the fault "no
    probabilities".
    """

    probabilities: tuple[float, ...] = ()  # in the order of the choices, sum 1; () without answer
    fault: Fault | None = None

    @property
    def best(self) -> int | None:
        """The most probable choice, the first of equals; None without an answer."""
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__, default=None)


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Prompt tokens of an interview so far."""

    computed: int = 0  # those that were not in a cache
    alone: int = 0  # as many as prompts of one question each have together

    def __add__(self, other: "TokenCount") -> "TokenCount":
        return TokenCount(self.computed + other.computed, self.alone + other.alone)


class Interview(Protocol):
    """One report before a reader, which reads it once for all questions."""

    @property
    def tokens(self) -> TokenCount:
        """What its questions have taken."""

    def ask(self, questions: Sequence[ChoiceQuestion]) -> Sequence[Answer]:
        """An answer to each question, independent of the others."""


class ChoiceReader(Protocol):
    """A language model that answers choice questions about reports."""

    @property
    def identity(self) -> str:
        """What it is, for manifests and sources of statements: a name with a hash of its files."""

    def open(self, report: str) -> AbstractContextManager[Interview]:
        """Begin with a report."""
