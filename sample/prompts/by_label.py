"""Label plans: prompts of findings, so many of each, with mixes of views and patients.

All is a function of the seed. A plan is arrays of codes until its rows are asked for: a million
rows take some 30 MB.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.dataset.dataset import open_dataset
from roentgen.errors import InputError
from roentgen.generation.prompt_rows import PromptRow, requested_findings
from roentgen.prompts.grammar import PromptStyle, compose, findings_text
from roentgen.prompts.parser import parse_prompt
from roentgen.randomness import numpy_generator
from roentgen.record.findings import FINDING_NAMES, Finding, FindingName
from sample.prompts.apportion import apportion, draw_evenly, draw_rarest_first, shuffle
from sample.prompts.attributes import deal
from sample.prompts.label_config import (
    OLDEST,
    BalancedLabels,
    DatasetLabels,
    LabelPrompts,
    age_band,
)
from sample.prompts.label_table import Column, Findings, LabelTable, read_labels

PATHOLOGIES: tuple[FindingName, ...] = tuple(
    name for name in FINDING_NAMES if name not in ("No Finding", "Support Devices")
)
_NORMAL: Findings = (Finding(name="No Finding"),)
_BLOCK = 4096  # rows made at a time
_TEXTS = 1 << 16  # texts that are kept, so that equal ones are one object


@dataclass(frozen=True)
class _Plan:
    """Each image's findings, and the radiograph that it has them from."""

    findings: Column[Findings]
    table: LabelTable | None = None
    radiographs: NDArray[np.int64] | None = None  # (images,): rows of the table


