"""Utility display: its methods, numbers, tables and plots."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.config import ComparisonConfig, UtilityConfig
from eval.networks import Regime, Training, classifier_text
from eval.report.plots import Plot, dots, lines
from eval.report.section import Cell, SummaryLine, Table, cell_text
from eval.report.verdict import Topic, Verdict, status_above
from eval.utility.gain_curve import GainCurve, gain_plot
from eval.utility.scores import RegimeScores
from roentgen.metrics.classification.calibration import BINS, CALIBRATION_METHODS
from roentgen.metrics.classification.operating_points import F1_METHODS
from roentgen.metrics.estimates import BOOTSTRAP, Estimate
from roentgen.metrics.paired_scores import MEAN, Gain, Measured, Score, estimate, mean_of, share
from roentgen.record.finding import FindingName

Entry = Mapping[str, Any]  # of one regime, for results.json
Gains = Mapping[str, Mapping[str, Mapping[str, Gain]]]  # regime, metric, finding or mean
REFERENCES = {  # sources, each with the key of what is measured
    "Seyyed-Kalantari et al., Underdiagnosis bias of artificial intelligence algorithms "
    "applied to chest radiographs in under-served patient populations, Nature Medicine "
    "2021.": "underdiagnosis",
    "Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI "
    "2015 (expected calibration error).": "ece",
}
UNDERDIAGNOSIS = (
    "Underdiagnosis (Seyyed-Kalantari et al. 2021): the share of radiographs with any pathology "
    'that are predicted "No Finding" (where it is among the findings and has an operating point; '
    "else, with no pathology predicted). Any pathology: a pathology among the findings is present, "
    'or "No Finding" is absent; "Support Devices" is not a pathology. Shares of 0 and 1: Wilson\'s '
    "interval."
)
SUBGROUPS = (
    "Subgroups: sex, age band, view and race as the dataset has them; radiographs without the "
    "attribute are excluded. A gap is the highest subgroup less the lowest; that of AUROC is taken "
    "for each finding and averaged. The two subgroups are fixed in all resamples. Chance alone "
    "makes a gap: compare it with its interval, and with the gap of radiographs alone."
)
TESTS = (
    "Gains are over the same number of radiographs alone; synthetic images alone are compared "
    "with all radiographs. The first interval covers the choice of held-out patients (paired: the "
    "same resamples) and, with several training seeds, that of seeds: variances add up, degrees of "
    "freedom after Satterthwaite 1946. The second covers seeds alone (Student's t). p: one-tailed "
    "paired t-test over seeds for a gain above 0. Bonferroni: p times the number of regimes, for "
    "a finding times the number of findings too."
)


def methods(
    config: ComparisonConfig,
    settings: UtilityConfig,
    counts: Mapping[str, int],
    *,
    size: int,
    synthetic: str,
    held_out_prompts: int,
) -> tuple[str, ...]:
    """How it was measured, in words."""
    result = [
        "The same network, from the same start and for the same number of steps, is trained on "
        f"radiographs ({counts['trained_on']} of the train split), on images of "
        f"{synthetic!r}, or on both, and is tested on {counts['held_out']} held-out "
        f"radiographs. Operating points are chosen on {counts['validation']} radiographs of other "
        "patients of the train split, the same in all regimes.",
        f"Training seeds: {', '.join(map(str, settings.seeds))}; numbers are means over them. Each "
        "samples its own weights, order, radiographs (patient by patient; fewer are contained in "
        "more) and synthetic images, the same in all regimes.",
        classifier_text(settings.classifier or config.classifier, config.not_mentioned, size),
        "AUROC of each finding, present against absent; 0.5 is chance. " + F1_METHODS,
        BOOTSTRAP.format(samples=config.bootstrap, what="held-out patients, the same for all")
        + " It covers the choice of patients, not of the training seed.",
        TESTS,
        CALIBRATION_METHODS + " The curve is over all findings and seeds together.",
        UNDERDIAGNOSIS,
        SUBGROUPS,
    ]
    if "pretrained" in settings.regimes:
        result.append(
            f"Synthetic images, then radiographs: {100 * settings.pretraining:g} % of the steps on "
            f"synthetic images, the rest on radiographs at {settings.fine_tuning:g} of the "
            "learning rate, each with its own warm-up and cosine."
        )
    if held_out_prompts:
        result.append(
            f"{synthetic!r} was generated from the prompts of {held_out_prompts} held-out "
            "patients, not from their pixels."
        )
    return tuple(result)


def entry(scores: RegimeScores, trainings: Sequence[Training]) -> Entry:
    """The numbers of one regime."""
    predicted, present = scores.reliability
    result: dict[str, Any] = {
        "real_images": len(trainings[0].real),
        "synthetic_images": len(trainings[0].synthetic),
    }
    for metric in ("auroc", "f1", "ece"):
        by_finding: dict[FindingName, Score] = getattr(scores, metric)
        mean, note = mean_of(list(by_finding.values()))
        result[f"mean_{metric}"] = estimate(mean, note)
        result[metric] = {name: estimate(score) for name, score in by_finding.items()}
        if metric != "ece":
            by_seed = mean.by_seed.tolist() if isinstance(mean, Measured) else []
            result[f"mean_{metric}_by_seed"] = by_seed
    return {
        **result,
        "ece_floor": scores.ece_floor,
        "underdiagnosis": share(scores.underdiagnosis),
        "subgroups": scores.subgroups,
        "gaps": scores.gaps,
        "reliability": {"predicted": predicted, "present": present},
    }


def summary(synthetic: str, requested: Sequence[Regime], gains: Gains) -> tuple[SummaryLine, ...]:
    """The gain of each regime with all radiographs, or none."""
    full = [r.name for r in requested if r.radiographs is None and r.name in gains]
    return tuple(
        SummaryLine(
            measure=f"Gain in mean AUROC over radiographs alone, trained on {name}",
            sets={synthetic: gains[name]["auroc"][MEAN].estimate},
            better="higher",
        )
        for name in full
    )


def verdicts(
    requested: Sequence[Regime], gains: Gains, curves: Sequence[GainCurve]
) -> tuple[Verdict, ...]:
    """Whether synthetic images beside real ones help; alone, whether they replace them."""
    verdict_of = {curve.regime: curve.verdict for curve in curves}
    return tuple(
        verdict_of.get(name)
        or gain_verdict("utility", "AUROC", name, gains[name]["auroc"][MEAN].estimate)
        for name in (r.name for r in requested if r.radiographs is None and r.name in gains)
    )


def gain_verdict(topic: Topic, metric: str, regime: str, gain: Estimate) -> Verdict:
    """Whether training on a regime is better than on radiographs alone."""
    status = status_above(gain, 0)
    text = {
        "works": "is better than on radiographs alone",
        "fails": "is worse than on radiographs alone",
        "unclear": "may be better or worse than on radiographs alone",
    }[status]
    sentence = f"Training on {regime} {text}: gain in mean {metric} {cell_text(gain)}."
    return Verdict(topic=topic, status=status, sentence=sentence)


def headline(
    requested: Sequence[Regime], trained: Mapping[str, Entry], curves: Sequence[GainCurve]
) -> Plot | None:
    """The gain by the number of radiographs; if it is one, mean AUROC by regime."""
    if curves:
        return gain_plot(curves, small=True)
    return dots(
        {
            "AUROC": {
                r.name: trained[r.name]["mean_auroc"]
                for r in requested
                if "note" not in trained[r.name]
            }
        },
        "Utility: mean AUROC on held-out radiographs by training images. Dashed: chance.",
        chance=0.5,
        small=True,
    )


def tables(
    findings: Sequence[FindingName],
    trained: Mapping[str, Entry],
    gains: Gains,
    seeds: Sequence[int],
) -> tuple[Table, ...]:
    """All numbers, one row a regime."""
    known = {name: e for name, e in trained.items() if "note" not in e}
    missing = [name for name in trained if name not in known]
    counts = ("Radiographs", "Synthetic images")

    def by_finding(name: str, caption: str, metric: str) -> Table:
        rows: list[tuple[Cell, ...]] = [
            (
                regime,
                e["real_images"],
                e["synthetic_images"],
                e[f"mean_{metric}"],
                *(e[metric][finding] for finding in findings),
                *((e["ece_floor"],) if metric == "ece" else ()),
            )
            for regime, e in known.items()
        ]
        columns = ("Trained on", *counts, "Mean", *findings)
        columns += ("Floor of the mean",) if metric == "ece" else ()
        rows += [(m, None, None, *[no_number(trained[m])] * (len(columns) - 3)) for m in missing]
        return Table(
            name=name,
            caption=caption,
            columns=columns,
            rows=tuple(rows),
            folded=metric != "auroc",
        )

    gain_columns = tuple(
        f"{metric}: {what}"
        for metric in ("AUROC", "F1")
        for what in ("gain", "gain (seeds)", "p", "p, Bonferroni")
    )
    parts = [
        by_finding("utility", "AUROC on held-out radiographs", "auroc"),
        by_finding("utility-f1", "F1 on held-out radiographs", "f1"),
    ]
    if gains:
        parts += [
            Table(
                name="utility-gains",
                caption="Gain over radiographs alone, mean over findings",
                columns=("Trained on", *gain_columns),
                rows=tuple((name, *_gain_cells(each, MEAN)) for name, each in gains.items()),
            ),
            Table(
                name="utility-gains-by-finding",
                folded=True,
                caption="Gain over radiographs alone in each finding",
                columns=("Trained on: finding", *gain_columns),
                rows=tuple(
                    (f"{name}: {finding}", *_gain_cells(each, finding))
                    for name, each in gains.items()
                    for finding in findings
                ),
            ),
        ]
    parts += [
        Table(
            name="utility-seeds",
            folded=True,
            caption="Means by training seed",
            columns=("Trained on", *(f"{m}, seed {s}" for m in ("AUROC", "F1") for s in seeds)),
            rows=tuple((name, *_by_seed(e, len(seeds))) for name, e in known.items()),
        ),
        by_finding("utility-calibration", "Expected calibration error", "ece"),
        Table(
            name="utility-reliability",
            folded=True,
            caption="Predicted probability and share present, by bin of the probability",
            columns=("Trained on", *(f"{b / BINS:g} to {(b + 1) / BINS:g}" for b in range(BINS))),
            rows=tuple(
                row
                for name, e in known.items()
                for row in (
                    (f"{name}: mean predicted probability", *e["reliability"]["predicted"]),
                    (f"{name}: share present", *e["reliability"]["present"]),
                )
            ),
        ),
        Table(
            name="utility-groups",
            folded=True,
            caption="Subgroups of patients",
            columns=("Trained on: subgroup", "Mean AUROC", "Underdiagnosis"),
            rows=tuple(row for name, e in known.items() for row in _group_rows(name, e)),
        ),
    ]
    return tuple(parts)


def plots(
    requested: Sequence[Regime], trained: Mapping[str, Entry], curves: Sequence[GainCurve]
) -> tuple[Plot, ...]:
    """AUROC by finding; it and its gain by the number of radiographs; the reliability curves."""
    known = [r for r in requested if "note" not in trained[r.name]]
    full = [r.name for r in known if r.radiographs is None]
    result = [
        dots(
            {n: {**trained[n]["auroc"], "mean": trained[n]["mean_auroc"]} for n in full},
            "AUROC on held-out radiographs by training regime, with 95% intervals. Dashed: chance.",
            chance=0.5,
        )
        if full
        else None
    ]
    if curves:
        series: dict[str, list[Entry]] = {}
        for regime in reversed(known):  # by the number of radiographs
            if regime.kind != "synthetic":
                name = replace(regime, radiographs=None).name
                series.setdefault(name, []).append(trained[regime.name])
        result.append(
            lines(
                {
                    name: ([e["real_images"] for e in each], [e["mean_auroc"] for e in each])
                    for name, each in series.items()
                },
                "Mean AUROC on held-out radiographs by the number of training radiographs, "
                "with 95% intervals.",
                x_label="training radiographs",
                y_label="mean AUROC",
                log_x=True,
            )
        )
        result.append(gain_plot(curves))
    bins = {n: trained[n]["reliability"] for n in full}
    reliability = lines(
        {n: (curve["predicted"], curve["present"]) for n, curve in bins.items()},
        "Reliability: the share present by the mean predicted probability, with 95% intervals. "
        "Dotted: perfect calibration.",
        x_label="predicted probability",
        y_label="share present",
        diagonal=True,
    )
    result.append(reliability and replace(reliability, folded=True))
    return tuple(plot for plot in result if plot is not None)


def no_number(trained: Entry) -> Estimate:
    """The place of a number of a regime that was not measured."""
    return Estimate(value=None, n=0, note=trained["note"])


def _gain_cells(each: Mapping[str, Mapping[str, Gain]], name: str) -> Iterator[Cell]:
    for metric in ("auroc", "f1"):
        one = each[metric][name]
        yield from (one.estimate, one.seeds, one.p, one.p_corrected)


def _by_seed(one: Entry, seeds: int) -> Iterator[Cell]:
    for metric in ("auroc", "f1"):
        yield from one[f"mean_{metric}_by_seed"] or [None] * seeds


def _group_rows(regime: str, one: Entry) -> Iterator[tuple[Cell, ...]]:
    yield f"{regime}: all", one["mean_auroc"], one["underdiagnosis"]
    for attribute, groups in one["subgroups"].items():
        for name, values in groups.items():
            yield f"{regime}: {attribute} {name}", values["auroc"], values["underdiagnosis"]
        gap = one["gaps"][attribute]
        yield f"{regime}: gap by {attribute}", gap["auroc"], gap["underdiagnosis"]
