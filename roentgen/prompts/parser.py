"""Reading findings: the words that `roentgen.prompts.grammar` writes, and those that people type.

What is not understood is refused, never guessed. A comma ends what "no" and "possible" reach;
"or" carries them on.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from roentgen.errors import InputError
from roentgen.prompts.vocabulary import LEXICON, LONGEST_PHRASE, NOUNS, RACES, Mark, Noun
from roentgen.record.findings import Finding, Severity, Side, State
from roentgen.record.radiograph import Sex
from roentgen.record.views import VIEW_TOKENS, View

_SEXES: dict[str, Sex | None] = {
    **dict.fromkeys(("woman", "female", "girl"), "F"),
    **dict.fromkeys(("man", "male", "boy"), "M"),
    "patient": None,
}
_PATIENT = re.compile(
    rf"\s*(?:(?P<age>\d+)[\s-]years?[\s-]old\s+(?:(?P<race>[a-z][a-z '/&-]*?)\s+)?"
    rf"|(?P<known_race>{'|'.join(RACES)})\s+)?(?P<sex>{'|'.join(_SEXES)})\b\s*[,.;]?\s*",
    re.IGNORECASE,
)
_VIEW = re.compile(r"<view-[^<>\s]*>", re.IGNORECASE)
_TOKEN = re.compile(r"\(([^()]*)\)|([,;.\n])|([^\s,;.()\-]+)|([()])")


@dataclass(frozen=True, kw_only=True)
class PromptContent:
    """What a prompt in the findings form says."""

    view: View | None
    age: float | None  # years
    sex: Sex | None
    race: str | None
    findings: tuple[Finding, ...]


def parse_findings(text: str) -> tuple[Finding, ...]:
    """The findings a text tells; see `parse_prompt`."""
    return parse_prompt(text).findings


def parse_prompt(text: str) -> PromptContent:
    """What a prompt in the findings form says, in the grammar's words or in those people type.

    Raises InputError for a word it does not know and for what can be read in two ways.
    """
    view, text = split_view(text)
    age: float | None = None
    sex: Sex | None = None
    race: str | None = None
    patient = _PATIENT.match(text)
    if patient and not _is_of_findings(patient["race"] or ""):
        age = float(patient["age"]) if patient["age"] else None
        sex = _SEXES[patient["sex"].lower()]
        race = patient["race"] or patient["known_race"]
        text = text[patient.end() :]
    return PromptContent(view=view, age=age, sex=sex, race=race, findings=tuple(_findings(text)))


def _is_of_findings(text: str) -> bool:
    """Whether a text between age and sex tells findings: "63 year old with edema, a woman"."""
    words = set(text.lower().split()) - {"or", "and", "other"}
    return any((word,) in LEXICON for word in words)


def split_view(text: str) -> tuple[View | None, str]:
    """The view that a token in the text names, and the text without the token.

    Raises InputError for an unknown view token and for more than one.
    """
    tokens = _VIEW.findall(text)
    if not tokens:
        return None, text.strip()
    if len(tokens) > 1:
        raise InputError(f"more than one view token in a prompt: {', '.join(tokens)}; keep one")
    for view, token in VIEW_TOKENS.items():
        if token == tokens[0].lower():
            return view, " ".join(_VIEW.sub(" ", text).split())
    choices = ", ".join(VIEW_TOKENS.values())
    raise InputError(f"unknown view token {tokens[0]!r}; choose one of: {choices}")


@dataclass
class _Clause:
    """One finding while it is read."""

    states: list[State] = field(default_factory=list)
    noun: Noun | None = None
    marks: dict[str, str] = field(default_factory=dict)  # side, severity, place, free detail
    text: list[str] = field(default_factory=list)

    def add(self, meaning: Noun | Mark, words: str) -> None:
        self.text.append(words)
        if isinstance(meaning, Mark) and meaning.kind == "state":
            self.states.append(cast("State", meaning.value))
            return
        kind = "finding" if isinstance(meaning, Noun) else meaning.kind
        if kind in self.marks or (kind == "finding" and self.noun):
            raise InputError(
                f"{' '.join(self.text)!r} gives {kind} twice: put a comma between two findings"
            )
        if isinstance(meaning, Noun):
            self.noun = meaning
        else:
            self.marks[kind] = meaning.value

    def finding(self) -> Finding:
        text = " ".join(self.text)
        if self.noun is None:
            raise InputError(f"{text!r} names no finding; findings are: {_known_findings()}")
        marks = self.marks
        if "free" in marks and ("place" in marks or self.noun.detail):
            raise InputError(f"{text!r} has two details: keep one")
        details = [d for d in (marks.get("place"), self.noun.detail, marks.get("free")) if d]
        return Finding(
            name=self.noun.name,
            state=self._state(text),
            side=cast("Side | None", marks.get("side")),
            severity=cast("Severity | None", marks.get("severity")),
            detail=" ".join(details) or None,
        )

    def _state(self, text: str) -> State:
        match self.states, self.noun is not None and self.noun.negates:
            case [], negates:
                return "absent" if negates else "present"
            case ["absent"], negates:
                return "present" if negates else "absent"
            case (["uncertain"], False) | (["uncertain", "absent"], True):
                return "uncertain"
        raise InputError(f"{text!r} is both denied and uncertain: say one of the two")


def _findings(text: str) -> Iterator[Finding]:
    """The findings of a text without view token and patient."""
    clause = _Clause()
    before: Mark | None = None  # the "and" or "or" that the clause follows
    broken = True  # whether a comma or the begin of the text stands right before
    scope: list[State] = []  # the states of the clause before
    for meaning, words in (*_units(text), (Mark("break"), "")):
        mark = meaning if isinstance(meaning, Mark) else None
        if mark and mark.kind == "filler":
            continue
        ends = mark is not None and mark.kind in ("break", "join", "or")
        if ends or (mark and mark.kind == "state" and clause.noun):
            if clause.text:
                _settle_scope(clause, before, scope)
                yield clause.finding()
                scope, before = clause.states, None
            elif before or (mark and mark.kind == "or"):
                raise InputError(f"cannot tell what {words or 'the last word'!r} joins in a prompt")
            if mark and ends:
                anew = broken and mark.value == "with"  # "..., with edema" carries nothing on
                before = mark if mark.kind in ("join", "or") and not anew else None
                broken = mark.kind == "break"
            clause = _Clause()
        if not ends:
            clause.add(meaning, words)
            broken = False


def _settle_scope(clause: _Clause, before: Mark | None, scope: list[State]) -> None:
    """Carry "no" and "possible" over an "or"; refuse where it is open whether they go on."""
    if before is None or clause.states:
        return
    if before.kind == "or" and scope:
        clause.states = list(scope)
    elif before.kind == "or":
        raise InputError(f"'or' before {' '.join(clause.text)!r} leaves open which: use a comma")
    elif scope:
        raise InputError(
            f"'and' before {' '.join(clause.text)!r} leaves open whether it is denied or uncertain "
            "too: use a comma, and say 'no' or 'possible' of each finding"
        )


def _units(text: str) -> Iterator[tuple[Noun | Mark, str]]:
    """The meanings of a text in order, each with its words; the longest known phrase wins."""
    words: list[str] = []
    for free, separator, word, stray in _TOKEN.findall(text):
        if word:
            words.append(word.lower())
            continue
        yield from _meanings(words)
        words = []
        if stray:
            raise InputError(f"parenthesis {stray!r} without its partner in a prompt")
        if separator:
            yield Mark("break"), separator
        elif free.strip():
            yield Mark("free", free.strip()), f"({free.strip()})"
    yield from _meanings(words)


def _meanings(words: Sequence[str]) -> Iterator[tuple[Noun | Mark, str]]:
    position = 0
    while position < len(words):
        for length in range(LONGEST_PHRASE, 0, -1):
            run = tuple(words[position : position + length])
            if len(run) == length and run in LEXICON:
                yield from ((meaning, " ".join(run)) for meaning in LEXICON[run])
                position += length
                break
        else:
            raise _unknown(words[position:])


def _unknown(words: Sequence[str]) -> InputError:
    known = [" ".join(run) for run in LEXICON]
    for length in (3, 2, 1):
        tried = " ".join(words[:length])
        if near := difflib.get_close_matches(tried, known, n=1, cutoff=0.75):
            return InputError(
                f"unknown word {words[0]!r} in a prompt of findings; nearest known: {near[0]!r}"
            )
    return InputError(
        f"unknown word {words[0]!r} in a prompt of findings; findings are: {_known_findings()}"
    )


def _known_findings() -> str:
    return ", ".join(noun for name, noun in NOUNS.items() if name != "No Finding")
