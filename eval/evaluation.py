"""Evaluation of synthetic sets: every domain in three steps, then page, tables and results."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import torch

from eval.alignment.measure import Alignment
from eval.config import EvaluateConfig
from eval.context.measure import Context
from eval.diversity.measure import Diversity
from eval.domain import Domain
from eval.fidelity.measure import Fidelity
from eval.leakage import Check, checks
from eval.masks.measure import Masks
from eval.privacy.measure import Privacy
from eval.report.citation import citation
from eval.report.output import File, check_results, write_results
from eval.report.pictures import extremes, grid
from eval.report.render import render
from eval.report.section import PageSection, Pictures, as_json, cell_text
from eval.report.tables import csv_text, latex_text
from eval.report.verdict import in_order
from eval.segmentation.measure import Segmentation
from eval.sets import Sets, describe_set, kind_of, read_sets, without_patients
from eval.text_encoder.measure import TextEncoder
from eval.utility.measure import Utility
from roentgen.cpu.threads import choose_threads
from roentgen.distributed import this_launch
from roentgen.manifest import check_unchanged, inherit_licenses, provenance
from roentgen.storage import reserve_output

DOMAINS: dict[str, type[Domain[Any]]] = {  # by section of the configuration, in the page's order
    "alignment": Alignment,
    "context": Context,
    "fidelity": Fidelity,
    "diversity": Diversity,
    "utility": Utility,
    "masks": Masks,
    "segmentation": Segmentation,
    "text_encoder": TextEncoder,
    "privacy": Privacy,
}


def run(config: EvaluateConfig) -> None:
    """Evaluate with all processes of the launch; the main one prints the main numbers."""
    started = time.monotonic()
    launch = this_launch()
    launch.wait_for_everyone(timeout=timedelta(days=1))  # shares are uneven
    with reserve_output(config.output) if launch.is_main_process else nullcontext():
        sets, domains, known = prepare(config)
        choose_threads()
        precompute(domains)
        launch.wait_for_everyone()
        if launch.is_main_process:
            _, sections = measure(config, sets, domains, known, started)
            print(summary(sections, sets))  # noqa: T201
            print(config.output / "report.html")  # noqa: T201


def evaluate(config: EvaluateConfig) -> tuple[dict[str, Any], list[PageSection]]:
    """All of it in one process: the results, and the sections of the page."""
    started = time.monotonic()
    sets, domains, known = prepare(config)
    precompute(domains)
    return measure(config, sets, domains, known, started)


def prepare(config: EvaluateConfig) -> tuple[Sets, dict[str, Domain[Any]], list[Check]]:
    """The sets, the domains to measure, and the leakage checks; all cheap checks come first."""
    check_results(config.output, overwrite=config.overwrite)
    sets = read_sets(config)
    domains = domains_of(config, sets)
    for domain in domains.values():
        domain.check()
    trained_on = sets.main if config.utility or config.segmentation else None
    return sets, domains, checks(sets, trained_on, config.seed)


def domains_of(config: EvaluateConfig, sets: Sets) -> dict[str, Domain[Any]]:
    """The domains whose section is not null."""
    return {
        name: domain(getattr(config, name), config, sets)
        for name, domain in DOMAINS.items()
        if getattr(config, name) is not None
    }


def precompute(domains: Mapping[str, Domain[Any]]) -> None:
    """Do a process's share of the slow, cached work: an interrupted run resumes here."""
    for name, domain in domains.items():
        print_progress(f"{name}: features and networks")
        domain.precompute()


