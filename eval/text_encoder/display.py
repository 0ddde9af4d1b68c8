"""Text encoder display: the probes' methods, tables and plot."""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.config import TextEncoderConfig
from eval.finding_probes import STRENGTH
from eval.report.plots import Plot, dots
from eval.report.section import Cell, SummaryLine, Table, cell_text
from eval.report.verdict import Verdict, status_above
from eval.text_encoder.reports import Reports
from roentgen.metrics.estimates import BOOTSTRAP
from roentgen.metrics.paired_scores import MEAN
from roentgen.record.finding import FindingName

REFERENCES = {  # sources, each with the key of what is measured
    "Chambon et al., RoentGen, arXiv:2211.12737, 2022 (what the text encoder knows).": "auroc",
}
Found = Mapping[str, Mapping[str, Mapping[str, Any]]]  # metric, finding or mean, what
_MEASURES = {"auroc": "AUROC", "balanced_accuracy": "Balanced accuracy"}


def methods(
    settings: TextEncoderConfig,
    reports: Reports,
    encoders: Mapping[str, Mapping[str, Any]],
    samples: int,
) -> tuple[str, ...]:
    """How it was measured, in words."""
    excluded = "; ".join(f"{count} {why}" for why, count in reports.excluded.items())
    truncated = ", ".join(f"{name} {encoder['truncated']}" for name, encoder in encoders.items())
    models = ", ".join(f"{k}: {e['model']} (weights {e['weights']})" for k, e in encoders.items())
    return (
        f"The {settings.text} of {len(reports.texts)} reports: {reports.source}. Excluded: "
        f"{excluded or 'none'}. Encoders: {models}.",
        "Embedding: the mean of the last hidden states over a text's tokens, without the begin "
        f"token; texts above an encoder's limit are truncated (number of texts: {truncated}).",
        "Probe: logistic regression for each finding on standardized embeddings (penalty "
        f"{STRENGTH:g}); {settings.folds} folds by patient, the same for both encoders, each "
        "tested with probes fitted on the others. AUROC is over pairs within a fold. Balanced "
        "accuracy: the mean of sensitivity and specificity; predicted positive where the odds are "
        "above the prevalence odds of the fitting folds. Relative gain: after / before - 1.",
        BOOTSTRAP.format(samples=samples, what="patients, paired between encoders"),
    )


def summary(name: str, found: Found) -> tuple[SummaryLine, ...]:
    """The difference of the mean AUROCs, as a number of set `name`."""
    return (
        SummaryLine(
            measure="Text encoder: mean AUROC of findings in reports, after less before",
            sets={name: found["auroc"][MEAN]["difference"]},
            better="higher",
        ),
    )


def verdict(found: Found) -> tuple[Verdict, ...]:
    """Whether fine-tuning made reports' findings easier to read from their embeddings."""
    difference = found["auroc"][MEAN]["difference"]
    status = status_above(difference, 0)
    text = {
        "works": "encodes findings better than before fine-tuning",
        "fails": "encodes findings less well than before fine-tuning",
        "unclear": "may encode findings better or less well than before fine-tuning",
    }[status]
    sentence = f"The text encoder {text}: difference in mean AUROC {cell_text(difference)}."
    return (Verdict(topic="text encoder", status=status, sentence=sentence),)


def tables(
    findings: Sequence[FindingName], found: Found, cases: Mapping[Any, Mapping[str, int]]
) -> tuple[Table, ...]:
    """One a metric: a finding a row."""
    keys = ("before", "after", "difference", "relative_gain")
    result = []
    for metric, title in _MEASURES.items():
        rows: list[tuple[Cell, ...]] = [
            (
                name,
                f"{cases[name]['present']} / {cases[name]['absent']}",
                *(found[metric][name][key] for key in keys),
            )
            for name in findings
        ]
        rows.append(("Mean", None, *(found[metric][MEAN][key] for key in keys)))
        result.append(
            Table(
                name=f"text-encoder-{metric.replace('_', '-')}",
                caption=f"{title} of findings read from report embeddings",
                columns=("Finding", "present / absent", *(key.replace("_", " ") for key in keys)),
                rows=tuple(rows),
                folded=metric != "auroc",
            )
        )
    return tuple(result)


def plots(findings: Sequence[FindingName], found: Found) -> tuple[Plot, ...]:
    """AUROC by finding, before and after."""
    plot = dots(
        {
            name: {label: found["auroc"][label][name] for label in (*findings, MEAN)}
            for name in ("before", "after")
        },
        "AUROC of findings read from report embeddings, with 95% intervals. Dashed: chance.",
        chance=0.5,
    )
    return (plot,) if plot else ()
