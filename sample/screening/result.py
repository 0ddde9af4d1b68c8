"""Output of screening: the screened set, its sheet and table of scores, sheets of rejected images.

Those are in a separate folder: beside a rejected copy they show the training image that it
resembles, which must not be distributed with the set.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from roentgen.csv_table import CsvTable
from roentgen.dataset.dataset import DatasetWriter, RadiographDataset, RadiographSplit
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.contact_sheet import CONTACT_SHEET, contact_sheet, side_by_side
from roentgen.imaging.images import decode, encode_png
from roentgen.manifest import fingerprint_of, write_manifest
from roentgen.prompts.captions import prompt_caption, radiograph_caption
from roentgen.record.radiograph import Radiograph
from roentgen.storage import atomic_folder, discard_folder, write_file, write_json
from sample.plan import PLAN, write_plan
from sample.screening.config import ScreenConfig
from sample.screening.rounds import Outcome, Pool, Screening

TABLE, SUMMARY, PAGE, SHORTFALL = "screening", "screening.json", "screening.md", "shortfall.csv"
_ROWS = 10_000  # of the table that are written at a time
_ACCEPTED = 36  # images on the sheet of accepted ones
_SIDE = 256  # pixels to which images are enlarged, by an integer factor, to be inspected


def write_screened(
    folder: Path,
    dataset: RadiographDataset,
    screening: Screening,
    pool: Pool,
    *,
    licenses: Sequence[dict[str, Any]],
    provenance: dict[str, Any],
    plan: Iterator[PlannedImage] | None,
    limits: dict[str, float],
    summary: dict[str, Any],
    summary_text: str,
) -> None:
    """Write the screened set with the table, the summary and the shortfall.

    `plan` is that of the accepted images, `limits` are the filters'. Raises
    InputError if nothing is accepted.
    """
    with DatasetWriter(
        folder,
        licenses=licenses,
        provenance=provenance,
        preparation=dataset.manifest.get("preparation"),
        about={"How it was screened": summary["about"]},
        overwrite=True,
    ) as writer:
        for outcome in screening.outcomes:
            if not outcome.accepted:
                writer.exclude(pool.id(outcome.candidate), outcome.failure_reason)
        for row in sorted(screening.accepted):
            candidate = screening.accepted[row].candidate
            split = screening.rows[row].split
            writer.add(replace(pool.radiograph(candidate), split=split))
        if plan is not None:
            write_plan(writer.folder / PLAN, plan)
        write_table(writer.folder, screening, pool, limits)
        write_shortfall(writer.folder / SHORTFALL, screening)
        write_json(writer.folder / SUMMARY, summary)
        write_file(writer.folder / PAGE, summary_text)
        if screening.accepted:
            write_file(writer.folder / CONTACT_SHEET, accepted_sheet(screening, pool))


def write_table(folder: Path, screening: Screening, pool: Pool, limits: dict[str, float]) -> None:
    """screening.parquet and .csv: a row per scored image, in the order of scoring."""
    kinds = {"score": pa.float64(), "threshold": pa.float64(), "passed": pa.bool_()}
    columns = [("id", pa.string()), ("planned", pa.string()), ("attempt", pa.int64())]
    columns += [("accepted", pa.bool_()), ("reason", pa.string())]
    columns += [(f"{filter_}_{name}", kind) for filter_ in limits for name, kind in kinds.items()]
    schema = pa.schema(columns)
    outcomes = iter(screening.outcomes)
    with (
        pq.ParquetWriter(folder / f"{TABLE}.parquet", schema) as table,
        pa_csv.CSVWriter(folder / f"{TABLE}.csv", schema) as plain,
    ):
        while part := list(islice(outcomes, _ROWS)):
            rows = pa.Table.from_pylist([_line(v, pool, limits) for v in part], schema)
            table.write_table(rows)
            plain.write_table(rows)


def _line(outcome: Outcome, pool: Pool, limits: dict[str, float]) -> dict[str, Any]:
    candidate = outcome.candidate
    line: dict[str, Any] = {
        "id": pool.id(candidate),
        "planned": pool.rows.ids[candidate.row],
        "attempt": candidate.attempt,
        "accepted": outcome.accepted,
        "reason": "; ".join(f"{filter_}: {text}" for filter_, text in outcome.reasons.items())
        or outcome.failure_reason,
    }
    for filter_, limit in limits.items():
        score = outcome.scores.get(filter_)
        line |= {f"{filter_}_score": score, f"{filter_}_threshold": limit}
        line[f"{filter_}_passed"] = None if score is None else filter_ not in outcome.failures
    return line


def write_shortfall(path: Path, screening: Screening) -> None:
    """The prompts with fewer accepted than requested images."""
    requested: dict[tuple[str, str], list[int]] = {}
    for row, radiograph in enumerate(screening.rows.without_images()):
        prompt = radiograph.synthesis.prompt if radiograph.synthesis else ""
        counts = requested.setdefault((radiograph.patient_id, prompt), [0, 0])
        counts[0] += 1
        counts[1] += row in screening.accepted
    with path.open("w", newline="", encoding="utf-8") as file:
        table = CsvTable(file, ["patient_id", "prompt", "requested", "accepted", "missing"])
        for (patient, prompt), (count, accepted) in requested.items():
            if accepted < count:
                table.add(patient, prompt, count, accepted, count - accepted)


def write_pictures(
    config: ScreenConfig,
    screening: Screening,
    pool: Pool,
    train: RadiographSplit,
    licenses: Sequence[dict[str, Any]],
    provenance: dict[str, Any],
) -> None:
    """A sheet per filter of the images that it rejected, the worst first, with the reason.

    Copies and duplicates stand beside what they are like. Nothing is written where nothing was
    rejected.
    """
    by_filter: dict[str, list[Outcome]] = {}
    for outcome in screening.outcomes:
        for filter_ in outcome.failures:
            by_filter.setdefault(filter_, []).append(outcome)
    if not by_filter:
        if config.dropped.exists():  # an earlier run's, which this one replaces
            discard_folder(config.dropped, config.dropped)
        return
    with atomic_folder(config.dropped, overwrite=True) as folder:
        for filter_, outcomes in by_filter.items():
            outcomes.sort(key=lambda v, filter_=filter_: -v.scores[filter_])  # type: ignore[misc]
            shown = outcomes[: config.pictures]
            tiles = [_tile(outcome, filter_, pool, train) for outcome in shown]
            images, captions = zip(*tiles, strict=True)
            sheet = contact_sheet(images, captions, side=_SIDE)
            write_file(folder / f"{filter_}.png", encode_png(sheet))
        write_manifest(folder, "results", fingerprint_of(sorted(by_filter)), licenses, provenance)


def _tile(
    outcome: Outcome, filter_: str, pool: Pool, train: RadiographSplit
) -> tuple[np.ndarray, str]:
    """A rejected image, beside it what it is like, if it is a copy; the reason, and the prompt."""
    radiograph = pool.radiograph(outcome.candidate)
    images = [decode(radiograph.image)]
    reason = re.sub(r"(, limit.*| to [^ ,]+)", "", outcome.reasons[filter_])
    captions = [reason, _caption(radiograph)]
    if filter_ in outcome.similar_to:
        copies = filter_ == "copies"
        other = (train if copies else pool.all)[outcome.similar_to[filter_]]
        images.append(decode(other.image))
        captions.append(f"right: {'training image' if copies else 'accepted'}, {_caption(other)}")
    return side_by_side(images), "\n".join(captions)


def accepted_sheet(screening: Screening, pool: Pool) -> bytes:
    """A PNG of accepted images, evenly spread over the plan, with their prompts."""
    rows = sorted(screening.accepted)
    count = min(len(rows), _ACCEPTED)
    shown = (screening.accepted[rows[i * len(rows) // count]] for i in range(count))
    radiographs = [pool.radiograph(outcome.candidate) for outcome in shown]
    images = [decode(radiograph.image) for radiograph in radiographs]
    return encode_png(contact_sheet(images, list(map(_caption, radiographs))))


def _caption(radiograph: Radiograph) -> str:
    synthesis = radiograph.synthesis
    return prompt_caption(synthesis.prompt) if synthesis else radiograph_caption(radiograph)
