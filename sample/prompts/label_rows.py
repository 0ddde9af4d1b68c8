"""Prompt rows of a label plan: findings, sides, severities, views and patients in exact shares.

Everything is a function of the seed. The plan is arrays of codes until its rows are read: a million
rows take some 30 MB.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import repeat
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.generation.prompt_rows import PromptRow
from roentgen.prompts.grammar import PromptStyle, compose, findings_text
from roentgen.prompts.vocabulary import SIDE_IMPLIED, SIDED, SIZED
from roentgen.randomness import numpy_generator
from roentgen.record.context import ContextValue
from roentgen.record.finding import FINDING_NAMES, Finding
from sample.prompts.apportion import apportion, shuffle
from sample.prompts.config import OLDEST, LabelPrompts, age_band
from sample.prompts.label_findings import Column, Findings, LabelPlan, plan_findings

Attribute = Literal["side", "severity"]

_BLOCK = 4096  # rows made at a time
_TEXTS = 1 << 16  # texts that are cached, so that equal ones are one object


def label_rows(
    labels: LabelPrompts, style: PromptStyle, seed: int, context: tuple[ContextValue, ...] = ()
) -> Iterator[PromptRow]:
    """One row an image, in random order; prompts are findings in the grammar's words.

    `context` are words that all of them have.

    Raises InputError for settings that have no place in `style`, for findings that the grammar does
    not know or that contradict each other, and for findings that a dataset lacks.
    """
    _check_style(labels, style)
    style = replace(style, text="findings")
    if labels.counts is not None or labels.shares is not None:
        style = replace(style, mention_absent=True, mention_uncertain=True)  # as they are typed
    plan = plan_findings(labels, style, seed)
    findings = plan.findings
    sides = _assign(findings, "side", labels.sides, seed)
    severities = _assign(findings, "severity", labels.severities, seed)
    view = _values(labels.views, "view", plan, style.view_token, seed)
    age = _values(labels.ages, "age", plan, style.demographics, seed)
    sex = _values(labels.sexes, "sex", plan, style.demographics, seed)
    race = _values(labels.races, "race", plan, style.race, seed)

    @lru_cache(maxsize=_TEXTS)
    def complete(code: int, side: bytes, severity: bytes) -> tuple[Findings, str]:
        own = sides.add_to(findings.values[code], code, side)
        own = severities.add_to(own, code, severity)
        return own, findings_text(own, style)

    @lru_cache(maxsize=_TEXTS)
    def prompts(text: str, v: int, a: int, s: int, r: int) -> tuple[str, str | None]:
        """The prompt, and that without context."""
        patient = {"age": age.values[a], "sex": sex.values[s], "race": race.values[r]}
        plain = compose(text, style, view=view.values[v], **patient)
        if not context:
            return plain, None
        return compose(text, style, view=view.values[v], **patient, context=context), plain

    columns = [column.codes for column in (findings, view, age, sex, race)]
    for start in range(0, len(findings.codes), _BLOCK):
        block = slice(start, start + _BLOCK)
        for code, v, a, s, r, side, severity, (radiograph, patient) in zip(
            *(column[block].tolist() for column in columns),
            sides.block(start, start + _BLOCK),
            severities.block(start, start + _BLOCK),
            _sources(plan, block),
            strict=True,
        ):
            own, text = complete(code, side, severity)
            prompt, seed_prompt = prompts(text, v, a, s, r)
            yield PromptRow(
                prompt=prompt,
                context=context,
                seed_prompt=seed_prompt,
                view=view.values[v],
                findings=own,
                age=age.values[a],
                sex=sex.values[s],
                race=race.values[r],
                count=1,
                from_radiograph=radiograph,
                from_patient=patient,
            )


def _check_style(labels: LabelPrompts, style: PromptStyle) -> None:
    if style.text == "none":
        raise InputError(
            "prompts.labels plans findings, but prompts have no text, by the model's training or "
            "by style: set style.text=findings"
        )
    for name, included, what, key in (
        ("views", style.view_token, "view", "view_token"),
        ("ages", style.demographics, "age and sex", "demographics"),
        ("sexes", style.demographics, "age and sex", "demographics"),
        ("races", style.race, "race", "race"),
    ):
        if getattr(labels, name) is not None and not included:
            raise InputError(
                f"prompts.labels.{name} is set, but prompts include no {what}, by the model's "
                f"training or by style: remove it, or set style.{key}=true"
            )


@dataclass(frozen=True, kw_only=True)
class _Assignment:
    """The side, or the severity, that is assigned to findings of each image."""

    attribute: Attribute
    words: tuple[str, ...]
    places: list[list[int]]  # in each of the distinct findings: those without the attribute
    picks: NDArray[np.uint8]  # indices of `words`, of one image after the other
    ends: NDArray[np.int64]  # (images,): where in `picks` each image's end

    def block(self, start: int, stop: int) -> Iterator[bytes]:
        """The picks of these images."""
        ends = self.ends[start:stop].tolist()
        first = int(self.ends[start - 1]) if start else 0
        picks, at = self.picks[first : ends[-1]].tobytes(), 0
        for end in ends:
            yield picks[at : end - first]
            at = end - first

    def add_to(self, findings: Findings, code: int, picks: bytes) -> Findings:
        """The findings of this code with the words that an image's picks assign to them."""
        result = list(findings)
        for place, pick in zip(self.places[code], picks, strict=True):
            result[place] = _with_attribute(result[place], self.attribute, self.words[pick])
        return tuple(result)


