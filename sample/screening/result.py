"""What screening leaves: the screened set, a table of all that was judged, pictures of the dropped.

The pictures lie in a folder of their own: beside what is called a copy they show the training image
that it is like, which must not be passed on with the set.
"""

import csv
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from roentgen.dataset.dataset import DatasetWriter, RadiographDataset, RadiographSplit
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.manifest import fingerprint_of, write_manifest
from roentgen.record.radiograph import Radiograph
from roentgen.storage import atomic_folder, write_file, write_json
from sample.plan import PLAN, write_plan
from sample.screening.config import ScreenConfig
from sample.screening.rounds import Pool, Screening, Verdict

TABLE, SUMMARY, TOLD, SHORTFALL = "screening", "screening.json", "screening.md", "shortfall.csv"
_ROWS = 10_000  # of the table that are written together
_COLUMNS = 6  # of a picture; pairs take two
_SIDE = 256  # pixels to which images are enlarged, by a whole factor: to judge them, and for words


def write_screened(
    config: ScreenConfig,
    dataset: RadiographDataset,
    screening: Screening,
    pool: Pool,
    *,
    licenses: Sequence[dict[str, Any]],
    provenance: dict[str, Any],
    plan: Iterator[PlannedImage] | None,
    limits: dict[str, float],
    summary: dict[str, Any],
    told: str,
) -> None:
    """Write the screened set with the table, the summary and what is lacking.

    `plan` is what was asked for as each image that is kept, `limits` are the gates'. Raises
    InputError if nothing is kept.
    """
    with DatasetWriter(
        config.output,
        licenses=licenses,
        provenance=provenance,
        preparation=dataset.manifest.get("preparation"),
        about={"How it was screened": summary["about"]},
        overwrite=config.overwrite,
    ) as writer:
        for verdict in screening.verdicts:
            if not verdict.kept:
                writer.exclude(pool.id(verdict.candidate), verdict.fault)
        for row in sorted(screening.kept):
            candidate = screening.kept[row].candidate
            split = screening.rows[row].split
            writer.add(replace(pool.radiograph(candidate), split=split))
        if plan is not None:
            write_plan(writer.folder / PLAN, plan)
        write_table(writer.folder, screening, pool, limits)
        write_shortfall(writer.folder / SHORTFALL, screening)
        write_json(writer.folder / SUMMARY, summary)
        write_file(writer.folder / TOLD, told)


def write_table(folder: Path, screening: Screening, pool: Pool, limits: dict[str, float]) -> None:
    """screening.parquet and .csv: a row an image that was judged, in the order of judging."""
    kinds = {"score": pa.float64(), "threshold": pa.float64(), "passed": pa.bool_()}
    columns = [("id", pa.string()), ("planned", pa.string()), ("attempt", pa.int64())]
    columns += [("kept", pa.bool_()), ("reason", pa.string())]
    columns += [(f"{gate}_{name}", kind) for gate in limits for name, kind in kinds.items()]
    schema = pa.schema(columns)
    verdicts = iter(screening.verdicts)
    with (
        pq.ParquetWriter(folder / f"{TABLE}.parquet", schema) as table,
        pa_csv.CSVWriter(folder / f"{TABLE}.csv", schema) as plain,
    ):
        while part := list(islice(verdicts, _ROWS)):
            rows = pa.Table.from_pylist([_line(v, pool, limits) for v in part], schema)
            table.write_table(rows)
            plain.write_table(rows)


def _line(verdict: Verdict, pool: Pool, limits: dict[str, float]) -> dict[str, Any]:
    candidate = verdict.candidate
    line: dict[str, Any] = {
        "id": pool.id(candidate),
        "planned": pool.rows.ids[candidate.row],
        "attempt": candidate.attempt,
        "kept": verdict.kept,
        "reason": "; ".join(f"{gate}: {text}" for gate, text in verdict.reasons.items())
        or verdict.fault,
    }
    for gate, limit in limits.items():
        score = verdict.scores.get(gate)
        line |= {f"{gate}_score": score, f"{gate}_threshold": limit}
        line[f"{gate}_passed"] = None if score is None else gate not in verdict.faults
    return line


def write_shortfall(path: Path, screening: Screening) -> None:
    """The prompts of which fewer images are kept than were asked for."""
    asked: dict[tuple[str, str], list[int]] = {}
    for row, radiograph in enumerate(screening.rows.without_images()):
        prompt = radiograph.synthesis.prompt if radiograph.synthesis else ""
        counts = asked.setdefault((radiograph.patient_id, prompt), [0, 0])
        counts[0] += 1
        counts[1] += row in screening.kept
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["patient_id", "prompt", "asked", "kept", "lacking"])
        for (patient, prompt), (count, kept) in asked.items():
            if kept < count:
                writer.writerow([patient, prompt, count, kept, count - kept])


def write_pictures(
    config: ScreenConfig,
    screening: Screening,
    pool: Pool,
    train: RadiographSplit,
    licenses: Sequence[dict[str, Any]],
    provenance: dict[str, Any],
) -> None:
    """A picture a gate of images that it dropped, the strangest first.

    Copies and duplicates stand beside what they are like. Nothing is written where nothing was
    dropped.
    """
    by_gate: dict[str, list[Verdict]] = {}
    for verdict in screening.verdicts:
        for gate in verdict.faults:
            by_gate.setdefault(gate, []).append(verdict)
    if not by_gate:
        if config.dropped.exists():  # an earlier run's, which this one replaces
            shutil.rmtree(config.dropped)
        return
    with atomic_folder(config.dropped, overwrite=True) as folder:
        for gate, verdicts in by_gate.items():
            verdicts.sort(key=lambda v, gate=gate: -v.scores[gate])  # type: ignore[misc]
            images: list[np.ndarray] = []
            captions: list[str] = []
            for verdict in verdicts[: config.pictures]:
                radiograph = pool.radiograph(verdict.candidate)
                images.append(_large(radiograph))
                captions.append(_caption(verdict.reasons[gate], radiograph))
                if gate == "copies":
                    original = train[verdict.like[gate]]
                    images.append(_large(original))
                    captions.append(f"training image {original.id}")
                elif gate == "duplicates":
                    stays = pool.all[verdict.like[gate]]
                    images.append(_large(stays))
                    captions.append(f"stays: {stays.id}")
            write_file(
                folder / f"{gate}.png", encode_png(contact_sheet(images, captions, _COLUMNS))
            )
        write_manifest(folder, "results", fingerprint_of(sorted(by_gate)), licenses, provenance)


def _large(radiograph: Radiograph) -> np.ndarray:
    image = decode(radiograph.image)
    factor = max(1, _SIDE // image.shape[1])
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _caption(reason: str, radiograph: Radiograph) -> str:
    """Short: what is wrong, then what was asked."""
    prompt = radiograph.synthesis.prompt if radiograph.synthesis else ""
    return f"{re.sub(r'(, limit.*| to [^ ,]+)', '', reason)} | {prompt}"
