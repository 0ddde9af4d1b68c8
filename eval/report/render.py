"""The page: one self-contained HTML file, rendered from the results and their sections."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from eval.report.citation import Citation
from eval.report.page_table import DIRECTIONS, MARKS, page_table, summary_table
from eval.report.pictures import data_uri, side_for
from eval.report.section import PageSection, Pictures
from eval.report.verdict import HEADINGS
from roentgen.cards.hub_license import sharing
from roentgen.config import config_to_yaml
from roentgen.dataset.card import SIMULATED

FOLDER = Path(__file__).parent


def render(
    results: Mapping[str, Any],
    sections: Sequence[PageSection],
    pictures: Mapping[str, Sequence[Pictures]],
    cite: Citation,
    *,
    real_pictures: bool = True,
) -> str:
    """The page of these results; `pictures` are those of `eval.report.pictures.of_sets`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = [group for section in sections for group in section.pictures]
    side = side_for([*groups, *(group for more in pictures.values() for group in more)])
    environment.filters |= {"yaml": config_to_yaml, "page": page_table}
    environment.filters["uri"] = lambda images: data_uri(images, side)
    sets = results["synthetic"]
    radiographs = f"{results['sets']['test']['kind']} radiographs"
    template = environment.get_template("page.html.j2")
    return template.render(
        r=results,
        notice=_patients_notice(results, real_pictures=real_pictures),
        opening=_opening(results, radiographs),
        headings=HEADINGS,
        summary=page_table(summary_table(sections, sets, radiographs)),
        directions=", ".join(f"{arrow} {words}" for words, arrow in DIRECTIONS.values()),
        marks=" or ".join(MARKS.values()),
        marked_against=f"set {sets[0]!r}" if len(sets) > 1 else f"the {radiographs}",
        sections=sections,
        pictures=pictures,
        cite=cite,
    )


def _opening(results: Mapping[str, Any], radiographs: str) -> str:
    """The sets that are compared, in words."""
    main, test = results["sets"][results["main"]], results["sets"]["test"]
    train = results["sets"]["train"]
    sentences = [
        f"{main['n']} images against {test['n']} held-out {radiographs} of {test['patients']} "
        f"patients. The networks that judge them were trained on {train['n']} radiographs of "
        f"{train['patients']} other patients."
    ]
    others = [name for name in results["synthetic"] if name != results["main"]]
    if others:
        counts = (f"{name} ({results['sets'][name]['n']} images)" for name in others)
        sentences.append(f"Beside it: {', '.join(counts)}.")
    for name in results["synthetic"]:
        kind = results["sets"][name]["kind"]
        if kind in ("real", "simulated"):
            sentences.append(f"Set {name!r} holds {kind} radiographs, no synthetic images.")
        elif kind != "synthetic":
            sentences.append(f"Set {name!r} is {kind}: not all of its images were generated.")
    return " ".join(sentences)


def _patients_notice(results: Mapping[str, Any], *, real_pictures: bool) -> str | None:
    """Notice whether the page shows patients' radiographs; None if no set has any."""
    of_patients = [
        name
        for name, images in results["sets"].items()
        if any(source["source"] not in SIMULATED for source in images["sources"])
    ]
    if not of_patients:
        return None
    names = ", ".join(of_patients)
    if real_pictures:
        terms = sharing(results["licenses"])
        return f"This page shows radiographs of patients ({names}): it {terms}."
    return (
        f"This page shows no radiograph of a patient, and no prompt or id of one, of {names} "
        "(real_pictures: false). Its synthetic images are shown."
    )
