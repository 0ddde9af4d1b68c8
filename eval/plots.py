"""The page's plots, drawn from the results alone, as SVG data URIs with alternative texts."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#444444", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00")  # Okabe and Ito
MARKS = ("D", "o", "s", "^", "v", "P")  # so that colour is not the only sign


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture for the page and what it shows, in words."""

    uri: str
    alt: str
    caption: str


def plots(results: Mapping[str, Any], judged: Mapping[str, Any]) -> dict[str, Plot]:
    """One plot a section that has something to show."""
    found: dict[str, Plot | None] = {}
    found["alignment"] = dots(
        {name: _with_mean(item) for name, item in judged.items()},
        "AUROC of what was asked for, with 95 % intervals. Dashed: chance.",
        chance=0.5,
    )
    fid = results["fidelity"]["fid"]
    found["fidelity"] = dots(
        {"FID": {("floor (real)" if name == "floor" else name): e for name, e in fid.items()}},
        "FID to held-out real films, with 95 % intervals; lower is closer.",
    )
    if results["utility"] is not None:
        found["utility"] = dots(
            {
                f"trained on {name}": _with_mean(results["utility"][name])
                for name in ("real", "synthetic", "both")
            },
            "AUROC on held-out real films by training set, with 95 % intervals. Dashed: chance.",
            chance=0.5,
        )
    return {name: plot for name, plot in found.items() if plot is not None}


def dots(
    series: Mapping[str, Mapping[str, Any]], caption: str, chance: float | None = None
) -> Plot | None:
    """Values with intervals, a line a label and a mark a series; None if nothing is measured."""
    labels = list(dict.fromkeys(label for values in series.values() for label in values))
    labels = [x for x in labels if any(_value(v.get(x)) is not None for v in series.values())]
    if not labels:
        return None
    step = 0.8 / len(series)
    with mpl.rc_context(
        {"font.size": 11, "svg.hashsalt": "roentgen", "font.family": "DejaVu Sans"}
    ):
        height = 1.1 + max(0.5, 0.24 * len(series)) * len(labels)
        figure = Figure(figsize=(5.6, height), layout="constrained")
        axes = figure.subplots()
        for k, (name, values) in enumerate(series.items()):
            rows = [i for i, x in enumerate(labels) if _value(values.get(x)) is not None]
            places = [i + (k - (len(series) - 1) / 2) * step for i in rows]
            _points(axes, [values[labels[i]] for i in rows], places, name, k)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        if chance is not None:
            axes.axvline(chance, color="#767676", linestyle="--", linewidth=1)
            axes.set_xlim(right=1.01)
        else:
            axes.set_xlim(left=0)
        if len(series) > 1:
            figure.legend(loc="outside upper left", ncols=1, frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    uri = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Plot(uri=uri, alt=_in_words(series, labels, caption), caption=caption)


def _points(
    axes: Axes, estimates: Sequence[Mapping[str, Any]], places: Sequence[float], name: str, k: int
) -> None:
    """One series: its values, and whiskers where they have an interval."""
    colour = COLOURS[k % len(COLOURS)]
    for estimate, place in zip(estimates, places, strict=True):
        if estimate["low"] is not None:
            axes.hlines(place, estimate["low"], estimate["high"], color=colour, linewidth=2)
    values = [estimate["value"] for estimate in estimates]
    mark = MARKS[k % len(MARKS)]
    axes.plot(values, places, mark, color=colour, markersize=6, label=name)


def _with_mean(item: Mapping[str, Any]) -> dict[str, Any]:
    return {**item["auroc"], "mean": item["mean_auroc"]}


def _value(estimate: Mapping[str, Any] | None) -> float | None:
    return None if estimate is None else estimate["value"]


def _in_words(series: Mapping[str, Mapping[str, Any]], labels: Sequence[str], caption: str) -> str:
    parts = []
    for name, values in series.items():
        told = [
            f"{label} {_value(values[label]):.3f}"
            for label in labels
            if _value(values.get(label)) is not None
        ]
        parts.append(f"{name}: {', '.join(told)}")
    return f"{caption} {'; '.join(parts)}."
