"""Compare synthetic sets with real films: `python -m eval.evaluate configs/eval/demo.yaml`.

Writes results.json, which holds every number, tables/ as CSV and LaTeX, and report.html, one page
that needs nothing else. Under `accelerate launch` the processes share the making of features and
the training of networks.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from eval.alignment.judges import finding_judge
from eval.alignment.measure import check_alignment, fill_alignment, measure_alignment
from eval.config import EvaluateConfig
from eval.diversity.measure import check_diversity, fill_diversity, measure_diversity
from eval.fidelity.measure import check_fidelity, fill_fidelity, measure_fidelity
from eval.leakage import Check, checks
from eval.masks.measure import check_masks, fill_masks, measure_masks
from eval.privacy.measure import check_privacy, fill_privacy, measure_privacy
from eval.report.citation import citation
from eval.report.extremes import extremes
from eval.report.formatting import told
from eval.report.output import File, check_results, write_results
from eval.report.pictures import grid
from eval.report.render import render
from eval.report.section import Part, Pictures, as_json
from eval.report.tables import csv_text, latex_text
from eval.segmentation.measure import (
    check_segmentation,
    fill_segmentation,
    measure_segmentation,
)
from eval.sets import Sets, describe_set, read_sets
from eval.text_encoder.measure import (
    check_text_encoder,
    fill_text_encoder,
    measure_text_encoder,
)
from eval.utility.measure import check_utility, fill_utility, measure_utility
from roentgen.config import load_config
from roentgen.distributed import this_launch
from roentgen.errors import run_program
from roentgen.manifest import inherit_licenses, provenance


class Steps(NamedTuple):
    """What a part does: cheap checks, then the costly things that caches keep, then measuring."""

    check: Callable[[EvaluateConfig, Sets], None]
    fill: Callable[[EvaluateConfig, Sets], None] | None
    measure: Callable[[EvaluateConfig, Sets], Part]


PARTS = {  # by the name of its section in the configuration
    "alignment": Steps(check_alignment, fill_alignment, measure_alignment),
    "fidelity": Steps(check_fidelity, fill_fidelity, measure_fidelity),
    "diversity": Steps(check_diversity, fill_diversity, measure_diversity),
    "utility": Steps(check_utility, fill_utility, measure_utility),
    "masks": Steps(check_masks, fill_masks, measure_masks),
    "segmentation": Steps(check_segmentation, fill_segmentation, measure_segmentation),
    "text_encoder": Steps(check_text_encoder, fill_text_encoder, measure_text_encoder),
    "privacy": Steps(check_privacy, fill_privacy, measure_privacy),
}


def main() -> None:
    """The program."""
    config = load_config(EvaluateConfig)
    started = time.monotonic()
    launch = this_launch()
    launch.wait_for_everyone(timeout=timedelta(days=1))  # shares are uneven
    sets, known = prepare(config)
    fill(config, sets)
    launch.wait_for_everyone()
    if launch.is_main_process:
        _, parts = measure(config, sets, known, started)
        print(summary(parts))  # noqa: T201
        print(config.output / "report.html")  # noqa: T201


def evaluate(config: EvaluateConfig) -> tuple[dict[str, Any], list[Part]]:
    """All of it in one process: the results and what the parts handed over."""
    started = time.monotonic()
    sets, known = prepare(config)
    fill(config, sets)
    return measure(config, sets, known, started)


def prepare(config: EvaluateConfig) -> tuple[Sets, list[Check]]:
    """The sets, after all that can be checked before any work, and what is known of them."""
    check_results(config.output, overwrite=config.overwrite)
    sets = read_sets(config)
    for steps in _asked(config).values():
        steps.check(config, sets)
    return sets, checks(sets, sets.main if config.utility or config.segmentation else None)


def fill(config: EvaluateConfig, sets: Sets) -> None:
    """Do a process's share of the costly things that caches keep: an interrupted run goes on."""
    for name, steps in _asked(config).items():
        if steps.fill:
            say(f"{name}: features and networks")
            steps.fill(config, sets)


def measure(
    config: EvaluateConfig, sets: Sets, known: list[Check], started: float
) -> tuple[dict[str, Any], list[Part]]:
    """Measure everything, write the page, the tables and results.json; the results and parts."""
    parts = []
    for name, steps in _asked(config).items():
        say(f"{name}: measures")
        parts.append(steps.measure(config, sets))
    pictures = _pictures(config, sets)

    inputs = {"reference": sets.test.dataset.manifest}
    inputs |= {name: images.dataset.manifest for name, images in sets.synthetic.items()}
    numbers = {
        part.name: as_json({"definition": part.definition, **part.numbers}) for part in parts
    }
    results: dict[str, Any] = {
        "main": sets.main,
        "synthetic": list(sets.synthetic),
        "findings": list(config.findings),
        "seed": config.seed,
        "sets": {s.name: describe_set(s) for s in sets.all()},
        "licenses": inherit_licenses(*inputs.values()),
        "checks": known,
        **{name: numbers.get(name) for name in PARTS},
        "provenance": provenance("eval.evaluate", config, inputs),
        "seconds": time.monotonic() - started,
    }
    cite = citation(results, parts)
    results["cite"] = as_json(cite)
    files: dict[str, File] = {
        "report.html": render(results, parts, pictures, cite),
        "results.json": results,
    }
    for table in (table for part in parts for table in part.tables):
        files[f"tables/{table.name}.csv"] = csv_text(table)
        files[f"tables/{table.name}.tex"] = latex_text(table)
    write_results(config.output, files, numbers, inputs, results["provenance"])
    return results, parts


def _pictures(config: EvaluateConfig, sets: Sets) -> dict[str, list[Pictures]]:
    """What the page shows of the sets: drawn by the seed, and where there is a judge, ranked."""
    real_first = {"test": sets.test, **sets.synthetic}
    drawn = grid(real_first, config.findings, count=config.pictures, seed=config.seed)
    if config.alignment is None:
        return {"drawn": drawn}
    judge = finding_judge(config, sets)
    judged = {
        images.name: (images, judge.predict(images.images).findings)
        for images in (sets.synthetic[sets.main], sets.test)
    }
    return {"ranked": extremes(judged, config.findings, config.pictures), "drawn": drawn}


def summary(parts: Sequence[Part]) -> str:
    """The main numbers, a line each."""
    told_lines = []
    for part in parts:
        for line in part.summary:
            values: Mapping[str, Any] = {**line.sets}
            if line.real is not None:
                values = {**values, "real films": line.real}
            shown = "; ".join(f"{name} {told(value)}" for name, value in values.items())
            told_lines.append(f"{line.measure}: {shown}")
    return "\n".join(told_lines)


def say(text: str) -> None:
    """One line of progress."""
    if this_launch().is_main_process:
        print(f"evaluate: {text}", flush=True)  # noqa: T201


def _asked(config: EvaluateConfig) -> dict[str, Steps]:
    return {name: steps for name, steps in PARTS.items() if getattr(config, name) is not None}


if __name__ == "__main__":
    run_program(main)
