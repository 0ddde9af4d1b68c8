"""Screening rounds: filter candidates, choose one per row, redraw the rows without one.

Pixels are read when they are used; of each image only its scores stay in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from roentgen.dataset.dataset import RadiographSplit
from roentgen.dataset.image_set import Images, ImageSet
from roentgen.metrics.estimates import Threshold
from roentgen.record.radiograph import Radiograph
from roentgen.terminal.progress import Progress
from roentgen.vision.classifier import Classifier
from sample.screening.filters import duplicates as duplicates_filter
from sample.screening.filters.checked_filter import PredictedImages, ScreeningFilter
from sample.screening.label_agreement import Calls, LabelAgreement

OUTSCORED = "another candidate scored higher"
_TOGETHER = 128  # images that are scored at a time


class Candidate(NamedTuple):
    """An image that may be accepted for a row of the set."""

    row: int  # of the set
    attempt: int  # 0: the set's own image
    place: int  # among the set's images or, of a further attempt, among those that were drawn


@dataclass(slots=True)
class Outcome:
    """The scores of a candidate and whether it is accepted."""

    candidate: Candidate
    calls: Calls  # (calls,) of the independent classifier: findings, then the view
    scores: dict[str, float] = field(default_factory=dict)  # by filter; absent: nothing to check
    failures: dict[str, str] = field(default_factory=dict)  # by failed filter
    reasons: dict[str, str] = field(default_factory=dict)
    similar_to: dict[str, int] = field(
        default_factory=dict
    )  # by filter: the image it is too similar to
    accepted: bool = False
    outscored: bool = False  # passed, but another candidate of its row is better

    @property
    def failure_reason(self) -> str:
        """The first failed filter and its reason, in words that many share; "" if accepted."""
        if self.outscored:
            return OUTSCORED
        return next((f"{filter_}: {failure}" for filter_, failure in self.failures.items()), "")


def retry_id(planned: str, attempt: int) -> str:
    """The id of an image that is drawn in place of a planned one."""
    return f"{planned}-retry{attempt}"


class Pool:
    """All candidates: the set's own images, then those that were drawn."""

    def __init__(self, rows: ImageSet, drawn: RadiographSplit | None = None) -> None:
        self.rows = rows
        self.all = rows if not drawn else ImageSet.of(*rows.splits, drawn)

    def images(self, candidates: Sequence[Candidate]) -> Images:
        """Their images, read when they are indexed."""
        places = [self.place(candidate) for candidate in candidates]
        return self.all.take(np.array(places, np.int64)).images

    def place(self, candidate: Candidate) -> int:
        """Where it is among all images."""
        return candidate.place + (len(self.rows) if candidate.attempt else 0)

    def radiograph(self, candidate: Candidate) -> Radiograph:
        """The whole record."""
        return self.all[self.place(candidate)]

    def id(self, candidate: Candidate) -> str:
        """Its id, which of a further attempt follows from the planned one."""
        planned = self.rows.ids[candidate.row]
        return retry_id(planned, candidate.attempt) if candidate.attempt else planned


@dataclass(frozen=True, kw_only=True)
class Screener:
    """The filters and networks that images are screened by."""

    filters: Sequence[ScreeningFilter]
    classifier: Classifier | None
    duplicates: Threshold | None  # of similarity within the set; None: not checked
    shift: int  # pixels by which duplicates may be shifted
    agreement: LabelAgreement | None
    independent_classifier: Classifier | None

    def __call__(
        self, candidates: Sequence[Candidate], predicted: PredictedImages
    ) -> list[Outcome]:
        """Scores each candidate by the filters and the independent classifier."""
        calls = np.empty((len(candidates), 0), np.int8)
        if self.agreement is not None:
            independent_images = PredictedImages(
                predicted.radiographs, predicted.images, self.independent_classifier
            )
            calls = np.column_stack(self.agreement(independent_images))
        outcomes = [Outcome(c, called) for c, called in zip(candidates, calls, strict=True)]
        for filter_ in self.filters:
            scored = filter_(predicted)
            for k in np.flatnonzero(~np.isnan(scored.score)).tolist():
                outcome = outcomes[k]
                outcome.scores[filter_.name] = float(scored.score[k])
                if scored.failure[k]:
                    outcome.failures[filter_.name] = scored.failure[k]
                    outcome.reasons[filter_.name] = scored.reason[k]
                    if scored.similar_to is not None:
                        outcome.similar_to[filter_.name] = int(scored.similar_to[k])
        return outcomes


