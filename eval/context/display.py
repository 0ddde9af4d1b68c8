"""Context display: its methods, numbers, tables and plots."""

from collections.abc import Mapping, Sequence

from eval.config import ComparisonConfig, ContextConfig
from eval.context.context_alone import ContextAlone
from eval.context.word_scores import CHANCE, WordScores
from eval.finding_probes import STRENGTH
from eval.report.as_requested import as_requested
from eval.report.plots import Plot, dots
from eval.report.section import CEILING, HELD_OUT, Cell, SummaryLine, Table, cell_text
from eval.report.verdict import Verdict, status_above
from roentgen.metrics.classification.calibration import CALIBRATION_METHODS
from roentgen.metrics.estimates import BOOTSTRAP, NotMeasured
from roentgen.metrics.paired_scores import MEAN
from roentgen.prompts.context_words import ContextRule
from roentgen.record.finding import FindingName

LEAK = 0.95  # AUROC of a finding from context alone from which on context is taken to tell it
CEILING_KEY, CHANCE_KEY = "ceiling", "chance"
SHUFFLED = "shuffled words (chance)"
CROSS_VALIDATED = "train split, cross-validated"
REFERENCES = {  # sources, each with the key of what is measured
    "Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI "
    "2015 (expected calibration error).": "ece",
}
Scores = Mapping[str, WordScores]  # by set, with the ceiling and chance


def methods(
    config: ComparisonConfig,
    settings: ContextConfig,
    rules: Sequence[ContextRule],
    alone: ContextAlone,
    *,
    extractor: str,
) -> tuple[str, ...]:
    """How it was measured, in words."""
    return (
        f"Words and their rules: {'; '.join(map(_rule_text, rules))}. A word describes a synthetic "
        "radiograph that was requested with it; where it has no opposite, it does not describe "
        "those that were not. Imputed values are excluded.",
        "Leakage audit: AUROC of each finding from the context alone, without any image: a "
        f"logistic regression (penalty {STRENGTH:g}) on the answers (yes, no), the ranks of "
        f"measured values ({', '.join(alone.values) or 'none'}) and whether each is known. Train "
        f"split: {settings.folds} folds by patient, each scored by a regression of the others; "
        "held-out: by one of the whole train split.",
        "Words from images: logistic regressions of the same penalty on the features of train "
        f"radiographs ({extractor}); held-out radiographs are the ceiling, and with the words of "
        "other radiographs among them chance. Means are over the words whose AUROC on held-out "
        "radiographs has an interval above 0.5.",
        CALIBRATION_METHODS,
        BOOTSTRAP.format(samples=config.bootstrap, what="patients (of synthetic images: prompts)"),
    )


def _rule_text(rule: ContextRule) -> str:
    bounds = {
        "at least": rule.at_least,
        "above": rule.above,
        "at most": rule.at_most,
        "below": rule.below,
    }
    given = {words: bound for words, bound in bounds.items() if bound is not None}
    limit = "".join(f" {words} {bound:g} {rule.unit}" for words, bound in given.items())
    return f"{rule.word} ({rule.name}{limit.rstrip()})"


def summary(scores: Scores) -> tuple[SummaryLine, ...]:
    """The mean AUROC of words from images."""
    values = {name: one.mean_auroc for name, one in scores.items() if name != CHANCE_KEY}
    line = SummaryLine.of(
        "Context words from images (mean AUROC)", values, CEILING_KEY, better="higher"
    )
    return (line,) if any(e.value is not None for e in line.sets.values()) else ()


def verdicts(alone: ContextAlone, scores: Scores, main: str) -> tuple[Verdict, ...]:
    """Whether images show their context, and whether context tells a finding by itself."""
    return (
        *as_requested(
            "context",
            "Context words",
            "mean AUROC",
            scores[main].mean_auroc,
            scores[CEILING_KEY].mean_auroc,
            CHANCE,
        ),
        *_leaks(alone),
    )