def measure(
    config: EvaluateConfig,
    sets: Sets,
    domains: Mapping[str, Domain[Any]],
    known: list[Check],
    started: float,
) -> tuple[dict[str, Any], list[PageSection]]:
    """Measure everything; write the page, the tables and results.json; the results, sections."""
    sections = []
    for name, domain in domains.items():
        print_progress(f"{name}: measures")
        sections.append(domain.measure())
    pictures = _pictures(config, sets)

    inputs = {"train": sets.train.dataset.manifest, "test": sets.test.dataset.manifest}
    inputs |= {name: images.dataset.manifest for name, images in sets.synthetic.items()}
    numbers = {
        section.name: as_json({"methods": section.methods, **section.numbers})
        for section in sections
    }
    results: dict[str, Any] = {
        "main": sets.main,
        "synthetic": list(sets.synthetic),
        "findings": list(config.findings),
        "seed": config.seed,
        "sets": {s.name: describe_set(s) for s in sets.all()},
        "licenses": inherit_licenses(*inputs.values()),
        "checks": known,
        "summary": _summary_lines(sections),
        "verdicts": [asdict(one) for one in in_order([v for s in sections for v in s.verdicts])],
        **{name: numbers.get(name) for name in DOMAINS},
        "provenance": provenance("eval.evaluate", config, inputs, torch.get_num_threads()),
        "seconds": time.monotonic() - started,
    }
    cite = citation(results, sections)
    results["cite"] = as_json(cite)
    files: dict[str, File] = {
        "report.html": render(
            results, sections, pictures, cite, real_pictures=config.real_pictures
        ),
        "results.json": results,
    }
    for table in (table for section in sections for table in section.tables):
        files[f"tables/{table.name}.csv"] = csv_text(table)
        files[f"tables/{table.name}.tex"] = latex_text(table)
    check_unchanged(*inputs.values())
    origin, overwrite = results["provenance"], config.overwrite
    write_results(config.output, files, numbers, inputs, origin, overwrite=overwrite)
    return results, sections


def _summary_lines(sections: Sequence[PageSection]) -> list[dict[str, Any]]:
    """The main measures: estimates of each set, and of "real" radiographs, with their texts."""
    return [
        {
            "measure": line.measure,
            "better": line.better,
            "values": {
                name: as_json(value) | {"text": cell_text(value)}
                for name, value in [*line.sets.items(), ("real", line.real)]
                if value is not None
            },
        }
        for section in sections
        for line in section.summary
    ]


def _pictures(config: EvaluateConfig, sets: Sets) -> dict[str, list[Pictures]]:
    """The page's pictures of the sets: sampled by the seed and, after alignment, ranked."""
    every = {"test": sets.test, **sets.synthetic}
    if not config.real_pictures:
        every = {name: without_patients(images) for name, images in every.items()}
    shown = {name: images for name, images in every.items() if len(images)}
    pair = {name: shown[name] for name in (sets.main, "test") if name in shown}
    sampled = grid(shown, config.findings, count=config.pictures, seed=config.seed)
    if config.alignment is None:
        front = grid(pair, config.findings, count=1, seed=config.seed)[:3]
        return {"front": front, "ranked": [], "sampled": sampled}
    classifier = Alignment(config.alignment, config, sets).finding_classifier()
    predicted = {
        name: (images, classifier.predict(images.images).findings) for name, images in pair.items()
    }
    return {
        "front": extremes(predicted, config.findings, 1),
        "ranked": extremes(predicted, config.findings, config.pictures),
        "sampled": sampled,
    }


def summary(sections: Sequence[PageSection], sets: Sets) -> str:
    """The main numbers, a line each, after the sets that are not synthetic."""
    kinds = {name: kind_of(images.radiographs) for name, images in sets.synthetic.items()}
    lines = [
        f"{name} is {kind}, not synthetic" for name, kind in kinds.items() if kind != "synthetic"
    ]
    for line in (line for section in sections for line in section.summary):
        values: Mapping[str, Any] = {**line.sets}
        if line.real is not None:
            values = {**values, "held-out": line.real}
        text = "; ".join(f"{name} {cell_text(value)}" for name, value in values.items())
        lines.append(f"{line.measure}: {text}")
    return "\n".join(lines)


def print_progress(text: str) -> None:
    """One line of progress, of the main process."""
    if this_launch().is_main_process:
        print(f"evaluate: {text}", flush=True)  # noqa: T201
