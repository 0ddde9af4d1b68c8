"""The page: one self-contained HTML file, rendered from the results and their sections."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from eval.report.citation import Citation
from eval.report.pictures import data_uri, side_for
from eval.report.section import PageSection, Pictures, cell_text, number
from roentgen.config import config_to_yaml
from roentgen.dataset.card import SIMULATED, sharing
from roentgen.metrics.estimates import Estimate

FOLDER = Path(__file__).parent


def render(
    results: Mapping[str, Any],
    sections: Sequence[PageSection],
    pictures: Mapping[str, Sequence[Pictures]],
    cite: Citation,
) -> str:
    """The page of these results; `pictures` are "sampled" at random and, maybe, "ranked"."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = [group for section in sections for group in section.pictures]
    side = side_for([*groups, *(group for more in pictures.values() for group in more)])
    environment.filters |= {"number": number, "yaml": config_to_yaml, "cell": cell_text}
    environment.filters["uri"] = lambda images: data_uri(images, side)
    environment.tests["estimate"] = lambda cell: isinstance(cell, Estimate)
    template = environment.get_template("page.html.j2")
    return template.render(
        r=results,
        sections=sections,
        pictures=pictures,
        cite=cite,
        notice=_patients_notice(results),
    )


def _patients_notice(results: Mapping[str, Any]) -> str | None:
    """Notice that the page shows patients' radiographs; None if no set has any."""
    of_patients = [
        name
        for name, images in results["sets"].items()
        if any(source["source"] not in SIMULATED for source in images["sources"])
    ]
    if not of_patients:
        return None
    terms = sharing(results["licenses"])
    return f"This page shows radiographs of patients ({', '.join(of_patients)}): it {terms}."
