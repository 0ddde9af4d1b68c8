"""Tallies of right and wrong by case, scored with intervals over patients."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import bootstrap_weights, count_patients
from roentgen.metrics.paired_scores import Measured, share

Scores = dict[str, Any]
Ints = NDArray[np.int64]
ALL = "all"


class Tallies:
    """Counts of each case by measure and key, and errors by measure.

    Intervals are percentiles of `samples` bootstrap resamples of the patients, one a case.
    """

    def __init__(self, patients: Sequence[str], samples: int, seed: int) -> None:
        self._patients = np.asarray(patients)
        self._weights = bootstrap_weights(patients, samples, seed)
        self._sets: dict[tuple[str, str], list[tuple[int, int, int, int]]] = defaultdict(list)
        self._checks: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        self.errors: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)

    def compare(
        self, measure: str, key: str, case: int, gold: AbstractSet[str], read: AbstractSet[str]
    ) -> None:
        """Count what is in both sets and in one alone, under the key and under "all"."""
        row = (case, len(gold & read), len(gold - read), len(read - gold))
        if any(row[1:]):
            self._sets[measure, key].append(row)

    def check(self, measure: str, key: str, case: int, right: bool) -> None:
        """Count one item as right or wrong, under the key and under "all"."""
        self._checks[measure, key].append((case, int(right)))

    def f1(self, measure: str, keys: Sequence[str]) -> Scores:
        """Precision, recall and F1 of each key and, under "all", of all together (micro)."""
        rows = {key: self._sets[measure, key] for key in keys}
        rows = {ALL: list(chain(*rows.values())), **rows}
        return {key: self._f1(own) for key, own in rows.items()}

    def shares(self, measure: str, keys: Sequence[str]) -> Scores:
        """The share that is right of each key and, under "all", of all together."""
        rows = {key: self._checks[measure, key] for key in keys}
        rows = {ALL: list(chain(*rows.values())), **rows}
        return {key: self._share(own) for key, own in rows.items()}

    def frequent_errors(self, most: int) -> Scores:
        """The most frequent errors of each measure, at most `most` of each."""
        return {
            measure: [
                {"finding": finding, "error": error, "count": count}
                for (finding, error), count in errors.most_common(most)
            ]
            for measure, errors in sorted(self.errors.items())
        }

    def _f1(self, rows: Sequence[tuple[int, int, int, int]]) -> Scores:
        """`low` and `high` are of F1; None where there is nothing to divide by."""
        table = np.array(rows, dtype=np.int64).reshape(-1, 4)
        true, missed, false = (int(count) for count in table[:, 1:].sum(axis=0))
        predicted, positives = true + false, true + missed
        ratio = self._ratio(table[:, 0], 2 * table[:, 1], table[:, 1:] @ np.array([2, 1, 1]))
        return {
            "n": positives,
            "precision": true / predicted if predicted else None,
            "recall": true / positives if positives else None,
            **dict(zip(("f1", "low", "high"), ratio, strict=True)),
        }

    def _share(self, rows: Sequence[tuple[int, int]]) -> Scores:
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
        ratio = self._ratio(table[:, 0], table[:, 1], np.ones_like(table[:, 1]))
        return {"n": len(rows), **dict(zip(("share", "low", "high"), ratio, strict=True))}

    def _ratio(
        self, cases: Ints, over: Ints, under: Ints
    ) -> tuple[float, float, float] | tuple[None, None, None]:
        """The ratio of two sums, with its interval."""
        if not len(under):
            return None, None, None
        value = int(over.sum()) / int(under.sum())
        sums = self._weights[:, cases] @ np.stack([over, under], axis=1)
        drawn = sums[sums[:, 1] > 0]
        result = share(
            Measured(
                by_seed=np.array([value]),
                replicates=drawn[:, 0] / drawn[:, 1],
                n=len(under),
                patients=count_patients(self._patients[cases].tolist()),
            )
        )
        assert result.low is not None
        assert result.high is not None
        return value, result.low, result.high
