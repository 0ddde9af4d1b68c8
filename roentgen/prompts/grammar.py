"""Prompt grammar: how a radiograph is described in words, for training and sampling alike.

    <view-pa> 63 year old woman, cardiomegaly, small left pleural effusion, no pneumothorax

    63 year old woman with cardiomegaly and small left pleural effusion, without pneumothorax

    63 year old woman, febrile, hypoxic on oxygen, small left pleural effusion

A view token, the patient, words of the context, then a text: the findings in a fixed order and
fixed words, as a list or as a sentence, or a section of the report. A finding that differs between
the sides is one phrase: "moderate right and small left pleural effusion". `parser.parse_prompt`
reads all that is written but sections back exactly.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from roentgen.errors import InputError, require, require_choice
from roentgen.prompts.context_words import (
    ContextRule,
    check_rules,
    context_text,
    requested_context,
    shipped_rules,
)
from roentgen.prompts.facts import facts_text
from roentgen.prompts.vocabulary import (
    DETAIL_NOUNS,
    GRADED,
    NOUNS,
    PLACES,
    RACES,
    STATE_WORDS,
    attribute_words,
    is_graded,
)
from roentgen.record.context import ContextValue
from roentgen.record.finding import FINDING_NAMES, STATES, Finding, Severity, Side, State, states
from roentgen.record.radiograph import VIEW_TOKENS, Radiograph, Report, Sex, View
from roentgen.record.statement import Statement
from roentgen.statements.hierarchy import findings as known_findings
from roentgen.statements.labels import findings_of, with_no_finding

PromptText = Literal[
    "findings", "impression", "report_findings", "last_paragraph", "entities", "facts", "none"
]
FindingsForm = Literal["list", "sentence"]
SexWords = Literal["woman", "female"]
# The section of the report that a prompt quotes verbatim.
SECTIONS: dict[PromptText, str] = {
    "impression": "impression",
    "report_findings": "findings",
    "last_paragraph": "last_paragraph",
}

# Findings in the grammar's words.
GRAMMAR_TEXTS: tuple[PromptText, ...] = ("findings", "entities", "facts")

_NAME_ORDER: dict[str, int] = {name: place for place, name in enumerate(FINDING_NAMES)}
_LAST = len(FINDING_NAMES)
_STATE_ORDER: tuple[State, ...] = ("present", "uncertain", "absent")
_CLAUSES: dict[State, str] = {
    "present": "with",
    "absent": "without",
    "uncertain": "with uncertain",
}
_NORMAL_CLAUSES: dict[State, str] = {
    "present": "with no",
    "uncertain": "possibly without",
    "absent": "with",
}
_JOINS = {
    "with": " and ",
    "without": " or ",
    "with uncertain": " and uncertain ",
    "with no": " or ",
    "possibly without": " or ",
}
_NEGATED_STATE_WORDS: dict[State, str] = {
    "present": "no",
    "uncertain": "possibly no",
    "absent": "",
}


class MissingTextError(InputError):
    """A radiograph has not the text that its prompt is made of."""


@dataclass(frozen=True, kw_only=True)
class PromptStyle:
    """What a prompt says about a radiograph."""

    view_token: bool = True
    """Begin with the token of the view, where it is known."""
    demographics: bool = False
    """Include age and sex ("63 year old woman"), where they are known."""
    race: bool = False
    """Include the race ("63 year old white woman"); it needs demographics."""
    sex_words: SexWords = "woman"
    """"woman" writes woman, man, girl and boy; "female" writes female and male at any age."""
    text: PromptText = "findings"
    """findings: the radiograph's findings in the grammar's words. entities: those that its report
    or graph states, with side, size and place. facts: what these state, in their order, with
    findings beyond the 14 names. impression, report_findings, last_paragraph: that section of the
    report. none: no text."""
    form: FindingsForm = "list"
    """Findings as a list ("edema, no fracture") or a sentence ("with edema, without fracture")."""
    mention_absent: bool = True
    """Include findings that are known to be absent ("no pneumothorax")."""
    mention_uncertain: bool = True
    """Include uncertain findings ("possible edema")."""
    context: bool = False
    """Include words of the clinical context ("febrile, hypoxic on oxygen"), where it is known."""
    context_rules: tuple[ContextRule, ...] = ()
    """The rules that write these words; empty: the shipped ones,
    `roentgen/prompts/context_rules.yaml`."""
    context_imputed: bool = False
    """Use values of the context that a model inferred, too."""

    def __post_init__(self) -> None:
        require_choice("prompt text", self.text, get_args(PromptText))
        require_choice("form of findings", self.form, get_args(FindingsForm))
        require_choice("sex_words", self.sex_words, get_args(SexWords))
        require(
            self.demographics or not self.race,
            "prompt.race needs prompt.demographics: set both or neither",
        )
        require(
            self.text != "facts" or self.form == "list",
            "prompt.text is facts, which are a list: set prompt.form to list, or text to entities",
        )
        require(
            self.context or not (self.context_rules or self.context_imputed),
            "prompt.context_rules and context_imputed need prompt.context: set it to true",
        )
        if self.context and not self.context_rules:
            object.__setattr__(self, "context_rules", shipped_rules())  # a record has them
        check_rules(self.context_rules)

    @property
    def omitted(self) -> frozenset[State]:
        """The states of findings that it does not mention."""
        mentioned = {"absent": self.mention_absent, "uncertain": self.mention_uncertain}
        return frozenset(state for state in STATES if not mentioned.get(state, True))

    def requested(self, context: Iterable[ContextValue]) -> tuple[ContextValue, ...]:
        """The words that it writes of a context, as yes-or-no values of their names."""
        return requested_context(context, self.context_rules, imputed=self.context_imputed)

    def without_context(self) -> "PromptStyle":
        """The same without words of the context."""
        return replace(self, context=False, context_rules=(), context_imputed=False)


def prompt_of(radiograph: Radiograph, style: PromptStyle) -> str:
    """The prompt of a radiograph. Raises MissingTextError if it needs a text that is missing."""
    text = ""
    if style.text == "facts":
        text = _facts(radiograph, style)
    if style.text in GRAMMAR_TEXTS and not text:  # without facts the chest may be normal
        text = findings_text(source_findings(radiograph, style), style)
    elif style.text in SECTIONS:
        section = SECTIONS[style.text]
        text = " ".join((getattr(radiograph.report, section, None) or "").split())
        if not text:
            raise MissingTextError(
                f"radiograph {radiograph.id!r} has no report section {section!r}: "
                "exclude it or choose another prompt text"
            )
    return compose(
        text,
        style,
        view=radiograph.view,
        age=radiograph.age,
        sex=radiograph.sex,
        race=radiograph.race,
        context=_context(radiograph, style),
    )


def _context(radiograph: Radiograph, style: PromptStyle) -> tuple[ContextValue, ...]:
    """The words of the context. Raises InputError, which names the radiograph, for another unit."""
    try:
        return style.requested(radiograph.context)
    except InputError as error:
        raise InputError(f"radiograph {radiograph.id!r}: {error}") from None


def has_text(radiograph: Radiograph, style: PromptStyle) -> bool:
    """Whether a radiograph has the text that its prompt is made of."""
    try:
        prompt_of(radiograph, style)
    except MissingTextError:
        return False
    return True


def source_findings(radiograph: Radiograph, style: PromptStyle) -> tuple[Finding, ...]:
    """The findings that a prompt is made from: the radiograph's own, or those its report states.

    A report states what the radiograph's statements do; without any it is read here. Raises
    MissingTextError for entities and facts where it names no finding.
    """
    if style.text not in ("entities", "facts"):
        return radiograph.findings
    if radiograph.statements:
        normal = states(radiograph.findings).get("No Finding") == "present"
        found = with_no_finding(findings_of(radiograph.statements), normal=normal)
    else:
        found = _read(radiograph.report or Report())[1]
    if not found and not (style.text == "facts" and _facts(radiograph, style)):
        raise MissingTextError(
            f"radiograph {radiograph.id!r} has no report that names a finding: exclude it or "
            "choose another prompt text"
        )
    return found


def source_others(radiograph: Radiograph, style: PromptStyle) -> tuple[Statement, ...]:
    """The statements of findings beyond the 14 names that a prompt of facts mentions."""
    if style.text != "facts":
        return ()
    return tuple(
        statement
        for statement in _statements(radiograph)
        if statement.state not in ("stable", *style.omitted)
        and not (node := known_findings()[statement.finding]).label
        and not node.in_prompts
    )


def _facts(radiograph: Radiograph, style: PromptStyle) -> str:
    return facts_text(_statements(radiograph), style.omitted)


def _statements(radiograph: Radiograph) -> tuple[Statement, ...]:
    return radiograph.statements or _read(radiograph.report or Report())[0]


@lru_cache(maxsize=8)  # one prompt asks several times
def _read(report: Report) -> tuple[tuple[Statement, ...], tuple[Finding, ...]]:
    """The statements and findings of a report, read in its own language.

    A text of no certain language is read in English, one in another language not at all.
    """
    # Slow: it compiles patterns.
    from roentgen.labelers.rules.report_language import language_to_read
    from roentgen.labelers.rules.rule_labeler import read_report

    language = language_to_read(report, "auto") or language_to_read(report, "en")
    return read_report(report, language) if language else ((), ())


def compose(
    text: str,
    style: PromptStyle,
    *,
    view: View | None = None,
    age: float | None = None,
    sex: Sex | None = None,
    race: str | None = None,
    context: Iterable[ContextValue] = (),
) -> str:
    """A prompt from its parts, except those unknown or not in the style; `age` in years."""
    patient = _patient(age, sex, race, style) if style.demographics else ""
    words = context_text(context, style.context_rules)
    sentence = style.form == "sentence" and not words
    join = ". " if style.text in SECTIONS else " " if sentence else ", "
    start = ", ".join(part for part in (patient, words) if part)
    body = join.join(part for part in (start, text) if part)
    token = VIEW_TOKENS[view] if style.view_token and view else ""
    return " ".join(part for part in (token, body) if part)


def findings_text(
    findings: Iterable[Finding], style: PromptStyle, others: Iterable[Statement] = ()
) -> str:
    """Findings as text, in the order of the 14 names within each state, then other statements.

    A list has present, uncertain, then absent findings; a sentence reads "with A and B, without
    C or D, with uncertain E". Raises InputError for a statement that has no words.
    """
    parts = [*map(part_of, findings), *(part for other in others for part in _parts_of(other))]
    units = units_of(
        sorted(
            (part for part in parts if part.state not in style.omitted),
            key=lambda part: (_STATE_ORDER.index(part.state), _NAME_ORDER.get(part.name, _LAST)),
        )
    )
    if style.form == "sentence":
        return ", ".join(_clauses(units))
    return ", ".join(_phrase(unit) for unit in units)


class Part(NamedTuple):
    """A finding, or a side of another statement."""

    name: str
    state: State
    side: Side | None
    severity: Severity | None
    place: str
    noun: str
    graded: bool  # whether it is mild rather than small
    free: str = ""  # a detail that is not in the vocabulary


Unit = tuple[Part, ...]  # the parts of a phrase: one, or the right and the left one


@lru_cache(maxsize=1 << 14)
def part_of(finding: Finding) -> Part:
    """A finding in the grammar's words. Raises InputError for a detail that cannot be written."""
    name, detail = finding.name, finding.detail
    place, noun, free = "", NOUNS[name], ""
    if detail is not None:
        ending = next((n for n in DETAIL_NOUNS.get(name, ()) if detail.endswith(n)), None)
        start = detail.removesuffix(ending).rstrip() if ending else detail
        if detail and start in ("", *PLACES) and detail == f"{start} {ending or ''}".strip():
            place, noun = start, ending or noun
        elif detail and detail.strip() == detail and not set("()\n") & set(detail):
            free = detail
        else:
            raise InputError(f"detail {detail!r} of {name} must be one phrase without parentheses")
    return Part(
        name, finding.state, finding.side, finding.severity, place, noun, name in GRADED, free
    )


