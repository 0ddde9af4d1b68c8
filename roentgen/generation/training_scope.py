"""Training scope: what the prompts of a model's training state, and requests beyond it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roentgen.errors import InputError
from roentgen.generation.planned_images import PlannedImage
from roentgen.generation.prompt_rows import PromptRow, with_state
from roentgen.manifest import portable
from roentgen.prompts.grammar import GRAMMAR_TEXTS, SECTIONS, PromptStyle, PromptText
from roentgen.prompts.parser import PromptContent, parse_prompt
from roentgen.reports.language import language_of

RARE = 20  # training images, below which a statement is rare: classifiers need as many to learn it
Statement = tuple[str, str]  # its kind, its value
FREE_TEXT = "free text"
_SECTIONS: dict[PromptText, str] = {
    "impression": "a report's impression",
    "report_findings": "a report's findings",
    "last_paragraph": "a report's last paragraph",
}
# How notes begin for each kind, for one value and for several.
_ASK = {
    "view": ("ask for the view", "ask for the views"),
    "finding": ("ask for the finding", "ask for the findings"),
    "side": ("ask for", "ask for"),
    "severity": ("ask for", "ask for"),
    "age": ("state the age", "state the ages"),
    "sex": ("state the sex", "state the sexes"),
    "race": ("state the race", "state the races"),
    "context": ("state", "state"),
    "text_form": ("consist of", "consist of"),
    "language": ("are in", "are in"),
}
_LISTED = 5  # values of a kind in a note


def text_form(style: PromptStyle) -> str:
    """The form of text of prompts in a style, in words."""
    if style.text in GRAMMAR_TEXTS:
        return f"a {style.form} of findings"
    return _SECTIONS[style.text] if style.text in SECTIONS else "no text"


def stated(prompt: PromptRow | PlannedImage, style: PromptStyle | None) -> Iterator[Statement]:
    """What a prompt states, in a style or, if it is None, in free words.

    Of a section of a report these are its radiograph's findings.
    """
    if style is not None:
        omitted = () if style.text in SECTIONS or style.mention_absent else ("absent",)
        yield from _stated(prompt, omitted)
        yield "text_form", text_form(style)
    elif (content := _parsed(prompt.prompt)) is not None:
        yield from _stated(content)
    else:
        yield from _stated(prompt)
        yield "text_form", FREE_TEXT
    verbatim = style is None or style.text in SECTIONS
    if verbatim and (language := language_of(prompt.prompt)):
        yield "language", language


def _parsed(text: str) -> PromptContent | None:
    """The contents of a prompt that names findings in the grammar's words, else None."""
    try:
        content = parse_prompt(text)
    except InputError:
        return None
    return content if content.findings or content.others else None


def _stated(
    content: PromptRow | PlannedImage | PromptContent, omitted: tuple[str, ...] = ()
) -> Iterator[Statement]:
    if content.view:
        yield "view", content.view
    if content.age is not None:
        decade = int(content.age) // 10 * 10  # the oldest are few, and could be recognized
        yield "age", f"{decade}-{decade + 9} years" if decade < 90 else "90 years or more"
    if content.sex:
        yield "sex", content.sex
    if content.race:
        yield "race", content.race
    for value in content.context:
        yield "context", value.name if value.value else f"not {value.name}"
    for other in content.others:
        yield "finding", other if isinstance(other, str) else with_state(other.finding, other.state)
    for finding in content.findings:
        if finding.state in omitted:
            continue
        yield "finding", with_state(finding.name, finding.state)
        if finding.state != "absent":
            for kind, word in (("side", finding.side), ("severity", finding.severity)):
                if word:
                    yield kind, f"{word} {finding.name}"


@dataclass(frozen=True, kw_only=True)
class TrainingStage:
    """The prompts of one training: the number of its images whose prompts state each thing.

    An image that has prompts in several styles counts for each statement once.
    """

    model: str | None = None  # what came of it; None: the model itself
    images: int | None = None  # None: unknown
    stated: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by kind and value

    @classmethod
    def of(cls, images: int, counts: Mapping[Statement, int]) -> "TrainingStage":
        """The stage of `images` images with these counts of statements."""
        by_kind: dict[str, dict[str, int]] = {}
        for (kind, value), count in sorted(counts.items()):
            by_kind.setdefault(kind, {})[value] = count
        return cls(images=images, stated=by_kind)

    def count(self, statement: Statement) -> int:
        """The number of images whose prompts state it."""
        kind, value = statement
        values = self.stated.get(kind, {})
        if statement == ("text_form", FREE_TEXT):  # as any section of a report is
            return max(values.get(form, 0) for form in _SECTIONS.values())
        return values.get(value, 0)


