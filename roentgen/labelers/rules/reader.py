"""Reader of a sentence: its findings with state, sides, severities and places.

After ConText (Harkema et al. 2009): cues act on the findings that follow or precede them, until
their clause ends (`clauses`). In a clause, sides, severities and places belong to the noun that
they stand next to, whether it is a finding or not ("left thoracotomy"); a clause without a noun
speaks about the nouns of the clause before ("effusion: small, left").
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest

from roentgen.labelers.rules.clause_reader import ClauseReader
from roentgen.labelers.rules.clauses import clauses_of
from roentgen.labelers.rules.lexicon import MODIFIERS, Lexicon, Phrase
from roentgen.labelers.rules.sentence_state import Reading, Sentence

_NOUNS = ("finding", "structure", "abnormality")


def read_sentence(lexicon: Lexicon, words: Sequence[str]) -> Reading:
    """What the tokens of a sentence say."""
    phrases = _with_predicates(lexicon.find(words))
    sentence = Sentence(
        lexicon.modifiers_precede, lexicon.unknown(words, phrases), lexicon.replaced_by
    )
    if all(phrase.kind not in _NOUNS for phrase in phrases):
        return sentence.reading
    clauses = clauses_of(
        phrases,
        len(words),
        sentence.unknown,
        modifiers_precede=sentence.modifiers_precede,
    )
    for clause, following in zip_longest(clauses, clauses[1:]):
        ClauseReader(sentence, clause, following.opening if following else None).read()
    reading = sentence.reading
    reading.refers = "this" in phrases[0].names
    for mention in reading.mentions:
        mention.locate()
    reading.mentions = [m for m in reading.mentions if not m.dropped and m.mark != "historical"]
    return reading


def _with_predicates(phrases: list[Phrase]) -> list[Phrase]:
    """The phrases with "resolved" as a predicate where it ends a statement: "effusion resolved"."""
    for i, (before, phrase) in enumerate(pairwise(phrases), 1):
        if phrase.kind == "gone" and before.kind == "finding":
            following = phrases[i + 1].kind if i + 1 < len(phrases) else None
            if following not in (*MODIFIERS, "finding", "the", "in"):
                phrases[i] = replace(phrase, kind="denied")
    return phrases
