"""Prompt grammar: how a radiograph is described in words, for training and sampling alike.

    <view-pa> 63 year old woman, cardiomegaly, small left pleural effusion, no pneumothorax

    63 year old woman with cardiomegaly and small left pleural effusion, without pneumothorax

A view token, the patient, then a text: the findings in a fixed order and fixed words, as a list or
as a sentence, or a section of the report. A finding that differs between the sides is one phrase:
"moderate right and small left pleural effusion". `parser.parse_prompt` reads the written findings
back exactly.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from roentgen.errors import InputError, require, require_choice
from roentgen.prompts.vocabulary import DEGREES, DETAIL_NOUNS, GRADED, NOUNS, PLACES, RACES, SIZES
from roentgen.record.radiograph import (
    FINDING_NAMES,
    VIEW_TOKENS,
    Finding,
    Radiograph,
    Report,
    Severity,
    Sex,
    Side,
    State,
    View,
)

PromptText = Literal[
    "findings", "impression", "report_findings", "last_paragraph", "entities", "none"
]
FindingsForm = Literal["list", "sentence"]
SexWords = Literal["woman", "female"]
# The section of the report that a prompt quotes verbatim.
SECTIONS: dict[PromptText, str] = {
    "impression": "impression",
    "report_findings": "findings",
    "last_paragraph": "last_paragraph",
}

_STATE_ORDER: tuple[State, ...] = ("present", "uncertain", "absent")
STATE_WORDS: dict[State, str] = {"present": "", "uncertain": "possible", "absent": "no"}
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
    states, with side, size and place. impression, report_findings, last_paragraph: that section of
    the report. none: no text."""
    form: FindingsForm = "list"
    """Findings as a list ("edema, no fracture") or a sentence ("with edema, without fracture")."""
    mention_absent: bool = True
    """Include findings that are known to be absent ("no pneumothorax")."""
    mention_uncertain: bool = True
    """Include uncertain findings ("possible edema")."""

    def __post_init__(self) -> None:
        require_choice("prompt text", self.text, get_args(PromptText))
        require_choice("form of findings", self.form, get_args(FindingsForm))
        require_choice("sex_words", self.sex_words, get_args(SexWords))
        require(
            self.demographics or not self.race,
            "prompt.race needs prompt.demographics: set both or neither",
        )


def prompt_of(radiograph: Radiograph, style: PromptStyle) -> str:
    """The prompt of a radiograph. Raises InputError if the report section it needs is missing."""
    text = ""
    if style.text in ("findings", "entities"):
        text = findings_text(source_findings(radiograph, style), style)
    elif style.text in SECTIONS:
        section = SECTIONS[style.text]
        text = " ".join((getattr(radiograph.report, section, None) or "").split())
        if not text:
            raise InputError(
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
    )


def has_text(radiograph: Radiograph, style: PromptStyle) -> bool:
    """Whether a radiograph has the text that its prompt is made of."""
    try:
        prompt_of(radiograph, style)
    except InputError:
        return False
    return True


def source_findings(radiograph: Radiograph, style: PromptStyle) -> tuple[Finding, ...]:
    """The findings that a prompt is made from: the radiograph's own, or those its report states.

    Raises InputError for entities where the report names no finding.
    """
    if style.text != "entities":
        return radiograph.findings
    from roentgen.labelers.rules.rule_labeler import label_report  # slow: it compiles patterns

    found = label_report(radiograph.report or Report())
    if not found:
        raise InputError(
            f"radiograph {radiograph.id!r} has no report that names a finding: exclude it or "
            "choose another prompt text"
        )
    return found


def compose(
    text: str,
    style: PromptStyle,
    *,
    view: View | None = None,
    age: float | None = None,
    sex: Sex | None = None,
    race: str | None = None,
) -> str:
    """A prompt from its parts, except those unknown or not in the style; `age` in years."""
    patient = _patient(age, sex, race, style) if style.demographics else ""
    join = ". " if style.text in SECTIONS else " " if style.form == "sentence" else ", "
    body = join.join(part for part in (patient, text) if part)
    token = VIEW_TOKENS[view] if style.view_token and view else ""
    return " ".join(part for part in (token, body) if part)


def findings_text(findings: Iterable[Finding], style: PromptStyle) -> str:
    """Findings as text, in the order of the 14 names within each state.

    A list has present, uncertain, then absent findings; a sentence reads "with A and B, without
    C or D, with uncertain E".
    """
    omitted: set[State] = set()
    if not style.mention_absent:
        omitted.add("absent")
    if not style.mention_uncertain:
        omitted.add("uncertain")
    mentioned = sorted(
        (finding for finding in findings if finding.state not in omitted),
        key=lambda f: (_STATE_ORDER.index(f.state), FINDING_NAMES.index(f.name)),
    )
    units = _units(mentioned)
    if style.form == "sentence":
        return ", ".join(_clauses(units))
    return ", ".join(phrase(*unit) for unit in units)