class Screening:
    """State of a set that is being screened."""

    def __init__(self, rows: ImageSet, screener: Screener) -> None:
        self.rows, self._screener = rows, screener
        self.outcomes: list[Outcome] = []
        self.accepted: dict[int, Outcome] = {}  # by row

    def open_rows(self) -> list[int]:
        """The rows without an accepted image."""
        return [row for row in range(len(self.rows)) if row not in self.accepted]

    def round(self, pool: Pool, candidates: Sequence[Candidate], name: str) -> None:
        """Scores candidates of open rows and accepts at most one for each."""
        outcomes = list(self._screen_candidates(pool, candidates, name))
        self.outcomes += outcomes
        chosen = best_of_each_row(outcomes)
        if self._screener.duplicates is not None:
            self._drop_duplicates(pool, chosen)
        for outcome in chosen:
            if not outcome.failures:
                outcome.accepted = True
                self.accepted[outcome.candidate.row] = outcome

    def _screen_candidates(
        self, pool: Pool, candidates: Sequence[Candidate], name: str
    ) -> Iterator[Outcome]:
        with Progress(len(candidates), name, "image") as bar:
            for first in range(0, len(candidates), _TOGETHER):
                part = candidates[first : first + _TOGETHER]
                radiographs = [self.rows[candidate.row] for candidate in part]
                images = pool.images(part)[:]
                yield from self._screener(
                    part, PredictedImages(radiographs, images, self._screener.classifier)
                )
                bar.update(len(part))

    def _drop_duplicates(self, pool: Pool, chosen: Sequence[Outcome]) -> None:
        """Fails those that are too similar to an accepted image or an earlier candidate."""
        limit = self._screener.duplicates
        assert limit is not None
        before = [self.accepted[row].candidate for row in sorted(self.accepted)]
        new = [outcome.candidate for outcome in chosen]
        accepted = pool.images(before) if before else None
        found = duplicates_filter.duplicates(
            accepted, pool.images(new), self._screener.shift, limit.value
        )
        for outcome, similarity, of in zip(
            chosen, found.similarity, found.of.tolist(), strict=True
        ):
            if not np.isnan(similarity):
                outcome.scores["duplicates"] = float(similarity)
            if of >= 0:
                stays = (before + new)[of]
                outcome.similar_to["duplicates"] = pool.place(stays)
                outcome.failures["duplicates"] = duplicates_filter.FAILURE
                outcome.reasons["duplicates"] = (
                    f"{duplicates_filter.FAILURE}: similarity {similarity:.3f} to "
                    f"{pool.id(stays)}, limit {limit.value:.3f}"
                )


def best_of_each_row(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The passing candidate of each row that agrees best with the requested findings, by row.

    The others are marked as outscored. Of equals the first attempt is taken.
    """
    passing: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.failures:
            passing.setdefault(outcome.candidate.row, []).append(outcome)
    chosen = []
    for row in sorted(passing):
        best = min(passing[row], key=lambda v: (v.scores.get("labels", 0.0), v.candidate.attempt))
        chosen.append(best)
        for outcome in passing[row]:
            outcome.outscored = outcome is not best
    return chosen


def screen_rows(
    rows: ImageSet,
    screener: Screener,
    *,
    attempts: int,
    best_of: int,
    draw: Callable[[list[tuple[int, int]]], tuple[list[Candidate], RadiographSplit]] | None,
) -> tuple[Screening, Pool]:
    """Screen a set: its own images first, then redrawn ones for the rows without one.

    `draw` makes candidates of (row, attempt) pairs, in their order, and returns the split of all
    drawn images; None if nothing is drawn.
    """
    screening, pool = Screening(rows, screener), Pool(rows)
    for number in range(attempts + 1):
        first = number * best_of
        left = screening.open_rows()
        requested = [
            (row, attempt) for row in left for attempt in range(max(first, 1), first + best_of)
        ]
        if not left:
            break
        candidates = [Candidate(row, 0, row) for row in left] if number == 0 else []
        if requested:
            assert draw is not None
            drawn, split = draw(requested)
            pool = Pool(rows, split)
            candidates = sorted([*candidates, *drawn])
        screening.round(pool, candidates, "screening" if number == 0 else f"attempt {number}")
    return screening, pool
