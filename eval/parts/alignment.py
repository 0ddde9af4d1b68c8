"""Alignment: whether it is what was asked for."""

from eval.alignment import alignment, trainable
from eval.config import EvaluateConfig
from eval.estimates import BOOTSTRAP, Estimate
from eval.networks import network_text, trained
from eval.page.plots import dots
from eval.part import Line, Part, Table
from eval.sets import Sets

CEILING = "held-out real (ceiling)"
SEED = 0  # of the judge's training


def check_alignment(config: EvaluateConfig, sets: Sets) -> None:
    """Nothing is needed beyond the sets."""


def fill_alignment(config: EvaluateConfig, sets: Sets) -> None:
    """Train the judge."""
    trained(config, SEED, sets.train)


def measure_alignment(config: EvaluateConfig, sets: Sets) -> Part:
    """Judge every set, and the held-out real films, which are the ceiling."""
    judge = trained(config, SEED, sets.train)
    untrained = trainable(sets.train.labels, config.findings, config.min_cases)
    judged = {
        name: alignment(
            judge.predict(images.images),
            images.labels,
            images.views,
            images.patients,
            config.findings,
            untrained,
            min_cases=config.min_cases,
            samples=config.bootstrap,
            seed=config.seed,
        )
        for name, images in (*sets.synthetic.items(), ("ceiling", sets.test))
    }
    what = "prompts (of patients for real films)"
    definition = (
        f"A classifier trained on {len(sets.train)} real films of the train split (seed {SEED}) "
        "judges each set against what was asked; its own score on held-out real films is the "
        "ceiling. AUROC 0.5 is chance.",
        network_text(config, sets.train.size),
        BOOTSTRAP.format(samples=config.bootstrap, what=what) + " Shares: Wilson's interval.",
    )
    shown = {(CEILING if name == "ceiling" else name): item for name, item in judged.items()}
    series = {name: {**s["auroc"], "mean": s["mean_auroc"]} for name, s in shown.items()}

    def line(measure: str, key: str) -> Line:
        ceiling: Estimate = judged["ceiling"][key]
        return Line(
            measure=measure, sets={name: judged[name][key] for name in sets.synthetic}, real=ceiling
        )

    rows = [
        (name, *(cell for s in shown.values() for cell in (s["auroc"][name], *_cases(s, name))))
        for name in config.findings
    ]
    rows.append(("Mean", *(cell for s in shown.values() for cell in (s["mean_auroc"], None))))
    rows.append(
        ("View as asked (share)", *(x for s in shown.values() for x in (s["view_accuracy"], None)))
    )
    table = Table(
        name="alignment",
        caption="AUROC, present against absent as asked",
        columns=("Finding", *(c for name in shown for c in (name, "present / absent"))),
        rows=tuple(rows),
    )
    plot = dots(
        series, "AUROC of what was asked for, with 95 % intervals. Dashed: chance.", chance=0.5
    )
    return Part(
        name="alignment",
        title="Alignment: is it what was asked for?",
        definition=definition,
        numbers=judged,
        summary=(
            line("View as asked (share)", "view_accuracy"),
            line("Findings as asked (mean AUROC)", "mean_auroc"),
        ),
        tables=(table,),
        plots=(plot,) if plot else (),
    )


def _cases(judged: dict[str, dict[str, dict[str, int]]], finding: str) -> tuple[str]:
    cases = judged["cases"][finding]
    return (f"{cases['present']} / {cases['absent']}",)