def _units(findings: Sequence[Finding]) -> list[tuple[Finding, ...]]:
    """The findings of each phrase: one, or the right and the left one of a finding that differs."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.name, finding.state, _wording(finding).noun), []).append(finding)
    units: dict[Finding, tuple[Finding, ...]] = {}
    for first, *others in alike.values():
        if len(others) == 1 and (sides := _two_sides(first, others[0])):
            units |= {first: sides, others[0]: ()}
    return [unit for finding in findings if (unit := units.get(finding, (finding,)))]


def _two_sides(*findings: Finding) -> tuple[Finding, Finding] | None:
    """The right and the left of two findings that one phrase describes; None if none does.

    Both have a severity or neither, both a place or neither, and these are not all equal. Absent
    findings have a phrase each, because an "and" leaves open whether "no" extends over it.
    """
    left, right = sorted(findings, key=lambda finding: finding.side or "")
    if (left.side, right.side) != ("left", "right") or left.state == "absent":
        return None
    here, there = ((f.severity, _wording(f).place) for f in (left, right))
    alike = [bool(word) for word in here] == [bool(word) for word in there]
    plain = left.name != "No Finding" and not any(_wording(f).free for f in findings)
    return (right, left) if plain and alike and here != there else None


def _clauses(units: Iterable[tuple[Finding, ...]]) -> Iterator[str]:
    """The clauses of a sentence. "No Finding" has its own, because its words negate it."""
    phrases: dict[str, list[str]] = {}
    for unit in units:
        # An absent "No Finding" is written as its bare words, as the other findings are where
        # they are present.
        normal = unit[0].name == "No Finding"
        bare = phrase(*(replace(f, state="absent" if normal else "present") for f in unit))
        clause = (_NORMAL_CLAUSES if normal else _CLAUSES)[unit[0].state]
        phrases.setdefault(clause, []).append(bare)
    for clause in dict.fromkeys((*_NORMAL_CLAUSES.values(), *_CLAUSES.values())):
        if clause in phrases:
            yield f"{clause} {_JOINS[clause].join(phrases[clause])}"


@lru_cache(maxsize=1 << 14)
def phrase(*findings: Finding) -> str:
    """One finding in words: "small left pleural effusion", "possible right nodule", "no edema".

    Or its right and its left one: "moderate right and small left pleural effusion". A detail that
    is not in the vocabulary follows in parentheses. Raises InputError if it contains parentheses
    or is blank.
    """
    name, state, wording = findings[0].name, findings[0].state, _wording(findings[0])
    words = (
        (_NEGATED_STATE_WORDS if name == "No Finding" else STATE_WORDS)[state],
        " and ".join(filter(None, map(_attributes, findings))),
        wording.noun,
        f"({wording.free})" if wording.free else "",
    )
    return " ".join(word for word in words if word)


def _attributes(finding: Finding) -> str:
    graded = finding.name in GRADED
    return attribute_words(finding.severity, finding.side, _wording(finding).place, graded=graded)


def attribute_words(
    severity: Severity | None, side: Side | None, place: str, *, graded: bool
) -> str:
    """Severity, side and place: "small left upper zone"; `graded` writes "mild" for "small"."""
    degree = (DEGREES if graded else SIZES)[severity] if severity else ""
    return " ".join(word for word in (degree, side, place) if word)


class _Wording(NamedTuple):
    """The words of a finding's name and detail; empty where it has none."""

    place: str
    noun: str
    free: str  # a detail that is not in the vocabulary


@lru_cache(maxsize=1 << 14)
def _wording(finding: Finding) -> _Wording:
    name, detail = finding.name, finding.detail
    if detail is None:
        return _Wording("", NOUNS[name], "")
    ending = next((n for n in DETAIL_NOUNS.get(name, ()) if detail.endswith(n)), None)
    start = detail.removesuffix(ending).rstrip() if ending else detail
    if detail and start in ("", *PLACES) and detail == f"{start} {ending or ''}".strip():
        return _Wording(start, ending or NOUNS[name], "")
    if detail and detail.strip() == detail and not set("()\n") & set(detail):
        return _Wording("", NOUNS[name], detail)
    raise InputError(f"detail {detail!r} of {name} must be one phrase without parentheses")


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
