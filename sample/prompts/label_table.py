"""What the radiographs of a split show, and of whom: some 20 bytes each, and their ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographSplit
from roentgen.record.findings import Finding, FindingName
from roentgen.record.radiograph import Sex
from roentgen.record.views import View

Findings = tuple[Finding, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """A value for each item, kept as its place among the distinct ones."""

    values: Sequence[T]
    codes: NDArray[np.int32]  # (items,)

    def take(self, items: NDArray[np.int64]) -> "Column[T]":
        """The column of these items."""
        return Column(self.values, self.codes[items])


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """The radiographs of a split."""

    findings: Column[Findings]
    view: Column[View | None]
    age: Column[float | None]  # years
    sex: Column[Sex | None]
    race: Column[str | None]
    id: pa.Array
    patient: pa.Array

    def has(self, names: Sequence[FindingName]) -> NDArray[np.bool_]:
        """(distinct findings, names): whether the finding is present."""
        present = [{f.name for f in told if f.state == "present"} for told in self.findings.values]
        return np.array([[name in own for name in names] for own in present]).reshape(
            len(present), len(names)
        )


def read_labels(split: RadiographSplit) -> LabelTable:
    """Read the columns that labels are made of; images and reports are not touched."""

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
    places: dict[bytes, int] = {}  # of the findings whose numbers in `single` these are
    codes = []
    for chunk in column.chunks:
        numbers = _number(chunk.flatten(), single)
        ends = np.cumsum(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
        row_bytes, width = numbers.tobytes(), numbers.itemsize
        start = 0
        for end in (ends * width).tolist():
            codes.append(places.setdefault(row_bytes[start:end], len(places)))
            start = end
    known = list(single)
    values = [tuple(known[i] for i in np.frombuffer(key, dtype=np.int32)) for key in places]
    return Column(values, np.array(codes, dtype=np.int32))


def _number(findings: pa.StructArray, known: dict[Finding, int]) -> NDArray[np.int32]:
    """Each finding's number in `known`, which grows by those that are new."""
    key = np.zeros(len(findings), dtype=np.int64)
    for field in findings.flatten():
        encoded = field.dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        key = key * (len(encoded.dictionary) + 1) + codes + 1
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    distinct = [Finding(**row) for row in findings.take(pa.array(first)).to_pylist()]
    numbers = [known.setdefault(finding, len(known)) for finding in distinct]
    return np.array(numbers, dtype=np.int32)[inverse]
