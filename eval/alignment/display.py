"""Alignment display: tables, plots and summary lines of its numbers."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from eval.alignment.clip_agreement import CEILING_KEY, CLIP_METHODS
from eval.alignment.confounding import Confounding
from eval.alignment.reference_limits import CHANCE
from eval.alignment.reference_networks import SEED, ReferenceNetworks
from eval.alignment.scores import ALL, DEMOGRAPHICS_METHODS
from eval.config import ComparisonConfig
from eval.networks import classifier_text
from eval.report.as_requested import as_requested
from eval.report.plots import Plot, dots
from eval.report.section import CEILING, Better, Cell, SummaryLine, Table, number
from eval.report.verdict import Verdict
from roentgen.metrics.classification.operating_points import F1_METHODS
from roentgen.metrics.clip_score import RECALLS
from roentgen.metrics.estimates import BOOTSTRAP, Estimate, NotMeasured
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import VIEWS

_MOST_ROWS = 6  # of the small plot
SetScores = Mapping[str, Mapping[str, Any]]  # by set
REFERENCES = {  # sources, each with the key of what is measured
    "Radford et al., Learning transferable visual models from natural language "
    "supervision, ICML 2021 (CLIP).": "clip",
    "Zhang et al., BiomedCLIP, arXiv:2303.00915, 2023.": "BiomedCLIP",
    "Wilson, Probable inference, the law of succession, and statistical inference, JASA "
    "1927 (intervals of shares).": "view_accuracy",
}
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
    measured: Collection[str],
) -> tuple[str, ...]:
    """The methods of what is measured, the keys of the scores, for the page."""
    what = "prompts (of patients for radiographs)"
    result = [
        f"A reference classifier trained on {training} radiographs of the train split (seed "
        f"{SEED}) scores each set against its requests; its score on held-out radiographs is "
        "the ceiling. AUROC: requested present against absent, 0.5 is chance. AUPRC: average "
        "precision; the share present is chance. What it has not learned (findings, views, sides "
        f"of fewer than {config.min_cases} patients) or does not tell on held-out "
        "radiographs (the interval of the AUROC there, of sides of the accuracy, includes 0.5; sex "
        "and age: no better than a constant answer) is not measured in any set. Findings are "
        "scored on images of views that it has seen. A set is above its ceiling where its interval "
        "lies above that of held-out radiographs: then its labels may go with view or source more "
        "than theirs, which the AUROC of the prevalence in an image's group shows.",
        f"{F1_METHODS} The validation set is {validation} radiographs of other patients of "
        "the train split. "
        f"Thresholds: {_thresholds(networks.thresholds)}.",
        *[DEMOGRAPHICS_METHODS] * ("sex_accuracy" in measured or "age_error" in measured),
        *[_LATERALITY] * ("laterality_accuracy" in measured),
        classifier_text(config.classifier, config.not_mentioned, networks.findings.spec.image_size),
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
        _of_findings(config, labeled, "auroc", "AUROC, requested present against absent"),
        _of_images(labeled),
        _laterality(config, labeled),
        _cases(config, labeled),
        _of_findings(config, labeled, "auprc", "AUPRC"),
        _of_findings(config, labeled, "f1", "F1"),
    ]
    for name, clip in agreements.items():
        labels = {"score": "cosine with its own prompt", "floor": "with another prompt (floor)"}
        labels |= {"gain": "own minus other (paired)"}
        labels |= {f"recall@{k}": f"recall@{k} of {clip.pool}" for k in RECALLS}
        sets = _labeled(clip.sets)
        result.append(
            Table(
                name=f"alignment-clip-{len(result) - 5}",
                caption=f"{name}: image and prompt",
                columns=("Measure", *sets),
                rows=tuple((label, *(s[k] for s in sets.values())) for k, label in labels.items()),
                better=dict.fromkeys(list(labels.values())[2:], "higher"),
                base=next(iter(sets)),
                radiographs=CEILING,
            )
        )
    return tuple(result)


def confounding_tables(
    above: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, Mapping[FindingName, Mapping[str, Confounding]]],
) -> tuple[Table, ...]:
    """What is above its ceiling, with the likely reason, and findings by view and source."""
    flagged = {name: found for name, found in above.items() if found}
    if not flagged:
        return ()
    rows: list[tuple[Cell, ...]] = []
    for finding, by in labels["test"].items():
        for attribute in by:
            of = {name: findings[finding][attribute] for name, findings in labels.items()}
            alone = (one.auroc for one in of.values())
            rows.append((f"{finding}: AUROC of the {attribute} alone", *alone))
            groups = dict.fromkeys(group for one in of.values() for group in one.prevalence)
            rows += [
                (
                    f"{finding}, {attribute} {group}: share present",
                    *(one.prevalence.get(group) for one in of.values()),
                )
                for group in groups
            ]
    return (
        Table(
            name="alignment-above-ceiling",
            caption="Sets above their ceiling",
            columns=("Set", "Above the ceiling in", "Likely reason"),
            rows=tuple(
                (name, ", ".join(found["measures"]), found["likely_reason"])
                for name, found in flagged.items()
            ),
        ),
        Table(
            name="alignment-confounding",
            caption="Findings by view and source",
            columns=("Finding", *labels),
            rows=tuple(rows),
        ),
    )


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
    lines = [
        SummaryLine.of(
            measure, values, CEILING_KEY, better="lower" if "error" in measure else "higher"
        )
        for measure, values in named.items()
    ]
    return tuple(x for x in lines if any(e.value is not None for e in x.sets.values()))


def verdicts(
    scores: SetScores,
    main: str,
    views: Counter[str],
    above: Mapping[str, Any] | None = None,
) -> tuple[Verdict, ...]:
    """Whether views, findings and sides are as requested; `views` counts those of the main set.

    `above` is what of it is above its ceiling, with the likely reason.
    """
    own, real = scores[main], scores[CEILING_KEY]
    chance = max(views.values(), default=0) / max(1, views.total())
    what = f"Views ({', '.join(sorted(views))})"
    own_sides, real_sides = (s["laterality_accuracy"][ALL] for s in (own, real))
    return (
        *as_requested(
            "views", what, "accuracy", own["view_accuracy"], real["view_accuracy"], chance
        ),
        *as_requested(
            "findings", "Findings", "mean AUROC", own["mean_auroc"], real["mean_auroc"], CHANCE
        ),
        *as_requested("sides", "Sides of findings", "accuracy", own_sides, real_sides, CHANCE),
        *_above_verdict(above),
    )


def _above_verdict(above: Mapping[str, Any] | None) -> tuple[Verdict, ...]:
    if not above:
        return ()
    sentence = (
        f"Scores are above those of held-out radiographs ({', '.join(above['measures'])}), which "
        f"images as requested do not reach. Likely reason: {above['likely_reason']}."
    )
    return (Verdict(topic="findings", status="unclear", sentence=sentence),)


def headline(scores: SetScores, main: str) -> Plot | None:
    """AUROC of the main set's findings and their ceiling, of the lowest ones if there are many."""
    labeled = _labeled({main: scores[main], CEILING_KEY: scores[CEILING_KEY]})
    measured = [name for name, e in scores[main]["auroc"].items() if e.value is not None]
    lowest = sorted(measured, key=lambda name: scores[main]["auroc"][name].value)[:_MOST_ROWS]
    named = f"the {_MOST_ROWS} lowest of {len(measured)} findings"
    return dots(
        {
            name: {**{f: s["auroc"][f] for f in measured if f in lowest}, "mean": s["mean_auroc"]}
            for name, s in labeled.items()
        },
        f"Alignment: AUROC of {'findings' if len(measured) <= _MOST_ROWS else named}. Dashed: "
        "chance.",
        chance=CHANCE,
        small=True,
    )


