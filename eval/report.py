"""The page: one HTML file, made of results.json and pictures, that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from eval.pictures import GridRow
from eval.plots import plots
from roentgen.config import config_to_yaml

CEILING = "held-out real (ceiling)"
TEMPLATE = Path(__file__).parent / "report.html.j2"


def render(results: Mapping[str, Any], pictures: Sequence[GridRow]) -> str:
    """The page of these results: all numbers come from `results`, as results.json holds them."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "yaml": config_to_yaml}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    judged = ceiling_and_sets(results)
    return template.render(
        r=results, judged=judged, pictures=pictures, plots=plots(results, judged)
    )


def ceiling_and_sets(results: Mapping[str, Any]) -> dict[str, Any]:
    """The judgement of each synthetic set and of held-out real films, by the name to show."""
    judged = {name: results["alignment"][name] for name in results["synthetic"]}
    return {**judged, CEILING: results["alignment"]["ceiling"]}


def told(estimate: Mapping[str, Any]) -> str:
    """An estimate with its interval, or why there is none."""
    if estimate["value"] is None:
        return str(estimate["note"])
    if estimate["low"] is None:
        return number(estimate["value"])
    low, high = number(estimate["low"]), number(estimate["high"])
    return f"{number(estimate['value'])} ({low} to {high})"


def number(value: float) -> str:
    """Three decimals, or three digits of what is smaller than 0.1; a true minus sign."""
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{size:.3f}" if size >= 0.1 else f"{size:.3g}"
    if size >= 100:
        text = f"{size:.1f}"
    return f"\u2212{text}" if value < 0 else text
