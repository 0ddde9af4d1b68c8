"""Alignment display: tables, plots and summary lines of its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.alignment.clip_agreement import CEILING_KEY, CLIP_METHODS
from eval.alignment.reference_networks import SEED, ReferenceNetworks
from eval.alignment.scores import ALL, DEMOGRAPHICS_METHODS
from eval.config import ComparisonConfig
from eval.networks import classifier_text
from eval.report.plots import Plot, dots
from eval.report.section import CEILING, Cell, SummaryLine, Table, number
from roentgen.metrics.classification.operating_points import F1_METHODS
from roentgen.metrics.clip_score import RECALLS
from roentgen.metrics.estimates import BOOTSTRAP, Estimate, NotMeasured
from roentgen.record.radiograph import FindingName

SetScores = Mapping[str, Mapping[str, Any]]  # by set
REFERENCES = (
    "Radford et al., Learning transferable visual models from natural language supervision, "
    "ICML 2021 (CLIP).",
    "Zhang et al., BiomedCLIP, arXiv:2303.00915, 2023.",
    "Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927 "
    "(intervals of shares).",
)
_LATERALITY = (
    "Laterality: a network of the same kind, trained on the halves of the same radiographs to "
    "predict what is present on that side; the share of images requested with a finding on one "
    "side in which it is more probable in that half than in the other; 0.5 is chance. "
    "Lateral views are excluded."
)


@dataclass(frozen=True, kw_only=True)
class ClipAgreement:
    """Agreement of images and prompts by a CLIP model."""

    model: str  # its name and definition
    pool: int  # prompts that an image's own is looked for among
    too_long: int  # prompts that were cut
    prompts: int  # different ones
    sets: Mapping[str, Mapping[str, Estimate]]


def methods(
    config: ComparisonConfig,
    training: int,
    validation: int,
    networks: ReferenceNetworks,
    agreements: Mapping[str, ClipAgreement],
) -> tuple[str, ...]:
    """The methods, for the page."""
    what = "prompts (of patients for real radiographs)"
    result = [
        f"A reference classifier trained on {training} real radiographs of the train split (seed "
        f"{SEED}) scores each set against its requests; its score on held-out real radiographs is "
        "the ceiling. AUROC: requested present against absent, 0.5 is chance. AUPRC: average "
        "precision; the share present is chance. A number is noted where the interval of the AUROC "
        "(of sides: of the accuracy) on held-out real radiographs includes 0.5: the classifier is "
        "at chance there, and its number says nothing of the images.",
        f"{F1_METHODS} The validation set is {validation} radiographs of other patients of "
        "the train split. "
        f"Thresholds: {_thresholds(networks.thresholds)}.",
        DEMOGRAPHICS_METHODS,
        _LATERALITY,
        classifier_text(config, networks.findings.spec.image_size),
        BOOTSTRAP.format(samples=config.bootstrap, what=what) + " Shares: Wilson's interval.",
    ]
    if agreements:
        result.append(CLIP_METHODS)
    for name, clip in agreements.items():
        result.append(
            f"{name} ({clip.model}): {clip.too_long} of {clip.prompts} different prompts are "
            f"longer and were cut; pools of {clip.pool}, by chance recall@k is k / {clip.pool}."
        )
    return tuple(result)


def tables(
    config: ComparisonConfig, scores: SetScores, agreements: Mapping[str, ClipAgreement]
) -> tuple[Table, ...]:
    """One a metric of findings, one of view, patient and side, one a CLIP model."""
    labeled = _labeled(scores)
    result = [
        _of_findings(config, labeled, "auroc", "AUROC, requested present against absent", True),
        _of_findings(config, labeled, "auprc", "AUPRC", False),
        _of_findings(config, labeled, "f1", "F1", False),
        _of_images(config, labeled),
    ]
    for name, clip in agreements.items():
        labels = {"score": "cosine with its own prompt", "floor": "with another prompt (floor)"}
        labels |= {"gain": "own minus other (paired)"}
        labels |= {f"recall@{k}": f"recall@{k} of {clip.pool}" for k in RECALLS}
        sets = _labeled(clip.sets)
        result.append(
            Table(
                name=f"alignment-clip-{len(result) - 3}",
                caption=f"{name}: image and prompt",
                columns=("Measure", *sets),
                rows=tuple((label, *(s[k] for s in sets.values())) for k, label in labels.items()),
            )
        )
    return tuple(result)


def summary(scores: SetScores, agreements: Mapping[str, ClipAgreement]) -> tuple[SummaryLine, ...]:
    """The main numbers; what no set has is not among them."""
    named: dict[str, dict[str, Estimate]] = {
        "View accuracy": {k: s["view_accuracy"] for k, s in scores.items()},
        "Findings (mean AUROC)": {k: s["mean_auroc"] for k, s in scores.items()},
        "Sex accuracy": {k: s["sex_accuracy"] for k, s in scores.items()},
        "Age error (years)": {k: s["age_error"] for k, s in scores.items()},
        "Laterality accuracy": {k: s["laterality_accuracy"][ALL] for k, s in scores.items()},
    }
    for name, clip in agreements.items():
        named[f"{name} cosine above its floor"] = {k: s["gain"] for k, s in clip.sets.items()}
    lines = [SummaryLine.of(measure, values, CEILING_KEY) for measure, values in named.items()]
    return tuple(x for x in lines if any(e.value is not None for e in x.sets.values()))


def plots(scores: SetScores) -> tuple[Plot, ...]:
    """AUROC of each finding."""
    series = {name: {**s["auroc"], "mean": s["mean_auroc"]} for name, s in _labeled(scores).items()}
    plot = dots(
        series, "AUROC of requested findings, with 95% intervals. Dashed: chance.", chance=0.5
    )
    return (plot,) if plot else ()


def _of_findings(
    config: ComparisonConfig, labeled: SetScores, metric: str, caption: str, counts: bool
) -> Table:
    columns: list[str] = ["Finding"]
    rows: dict[str, list[Cell]] = {name: [name] for name in (*config.findings, "Mean")}
    for name, s in labeled.items():
        columns += [name, f"{name}: present / absent"] if counts else [name]
        for finding, value in {**s[metric], "Mean": s[f"mean_{metric}"]}.items():
            rows[finding].append(value)
            if counts:
                cases = s["cases"].get(finding)
                rows[finding].append(cases and f"{cases['present']} / {cases['absent']}")
    return Table(
        name="alignment" if metric == "auroc" else f"alignment-{metric}",
        caption=caption,
        columns=tuple(columns),
        rows=tuple(map(tuple, rows.values())),
    )


def _of_images(config: ComparisonConfig, labeled: SetScores) -> Table:
    rows = {
        "View accuracy": "view_accuracy",
        "Sex accuracy": "sex_accuracy",
        "Sex, majority-class floor": "sex_floor",
        "Age error (years)": "age_error",
        "Age, median floor (years)": "age_floor",
    }
    cells: dict[str, list[Cell]] = {
        label: [s[key] for s in labeled.values()] for label, key in rows.items()
    }
    for name in (ALL, *config.findings):
        sides = [s["laterality_accuracy"][name] for s in labeled.values()]
        cells[f"Laterality accuracy: {name}"] = sides
    return Table(
        name="alignment-patient",
        caption="View, demographics and laterality",
        columns=("Measure", *labeled),
        rows=tuple((label, *of_sets) for label, of_sets in cells.items()),
    )


def _labeled(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {(CEILING if name == CEILING_KEY else name): item for name, item in scores.items()}


def _thresholds(thresholds: Mapping[FindingName, float | NotMeasured]) -> str:
    return ", ".join(
        f"{name} {number(limit) if isinstance(limit, float) else f'none: {limit.reason}'}"
        for name, limit in thresholds.items()
    )