def plots(scores: SetScores) -> tuple[Plot, ...]:
    """AUROC of each finding."""
    series = {name: {**s["auroc"], "mean": s["mean_auroc"]} for name, s in _labeled(scores).items()}
    plot = dots(
        series, "AUROC of requested findings, with 95% intervals. Dashed: chance.", chance=0.5
    )
    return (plot,) if plot else ()


def _of_findings(config: ComparisonConfig, labeled: SetScores, metric: str, caption: str) -> Table:
    return Table(
        name="alignment" if metric == "auroc" else f"alignment-{metric}",
        caption=caption,
        columns=("Finding", *labeled),
        rows=(
            *((name, *(s[metric][name] for s in labeled.values())) for name in config.findings),
            ("Mean", *(s[f"mean_{metric}"] for s in labeled.values())),
        ),
        better="higher",
        base=next(iter(labeled)),
        radiographs=CEILING,
        folded=metric != "auroc",
    )


def _cases(config: ComparisonConfig, labeled: SetScores) -> Table:
    """The numbers of images that AUROC, AUPRC and F1 are of."""
    return Table(
        name="alignment-cases",
        caption="Images with the finding requested present / absent",
        columns=("Finding", *labeled),
        rows=tuple(
            (
                name,
                *("{present} / {absent}".format_map(s["cases"][name]) for s in labeled.values()),
            )
            for name in config.findings
        ),
        folded=True,
    )


def _laterality(config: ComparisonConfig, labeled: SetScores) -> Table:
    return Table(
        name="alignment-laterality",
        caption="Laterality accuracy",
        columns=("Finding", *labeled),
        rows=tuple(
            (name, *(s["laterality_accuracy"][name] for s in labeled.values()))
            for name in config.findings
        ),
        better="higher",
        base=next(iter(labeled)),
        radiographs=CEILING,
        folded=True,
    )


def _of_images(labeled: SetScores) -> Table:
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
    for view in VIEWS:
        accuracies = [s["view_accuracy_by_view"][view] for s in labeled.values()]
        cells[f"View accuracy: {view}"] = accuracies
    sides = [s["laterality_accuracy"][ALL] for s in labeled.values()]
    cells[f"Laterality accuracy: {ALL}"] = sides
    better: dict[str, Better] = {label: "higher" for label in cells if "accuracy" in label}
    return Table(
        name="alignment-patient",
        caption="View, demographics and laterality",
        columns=("Measure", *labeled),
        rows=tuple((label, *of_sets) for label, of_sets in cells.items()),
        better={**better, "Age error (years)": "lower"},
        base=next(iter(labeled)),
        radiographs=CEILING,
    )


def _labeled(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {(CEILING if name == CEILING_KEY else name): item for name, item in scores.items()}


def _thresholds(thresholds: Mapping[FindingName, float | NotMeasured]) -> str:
    return ", ".join(
        f"{name} {number(limit) if isinstance(limit, float) else f'none: {limit.reason}'}"
        for name, limit in thresholds.items()
    )
