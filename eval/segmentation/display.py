"""How segmentation utility is shown: its numbers, and the tables, plots and words of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eval.config import EvaluateConfig
from eval.config_sections import SegmentationConfig
from eval.masks.display import DICE
from eval.masks.overlap import STRAY
from eval.networks.regimes import Training
from eval.networks.segmenters import segmenter_text
from eval.report.plots import Plot, dots
from eval.report.section import Cell, Line, Table
from eval.utility.display import TESTS
from roentgen.metrics.estimates import BOOTSTRAP
from roentgen.metrics.paired_scores import Gain, Measured, Score, estimate, mean_of, share

MEAN = "mean"
Gains = Mapping[str, Mapping[str, Gain]]  # regime, structure or mean


def definition(config: EvaluateConfig, learnt: int, held_out: int, made: str) -> tuple[str, ...]:
    """What was done, in words."""
    told = config.segmentation
    assert told is not None
    return (
        "The same segmenter from the same start, for the same number of steps whatever it is "
        f"trained on, learns from {learnt} real films of the train split with their masks, "
        f"from images of {made!r} with the masks they were drawn from, or from both, and is judged "
        f"on {held_out} held-out real films with masks.",
        f"Training seeds: {', '.join(map(str, told.seeds))}; numbers are their mean. Each draws "
        "its own weights, order and synthetic images, in all regimes the same.",
        segmenter_text(config),
        f"{DICE.partition(';')[0]}. The mean over the films that have the structure. Stray: of the "
        "films that have not got it, the share in which it is found all the same, on at least "
        f"{100 * STRAY:g} % of the film.",
        BOOTSTRAP.format(samples=config.bootstrap, what="held-out patients, the same for all")
        + " It covers the choice of patients, not of the training seed.",
        TESTS.replace("finding", "structure"),
    )


def entry(
    scores: Mapping[str, Score], strays: Mapping[str, Score], trainings: Sequence[Training]
) -> Mapping[str, Any]:
    """The numbers of one regime."""
    mean, note = mean_of(list(scores.values()), "structures")
    return {
        "real_films": len(trainings[0].real),
        "synthetic_images": len(trainings[0].synthetic),
        "dice": {MEAN: estimate(mean, note), **{name: estimate(s) for name, s in scores.items()}},
        "strays": {name: share(s) for name, s in strays.items()},
        "mean_dice_by_seed": mean.by_seed.tolist() if isinstance(mean, Measured) else [],
    }


def summary(made: str, change: Gains) -> tuple[Line, ...]:
    """The gain of each regime."""
    return tuple(
        Line(
            measure=f"Gain in mean Dice over real films alone, trained on {name}",
            sets={made: gains[MEAN].estimate},
        )
        for name, gains in change.items()
    )


def tables(
    trained: Mapping[str, Mapping[str, Any]], change: Gains, told: SegmentationConfig
) -> tuple[Table, ...]:
    """All numbers, a regime a row."""
    known = {name: e for name, e in trained.items() if "note" not in e}
    missing = [name for name in trained if name not in known]

    def by_structure(name: str, caption: str, field: str, names: Sequence[str]) -> Table:
        rows: list[tuple[Cell, ...]] = [
            (regime, e["real_films"], e["synthetic_images"], *(e[field][n] for n in names))
            for regime, e in known.items()
        ]
        blank = (None,) * (1 + len(names))
        rows += [(regime, trained[regime]["note"], *blank) for regime in missing]
        return Table(
            name=name,
            caption=caption,
            columns=("Trained on", "Real films", "Synthetic images", *names),
            rows=tuple(rows),
        )

    names = (MEAN, *told.structures)
    seeds = tuple(f"seed {seed}" for seed in told.seeds)
    result = [by_structure("segmentation", "Dice on held-out real films", "dice", names)]
    if change:
        result.append(
            Table(
                name="segmentation-gains",
                caption="Gain in Dice over real films alone",
                columns=(
                    "Trained on: structure",
                    *("gain", "gain (seeds)", "p", "p, Bonferroni"),
                ),
                rows=tuple(_gain_rows(change)),
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
        ),
        by_structure(
            "segmentation-strays",
            "Share of held-out real films in which a structure is found that they have not got",
            "strays",
            told.structures,
        ),
    ]
    return tuple(result)


def plots(trained: Mapping[str, Mapping[str, Any]]) -> tuple[Plot, ...]:
    """Dice by structure."""
    plot = dots(
        {name: e["dice"] for name, e in trained.items() if "note" not in e},
        "Dice on held-out real films by what was trained on, with 95 % intervals.",
    )
    return (plot,) if plot is not None else ()


def _gain_rows(change: Gains) -> Iterator[tuple[Cell, ...]]:
    for regime, gains in change.items():
        for name, one in gains.items():
            yield (f"{regime}: {name}", one.estimate, one.seeds, one.p, one.p_corrected)
