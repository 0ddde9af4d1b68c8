"""Prompts: the one grammar that training and sampling share.

    <view-pa> 63 year old woman, cardiomegaly, small left pleural effusion, no pneumothorax

A view token, the patient, then a text: the findings in a fixed order and fixed words, or a
section of the report. What is written for findings, `parse_findings` reads back exactly.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from roentgen.data.findings import FINDING_NAMES, Finding, State
from roentgen.data.radiograph import Radiograph, Sex
from roentgen.data.views import VIEW_TOKENS, View
from roentgen.errors import InputError
from roentgen.text.reading import PromptContent, parse_findings, parse_prompt, split_view
from roentgen.text.vocabulary import DEGREES, DETAIL_NOUNS, GRADED, NOUNS, PLACES, SIZES

__all__ = [
    "PromptContent",
    "PromptStyle",
    "PromptText",
    "compose",
    "findings_text",
    "parse_findings",
    "parse_prompt",
    "phrase",
    "prompt_of",
    "split_view",
]

PromptText = Literal["findings", "impression", "report_findings", "none"]

_STATE_ORDER: tuple[State, ...] = ("present", "uncertain", "absent")
_STATE_WORDS: dict[State, str] = {"present": "", "uncertain": "possible", "absent": "no"}
_NEGATED_STATE_WORDS: dict[State, str] = {
    "present": "no",
    "uncertain": "possibly no",
    "absent": "",
}


@dataclass(frozen=True, kw_only=True)
class PromptStyle:
    """What a prompt tells of a radiograph."""

    view_token: bool = True
    """Begin with the token of the view, where it is known."""
    demographics: bool = False
    """Tell age and sex ("63 year old woman"), where they are known."""
    text: PromptText = "findings"
    """The findings in the grammar's words, a section of the report, or nothing."""
    mention_absent: bool = True
    """Tell findings that are known to be absent ("no pneumothorax")."""
    mention_uncertain: bool = True
    """Tell uncertain findings ("possible edema")."""

    def __post_init__(self) -> None:
        if self.text not in get_args(PromptText):
            choices = ", ".join(get_args(PromptText))
            raise InputError(f"unknown prompt text {self.text!r}; choose one of: {choices}")


def prompt_of(radiograph: Radiograph, style: PromptStyle) -> str:
    """The prompt of a radiograph. Raises InputError if the report section it needs is missing."""
    text = ""
    if style.text == "findings":
        text = findings_text(radiograph.findings, style)
    elif style.text != "none":
        section = "impression" if style.text == "impression" else "findings"
        report = radiograph.report
        text = " ".join((getattr(report, section) or "").split()) if report else ""
        if not text:
            raise InputError(
                f"radiograph {radiograph.id!r} has no report section {section!r}: "
                "leave it out or choose another prompt text"
            )
    return compose(text, style, view=radiograph.view, age=radiograph.age, sex=radiograph.sex)


def compose(
    text: str,
    style: PromptStyle,
    *,
    view: View | None = None,
    age: float | None = None,
    sex: Sex | None = None,
) -> str:
    """A prompt from its parts; `age` in years. What is unknown or not in the style is left out."""
    patient = _patient(age, sex) if style.demographics else ""
    join = ". " if style.text in ("impression", "report_findings") else ", "
    body = join.join(part for part in (patient, text) if part)
    token = VIEW_TOKENS[view] if style.view_token and view else ""
    return " ".join(part for part in (token, body) if part)


def findings_text(findings: Iterable[Finding], style: PromptStyle) -> str:
    """Findings as text: present, uncertain, absent; within each in the order of the 14 names."""
    left_out: set[State] = set()
    if not style.mention_absent:
        left_out.add("absent")
    if not style.mention_uncertain:
        left_out.add("uncertain")
    told = sorted(
        (finding for finding in findings if finding.state not in left_out),
        key=lambda f: (_STATE_ORDER.index(f.state), FINDING_NAMES.index(f.name)),
    )
    return ", ".join(phrase(finding) for finding in told)


def phrase(finding: Finding) -> str:
    """One finding in words: "small left pleural effusion", "possible right nodule", "no edema".

    A detail the vocabulary does not know follows in parentheses. Raises InputError if it has
    parentheses itself or is blank.
    """
    name, detail = finding.name, finding.detail
    place, noun, free = "", NOUNS[name], ""
    if detail is not None:
        ending = next((n for n in DETAIL_NOUNS.get(name, ()) if detail.endswith(n)), None)
        start = detail.removesuffix(ending).rstrip() if ending else detail
        if detail and start in ("", *PLACES) and detail == f"{start} {ending or ''}".strip():
            place, noun = start, ending or noun
        elif detail and detail.strip() == detail and not set("()\n") & set(detail):
            free = f"({detail})"
        else:
            raise InputError(f"detail {detail!r} of {name} must be one phrase without parentheses")
    words = (
        (_NEGATED_STATE_WORDS if name == "No Finding" else _STATE_WORDS)[finding.state],
        (DEGREES if name in GRADED else SIZES)[finding.severity] if finding.severity else "",
        finding.side or "",
        place,
        noun,
        free,
    )
    return " ".join(word for word in words if word)


def _patient(age: float | None, sex: Sex | None) -> str:
    if age is None and sex is None:
        return ""
    child = age is not None and age < 18
    noun = {"F": "girl" if child else "woman", "M": "boy" if child else "man", None: "patient"}[sex]
    return noun if age is None else f"{int(age)} year old {noun}"
