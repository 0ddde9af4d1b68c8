"""The page: one HTML file that needs nothing else, made of the results and what parts show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from eval.estimates import Estimate
from eval.page.pictures import data_uri
from eval.part import Cell, Part, Pictures
from roentgen.config import config_to_yaml

FOLDER = Path(__file__).parent


def render(results: Mapping[str, Any], parts: Sequence[Part], pictures: Sequence[Pictures]) -> str:
    """The page of these results."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "yaml": config_to_yaml, "uri": data_uri}
    environment.tests |= {"estimate": lambda cell: isinstance(cell, Estimate)}
    environment.filters |= {"cell": told}
    template = environment.get_template("page.html.j2")
    return template.render(r=results, parts=parts, pictures=pictures)


def told(cell: Cell) -> str:
    """A cell in words: an estimate with its interval, or why there is none."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float):
        return number(cell)
    if cell.value is None:
        return str(cell.note)
    if cell.low is None or cell.high is None:
        return number(cell.value)
    return f"{number(cell.value)} ({number(cell.low)} to {number(cell.high)})"


def number(value: float) -> str:
    """Three decimals, or three digits of what is smaller than 0.1; a true minus sign."""
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{size:.3f}" if size >= 0.1 else f"{size:.3g}"
    if size >= 100:
        text = f"{size:.1f}"
    return f"\u2212{text}" if value < 0 else text
