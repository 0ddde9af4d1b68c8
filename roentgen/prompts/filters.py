"""Filters of radiographs, among them those of published recipes as named presets."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from roentgen.errors import require, require_choice, require_range
from roentgen.prompts.grammar import PromptStyle, has_text, prompt_of
from roentgen.prompts.token_lengths import TokenCounter
from roentgen.record.finding import FINDING_NAMES, FindingName, states
from roentgen.record.radiograph import VIEWS, Radiograph, View

PresetName = Literal["roentgen", "roentgen_v2"]
FilterSection = Literal["findings", "impression", "last_paragraph"]
Demographic = Literal["age", "sex", "race"]


@dataclass(frozen=True, kw_only=True)
class RadiographFilter:
    """Excludes radiographs that fail any of its rules; null rules do not apply."""

    preset: PresetName | None = None
    """The published recipe that fills the rules which are null here."""
    views: tuple[View, ...] | None = None
    """Keep only these views; an unknown view is excluded."""
    findings: tuple[FindingName, ...] | None = None
    """Keep only radiographs with at least one of these present."""
    section: FilterSection | None = None
    """Keep only radiographs whose report has this section."""
    min_characters: int | None = None
    """Keep only radiographs whose section is at least this long."""
    known: tuple[Demographic, ...] | None = None
    """Keep only radiographs whose patient has all of these recorded."""
    max_tokens: int | None = None
    """Keep only radiographs whose prompt has at most this many tokens, including begin and end."""
    prompt: PromptStyle | None = None
    """The prompt whose tokens are counted; null: the section alone. Training counts its own."""

    def __post_init__(self) -> None:
        if self.preset is not None:
            require_choice("preset", self.preset, get_args(PresetName))
            for rule in fields(RadiographFilter):
                if getattr(self, rule.name) is None:
                    object.__setattr__(self, rule.name, getattr(PRESETS[self.preset], rule.name))
        for values, allowed, what in (
            (self.views, VIEWS, "view"),
            (self.findings, FINDING_NAMES, "finding"),
            (self.known, get_args(Demographic), "known"),
            ((self.section,) if self.section else (), get_args(FilterSection), "section"),
        ):
            for value in values or ():
                require_choice(what, value, allowed)
        require_range(self, "min_characters", "max_tokens", at_least=1, note="or null")
        require(
            self.min_characters is None or self.section is not None,
            "min_characters needs section: name the one to measure",
        )
        require(
            self.max_tokens is None or self.section is not None or self.prompt is not None,
            "max_tokens needs section or prompt: name the text to measure",
        )

    def exclusion_reason(
        self,
        radiograph: Radiograph,
        count_tokens: TokenCounter,
        styles: Sequence[PromptStyle] = (),
    ) -> str | None:
        """Why a radiograph is excluded, in the same words for the same reason; None if it passes.

        `styles`: the prompts whose tokens are counted, in place of the filter's own.
        """
        if self.views is not None and radiograph.view not in self.views:
            return f"view is {radiograph.view or 'unknown'}, not {' or '.join(self.views)}"
        if self.findings is not None:
            known = states(radiograph.findings)
            if all(known.get(name) != "present" for name in self.findings):
                return f"{' or '.join(self.findings)} is not present"
        for name in self.known or ():
            if getattr(radiograph, name) is None:
                return f"{name} is unknown"
        text = ""
        if self.section is not None:
            text = " ".join((getattr(radiograph.report, self.section, None) or "").split())
            if not text:
                return f"report has no {self.section}"
            if self.min_characters is not None and len(text) < self.min_characters:
                return f"{self.section} is shorter than {self.min_characters} characters"
        if self.max_tokens is None:
            return None
        for style in styles or ((self.prompt,) if self.prompt else ()):
            if not has_text(radiograph, style):
                return f"there is no text for a prompt of {style.text}"
            text = prompt_of(radiograph, style)
            if count_tokens(text) > self.max_tokens:
                return f"prompt is longer than {self.max_tokens} tokens"
        if not (styles or self.prompt) and count_tokens(text) > self.max_tokens:
            return f"{self.section} is longer than {self.max_tokens} tokens"
        return None


# RoentGen (Bluethgen, Chambon et al., Nature Biomedical Engineering 2025, arXiv 2211.12737): PA
# radiographs whose impression has at least 7 characters and at most 77 tokens.
# RoentGen-v2 (Moroianu et al. 2025, arXiv 2508.16783): prompts of
# "{age} year old {race} {sex}. {impression}", so all three must be known and the entire prompt must
# fit; the bounds of the impression are RoentGen's. Its published code truncates prompts at 77
# tokens where this filter excludes them: to truncate, set a high max_tokens and
# long_prompts=truncate.
PRESETS: dict[PresetName, RadiographFilter] = {
    "roentgen": RadiographFilter(
        views=("PA",),
        section="impression",
        min_characters=7,
        max_tokens=77,
        prompt=PromptStyle(view_token=False, text="impression"),
    ),
    "roentgen_v2": RadiographFilter(
        views=("PA",),
        section="impression",
        min_characters=7,
        known=("age", "sex", "race"),
        max_tokens=77,
        prompt=PromptStyle(
            view_token=False,
            text="impression",
            demographics=True,
            race=True,
            sex_words="female",
        ),
    ),
}
