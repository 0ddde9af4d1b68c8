"""Compare synthetic sets with real films: `python -m eval.evaluate configs/eval/demo.yaml`.

Writes results.json, which holds every number, and report.html, one page that needs nothing else.
"""

import time
from collections.abc import Mapping
from typing import Any

from eval.config import EvaluateConfig
from eval.measures import (
    fit,
    measure_alignment,
    measure_diversity,
    measure_fidelity,
    measure_utility,
)
from eval.pictures import grid
from eval.report import ceiling_and_sets, number, render
from eval.sets import describe_set, patient_checks, read_sets
from roentgen.config import load_config
from roentgen.errors import InputError, run_program
from roentgen.models.extractor import load_extractor
from roentgen.runs import (
    fingerprint_of,
    inherit_licenses,
    provenance,
    write_file,
    write_json,
    write_manifest,
)


def main() -> None:
    """The program."""
    config = load_config(EvaluateConfig)
    results = evaluate(config)
    print(summary(results))  # noqa: T201
    print(config.output / "report.html")  # noqa: T201


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure everything, write the page and results.json, and return the results."""
    started = time.monotonic()
    # Cheap checks first: nothing is read before the weights and the output folder are there.
    extractor = load_extractor(config.extractor.name, config.extractor.weights)
    try:
        config.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output {config.output} cannot be made: {error.strerror}") from None
    train, test, synthetic = read_sets(config)
    inputs = {"reference": test.dataset.manifest}
    inputs |= {name: images.dataset.manifest for name, images in synthetic.items()}

    say("training the classifier on real films")
    classifiers = [fit(config, seed, train) for seed in config.classifier_seeds]
    results: dict[str, Any] = {
        "main": config.main_name,
        "synthetic": list(synthetic),
        "findings": list(config.findings),
        "seed": config.seed,
        "sets": {s.name: describe_set(s) for s in (train, test, *synthetic.values())},
        "licenses": inherit_licenses(*inputs.values()),
        "checks": patient_checks(train, test, synthetic),
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
    write_file(config.output / "report.html", render(results, pictures))
    write_json(config.output / "results.json", results)
    numbers = {k: results[k] for k in ("alignment", "fidelity", "diversity", "utility")}
    write_manifest(
        config.output,
        "results",
        fingerprint_of(numbers),
        results["licenses"],
        results["provenance"],
    )
    return results


def summary(results: Mapping[str, Any]) -> str:
    """The main numbers in a few lines."""

    def told(estimate: Mapping[str, Any]) -> str:
        if estimate["value"] is None:
            return str(estimate["note"])
        if estimate["low"] is None:
            return number(estimate["value"])
        low, high = number(estimate["low"]), number(estimate["high"])
        return f"{number(estimate['value'])} ({low} to {high})"

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
