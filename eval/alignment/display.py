"""How alignment is shown: the tables, plots and words made of its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.alignment.clip_agreement import DEFINITION as CLIP
from eval.alignment.clip_agreement import REAL
from eval.alignment.demographics import DEFINITION as PATIENTS
from eval.alignment.judges import SEED, Judges
from eval.alignment.laterality import ALL
from eval.comparison_config import ComparisonConfig
from eval.networks.descriptions import classifier_text
from eval.report.formatting import number
from eval.report.plots import Plot, dots
from eval.report.section import Cell, SummaryLine, Table
from roentgen.metrics.classification.operating_points import F1_METHODS
from roentgen.metrics.clip_score import RECALLS
from roentgen.metrics.estimates import BOOTSTRAP, Estimate, NotMeasured
from roentgen.record.findings import FindingName

CEILING = "held-out real (ceiling)"
Judged = Mapping[str, Mapping[str, Any]]  # by set
REFERENCES = (
    "Radford et al., Learning transferable visual models from natural language supervision, "
    "ICML 2021 (CLIP).",
    "Zhang et al., BiomedCLIP, arXiv:2303.00915, 2023.",
    "Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927 "
    "(intervals of shares).",
)
_SIDES = (
    "Side: a network of the same kind, trained on the same films, their halves one by one, to tell "
    "what is present on that side; the share of images asked for a finding on one side in which it "
    "is likelier in that half than in the other; 0.5 is chance. Lateral views show no side."
)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What a CLIP model says of each set."""

    model: str  # what and how, in words
    pool: int  # prompts that an image's own is looked for among
    too_long: int  # prompts that were cut
    prompts: int  # different ones
    sets: Mapping[str, Mapping[str, Estimate]]


def definition(
    config: ComparisonConfig,
    learnt: int,
    validation: int,
    asked: Judges,
    agreements: Mapping[str, Agreement],
) -> tuple[str, ...]:
    """What was done, in words."""
    what = "prompts (of patients for real films)"
    result = [
        f"A network trained on {learnt} real films of the train split (seed {SEED}) judges each "
        "set against what was asked; its own score on held-out real films is the ceiling. AUROC: "
        "present against absent, 0.5 is chance. AUPRC: average precision; the share present is "
        "chance.",
        f"{F1_METHODS} This part is {validation} films of other patients of the train split. "
        f"Thresholds: {_thresholds(asked.thresholds)}.",
        PATIENTS,
        _SIDES,
        classifier_text(config, asked.findings.spec.image_size),
        BOOTSTRAP.format(samples=config.bootstrap, what=what) + " Shares: Wilson's interval.",
    ]
    if agreements:
        result.append(CLIP)
    for name, told in agreements.items():
        result.append(
            f"{name} ({told.model}): {told.too_long} of {told.prompts} different prompts are "
            f"longer and were cut; pools of {told.pool}, by chance recall@k is k / {told.pool}."
        )
    return tuple(result)


def tables(
    config: ComparisonConfig, judged: Judged, agreements: Mapping[str, Agreement]
) -> tuple[Table, ...]:
    """One a metric of findings, one of view, patient and side, one a CLIP model."""
    shown = _shown(judged)
    result = [_of_findings(config, shown, "auroc", "AUROC, present against absent as asked", True)]
    result.append(_of_findings(config, shown, "auprc", "AUPRC, as asked", False))
    result.append(_of_findings(config, shown, "f1", "F1, as asked", False))
    result.append(_of_images(config, shown))
    for name, told in agreements.items():
        labels = {"score": "cosine with the own prompt", "floor": "with another prompt (floor)"}
        labels |= {"gain": "own less other, paired"}
        labels |= {f"recall@{k}": f"recall@{k} of {told.pool}" for k in RECALLS}
        sets = _shown(told.sets)
        rows: list[tuple[Cell, ...]] = [
            (label, *(s[key] for s in sets.values())) for key, label in labels.items()
        ]
        result.append(
            Table(
                name=f"alignment-clip-{len(result) - 3}",
                caption=f"{name}: image and prompt",
                columns=("Measure", *sets),
                rows=tuple(rows),
            )
        )
    return tuple(result)


