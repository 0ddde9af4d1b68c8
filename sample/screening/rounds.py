"""Rounds of screening: judge, choose, draw again what was dropped.

Pixels are read as they are asked for; what is kept of an image in memory is a line of numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from roentgen.dataset.dataset import RadiographSplit
from roentgen.dataset.image_set import Images, ImageSet
from roentgen.metrics.conformal import Threshold
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Classifier
from sample.screening.gates import duplicates as twins
from sample.screening.gates.gate import Gate, Shown
from sample.screening.label_agreement import Auditor, Calls

LOSER = "another image of the row is more as asked"
_TOGETHER = 128  # images that are judged at a time


class Candidate(NamedTuple):
    """An image that may stand for a row of the set."""

    row: int  # of the set
    attempt: int  # 0: the set's own image
    place: int  # among the set's images or, of a further attempt, among those that were drawn


@dataclass(slots=True)
class Verdict:
    """What became of a candidate."""

    candidate: Candidate
    calls: Calls  # (calls,) the auditor's: findings, then the view
    scores: dict[str, float] = field(default_factory=dict)  # by gate; absent: not judged
    faults: dict[str, str] = field(default_factory=dict)  # by gate that it failed
    reasons: dict[str, str] = field(default_factory=dict)
    like: dict[str, int] = field(default_factory=dict)  # by gate: which image it is too like
    kept: bool = False
    lost: bool = False  # passed, but another candidate of its row is better

    @property
    def fault(self) -> str:
        """The first gate that it failed and why, in words that many share; "" if it is kept."""
        if self.lost:
            return LOSER
        return next((f"{gate}: {fault}" for gate, fault in self.faults.items()), "")


def retry_id(planned: str, attempt: int) -> str:
    """The id of an image that is drawn in place of a planned one."""
    return f"{planned}-retry{attempt}"


class Pool:
    """All candidates: the set's own images, then those that were drawn."""

    def __init__(self, rows: ImageSet, drawn: RadiographSplit | None = None) -> None:
        self.rows = rows
        self.all = rows if not drawn else ImageSet.of(*rows.splits, drawn)

    def images(self, candidates: Sequence[Candidate]) -> Images:
        """Their images, read when they are asked for."""
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
class Judges:
    """All that an image is judged by."""

    gates: Sequence[Gate]
    proxy: Classifier | None
    duplicates: Threshold | None  # of similarity within the set; None: it is not judged
    shift: int  # pixels by which duplicates may be shifted
    auditor: Auditor | None
    audits: Classifier | None  # the auditor's network

    def __call__(self, candidates: Sequence[Candidate], shown: Shown) -> list[Verdict]:
        """What gates and the auditor say of each."""
        calls = np.empty((len(candidates), 0), np.int8)
        if self.auditor is not None:
            audited = Shown(shown.radiographs, shown.images, self.audits)
            calls = np.column_stack(self.auditor(audited))
        verdicts = [Verdict(c, called) for c, called in zip(candidates, calls, strict=True)]
        for gate in self.gates:
            judged = gate(shown)
            for k in np.flatnonzero(~np.isnan(judged.score)).tolist():
                verdict = verdicts[k]
                verdict.scores[gate.name] = float(judged.score[k])
                if judged.fault[k]:
                    verdict.faults[gate.name] = judged.fault[k]
                    verdict.reasons[gate.name] = judged.reason[k]
                    if judged.like is not None:
                        verdict.like[gate.name] = int(judged.like[k])
        return verdicts


class Screening:
    """What is known of a set while it is screened."""

    def __init__(self, rows: ImageSet, judges: Judges) -> None:
        self.rows, self._judges = rows, judges
        self.verdicts: list[Verdict] = []
        self.kept: dict[int, Verdict] = {}  # by row

    def open_rows(self) -> list[int]:
        """The rows for which no image is kept yet."""
        return [row for row in range(len(self.rows)) if row not in self.kept]

    def round(self, pool: Pool, candidates: Sequence[Candidate], name: str) -> None:
        """Judge candidates for rows that are open and keep at most one for each."""
        verdicts = list(self._judge(pool, candidates, name))
        self.verdicts += verdicts
        chosen = best_of_each_row(verdicts)
        if self._judges.duplicates is not None:
            self._drop_duplicates(pool, chosen)
        for verdict in chosen:
            if not verdict.faults:
                verdict.kept = True
                self.kept[verdict.candidate.row] = verdict

    def _judge(self, pool: Pool, candidates: Sequence[Candidate], name: str) -> Iterator[Verdict]:
        with tqdm(total=len(candidates), desc=name, unit="image") as bar:
            for first in range(0, len(candidates), _TOGETHER):
                part = candidates[first : first + _TOGETHER]
                radiographs = [self.rows[candidate.row] for candidate in part]
                images = pool.images(part)[:]
                yield from self._judges(part, Shown(radiographs, images, self._judges.proxy))
                bar.update(len(part))

    def _drop_duplicates(self, pool: Pool, chosen: Sequence[Verdict]) -> None:
        """Note the faults of those that are like another that stays."""
        limit = self._judges.duplicates
        assert limit is not None
        before = [self.kept[row].candidate for row in sorted(self.kept)]
        new = [verdict.candidate for verdict in chosen]
        kept = pool.images(before) if before else None
        found = twins.duplicates(kept, pool.images(new), self._judges.shift, limit.value)
        for verdict, similarity, of in zip(
            chosen, found.similarity, found.of.tolist(), strict=True
        ):
            if not np.isnan(similarity):
                verdict.scores["duplicates"] = float(similarity)
            if of >= 0:
                stays = (before + new)[of]
                verdict.like["duplicates"] = pool.place(stays)
                verdict.faults["duplicates"] = twins.FAULT
                verdict.reasons["duplicates"] = (
                    f"{twins.FAULT}: similarity {similarity:.3f} to "
                    f"{pool.id(stays)}, limit {limit.value:.3f}"
                )


def best_of_each_row(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Of the candidates of each row that pass, the one whose findings are most as asked, by row.

    The others are marked as lost. Of equals the first attempt is taken.
    """
    passing: dict[int, list[Verdict]] = {}
    for verdict in verdicts:
        if not verdict.faults:
            passing.setdefault(verdict.candidate.row, []).append(verdict)
    chosen = []
    for row in sorted(passing):
        best = min(passing[row], key=lambda v: (v.scores.get("labels", 0.0), v.candidate.attempt))
        chosen.append(best)
        for verdict in passing[row]:
            verdict.lost = verdict is not best
    return chosen


def screen_rows(
    rows: ImageSet,
    judges: Judges,
    *,
    attempts: int,
    best_of: int,
    draw: Callable[[list[tuple[int, int]]], tuple[list[Candidate], RadiographSplit]] | None,
) -> tuple[Screening, Pool]:
    """Screen a set: its own images first, then further ones for what was dropped.

    `draw` makes candidates of (row, attempt) pairs, in their order, and gives the split that holds
    all that were drawn; None if nothing is drawn.
    """
    screening, pool = Screening(rows, judges), Pool(rows)
    for number in range(attempts + 1):
        first = number * best_of
        left = screening.open_rows()
        wanted = [
            (row, attempt) for row in left for attempt in range(max(first, 1), first + best_of)
        ]
        if not left:
            break
        candidates = [Candidate(row, 0, row) for row in left] if number == 0 else []
        if wanted:
            assert draw is not None
            drawn, split = draw(wanted)
            pool = Pool(rows, split)
            candidates = sorted([*candidates, *drawn])
        screening.round(pool, candidates, "screening" if number == 0 else f"attempt {number}")
    return screening, pool
