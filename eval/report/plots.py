"""The page's plots as SVG data URIs with alternative texts."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from roentgen.metrics.estimates import Estimate

# Okabe and Ito's hues, darkened to a contrast of 4.5 to 1 on white.
COLORS = ("#444444", "#b84a00", "#0069a5", "#00795a", "#a8447c", "#8a6100")
MARKS = ("D", "o", "s", "^", "v", "P")  # so that color is not the only cue
DASHES = ("-", "--", "-.", ":")
_WIDTH, _SMALL_WIDTH = 5.6, 3.4  # inches
_STYLE = {"font.size": 11, "svg.hashsalt": "roentgen", "font.family": "DejaVu Sans"}
_SMALL_STYLE = {**_STYLE, "font.size": 9}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """An image for the page, with its alternative text and caption."""

    uri: str
    alt: str
    caption: str
    folded: bool = False  # behind "More" of its section


def dots(
    series: Mapping[str, Mapping[str, Estimate]],
    caption: str,
    chance: float | None = None,
    *,
    small: bool = False,
) -> Plot | None:
    """Values with intervals: a row a label, a marker a series; None if nothing is measured.

    A small one is for the first screen.
    """
    labels = list(dict.fromkeys(label for values in series.values() for label in values))
    labels = [x for x in labels if any(_value(v.get(x)) is not None for v in series.values())]
    if not labels:
        return None
    step = 0.8 / len(series)
    row = max(0.24, 0.13 * len(series)) if small else max(0.5, 0.24 * len(series))
    height = (0.4 if small else 0.7) + _legend(len(series)) + row * len(labels)
    with mpl.rc_context(_SMALL_STYLE if small else _STYLE):
        figure = Figure(figsize=(_SMALL_WIDTH if small else _WIDTH, height), layout="constrained")
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
            axes.set_xlim(right=1.03)
        else:
            measured = [_value(e) for values in series.values() for e in values.values()]
            if all(value is None or value >= 0 for value in measured):
                axes.set_xlim(left=0)
        return _finish(figure, len(series), caption, _values_text(series, labels))


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[Estimate]]],
    caption: str,
    *,
    x_label: str,
    y_label: str,
    diagonal: bool = False,
    zero: bool = False,
    log_x: bool = False,
    small: bool = False,
) -> Plot | None:
    """Values over x with their intervals as bands; None if nothing is measured.

    `zero` draws a line at 0. A small one is for the first screen.
    """
    measured = {
        name: [(x, e) for x, e in zip(*points, strict=True) if e.value is not None]
        for name, points in series.items()
    }
    if not any(measured.values()):
        return None
    values_text = []
    size = (_SMALL_WIDTH, 1.8) if small else (_WIDTH, 3.2)
    with mpl.rc_context(_SMALL_STYLE if small else _STYLE):
        figure = Figure(figsize=(size[0], size[1] + _legend(len(series))), layout="constrained")
        axes = figure.subplots()
        for k, (name, points) in enumerate(measured.items()):
            xs = [x for x, _ in points]
            values = [float(e.value) for _, e in points if e.value is not None]
            color = COLORS[k % len(COLORS)]
            axes.plot(xs, values, DASHES[k % 4], color=color, marker=MARKS[k % 6], ms=5, label=name)
            if points and all(e.low is not None for _, e in points):
                low = [float(e.low) for _, e in points if e.low is not None]
                high = [float(e.high) for _, e in points if e.high is not None]
                axes.fill_between(xs, low, high, color=color, alpha=0.15, linewidth=0)
            pairs = ", ".join(f"{y:.3g} at {x:g}" for x, y in zip(xs, values, strict=True))
            values_text.append(f"{name}: {pairs}")
        if diagonal:
            axes.plot([0, 1], [0, 1], color="#767676", linestyle=":", linewidth=1)
        if zero:
            axes.axhline(0, color="#767676", linestyle="--", linewidth=1)
        if log_x:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        _label(axes, x_label, y_label)
        return _finish(figure, len(series), caption, "; ".join(values_text))


def histogram(
    series: Mapping[str, NDArray[np.floating]],
    caption: str,
    *,
    x_label: str,
    mark: float | None = None,
    mark_label: str = "",
) -> Plot:
    """Shares of values in common bins, one outline a series; `mark` is a vertical line."""
    everything = np.concatenate([np.asarray(v, dtype=float) for v in series.values()])
    edges = np.histogram_bin_edges(everything, bins=40)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 2.8 + _legend(len(series) + 1)), layout="constrained")
        axes = figure.subplots()
        for k, (name, values) in enumerate(series.items()):
            counts, _ = np.histogram(values, edges)
            axes.stairs(
                counts / max(1, len(values)),
                edges,
                color=COLORS[k % len(COLORS)],
                linestyle=DASHES[k % 4],
                linewidth=2,
                label=f"{name} (n = {len(values)})",
            )
        if mark is not None:
            axes.axvline(mark, color="#000000", linewidth=1, linestyle=":", label=mark_label)
        _label(axes, x_label, "share")
        values_text = "; ".join(
            f"{name}: median {np.median(v):.3g}, 1st to 99th percentile "
            f"{np.percentile(v, 1):.3g} to {np.percentile(v, 99):.3g}"
            for name, v in series.items()
        )
        return _finish(figure, 2, caption, values_text)


def _legend(entries: int) -> float:
    """The height of a legend in inches; a single series has none."""
    return 0.26 * entries if entries > 1 else 0.0


def _label(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _finish(figure: Figure, series: int, caption: str, values_text: str) -> Plot:
    if series > 1:
        figure.legend(loc="outside upper left", ncols=1, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    uri = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Plot(uri=uri, alt=f"{caption} {values_text}.", caption=caption)


def _points(
    axes: Axes, estimates: Sequence[Estimate], places: Sequence[float], name: str, k: int
) -> None:
    """One series: its values, and whiskers where they have an interval."""
    color = COLORS[k % len(COLORS)]
    for estimate, place in zip(estimates, places, strict=True):
        if estimate.low is not None and estimate.high is not None:
            axes.hlines(place, estimate.low, estimate.high, color=color, linewidth=2)
    values = [float(e.value) for e in estimates if e.value is not None]
    mark = MARKS[k % len(MARKS)]
    axes.plot(values, places, mark, color=color, markersize=6, label=name)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _values_text(series: Mapping[str, Mapping[str, Estimate]], labels: Sequence[str]) -> str:
    texts = []
    for name, values in series.items():
        labeled = [
            f"{label} {values[label].value:.3f}"
            for label in labels
            if _value(values.get(label)) is not None
        ]
        texts.append(f"{name}: {', '.join(labeled)}")
    return "; ".join(texts)
