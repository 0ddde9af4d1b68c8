"""Meanings of an entity's words, which a graph does not give."""

from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from typing import Literal, Protocol

from roentgen.labelers.rules.lexicon import lexicon
from roentgen.labelers.rules.rule_labeler import statements_of
from roentgen.labelers.rules.tokens import Language
from roentgen.record.finding import SIDES
from roentgen.record.radiograph import Report
from roentgen.record.statement import StatementState
from roentgen.statements.hierarchy import places

WordKind = Literal["side", "severity", "place", "change"]
_KEPT = 1 << 16  # answers; graphs repeat their words


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


class RuleMeanings:
    """Meanings by the rule labeler of a language."""

    def __init__(self, language: Language = "en") -> None:
        self._language = language

    def findings(self, words: str) -> Mapping[str, StatementState]:
        """See WordMeanings."""
        return _findings(words, self._language)

    def attributes(self, words: str) -> Sequence[tuple[WordKind, str]]:
        """See WordMeanings."""
        return _attributes(words, self._language)


@lru_cache(maxsize=_KEPT)
def _findings(words: str, language: Language) -> Mapping[str, StatementState]:
    return {s.finding: s.state for s in statements_of(Report(findings=words), language)}


@lru_cache(maxsize=_KEPT)
def _attributes(words: str, language: Language) -> Sequence[tuple[WordKind, str]]:
    meaning = lexicon(language).meaning_of(words)
    if meaning is None:
        return ()
    match meaning.kind:
        case "severity" | "change":
            return ((meaning.kind, meaning.names[0]),)
        case "side" | "place":
            kinds: dict[WordKind, Container[str]] = {"side": SIDES, "place": places()}
            return tuple(
                (kind, name)
                for kind, known in kinds.items()
                for name in meaning.names
                if name in known
            )
    return ()
