"""Clinical context of image sets as arrays: answers of the context rules, and measured values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats, count_patients
from roentgen.prompts.context_words import ContextRule, last_values, requested_context
from roentgen.record.radiograph import Radiograph

Answers = NDArray[np.float32]  # N, words: 1 yes, 0 no, NaN not known
_NOT_WRITTEN = "not written"  # the opposite of a word whose rule has none


def words_of(rules: Iterable[ContextRule]) -> tuple[str, ...]:
    """The word of each rule."""
    return tuple(rule.word for rule in rules)


def answers_of(radiographs: Sequence[Radiograph], rules: Sequence[ContextRule]) -> Answers:
    """Whether each word describes each radiograph, as far as is known.

    A word describes a synthetic radiograph that was requested with it. Where its rule has no
    opposite, and it was requested for others, it does not describe those it was not requested for.
    Imputed values of a radiograph are not known. Raises InputError for a value in another unit than
    its rule's.
    """
    with_opposites = [replace(r, otherwise=r.otherwise or _NOT_WRITTEN) for r in rules]
    answers = _matrix(radiographs, with_opposites)
    synthetic = np.array([r.synthesis is not None for r in radiographs], dtype=bool)
    for column, rule in enumerate(rules):
        own = answers[:, column]
        if rule.otherwise is None and (own[synthetic] == 1).any():
            own[synthetic & np.isnan(own)] = 0
    return answers


def written_answers(radiographs: Sequence[Radiograph], rules: Sequence[ContextRule]) -> Answers:
    """What a prompt would write of each radiograph: NaN where it writes neither word nor opposite.

    So real and synthetic radiographs are described alike.
    """
    return _matrix(radiographs, rules)


def _matrix(radiographs: Sequence[Radiograph], rules: Sequence[ContextRule]) -> Answers:
    columns = {word: column for column, word in enumerate(words_of(rules))}
    result = np.full((len(radiographs), len(columns)), np.nan, np.float32)
    for row, radiograph in enumerate(radiographs):
        is_synthetic = radiograph.synthesis is not None  # it may be requested by imputed values
        for value in requested_context(radiograph.context, rules, imputed=is_synthetic):
            result[row, columns[value.name]] = value.value
    return result


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The measured values of some radiographs, by name and unit, to be described as numbers.

    A value is replaced by its rank among these radiographs' values, which no outlier moves.
    """

    ranked: dict[tuple[str, str], Floats]  # sorted values

    @classmethod
    def of(
        cls, radiographs: Sequence[Radiograph], patients: Sequence[str], min_cases: int
    ) -> "Measurements":
        """The values that at least `min_cases` patients have."""
        found: dict[tuple[str, str], list[tuple[float, str]]] = {}
        for radiograph, patient in zip(radiographs, patients, strict=True):
            for value in last_values(radiograph.context).values():
                found.setdefault((value.name, value.unit), []).append((value.value, patient))
        return cls(
            ranked={
                name: np.sort([number for number, _ in values])
                for name, values in sorted(found.items())
                if count_patients(patient for _, patient in values) >= min_cases
            }
        )

    def __call__(self, radiographs: Sequence[Radiograph]) -> Floats:
        """(N, 2 * values): the rank of each in [0, 1], 0.5 where it is missing; if it is known."""
        result = np.zeros((len(radiographs), len(self.ranked), 2))
        result[:, :, 0] = 0.5
        places = {name: place for place, name in enumerate(self.ranked)}
        for row, radiograph in enumerate(radiographs):
            for value in last_values(radiograph.context).values():
                if (name := (value.name, value.unit)) in places:
                    result[row, places[name]] = self._rank(name, value.value), 1
        return result.reshape(len(radiographs), -1)

    def _rank(self, name: tuple[str, str], value: float) -> float:
        """The share of values below it and half of those equal to it."""
        ranked = self.ranked[name]
        ends = (np.searchsorted(ranked, value, side) for side in ("left", "right"))
        return float(sum(ends)) / (2 * len(ranked))


def as_columns(answers: Answers) -> Floats:
    """(N, 2 * words) of answers: whether each is yes, and whether it is no."""
    both = np.stack([answers == 1, answers == 0], axis=2)
    return both.reshape(len(answers), -1).astype(np.float64)