def _leaks(alone: ContextAlone) -> tuple[Verdict, ...]:
    """One that fails for each finding that the context tells nearly always; none otherwise."""
    return tuple(
        Verdict(
            topic="context",
            status="fails",
            sentence=f"Context tells {finding} without an image: AUROC {cell_text(found)} on "
            "held-out radiographs; look for values that were known only after the study.",
        )
        for finding, found in alone.held_out.items()
        if finding != MEAN and status_above(found, LEAK) == "works"
    )


def headline(scores: Scores, main: str) -> Plot | None:
    """AUROC of words from images of the main set and of held-out radiographs."""
    named = {main: scores[main], CEILING: scores[CEILING_KEY]}
    return dots(
        {name: dict(one.auroc) for name, one in named.items()},
        "Context: AUROC of words read from images. Dashed: chance.",
        chance=CHANCE,
        small=True,
    )


def tables(
    findings: Sequence[FindingName],
    words: Sequence[str],
    alone: ContextAlone,
    scores: Scores,
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
) -> tuple[Table, ...]:
    """Findings from context, words from images, their calibration, and how many have each word."""
    labeled = _labeled(scores)
    columns, ordered = ("Word", *labeled), tuple(labeled.values())
    no_floor = NotMeasured("no number of the error")
    aurocs: list[tuple[Cell, ...]] = [
        (word, *(one.auroc[word] for one in ordered)) for word in words
    ]
    calibration: list[tuple[Cell, ...]] = []
    for word in words:
        calibration += [
            (word, *(one.ece[word] for one in ordered)),
            (f"{word}: floor", *(one.ece_floor.get(word, no_floor) for one in ordered)),
        ]
    return (
        Table(
            name="context",
            caption="AUROC of context words from images",
            columns=columns,
            rows=(*aurocs, ("Mean", *(one.mean_auroc for one in ordered))),
            better="higher",
            base=columns[1],
            radiographs=CEILING,
        ),
        Table(
            name="context-alone",
            caption="AUROC of findings from context alone (leakage audit)",
            columns=("Finding", CROSS_VALIDATED, HELD_OUT),
            rows=tuple(
                (name, alone.cross_validated[name], alone.held_out[name])
                for name in (*findings, MEAN)
            ),
        ),
        Table(
            name="context-calibration",
            caption="Expected calibration error of context words from images, and its floor",
            columns=columns,
            rows=(*calibration, ("Mean", *(one.mean_ece for one in ordered))),
            folded=True,
        ),
        Table(
            name="context-counts",
            caption="Images that each word describes / does not / is not known for",
            columns=("Word", *counts),
            rows=tuple(
                (word, *(_counts_text(of_set[word]) for of_set in counts.values()))
                for word in words
            ),
            folded=True,
        ),
    )


def plots(alone: ContextAlone, scores: Scores) -> tuple[Plot, ...]:
    """AUROC of each word from images, and of each finding from context."""
    found = (
        dots(
            {name: {**one.auroc, MEAN: one.mean_auroc} for name, one in _labeled(scores).items()},
            "AUROC of context words from images, with 95% intervals. Dashed: chance.",
            chance=CHANCE,
        ),
        dots(
            {CROSS_VALIDATED: alone.cross_validated, HELD_OUT: alone.held_out},
            "AUROC of findings from context alone, with 95% intervals. Dashed: chance.",
            chance=CHANCE,
        ),
    )
    return tuple(plot for plot in found if plot)


def _labeled(scores: Scores) -> dict[str, WordScores]:
    names = {CEILING_KEY: CEILING, CHANCE_KEY: SHUFFLED}
    return {names.get(name, name): one for name, one in scores.items()}


def _counts_text(of_word: Mapping[str, int]) -> str:
    return " / ".join(str(of_word.get(name, 0)) for name in ("yes", "no", "not known"))