@lru_cache(maxsize=1 << 12)
def _parts_of(other: Statement) -> tuple[Part, ...]:
    """The sides of a statement beyond the 14 names, or one part for both where nothing differs.

    Its probability, size and change are not written. Raises InputError for a state and for places
    that prompts have no words for.
    """
    node, extents = other.finding, other.extents
    known = all(len(e.places) < 2 and {*e.places} <= {*PLACES} for e in extents)
    if other.state == "stable" or not known:
        raise InputError(
            f"{node!r} cannot be written in a prompt: it must be present, uncertain or absent, at "
            f"one place at most of: {', '.join(PLACES)}"
        )
    given: dict[Side | None, tuple[Severity | None, str]] = {
        extent.side: (extent.severity, "".join(extent.places)) for extent in extents
    }
    if given.keys() == {"left", "right"} and given["left"] == given["right"]:
        given = {"bilateral": given["left"]}
    return tuple(
        Part(node, other.state, side, *own, node, is_graded(node)) for side, own in given.items()
    )


def units_of(parts: Sequence[Part]) -> list[Unit]:
    """The parts of each phrase: a finding that differs between the sides has one."""
    alike: dict[tuple[str, ...], list[Part]] = {}
    for part in parts:
        alike.setdefault((part.name, part.state, part.noun), []).append(part)
    units: dict[Part, Unit] = {}
    for first, *others in alike.values():
        if len(others) == 1 and (sides := _two_sides(first, others[0])):
            units |= {first: sides, others[0]: ()}
    return [unit for part in parts if (unit := units.get(part, (part,)))]