@dataclass(frozen=True)
class TrainingScope:
    """The trainings that led to a model: its own, then those of its bases."""

    stages: tuple[TrainingStage, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values that JSON holds."""
        return [
            {"model": stage.model, "images": stage.images, "stated": stage.stated}
            for stage in self.stages
        ]

    def gap(self, statement: Statement) -> str | None:
        """How a statement exceeds the scope: "never", "rare" or "base"; None if it does not.

        "base": it is rare in the model's own training, not with that of its bases.
        """
        kind, value = statement
        if kind in ("side", "severity") and self.gap(("finding", value.partition(" ")[2])):
            return None  # the finding has its own note
        own = self.stages[0]
        if kind == "language" and kind not in own.stated:
            return None  # its reports are in no certain language
        if own.count(statement) >= RARE:
            return None
        images = sum(stage.count(statement) for stage in self.stages)
        return "base" if images >= RARE else "rare" if images else "never"


def training_scope(model: Mapping[str, Any]) -> TrainingScope | None:
    """The scope that a model's manifest records; None if it records none that can be read."""
    try:
        stages = [TrainingStage(**item) for item in model["provenance"]["training_prompts"]]
        counts = [n for stage in stages for of in stage.stated.values() for n in of.values()]
    except (AttributeError, KeyError, TypeError):
        return None
    valid = bool(stages) and all(isinstance(count, int) for count in counts)
    return TrainingScope(tuple(stages)) if valid else None


def base_stages(name: str, manifest: Mapping[str, Any]) -> list[TrainingStage]:
    """The stages that a model inherits from a base of this name.

    None from a pipeline of which only the VAE is trained: it has read no prompts.
    """
    if (manifest.get("provenance") or {}).get("program") == "train.autoencoder":
        return []
    scope = training_scope(manifest) or TrainingScope((TrainingStage(),))
    own, *bases = scope.stages
    return [TrainingStage(model=portable(name), images=own.images, stated=own.stated), *bases]


class ScopeCheck:
    """Counts the prompts of a plan that state what the model was not trained on."""

    def __init__(self, scope: TrainingScope | None, style: PromptStyle | None) -> None:
        """`style` is that of the prompts; None: they are free text."""
        self._scope, self._style = scope, style
        self._prompts = 0
        self._gaps: dict[Statement, str | None] = {}
        self._of_kind: Counter[tuple[str, str]] = Counter()  # prompts by (kind, gap)
        self._values: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def add(self, prompt: PromptRow | PlannedImage) -> None:
        """Count one prompt."""
        self._prompts += 1
        if self._scope is None:
            return
        kinds = set()
        for statement in set(stated(prompt, self._style)):
            if statement not in self._gaps:
                self._gaps[statement] = self._scope.gap(statement)
            if gap := self._gaps[statement]:
                kinds.add((statement[0], gap))
                self._values[statement[0], gap][statement[1]] += 1
        self._of_kind.update(kinds)

    def notes(self, model: str) -> list[str]:
        """A line for each kind of statement that exceeds the scope of `model`."""
        if self._scope is None:
            return [
                f"what {model} was trained on is not recorded: whether it knows the views, "
                "findings and forms of text that are requested is unknown"
            ]
        notes = [
            self._note(kind, gap)
            for kind in _ASK
            for gap in ("never", "rare", "base")
            if (kind, gap) in self._of_kind
        ]
        unknown = [stage.model for stage in self._scope.stages if stage.images is None]
        if notes and unknown:
            notes.append(f"what its base {' or '.join(map(str, unknown))} saw is not recorded")
        return notes

    def _note(self, kind: str, gap: str) -> str:
        assert self._scope is not None
        found = self._values[kind, gap]
        one, several = _ASK[kind]
        asked = f"{one} {next(iter(found))}" if len(found) == 1 else f"{several} {_listed(found)}"
        start = f"{self._of_kind[kind, gap]} of {self._prompts} prompts {asked}, which the model"
        own, *bases = self._scope.stages
        trained = _listed(own.stated.get(kind, {})) or "prompts that name none"
        if gap == "never":
            return f"{start} never saw (it was trained on {trained})"
        if gap == "rare":
            seen = _counts(self._scope.stages, kind, found)
            return f"{start} saw in fewer than {RARE} training images ({_listed(seen)})"
        saw = [stage for stage in bases if any(_counts([stage], kind, found).values())]
        names = f"{saw[0].model} and its bases" if len(saw) > 1 else saw[0].model
        return (
            f"{start} saw in the training of its base, not or rarely in its own ({names}: "
            f"{_listed(_counts(saw, kind, found))}; its own: {trained})"
        )


def _counts(stages: Sequence[TrainingStage], kind: str, values: Iterable[str]) -> dict[str, int]:
    """The images that state each value, over all stages."""
    return {v: sum(stage.count((kind, v)) for stage in stages) for v in values}


def _listed(counts: Mapping[str, int]) -> str:
    """The most frequent values with their counts."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{value} {count}" for value, count in ordered[:_LISTED])
    more = len(ordered) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown
