"""Utility: whether training on it helps."""

import numpy as np

from eval.alignment import trainable
from eval.checks import held_out_prompts
from eval.config import EvaluateConfig
from eval.estimates import BOOTSTRAP
from eval.networks import network_text, trained
from eval.page.plots import dots
from eval.part import Cell, Line, Part, Table
from eval.sections import UtilityConfig
from eval.sets import ImageSet, Sets
from eval.utility import utility


def check_utility(config: EvaluateConfig, sets: Sets) -> None:
    """Nothing is needed beyond the sets."""


def fill_utility(config: EvaluateConfig, sets: Sets) -> None:
    """Train all networks."""
    for seed in _section(config).seeds:
        for training in _trainings(sets).values():
            trained(config, seed, *training)


def measure_utility(config: EvaluateConfig, sets: Sets) -> Part:
    """The same network trained on real, synthetic and both, judged on held-out real films."""
    seeds, test, made = _section(config).seeds, sets.test, sets.synthetic[sets.main]
    trainings = _trainings(sets)
    labels = {k: np.concatenate([s.labels for s in each]) for k, each in trainings.items()}
    numbers = utility(
        {
            k: [trained(config, seed, *each).predict(test.images).findings for seed in seeds]
            for k, each in trainings.items()
        },
        test.labels,
        test.patients,
        config.findings,
        {k: trainable(v, config.findings, config.min_cases) for k, v in labels.items()},
        {k: len(v) for k, v in labels.items()},
        min_cases=config.min_cases,
        samples=config.bootstrap,
        seed=config.seed,
    )
    definition = [
        f"The same network from the same start, for the same number of steps, trained on "
        f"{len(sets.train)} real films, on the {len(made)} images of {made.name!r}, and on "
        f"both; AUROC on held-out real films, mean over {len(seeds)} training seed(s).",
        network_text(config, test.size),
        BOOTSTRAP.format(samples=config.bootstrap, what="held-out patients, the same for all")
        + " It covers the choice of patients, not of the training seed.",
    ]
    held_out = len(held_out_prompts(made, test))
    if held_out:
        definition.append(
            f"{made.name!r} was made with the prompts of {held_out} held-out patients: labels "
            "only, no pixels."
        )
    used = {k: numbers[k] for k in trainings}
    plot = dots(
        {f"trained on {k}": {**v["auroc"], "mean": v["mean_auroc"]} for k, v in used.items()},
        "AUROC on held-out real films by training set, with 95 % intervals. Dashed: chance.",
        chance=0.5,
    )
    rows: list[tuple[Cell, ...]] = [
        (name, *(v["auroc"][name] for v in used.values())) for name in config.findings
    ]
    rows.append(("Mean", *(v["mean_auroc"] for v in used.values())))
    rows.append(("Gain in mean over real (paired)", *(numbers["gain"].get(k) for k in used)))
    columns = ("Finding", *(f"trained on {k} ({len(labels[k])})" for k in used))
    table = Table(
        name="utility",
        caption=f"AUROC on {len(test)} held-out real films",
        columns=columns,
        rows=tuple(rows),
    )
    lines = []
    if "both" in numbers["gain"]:
        gain = numbers["gain"]["both"]
        measure = "Gain in mean AUROC of real and synthetic over real"
        lines.append(Line(measure=measure, sets={made.name: gain}))
    return Part(
        name="utility",
        title="Utility: does training on it help?",
        definition=tuple(definition),
        numbers={"set": made.name, **numbers},
        summary=tuple(lines),
        tables=(table,),
        plots=(plot,) if plot else (),
    )


def _section(config: EvaluateConfig) -> UtilityConfig:
    assert config.utility is not None
    return config.utility


def _trainings(sets: Sets) -> dict[str, tuple[ImageSet, ...]]:
    made = sets.synthetic[sets.main]
    return {"real": (sets.train,), "synthetic": (made,), "both": (sets.train, made)}