def _two_sides(*parts: Part) -> Unit | None:
    """The right and the left of two parts that one phrase describes; None if none does.

    Both have a severity or neither, both a place or neither, and these are not all equal. Absent
    findings have a phrase each, because an "and" leaves open whether "no" extends over it.
    """
    left, right = sorted(parts, key=lambda part: part.side or "")
    if (left.side, right.side) != ("left", "right") or left.state == "absent":
        return None
    here, there = ((part.severity, part.place) for part in (left, right))
    alike = [bool(word) for word in here] == [bool(word) for word in there]
    plain = left.name != "No Finding" and not (left.free or right.free)
    return (right, left) if plain and alike and here != there else None


def _clauses(units: Iterable[Unit]) -> Iterator[str]:
    """The clauses of a sentence. "No Finding" has its own, because its words negate it."""
    phrases: dict[str, list[str]] = {}
    for unit in units:
        # An absent "No Finding" is written as its bare words, as the other findings are where
        # they are present.
        normal = unit[0].name == "No Finding"
        bare = _phrase(tuple(p._replace(state="absent" if normal else "present") for p in unit))
        clause = (_NORMAL_CLAUSES if normal else _CLAUSES)[unit[0].state]
        phrases.setdefault(clause, []).append(bare)
    for clause in dict.fromkeys((*_NORMAL_CLAUSES.values(), *_CLAUSES.values())):
        if clause in phrases:
            yield f"{clause} {_JOINS[clause].join(phrases[clause])}"


