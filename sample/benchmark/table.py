"""The bench's rows as tables and as a picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from matplotlib.figure import Figure

from roentgen.metrics.estimates import Estimate, normal_estimate

_MARKERS = "osD^vPX*"
_SAID = (  # what a table says of a setting, and its heading
    ("scheduler", "scheduler"),
    ("steps", "steps"),
    ("guidance_scale", "guidance"),
    ("guidance_interval", "interval"),
    ("guidance_rescale", "rescale"),
    ("cache_interval", "cache"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting and what it costs and gives."""

    settings: Mapping[str, Any]  # SamplerSettings as JSON values
    n: int  # images that FID is measured at
    evaluations: int  # of the UNet an image; a guided step has two
    gflop: float  # of the UNet an image
    images_per_second: float  # from noise to pixels, by the median batch
    fid: Estimate
    replicates: list[float]  # FID of each resample
    view: Estimate | None
    auroc: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse; raises KeyError or TypeError for anything else."""
        names = ("fid", "view", "auroc")
        estimates = {name: plain[name] and Estimate(**plain[name]) for name in names}
        return cls(**{**plain, **estimates})

    def above(self, other: "Row") -> Estimate:
        """By how much FID is above another row's, whose images are of the same prompts and noise.

        Both are resampled alike, so what they share does not widen the interval.
        """
        assert self.fid.value is not None
        assert other.fid.value is not None
        gap = np.subtract(self.replicates, other.replicates)
        return normal_estimate(self.fid.value - other.fid.value, gap, self.n, least=None)


def csv_table(rows: Sequence[Row]) -> str:
    """Numbers in full, to compute with; ends of intervals in columns of their own."""
    buffer = io.StringIO()
    lines = [_values(row, rows[0]) for row in rows]
    writer = csv.DictWriter(buffer, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _values(row: Row, first: Row) -> dict[str, Any]:
    values: dict[str, Any] = {h: _told(row.settings[name]) for name, h in _SAID}
    values["batch"] = str(row.settings["batch_size"])
    values |= {"n": row.n, "evaluations": row.evaluations, "gflop": row.gflop}
    values["images_per_second"] = row.images_per_second
    estimates = {
        "fid": row.fid,
        "fid_above_first": row.above(first),
        "view": row.view,
        "auroc": row.auroc,
    }
    for name, estimate in estimates.items():
        for part in ("value", "low", "high"):
            heading = name if part == "value" else f"{name}_{part}"
            values[heading] = None if estimate is None else getattr(estimate, part)
    return values


def markdown_table(rows: Sequence[Row], floor: Estimate) -> str:
    """For reading; settings that all rows share are said once, below."""
    first = rows[0]
    shown = [(k, h) for k, h in _SAID if any(r.settings[k] != first.settings[k] for r in rows)]
    judged = any(row.view is not None for row in rows)
    header = [heading for _, heading in shown]
    header += ["evaluations", "GFLOP", "images/s", "FID", "above the first row"]
    header += ["view as asked", "mean AUROC"] if judged else []
    lines = [header, ["---"] * len(header)]
    for row in rows:
        cells = [_told(row.settings[key]) for key, _ in shown]
        cells += [str(row.evaluations), f"{row.gflop:.1f}", f"{row.images_per_second:.2f}"]
        cells += [_interval(row.fid, 2), "" if row is first else _interval(row.above(first), 2)]
        cells += [_interval(row.view, 3), _interval(row.auroc, 3)] if judged else []
        lines.append(cells)
    same = [f"{h} {_told(first.settings[k])}" for k, h in _SAID if (k, h) not in shown]
    same += [f"batch {first.settings['batch_size']}", f"n = {first.n}"]
    same += [f"real films against the same held-out ones: FID {_interval(floor, 2)}"]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{table}\n\n{'; '.join(same)}. In brackets: 95 % intervals.\n"


def _told(value: Any) -> str:
    """A setting in short."""
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


def plot(rows: Sequence[Row], floor: Estimate) -> bytes:
    """FID over the UNet's work, a PNG; one marker a scheduler, one colour a guidance."""
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
        note = f" {row.settings['steps']}" + ("*" if _is_thinned(row) else "")
        axes.annotate(note, (row.gflop, value), fontsize=8)
        seen.add(kind)
    if floor.value is not None:
        axes.axhline(floor.value, color="gray", linewidth=1, label="real films")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("UNet, GFLOP an image (numbers: steps; *: guidance interval or cache)")
    axes.set_ylabel("FID to held-out films, 95 % interval")
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _is_thinned(row: Row) -> bool:
    return row.settings["guidance_interval"] is not None or row.settings["cache_interval"] > 1
