"""Findings of a label plan: those of each planned image, typed or drawn from a dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Generic, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographSplit, open_dataset
from roentgen.errors import InputError
from roentgen.generation.prompt_rows import requested_findings
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.parser import parse_prompt
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FINDING_NAMES, Finding, FindingName
from roentgen.record.radiograph import Sex, View
from sample.prompts.apportion import apportion, draw_evenly, draw_rarest_first, shuffle
from sample.prompts.config import BalancedLabels, LabelPrompts

Findings = tuple[Finding, ...]
T = TypeVar("T")

PATHOLOGIES: tuple[FindingName, ...] = tuple(
    name for name in FINDING_NAMES if name not in ("No Finding", "Support Devices")
)
_NORMAL: Findings = (Finding(name="No Finding"),)


@dataclass(frozen=True)
class Column(Generic[T]):
    """A value for each item, stored as its index in the distinct values."""

    values: Sequence[T]
    codes: NDArray[np.int32]  # (items,)

    def take(self, items: NDArray[np.int64]) -> "Column[T]":
        """The column of these items."""
        return Column(self.values, self.codes[items])


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """Findings, views and patients of a split: some 20 bytes a radiograph, and its ids."""

    findings: Column[Findings]
    view: Column[View | None]
    age: Column[float | None]  # years
    sex: Column[Sex | None]
    race: Column[str | None]
    id: pa.Array
    patient: pa.Array

    def has(self, names: Sequence[FindingName]) -> NDArray[np.bool_]:
        """(distinct findings, names): whether the finding is present."""
        present = [{f.name for f in own if f.state == "present"} for own in self.findings.values]
        return np.array([[name in own for name in names] for own in present]).reshape(
            len(present), len(names)
        )


@dataclass(frozen=True)
class LabelPlan:
    """The findings of each planned image, and the radiographs they are drawn from, if any."""

    findings: Column[Findings]
    table: LabelTable | None = None
    radiographs: NDArray[np.int64] | None = None  # (images,): rows of the table


def plan_findings(labels: LabelPrompts, style: PromptStyle, seed: int) -> LabelPlan:
    """The findings of each image, in random order.

    Raises InputError for findings that the grammar does not know or that contradict each other,
    and for findings that a dataset lacks.
    """
    rng = numpy_generator(seed, "labels")
    if labels.counts is not None:
        counts = np.array([*labels.counts.values()], dtype=np.int64)
        return LabelPlan(Column(_parse("counts", labels.counts), shuffle(counts, rng)))
    source = labels.balanced or labels.prevalence
    if source is not None:
        table = read_labels(open_dataset(source.folder).split(source.split))
        if labels.balanced is not None:
            rows = _balance(table, labels.balanced, labels, rng)
        else:
            rows = draw_evenly(np.arange(len(table.id)), labels.images or 0, rng)
        values = [requested_findings(findings, style) for findings in table.findings.values]
        return LabelPlan(Column(values, table.findings.codes[rows]), table, rows)
    if labels.shares is not None:
        combinations, shares = _parse("shares", labels.shares), [*labels.shares.values()]
    else:
        assert labels.single is not None
        names = cast("Sequence[FindingName]", labels.single.findings or PATHOLOGIES)
        combinations, shares = [(Finding(name=name),) for name in names], [1.0] * len(names)
    images = labels.images or 0
    normal = round(images * labels.no_finding)
    counts = np.append(apportion(shares, images - normal), normal)
    return LabelPlan(Column([*combinations, _NORMAL], shuffle(counts, rng)))


def _parse(key: str, texts: Mapping[str, Any]) -> list[Findings]:
    """Findings from the grammar's words or their names."""
    combinations = []
    for text in texts:
        try:
            content = parse_prompt(text)
            if content.others:
                raise InputError(
                    f"{text!r} names {content.others[0].finding!r}, but labels plan the 14 names "
                    "alone: use prompts.findings"
                )
            _check_consistent(text, content.findings)
        except InputError as error:
            raise InputError(f"prompts.labels.{key}: {error}") from None
        if (content.view, content.age, content.sex, content.race) != (None,) * 4:
            raise InputError(
                f"prompts.labels.{key}: {text!r} gives a view or patient: use views, ages, "
                "sexes and races of prompts.labels"
            )
        combinations.append(content.findings)
    return combinations


