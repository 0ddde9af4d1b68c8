"""Benchmark rows as CSV, as a Markdown table and as a plot."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from matplotlib.figure import Figure

from roentgen.metrics.estimates import Estimate, normal_estimate

_MARKERS = "osD^vPX*"
_COLUMNS = (  # a setting in a table, and its heading
    ("scheduler", "scheduler"),
    ("steps", "steps"),
    ("guidance_scale", "guidance"),
    ("guidance_interval", "interval"),
    ("guidance_rescale", "rescale"),
    ("cache_interval", "cache"),
)


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One combination of settings with its cost and quality."""

    settings: Mapping[str, Any]  # SamplerSettings as JSON values
    n: int  # images at which FID is measured
    evaluations: int  # of the UNet per image; a guided step has two
    gflop: float  # of the UNet per image
    images_per_second: float  # from noise to pixels, by the median batch
    fid: Estimate
    replicates: list[float]  # FID of each resample
    view_accuracy: Estimate | None
    mean_auroc: Estimate | None
    redrawn: int  # images that were not finite, and were drawn in float32

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises KeyError or TypeError for anything else."""
        names = ("fid", "view_accuracy", "mean_auroc")
        estimates = {name: plain[name] and Estimate(**plain[name]) for name in names}
        return cls(**{**plain, **estimates})

    def above(self, other: "BenchRow") -> Estimate:
        """By how much FID exceeds that of another row, of the same prompts and noise.

        Both are resampled alike, so their common variation does not widen the interval.
        """
        assert self.fid.value is not None
        assert other.fid.value is not None
        gap = np.subtract(self.replicates, other.replicates)
        return normal_estimate(self.fid.value - other.fid.value, gap, self.n)


def csv_table(rows: Sequence[BenchRow]) -> str:
    """Numbers in full, to compute with; ends of intervals in columns of their own."""
    buffer = io.StringIO()
    lines = [_values(row, rows[0]) for row in rows]
    writer = csv.DictWriter(buffer, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _values(row: BenchRow, first: BenchRow) -> dict[str, Any]:
    values: dict[str, Any] = {h: _format(row.settings[name]) for name, h in _COLUMNS}
    values["batch"] = str(row.settings["batch_size"])
    values |= {"n": row.n, "evaluations": row.evaluations, "gflop": row.gflop}
    values["images_per_second"] = row.images_per_second
    values["redrawn_in_float32"] = row.redrawn
    estimates = {
        "fid": row.fid,
        "fid_above_first": row.above(first),
        "view_accuracy": row.view_accuracy,
        "mean_auroc": row.mean_auroc,
    }
    for name, estimate in estimates.items():
        for part in ("value", "low", "high"):
            heading = name if part == "value" else f"{name}_{part}"
            values[heading] = None if estimate is None else getattr(estimate, part)
    return values


def markdown_table(rows: Sequence[BenchRow], floor: Estimate, notes: Sequence[str] = ()) -> str:
    """A Markdown table; settings that all rows share are listed once, below it, then `notes`."""
    first = rows[0]
    varied = [(k, h) for k, h in _COLUMNS if any(r.settings[k] != first.settings[k] for r in rows)]
    classified = any(row.view_accuracy is not None for row in rows)
    header = [heading for _, heading in varied]
    header += ["evaluations", "GFLOP", "images/s", "FID", "above the first row"]
    header += ["view accuracy", "mean AUROC"] if classified else []
    redrawn = any(row.redrawn for row in rows)
    header += ["not finite, redrawn in float32"] if redrawn else []
    lines = [header, ["---"] * len(header)]
    for row in rows:
        cells = [_format(row.settings[key]) for key, _ in varied]
        cells += [str(row.evaluations), f"{row.gflop:.1f}", f"{row.images_per_second:.2f}"]
        cells += [_interval(row.fid, 2), "" if row is first else _interval(row.above(first), 2)]
        accuracy, auroc = _interval(row.view_accuracy, 3), _interval(row.mean_auroc, 3)
        cells += [accuracy, auroc] if classified else []
        cells += [str(row.redrawn)] if redrawn else []
        lines.append(cells)
    same = [f"{h} {_format(first.settings[k])}" for k, h in _COLUMNS if (k, h) not in varied]
    same += [f"batch {first.settings['batch_size']}", f"n = {first.n}"]
    same += [f"real radiographs against the same held-out ones: FID {_interval(floor, 2)}"]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    text = f"{table}\n\n{'; '.join(same)}. In brackets: 95% intervals.\n"
    return "\n".join([text, *(f"- {note}\n" for note in notes)])


def _format(value: Any) -> str:
    """A setting as a table cell."""
    match value:
        case None:
            return "-"
        case [low, high]:
            return f"({low:g}, {high:g}]"
        case float():
            return f"{value:g}"
    return str(value)


def _interval(estimate: Estimate | None, digits: int) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    ends = f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({ends})"


def plot(rows: Sequence[BenchRow], floor: Estimate) -> bytes:
    """A PNG of FID over UNet work; a marker for each scheduler, a color for each guidance scale."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    schedulers = list(dict.fromkeys(row.settings["scheduler"] for row in rows))
    scales = sorted({row.settings["guidance_scale"] for row in rows})
    seen: set[tuple[str, float]] = set()
    for row in rows:
        kind = (row.settings["scheduler"], row.settings["guidance_scale"])
        value, low, high = row.fid.value, row.fid.low, row.fid.high
        assert value is not None
        assert low is not None
        assert high is not None
        axes.errorbar(
            row.gflop,
            value,
            [[value - low], [high - value]],
            fmt=_MARKERS[schedulers.index(kind[0]) % len(_MARKERS)],
            color=f"C{scales.index(kind[1]) % 10}",
            capsize=2,
            label=None if kind in seen else f"{kind[0]}, guidance {kind[1]:g}",
        )
        steps, interval, cache = (
            row.settings[key] for key in ("steps", "guidance_interval", "cache_interval")
        )
        note = f" {steps}" + ("*" if interval is not None or cache > 1 else "")
        axes.annotate(note, (row.gflop, value), fontsize=8)
        seen.add(kind)
    if floor.value is not None:
        axes.axhline(floor.value, color="gray", linewidth=1, label="real radiographs")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("UNet, GFLOP per image (numbers: steps; *: guidance interval or cache)")
    axes.set_ylabel("FID to held-out radiographs, 95% interval")
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
