"""Compare synthetic sets with real films: `python -m eval.evaluate configs/eval/demo.yaml`.

Writes results.json, which holds every number, and report.html, one page that needs nothing else.
"""

import time
from collections.abc import Mapping
from typing import Any

from eval.checks import checks
from eval.config import EvaluateConfig
from eval.measures import (
    fit,
    measure_alignment,
    measure_diversity,
    measure_fidelity,
    measure_utility,
)
from eval.output import File, check_results, write_results
from eval.pictures import grid
from eval.report import ceiling_and_sets, render, told
from eval.sets import describe_set, read_sets
from roentgen.config import load_config
from roentgen.errors import run_program
from roentgen.models.extractor import load_extractor
from roentgen.runs import inherit_licenses, provenance


def main() -> None:
    """The program."""
    config = load_config(EvaluateConfig)
    results = evaluate(config)
    print(summary(results))  # noqa: T201
    print(config.output / "report.html")  # noqa: T201


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure everything, write the page and results.json, and return the results."""
    started = time.monotonic()
    check_results(config.output, overwrite=config.overwrite)
    extractor = load_extractor(config.extractor.name, config.extractor.weights)
    train, test, synthetic = read_sets(config)
    inputs = {"reference": test.dataset.manifest}
    inputs |= {name: images.dataset.manifest for name, images in synthetic.items()}
    known = checks(train, test, synthetic, config.main_name if config.utility else None)

    say("training the classifier on real films")
    classifiers = [fit(config, seed, train) for seed in config.classifier_seeds]
    results: dict[str, Any] = {
        "main": config.main_name,
        "synthetic": list(synthetic),
        "findings": list(config.findings),
        "seed": config.seed,
        "sets": {s.name: describe_set(s) for s in (train, test, *synthetic.values())},
        "licenses": inherit_licenses(*inputs.values()),
        "checks": known,
        "alignment": measure_alignment(config, classifiers[0], train, test, synthetic),
    }
    say("features and distances")
    results["fidelity"] = measure_fidelity(config, extractor, train, test, synthetic)
    results["diversity"] = measure_diversity(config, test, synthetic)
    results["utility"] = None
    if config.utility:
        say("training on synthetic images and on both")
        chosen = synthetic[config.main_name]
        results["utility"] = measure_utility(config, classifiers, train, test, chosen)
    results["provenance"] = provenance("eval.evaluate", config, inputs)
    results["seconds"] = time.monotonic() - started

    pictures = grid(
        {"test": test, **synthetic}, config.findings, count=config.pictures, seed=config.seed
    )
    files: dict[str, File] = {"report.html": render(results, pictures), "results.json": results}
    numbers = {k: results[k] for k in ("alignment", "fidelity", "diversity", "utility")}
    write_results(config.output, files, numbers, inputs, results["provenance"])
    return results


def summary(results: Mapping[str, Any]) -> str:
    """The main numbers in a few lines."""
    lines = []
    for name, item in ceiling_and_sets(results).items():
        lines.append(
            f"{name}: view as asked {told(item['view_accuracy'])}, "
            f"mean AUROC {told(item['mean_auroc'])}"
        )
    for name, item in results["fidelity"]["fid"].items():
        lines.append(f"FID {name}: {told(item)}, n = {item['n']}")
    for name, item in results["fidelity"]["excess_lost"].items():
        lines.append(
            f"share of the excess of {results['synthetic'][0]} lost by {name}: {told(item)}"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    """One line of progress."""
    print(f"evaluate: {text}", flush=True)  # noqa: T201


if __name__ == "__main__":
    run_program(main)