def _check_consistent(text: str, findings: Findings) -> None:
    """Raises InputError where a text names no finding or contradicts itself."""
    if not findings:
        raise InputError(f"{text!r} names no finding: write 'No Finding' for a normal radiograph")
    for first, second in combinations(findings, 2):
        if first.state != second.state and (_covers(first, second) or _covers(second, first)):
            raise InputError(f"{text!r} has {first.name} both {first.state} and {second.state}")
    if _NORMAL[0] in findings:
        present = {finding.name: finding for finding in findings if finding.state != "absent"}
        others = [name for name in present if name not in ("No Finding", "Support Devices")]
        if others:
            raise InputError(f"{text!r} contradicts itself: no finding, but {others[0]}")


def _covers(one: Finding, other: Finding) -> bool:
    """Whether what is stated of one finding is stated of the other too.

    One that is absent is absent on every side; one that is bilateral is present on each.
    """
    every = {None} if one.state == "absent" and one.severity is None else set()
    both = {"bilateral"} if one.state == "present" and other.side else set()
    return (
        one.name == other.name
        and one.side in {other.side, *every, *both}
        and one.detail in {other.detail, *every}
    )


def _balance(
    table: LabelTable, source: BalancedLabels, labels: LabelPrompts, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(images,): rows of the table in which every finding is equally frequent."""
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
            f"{where} has no radiograph with {names[int(counts.argmin())]} present: remove "
            "it from prompts.labels.balanced.findings"
        )
    before = counts if source.top_up else np.zeros_like(counts)
    normal = round((labels.images or 0) * labels.no_finding)
    total = None if labels.images is None else labels.images - normal
    rows = draw_rarest_first(has, table.findings.codes, before, total, rng)
    if not len(rows) and not normal:
        raise InputError(f"{where} is balanced already: nothing to top up")
    if normal:
        normals = np.flatnonzero(table.has(["No Finding"])[table.findings.codes, 0])
        if not len(normals):
            raise InputError(
                f"{where} has no normal radiograph for prompts.labels.no_finding: set it to 0"
            )
        rows = np.append(rows, draw_evenly(normals, normal, rng))
    return rng.permutation(rows)


def read_labels(split: RadiographSplit) -> LabelTable:
    """Read the columns that labels are made of, without images and reports."""

    def column(name: str) -> Column[Any]:
        encoded = split.column(name).combine_chunks().dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return Column((None, *encoded.dictionary.to_pylist()), codes.astype(np.int32) + 1)

    return LabelTable(
        findings=_read_findings(split.column("findings")),
        view=column("view"),
        age=column("age"),
        sex=column("sex"),
        race=column("race"),
        id=split.column("id").combine_chunks(),
        patient=split.column("patient_id").combine_chunks(),
    )


def _read_findings(column: pa.ChunkedArray) -> Column[Findings]:
    """Each radiograph's findings; equal ones are one object."""
    single: dict[Finding, int] = {}
    index: dict[bytes, int] = {}  # by the numbers in `single` of a radiograph's findings
    codes = []
    for chunk in column.chunks:
        numbers = _number(chunk.flatten(), single)
        ends = np.cumsum(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
        row_bytes, width = numbers.tobytes(), numbers.itemsize
        start = 0
        for end in (ends * width).tolist():
            codes.append(index.setdefault(row_bytes[start:end], len(index)))
            start = end
    known = list(single)
    values = [tuple(known[i] for i in np.frombuffer(key, dtype=np.int32)) for key in index]
    return Column(values, np.array(codes, dtype=np.int32))


def _number(findings: pa.StructArray, known: dict[Finding, int]) -> NDArray[np.int32]:
    """Each finding's number in `known`, to which new ones are added."""
    key = np.zeros(len(findings), dtype=np.int64)
    for field in findings.flatten():
        encoded = field.dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        key = key * (len(encoded.dictionary) + 1) + codes + 1
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    distinct = [Finding(**row) for row in findings.take(pa.array(first)).to_pylist()]
    numbers = [known.setdefault(finding, len(known)) for finding in distinct]
    return np.array(numbers, dtype=np.int32)[inverse]