def label_rows(labels: LabelPrompts, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """One row an image, in random order; prompts are findings in the grammar's words.

    Raises InputError for what `style` cannot tell, for findings that the grammar does not know or
    that contradict each other, and for findings that a dataset lacks.
    """
    _check_style(labels, style)
    told = replace(style, text="findings")
    if labels.counts is not None or labels.shares is not None:
        told = replace(told, mention_absent=True, mention_uncertain=True)  # as they are typed
    plan = _plan(labels, told, seed)
    findings = plan.findings
    sides = deal(findings, "side", labels.sides, seed)
    severities = deal(findings, "severity", labels.severities, seed)
    view = _told(labels.views, "view", plan, style.view_token, seed)
    age = _told(labels.ages, "age", plan, style.demographics, seed)
    sex = _told(labels.sexes, "sex", plan, style.demographics, seed)
    race = _told(labels.races, "race", plan, style.race, seed)

    @lru_cache(maxsize=_TEXTS)
    def words(code: int, side: bytes, severity: bytes) -> tuple[Findings, str]:
        said = sides.say(findings.values[code], code, side)
        said = severities.say(said, code, severity)
        return said, findings_text(said, told)

    @lru_cache(maxsize=_TEXTS)
    def prompt(text: str, v: int, a: int, s: int, r: int) -> str:
        patient = {"age": age.values[a], "sex": sex.values[s], "race": race.values[r]}
        return compose(text, told, view=view.values[v], **patient)

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
            said, text = words(code, side, severity)
            yield PromptRow(
                prompt=prompt(text, v, a, s, r),
                view=view.values[v],
                findings=said,
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
            "prompts.labels plans findings, but prompts tell none, as the model was trained or by "
            "style: set style.text=findings"
        )
    for name, told, what, key in (
        ("views", style.view_token, "the view", "view_token"),
        ("ages", style.demographics, "age and sex", "demographics"),
        ("sexes", style.demographics, "age and sex", "demographics"),
        ("races", style.race, "the race", "race"),
    ):
        if getattr(labels, name) is not None and not told:
            raise InputError(
                f"prompts.labels.{name} is set, but prompts do not tell {what}, as the model was "
                f"trained or by style: leave it out, or set style.{key}=true"
            )


def _plan(labels: LabelPrompts, style: PromptStyle, seed: int) -> _Plan:
    """The findings of each image, in random order."""
    rng = numpy_generator(seed, "labels")
    if labels.counts is not None:
        counts = np.array([*labels.counts.values()], dtype=np.int64)
        return _Plan(Column(_typed("counts", labels.counts), shuffle(counts, rng)))
    if labels.balanced is not None:
        table = _open(labels.balanced)
        return _of_dataset(table, _balanced(table, labels.balanced, labels, rng), style)
    images = labels.images
    assert images is not None
    if labels.prevalence is not None:
        table = _open(labels.prevalence)
        rows = draw_evenly(np.arange(len(table.id)), images, rng)
        return _of_dataset(table, rows, style)
    if labels.shares is not None:
        combinations, shares = _typed("shares", labels.shares), [*labels.shares.values()]
    else:
        assert labels.single is not None
        names = cast("Sequence[FindingName]", labels.single.findings or PATHOLOGIES)
        combinations, shares = [(Finding(name=name),) for name in names], [1.0] * len(names)
    normal = round(images * labels.no_finding)
    counts = np.append(apportion(shares, images - normal), normal)
    return _Plan(Column([*combinations, _NORMAL], shuffle(counts, rng)))


def _typed(where: str, texts: Mapping[str, Any]) -> list[Findings]:
    """Findings in the words of the grammar, or by name."""
    read = []
    for text in texts:
        try:
            content = parse_prompt(text)
            _check_findings(text, content.findings)
        except InputError as error:
            raise InputError(f"prompts.labels.{where}: {error}") from None
        if (content.view, content.age, content.sex, content.race) != (None,) * 4:
            raise InputError(
                f"prompts.labels.{where}: {text!r} tells view or patient: use views, ages, "
                "sexes and races of prompts.labels"
            )
        read.append(content.findings)
    return read


def _check_findings(text: str, findings: Findings) -> None:
    """Raises InputError where a text names no finding or contradicts itself."""
    if not findings:
        raise InputError(f"{text!r} names no finding: write 'No Finding' for a normal film")
    seen: dict[Any, Finding] = {}
    for finding in findings:
        first = seen.setdefault((finding.name, finding.side, finding.detail), finding)
        if first.state != finding.state:
            raise InputError(f"{text!r} says {finding.name} {first.state} and {finding.state}")
    if Finding(name="No Finding") in findings:
        others = [
            finding.name
            for finding in findings
            if finding.state != "absent" and finding.name not in ("No Finding", "Support Devices")
        ]
        if others:
            raise InputError(f"{text!r} contradicts itself: no finding, but {others[0]}")


def _open(source: BalancedLabels | DatasetLabels) -> LabelTable:
    return read_labels(open_dataset(source.folder).split(source.split))


def _of_dataset(table: LabelTable, rows: NDArray[np.int64], style: PromptStyle) -> _Plan:
    values = [requested_findings(findings, style) for findings in table.findings.values]
    return _Plan(Column(values, table.findings.codes[rows]), table, rows)


def _balanced(
    table: LabelTable, source: BalancedLabels, labels: LabelPrompts, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(images,): rows of the table of which every finding is equally frequent."""
    names = cast("Sequence[FindingName]", source.findings or PATHOLOGIES)
    has = table.has(names)
    counts = has[table.findings.codes].sum(axis=0)
    where = f"split {source.split!r} of {source.folder}"
    if source.findings is None:
        has, counts = has[:, counts > 0], counts[counts > 0]
    if not len(counts):
        raise InputError(f"{where} has no radiograph with a pathology: nothing to balance")
    if not counts.all():
        raise InputError(
            f"{where} has no radiograph with {names[int(counts.argmin())]} present: leave "
            "it out of prompts.labels.balanced.findings"
        )
    before = counts if source.top_up else np.zeros_like(counts)
    normal = round((labels.images or 0) * labels.no_finding)
    total = None if labels.images is None else labels.images - normal
    rows = draw_rarest_first(has, table.findings.codes, before, total, rng)
    if not len(rows) and not normal:
        raise InputError(f"{where} is balanced already: nothing to top up")
    if normal:
        films = np.flatnonzero(table.has(["No Finding"])[table.findings.codes, 0])
        if not len(films):
            raise InputError(f"{where} has no normal film for prompts.labels.no_finding: set it 0")
        rows = np.append(rows, draw_evenly(films, normal, rng))
    return rng.permutation(rows)


def _told(
    shares: Mapping[str, float] | None, name: str, plan: _Plan, tells: bool, seed: int
) -> Column[Any]:
    """The view, age, sex or race of each image: of a mix, of its radiograph, or untold."""
    images = len(plan.findings.codes)
    if shares is None:
        if tells and plan.table is not None and plan.radiographs is not None:
            return cast("Column[Any]", getattr(plan.table, name).take(plan.radiographs))
        return Column((None,), np.zeros(images, dtype=np.int32))
    rng = numpy_generator(seed, "labels", name)
    codes = shuffle(apportion([*shares.values()], images), rng)
    if name != "age":
        return Column(tuple(shares), codes)
    bands = np.array([age_band(band) for band in shares])[codes]
    years = rng.integers(bands[:, 0], bands[:, 1] + 1).astype(np.int32)
    return Column([float(year) for year in range(OLDEST + 1)], years)


def _sources(plan: _Plan, block: slice) -> Iterator[tuple[str | None, str | None]]:
    """The radiograph and patient of each image of a block."""
    if plan.table is None or plan.radiographs is None:
        return repeat((None, None), len(plan.findings.codes[block]))
    rows = pa.array(plan.radiographs[block])
    table = plan.table
    return zip(table.id.take(rows).to_pylist(), table.patient.take(rows).to_pylist(), strict=True)