def phrase(finding: Finding) -> str:
    """One finding in words: "small left pleural effusion", "possible right nodule", "no edema".

    A detail that is not in the vocabulary follows in parentheses. Raises InputError if it contains
    parentheses or is blank.
    """
    return _phrase((part_of(finding),))


def _phrase(unit: Unit) -> str:
    """A phrase: "moderate right and small left pleural effusion"."""
    first = unit[0]
    attributes = (attribute_words(p.severity, p.side, p.place, graded=p.graded) for p in unit)
    words = (
        (_NEGATED_STATE_WORDS if first.name == "No Finding" else STATE_WORDS)[first.state],
        " and ".join(filter(None, attributes)),
        first.noun,
        f"({first.free})" if first.free else "",
    )
    return " ".join(filter(None, words))


def _patient(age: float | None, sex: Sex | None, race: str | None, style: PromptStyle) -> str:
    """The patient in words. A race that is not in the vocabulary is written after an age only."""
    shown_race = race if style.race and (age is not None or race in RACES) else None
    if age is None and sex is None and shown_race is None:
        return ""
    child = age is not None and age < 18
    nouns = {"F": "girl" if child else "woman", "M": "boy" if child else "man", None: "patient"}
    if style.sex_words == "female":
        nouns |= {"F": "female", "M": "male"}
    years = None if age is None else f"{int(age)} year old"
    return " ".join(word for word in (years, shown_race, nouns[sex]) if word)
