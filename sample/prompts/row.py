"""One row of prompts: what is asked of an image, or of some."""

from dataclasses import dataclass

from roentgen.prompts.grammar import PromptStyle
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Sex
from roentgen.record.views import View


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """One prompt with what it tells."""

    prompt: str
    view: View | None = None
    findings: tuple[Finding, ...] = ()
    age: float | None = None  # years
    sex: Sex | None = None
    race: str | None = None
    count: int | None = None  # images; None: the configuration's
    radiograph: str | None = None  # id of the radiograph it was made from
    patient: str | None = None  # that radiograph's patient
    mask_row: int | None = None  # of that radiograph in the split that masks are of


def told_findings(findings: tuple[Finding, ...], style: PromptStyle) -> tuple[Finding, ...]:
    """What of a radiograph's findings its prompt tells.

    Absent findings are told even where they are not mentioned: in a list of findings, what is not
    named is absent. A report tells its findings in its own words.
    """
    if style.text == "none":
        return ()
    if style.text not in ("findings", "entities") or style.mention_uncertain:
        return findings
    return tuple(finding for finding in findings if finding.state != "uncertain")
