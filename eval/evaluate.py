"""Compare synthetic sets with real films: `python -m eval.evaluate configs/eval/demo.yaml`.

Writes results.json, which holds every number, tables/ as CSV and LaTeX, and report.html, one page
that needs nothing else. Under `accelerate launch` the processes share the making of features and
the training of networks.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from eval.checks import checks
from eval.config import EvaluateConfig
from eval.output import File, check_results, write_results
from eval.page.pictures import grid
from eval.page.render import render, told
from eval.part import Part, as_json
from eval.parts.alignment import check_alignment, fill_alignment, measure_alignment
from eval.parts.diversity import check_diversity, measure_diversity
from eval.parts.fidelity import check_fidelity, fill_fidelity, measure_fidelity
from eval.parts.utility import check_utility, fill_utility, measure_utility
from eval.sets import Sets, describe_set, read_sets
from roentgen.config import load_config
from roentgen.errors import run_program
from roentgen.runs import inherit_licenses, provenance


class Steps(NamedTuple):
    """What a part does: cheap checks, then the costly things that caches keep, then measuring."""

    check: Callable[[EvaluateConfig, Sets], None]
    fill: Callable[[EvaluateConfig, Sets], None] | None
    measure: Callable[[EvaluateConfig, Sets], Part]


PARTS = {  # by the name of its section in the configuration
    "alignment": Steps(check_alignment, fill_alignment, measure_alignment),
    "fidelity": Steps(check_fidelity, fill_fidelity, measure_fidelity),
    "diversity": Steps(check_diversity, None, measure_diversity),
    "utility": Steps(check_utility, fill_utility, measure_utility),
}


def main() -> None:
    """The program."""
    config = load_config(EvaluateConfig)
    _, parts = evaluate(config)
    print(summary(parts))  # noqa: T201
    print(config.output / "report.html")  # noqa: T201


def evaluate(config: EvaluateConfig) -> tuple[dict[str, Any], list[Part]]:
    """Measure everything, write the page, the tables and results.json; the results and parts."""
    started = time.monotonic()
    check_results(config.output, overwrite=config.overwrite)
    asked = {name: steps for name, steps in PARTS.items() if getattr(config, name) is not None}
    sets = read_sets(config)
    for steps in asked.values():
        steps.check(config, sets)
    known = checks(sets, sets.main if config.utility else None)
    parts = []
    for name, steps in asked.items():
        say(name)
        if steps.fill:
            steps.fill(config, sets)
        parts.append(steps.measure(config, sets))
    pictures = grid(
        {"test": sets.test, **sets.synthetic},
        config.findings,
        count=config.pictures,
        seed=config.seed,
    )

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
    files: dict[str, File] = {
        "report.html": render(results, parts, pictures),
        "results.json": results,
    }
    write_results(config.output, files, numbers, inputs, results["provenance"])
    return results, parts


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
    print(f"evaluate: {text}", flush=True)  # noqa: T201


if __name__ == "__main__":
    run_program(main)
