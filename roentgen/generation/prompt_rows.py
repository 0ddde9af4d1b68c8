"""Prompt rows: prompts with what they state, made from findings, free text or radiographs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from roentgen.errors import InputError
from roentgen.prompts.grammar import (
    GRAMMAR_TEXTS,
    PromptStyle,
    compose,
    findings_text,
    prompt_of,
    source_findings,
    source_others,
)
from roentgen.prompts.parser import parse_prompt, split_view
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Sex, View

Views = Sequence[View | None]


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """One prompt with what it states, and the radiograph it was made from, if any."""

    prompt: str
    view: View | None = None
    findings: tuple[Finding, ...] = ()
    others: tuple[str, ...] = ()  # findings of the hierarchy beyond the 14 names: "emphysema"
    age: float | None = None  # years
    sex: Sex | None = None
    race: str | None = None
    context: tuple[ContextValue, ...] = ()  # its words, yes or no
    seed_prompt: str | None = None  # which seeds depend on, without the context; None: the prompt
    count: int | None = None  # images; None: as many as of every other prompt
    from_radiograph: str | None = None  # its id
    from_patient: str | None = None  # its patient_id
    mask_row: int | None = None  # its row in the split that masks are taken from


def check_view_in_style(where: str, style: PromptStyle) -> None:
    """Raise InputError if views are requested at the place `where`, but prompts include none."""
    if not style.view_token:
        raise InputError(
            f"{where} is set, but prompts include no view, by the model's training or by style: "
            f"remove {where}, or set style.view_token=true"
        )


def check_context_in_style(where: str, style: PromptStyle) -> None:
    """Raise InputError if context is requested at the place `where`, but prompts include none."""
    if not style.context:
        raise InputError(
            f"{where} is set, but prompts include no context, by the model's training or by "
            f"style: remove {where}, or set style.context=true"
        )


def rows_from_findings(
    text: str,
    style: PromptStyle,
    views: Views,
    where: str,
    context: tuple[ContextValue, ...] | None = None,
) -> Iterator[PromptRow]:
    """A row for each view of findings typed by hand.

    Everything that was typed is stated, even what `style` would omit; `context` replaces the typed
    one. Raises InputError, which names the place `where`, for words that the grammar does not know.
    """
    try:
        content = parse_prompt(text, style.context_rules)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not content.findings and not content.others:
        raise InputError(
            f"{where} names no finding: write 'no acute findings' for a normal radiograph"
        )
    age, sex, race = content.age, content.sex, content.race
    full = replace(
        style,
        text="findings",
        mention_absent=True,
        mention_uncertain=True,
        view_token=style.view_token or content.view is not None,
        demographics=style.demographics or age is not None or sex is not None,
        race=style.race or race is not None,
    )
    words = findings_text(content.findings, full, content.others)
    requested = content.context if context is None else context
    for view in [content.view] if content.view else views:
        prompt, plain = (
            compose(words, full, view=view, age=age, sex=sex, race=race, context=given)
            for given in (requested, ())
        )
        yield PromptRow(
            prompt=prompt,
            context=requested,
            seed_prompt=plain,
            view=view,
            findings=content.labels(),
            others=tuple(with_state(other.finding, other.state) for other in content.others),
            age=age,
            sex=sex,
            race=race,
        )


def rows_from_text(
    text: str,
    style: PromptStyle,
    views: Views,
    where: str,
    context: tuple[ContextValue, ...] | None = None,
) -> Iterator[PromptRow]:
    """A row for each view of a free text, verbatim after view token and context; no findings."""
    try:
        own, words = split_view(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not words and not own:
        raise InputError(f"{where} is empty: write a prompt")
    token = style if own is None or style.view_token else replace(style, view_token=True)
    verbatim, given = " ".join(words.split()), context or ()
    for view in [own] if own else views:
        yield PromptRow(
            prompt=compose(verbatim, token, view=view, context=given),
            context=given,
            seed_prompt=compose(verbatim, token, view=view),
            view=view,
        )


def with_state(name: str, state: str) -> str:
    """A finding with its state, unless it is present: "Edema", "Edema absent"."""
    return name if state == "present" else f"{name} {state}"


def row_from_radiograph(
    radiograph: Radiograph, style: PromptStyle, mask_row: int | None = None
) -> PromptRow:
    """The row of a radiograph's prompt. Raises InputError where the report lacks its text."""
    others = (with_state(s.finding, s.state) for s in source_others(radiograph, style))
    context = style.requested(radiograph.context)
    return PromptRow(
        prompt=prompt_of(radiograph, style),
        context=context,
        seed_prompt=prompt_of(replace(radiograph, context=()), style) if context else None,
        view=radiograph.view if style.view_token else None,
        findings=requested_findings(source_findings(radiograph, style), style),
        others=tuple(dict.fromkeys(others)),
        age=radiograph.age if style.demographics else None,
        sex=radiograph.sex if style.demographics else None,
        race=radiograph.race if style.race else None,
        from_radiograph=radiograph.id,
        from_patient=radiograph.patient_id,
        mask_row=mask_row,
    )


def requested_findings(findings: tuple[Finding, ...], style: PromptStyle) -> tuple[Finding, ...]:
    """The findings among a radiograph's own that its prompt requests.

    Absent findings count even where `style` does not mention them: in a list of findings, an
    unmentioned finding is absent. A report states its findings in its own words.
    """
    if style.text == "none":
        return ()
    if style.text not in GRAMMAR_TEXTS or style.mention_uncertain:
        return findings
    return tuple(finding for finding in findings if finding.state != "uncertain")
