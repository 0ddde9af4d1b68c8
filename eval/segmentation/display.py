"""Segmentation utility display: its methods, numbers, tables and plots."""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.config import ComparisonConfig, SegmentationConfig
from eval.masks.display import DICE
from eval.masks.scores import FALSE_POSITIVE_AREA
from eval.networks import Training, segmenter_text
from eval.report.plots import Plot, dots
from eval.report.section import Cell, SummaryLine, Table
from eval.report.verdict import Verdict
from eval.utility.display import TESTS, gain_verdict, no_number
from roentgen.metrics.estimates import BOOTSTRAP
from roentgen.metrics.paired_scores import MEAN, Gain, Measured, Score, estimate, mean_of, share

Gains = Mapping[str, Mapping[str, Gain]]  # regime, structure or mean


def methods(
    config: ComparisonConfig,
    settings: SegmentationConfig,
    trained_on: int,
    held_out: int,
    synthetic: str,
) -> tuple[str, ...]:
    """How it was measured, in words."""
    return (
        "The same segmenter, from the same start and for the same number of steps, is trained on "
        f"{trained_on} radiographs of the train split with their masks, on images of "
        f"{synthetic!r} with the masks they were generated from, or on both, and is tested on "
        f"{held_out} held-out radiographs with masks.",
        f"Training seeds: {', '.join(map(str, settings.seeds))}; numbers are means over them. Each "
        "samples its own weights, order, radiographs (unless all are used) and synthetic images, "
        "the same in all regimes.",
        segmenter_text(config),
        f"{DICE.partition(';')[0]}. The mean over the radiographs whose mask of the structure "
        "is not empty. False positives: of those whose mask is empty, the share in which it is "
        f"found on at least {100 * FALSE_POSITIVE_AREA:g} % of the image.",
        BOOTSTRAP.format(samples=config.bootstrap, what="held-out patients, the same for all")
        + " It covers the choice of patients, not of the training seed.",
        TESTS.replace("finding", "structure"),
    )


def entry(
    scores: Mapping[str, Score], false_positives: Mapping[str, Score], trainings: Sequence[Training]
) -> Mapping[str, Any]:
    """The numbers of one regime."""
    mean, note = mean_of(list(scores.values()), "structures")
    return {
        "real_images": len(trainings[0].real),
        "synthetic_images": len(trainings[0].synthetic),
        "dice": {MEAN: estimate(mean, note), **{name: estimate(s) for name, s in scores.items()}},
        "false_positives": {name: share(s) for name, s in false_positives.items()},
        "mean_dice_by_seed": mean.by_seed.tolist() if isinstance(mean, Measured) else [],
    }


def summary(synthetic: str, gains: Gains) -> tuple[SummaryLine, ...]:
    """The gain of each regime."""
    return tuple(
        SummaryLine(
            measure=f"Gain in mean Dice over radiographs alone, trained on {name}",
            sets={synthetic: of[MEAN].estimate},
            better="higher",
        )
        for name, of in gains.items()
    )


def verdicts(gains: Gains) -> tuple[Verdict, ...]:
    """Whether each regime is better than real images alone."""
    return tuple(
        gain_verdict("segmentation", "Dice", name, of[MEAN].estimate) for name, of in gains.items()
    )


def tables(
    trained: Mapping[str, Mapping[str, Any]], gains: Gains, settings: SegmentationConfig
) -> tuple[Table, ...]:
    """All numbers, a regime a row."""
    known = {name: e for name, e in trained.items() if "note" not in e}
    missing = [name for name in trained if name not in known]

    def by_structure(
        name: str, caption: str, field: str, names: Sequence[str], *, folded: bool = False
    ) -> Table:
        rows: list[tuple[Cell, ...]] = [
            (regime, e["real_images"], e["synthetic_images"], *(e[field][n] for n in names))
            for regime, e in known.items()
        ]
        rows += [(m, None, None, *[no_number(trained[m])] * len(names)) for m in missing]
        return Table(
            name=name,
            caption=caption,
            columns=("Trained on", "Radiographs", "Synthetic images", *names),
            rows=tuple(rows),
            folded=folded,
        )

    names = (MEAN, *settings.structures)
    seeds = tuple(f"seed {seed}" for seed in settings.seeds)
    result = [by_structure("segmentation", "Dice on held-out radiographs", "dice", names)]
    if gains:
        result.append(
            Table(
                name="segmentation-gains",
                caption="Gain in Dice over radiographs alone",
                columns=("Trained on: structure", *("gain", "gain (seeds)", "p", "p, Bonferroni")),
                rows=tuple(
                    (f"{regime}: {name}", one.estimate, one.seeds, one.p, one.p_corrected)
                    for regime, of in gains.items()
                    for name, one in of.items()
                ),
            )
        )
    result += [
        Table(
            name="segmentation-seeds",
            caption="Mean Dice by training seed",
            columns=("Trained on", *seeds),
            rows=tuple(
                (name, *(e["mean_dice_by_seed"] or [None] * len(seeds)))
                for name, e in known.items()
            ),
            folded=True,
        ),
        by_structure(
            "segmentation-false-positives",
            "Share of held-out radiographs with an empty mask in which the structure is found",
            "false_positives",
            settings.structures,
            folded=True,
        ),
    ]
    return tuple(result)


def plots(trained: Mapping[str, Mapping[str, Any]]) -> tuple[Plot, ...]:
    """Dice by structure."""
    plot = dots(
        {name: e["dice"] for name, e in trained.items() if "note" not in e},
        "Dice on held-out radiographs by training regime, with 95% intervals.",
    )
    return (plot,) if plot is not None else ()