@cache
def _with_attribute(finding: Finding, attribute: Attribute, word: str) -> Finding:
    """The finding with a side or severity; equal ones are one object."""
    return replace(finding, **{attribute: word})  # type: ignore[arg-type]


def _assign(
    column: Column[Findings], attribute: Attribute, shares: Mapping[str, float] | None, seed: int
) -> _Assignment:
    """Assign sides or severities at random to findings that can have one and do not; None: to none.

    The shares are met exactly in each finding. Raises InputError where no finding can take one.
    """
    places = [
        [i for i, finding in enumerate(own) if shares and _lacks(finding, attribute)]
        for own in column.values
    ]
    width = np.array([len(own) for own in places], dtype=np.int64)
    names = [
        FINDING_NAMES.index(findings[i].name)
        for findings, own in zip(column.values, places, strict=True)
        for i in own
    ]
    each = width[column.codes]
    ends = np.cumsum(each)
    # The finding of each pick: those of an image's code, which are consecutive in `names`.
    first = np.repeat((np.cumsum(width) - width)[column.codes] - (ends - each), each)
    finding_of = np.array(names, dtype=np.uint8)[first + np.arange(len(first))]
    if shares and not len(finding_of):
        key = "sides" if attribute == "side" else "severities"
        raise InputError(f"prompts.labels.{key} is set, but no planned finding lacks a {attribute}")
    picks = np.zeros(len(finding_of), dtype=np.uint8)
    for number in np.unique(finding_of).tolist():
        rng = numpy_generator(seed, "labels", attribute, FINDING_NAMES[number])
        own = finding_of == number
        picks[own] = shuffle(apportion([*(shares or {}).values()], int(own.sum())), rng)
    words = tuple(shares or ())
    return _Assignment(attribute=attribute, words=words, places=places, picks=picks, ends=ends)


def _lacks(finding: Finding, attribute: Attribute) -> bool:
    """Whether a finding can have a side or severity and does not."""
    if finding.state == "absent" or getattr(finding, attribute) is not None:
        return False
    if attribute == "severity":
        return finding.name in SIZED
    return finding.name in SIDED and not any(d in (finding.detail or "") for d in SIDE_IMPLIED)


def _values(
    shares: Mapping[str, float] | None, name: str, plan: LabelPlan, included: bool, seed: int
) -> Column[Any]:
    """The view, age, sex or race of each image: in these shares, or its radiograph's, or None."""
    images = len(plan.findings.codes)
    if shares is None:
        if included and plan.table is not None and plan.radiographs is not None:
            return cast("Column[Any]", getattr(plan.table, name).take(plan.radiographs))
        return Column((None,), np.zeros(images, dtype=np.int32))
    rng = numpy_generator(seed, "labels", name)
    codes = shuffle(apportion([*shares.values()], images), rng)
    if name != "age":
        return Column(tuple(shares), codes)
    bands = np.array([age_band(band) for band in shares])[codes]
    years = rng.integers(bands[:, 0], bands[:, 1] + 1).astype(np.int32)
    return Column([float(year) for year in range(OLDEST + 1)], years)


def _sources(plan: LabelPlan, block: slice) -> Iterator[tuple[str | None, str | None]]:
    """The radiograph and patient of each image of a block."""
    if plan.table is None or plan.radiographs is None:
        return repeat((None, None), len(plan.findings.codes[block]))
    rows = pa.array(plan.radiographs[block])
    table = plan.table
    return zip(table.id.take(rows).to_pylist(), table.patient.take(rows).to_pylist(), strict=True)