def summary(judged: Judged, agreements: Mapping[str, Agreement]) -> tuple[SummaryLine, ...]:
    """The main numbers; what no set has is not among them."""

    def line(measure: str, of: Mapping[str, Estimate]) -> SummaryLine:
        sets = {name: value for name, value in of.items() if name != REAL}
        return SummaryLine(measure=measure, sets=sets, real=of.get(REAL))

    lines = [
        line("View as asked (share)", {k: s["view_accuracy"] for k, s in judged.items()}),
        line("Findings as asked (mean AUROC)", {k: s["mean_auroc"] for k, s in judged.items()}),
    ]
    for measure, key in (("Sex as asked (share)", "sex_accuracy"), ("Error of age", "age_error")):
        lines.append(line(measure, {k: s[key] for k, s in judged.items()}))
    lines.append(
        line("Side as asked (share)", {k: s["laterality_accuracy"][ALL] for k, s in judged.items()})
    )
    lines += [
        line(f"{name} cosine over its floor", {k: s["gain"] for k, s in told.sets.items()})
        for name, told in agreements.items()
    ]
    return tuple(x for x in lines if any(e.value is not None for e in x.sets.values()))


def plots(judged: Judged) -> tuple[Plot, ...]:
    """AUROC of each finding."""
    series = {name: {**s["auroc"], "mean": s["mean_auroc"]} for name, s in _shown(judged).items()}
    plot = dots(
        series, "AUROC of what was asked for, with 95 % intervals. Dashed: chance.", chance=0.5
    )
    return (plot,) if plot else ()


def _of_findings(
    config: ComparisonConfig, shown: Judged, metric: str, caption: str, counts: bool
) -> Table:
    def cells(judged: Mapping[str, Any], name: FindingName) -> tuple[Cell, ...]:
        cases = judged["cases"][name]
        told = f"{cases['present']} / {cases['absent']}"
        return (judged[metric][name], told) if counts else (judged[metric][name],)

    rows: list[tuple[Cell, ...]] = [
        (name, *(cell for s in shown.values() for cell in cells(s, name)))
        for name in config.findings
    ]
    means: list[Cell] = []
    for s in shown.values():
        means += [s[f"mean_{metric}"], None] if counts else [s[f"mean_{metric}"]]
    columns: list[str] = []
    for name in shown:
        columns += [name, f"{name}: present / absent"] if counts else [name]
    return Table(
        name="alignment" if metric == "auroc" else f"alignment-{metric}",
        caption=caption,
        columns=("Finding", *columns),
        rows=(*rows, ("Mean", *means)),
    )


def _of_images(config: ComparisonConfig, shown: Judged) -> Table:
    rows = {
        "View as asked (share)": "view_accuracy",
        "Sex as asked (share)": "sex_accuracy",
        "Sex, if always the commonest": "sex_floor",
        "Age: mean absolute error (years)": "age_error",
        "Age, if always the median": "age_floor",
    }
    cells: list[tuple[Cell, ...]] = [
        (label, *(s[key] for s in shown.values())) for label, key in rows.items()
    ]
    cells += [
        (
            f"Side as asked: {name} (share)",
            *(s["laterality_accuracy"][name] for s in shown.values()),
        )
        for name in (ALL, *config.findings)
    ]
    return Table(
        name="alignment-patient",
        caption="View, patient and side as asked",
        columns=("What", *shown),
        rows=tuple(cells),
    )


def _shown(judged: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {(CEILING if name == REAL else name): item for name, item in judged.items()}


def _thresholds(thresholds: Mapping[FindingName, float | NotMeasured]) -> str:
    return ", ".join(
        f"{name} {number(limit) if isinstance(limit, float) else f'none: {limit.reason}'}"
        for name, limit in thresholds.items()
    )
