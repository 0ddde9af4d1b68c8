"""Meanings of an entity's words, which graphs leave to a reader of the language."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from roentgen.statements.statement import StatementState

WordKind = Literal["side", "severity", "place", "change"]


class WordMeanings(Protocol):
    """What words in lower case with single spaces mean."""

    def findings(self, words: str) -> Mapping[str, StatementState]:
        """The findings that words name, with the state that they give it.

        "opacity" makes a lung opacity present, "normal heart" cardiomegaly absent; words of places
        or degrees alone name none.
        """

    def attributes(self, words: str) -> Sequence[tuple[WordKind, str]]:
        """The sides, severities, places and changes that one phrase means; none if it is unknown.

        In the values of an Extent and a Change: "bibasilar" is bilateral and basal.
        """
