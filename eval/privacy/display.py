"""Privacy display: its methods, tables, plots and pictures."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from eval.config import PrivacyConfig
from eval.privacy.scores import NearestTraining
from eval.report.plots import Plot, histogram
from eval.report.section import (
    HELD_OUT,
    Cell,
    Pictures,
    Strip,
    SummaryLine,
    Table,
    cell_text,
    measured_keys,
)
from eval.report.verdict import Verdict, status_excess
from eval.sets import Sets
from roentgen.metrics.estimates import BOOTSTRAP

REFERENCES = {  # sources, each with the key of what is measured
    "Newcombe, Interval estimation for the difference between independent proportions, "
    "Statistics in Medicine 1998 (excess of copies).": "excess",
    "Vovk et al., Algorithmic learning in a random world, 2005 (threshold of a "
    "copy).": "near_duplicates",
    "Carlini et al., Membership inference attacks from first principles, IEEE S&P "
    "2022.": "membership",
    "Carlini et al., Extracting training data from diffusion models, USENIX Security "
    "2023.": "near_duplicates",
}
PIXELS, FEATURES = "pixels", "features"
FALSE_POSITIVE_RATE = 0.01  # of membership inference
CHANCE = 0.5  # its AUROC
MOST_COPIES = 0.05  # excess share, and
MOST_MEMBERSHIP = 0.1  # excess AUROC, that an interval may not hold to be called none
Found = Mapping[str, NearestTraining]  # by PIXELS and FEATURES
Numbers = Mapping[str, Mapping[str, Any]]


def methods(
    settings: PrivacyConfig,
    found: Found,
    members: Numbers,
    *,
    trained_on: int,
    extractor: str,
    samples: int,
) -> tuple[str, ...]:
    """How it was measured, on what, at which n."""
    pixels = found[PIXELS].threshold
    limits = "; ".join(f"{space}: {of.threshold.value:.4f}" for space, of in found.items())
    return (
        f"Each image is compared with the most similar of {trained_on} training images. In pixels: "
        f"the largest normalized cross-correlation over shifts of up to {settings.shift} pixels at "
        "a side of 128, of band-passed images; brightness and contrast do not matter. In features: "
        f"the cosine; {extractor}.",
        "A near-duplicate is more similar to a training image than held-out radiographs are: the "
        f"threshold ({limits}) is such that the most similar radiograph of a further patient "
        f"exceeds it with a probability of at most {pixels.guaranteed:.4f} (split conformal, on "
        f"{pixels.patients} held-out patients). Shares: Wilson's interval; excess over held-out "
        "radiographs: Newcombe's.",
        *[_membership_methods(settings, samples)] * ("auroc" in measured_keys(members)),
        "Whether a near-duplicate is a copy is for a person to judge from the most similar pairs.",
    )


def _membership_methods(settings: PrivacyConfig, samples: int) -> str:
    return (
        "Membership inference: the model's loss at timesteps "
        f"{', '.join(map(str, settings.timesteps))} (noise samples at each: {settings.noises}), "
        "seeded by the radiograph's id, with the prompts that it was trained with, on as many "
        "radiographs of the train split as of the test split; AUROC of the smaller loss, and the "
        f"true positive rate at a false positive rate of {FALSE_POSITIVE_RATE:.0%}. Meaningful "
        "only if the model was trained on the train split. "
        + BOOTSTRAP.format(samples=samples, what="patients")
    )


def summary(numbers: Numbers, members: Numbers) -> tuple[SummaryLine, ...]:
    """The share of near-duplicates, and membership inference."""
    copies = "Near-duplicates of training images (share; pixels)"
    aurocs = {name: of["auroc"] for name, of in members.items()}
    return (
        SummaryLine.of(copies, numbers[PIXELS]["near_duplicates"], better="lower"),
        SummaryLine.of("Membership inference (AUROC; 0.5 is chance)", aurocs, better="lower"),
    )


def verdicts(numbers: Numbers, members: Numbers, main: str) -> tuple[Verdict, ...]:
    """Whether the main set holds copies, and whether its model tells what it was trained on."""
    shares = numbers[PIXELS]["near_duplicates"]
    excess, auroc = numbers[PIXELS]["excess"][main], members[main]["auroc"]
    status = status_excess(excess, MOST_COPIES)
    opening = {
        "works": "No more images are near-duplicates of training images than held-out ones are",
        "fails": "Images are near-duplicates of training images",
        "unclear": "Whether images are near-duplicates of training images cannot be told",
    }[status]
    text = f"{opening}: a share of {cell_text(shares[main])}; {cell_text(shares['test'])} held out."
    found = [Verdict(topic="copies", status=status, sentence=text)]
    if auroc.value is not None:
        above = replace(
            auroc, **{key: getattr(auroc, key) - CHANCE for key in ("value", "low", "high")}
        )
        status = status_excess(above, MOST_MEMBERSHIP)
        opening = {
            "works": "The model's loss does not tell training radiographs from others",
            "fails": "The model's loss tells training radiographs from others",
            "unclear": "Whether the model's loss tells training radiographs from others is not "
            "certain",
        }[status]
        text = f"{opening}: AUROC {cell_text(auroc)}, {CHANCE} by chance."
        found.append(Verdict(topic="membership", status=status, sentence=text))
    return tuple(found)


def table(sets: Sets, numbers: Numbers, members: Numbers) -> Table:
    """The shares of near-duplicates and membership inference, a set a column."""
    names = (*sets.synthetic, "test")
    rows: dict[str, list[Cell]] = {}
    for space in (PIXELS, FEATURES):
        shares, excess = numbers[space]["near_duplicates"], numbers[space]["excess"]
        rows[f"Near-duplicates ({space})"] = [shares[name] for name in names]
        rows[f"Excess over held-out ({space})"] = [excess.get(name) for name in names]
    inference = {
        "Membership AUROC": "auroc",
        f"True positive rate at {FALSE_POSITIVE_RATE:.0%} false": "true_positive_rate",
    }
    for title, key in inference.items():
        rows[title] = [members[name][key] if name in members else None for name in names]
    return Table(
        name="privacy",
        caption="Near-duplicates of training images, and membership inference",
        columns=("Measure", *(HELD_OUT if name == "test" else name for name in names)),
        rows=tuple((title, *cells) for title, cells in rows.items()),
        better="lower",
        base=names[0],
        radiographs=HELD_OUT,
    )


def pairs(settings: PrivacyConfig, sets: Sets, found: NearestTraining) -> Table:
    """The most similar pairs of each set."""
    return Table(
        name="privacy-pairs",
        caption="The most similar pairs, by pixels",
        columns=("Set", "Image", "Training image", "Similarity", "Threshold"),
        rows=tuple(
            (
                name,
                images.radiographs[row].id,
                sets.train.radiographs[original].id,
                similarity,
                "above" if similarity > found.threshold.value else "below",
            )
            for name, images in sets.synthetic.items()
            for row, original, similarity in found.most_similar(name, settings.examples)
        ),
        folded=True,
    )


def plots(found: Found) -> tuple[Plot, ...]:
    """Similarity to the nearest training image, in pixels and in features."""
    made = {
        space: histogram(
            {
                HELD_OUT: of.test.similarity,
                **{name: near.similarity for name, near in of.sets.items()},
            },
            f"Similarity ({space}) of each image to the most similar training image.",
            x_label="similarity",
            mark=of.threshold.value,
            mark_label="threshold of a near-duplicate",
        )
        for space, of in found.items()
    }
    return made[PIXELS], replace(made[FEATURES], folded=True)


def pictures(settings: PrivacyConfig, sets: Sets, found: NearestTraining) -> tuple[Pictures, ...]:
    """The most similar pairs of each set."""
    result = []
    for name, images in sets.synthetic.items():
        strips = []
        for row, original, similarity in found.most_similar(name, settings.examples):
            pair = [images.images[np.array([row])], sets.train.images[np.array([original])]]
            strips.append(
                Strip(
                    caption=f"similarity {similarity:.3f}",
                    alt=(
                        f"Image {images.radiographs[row].id} of {name} beside training image "
                        f"{sets.train.radiographs[original].id}, similarity {similarity:.3f}"
                    ),
                    images=np.concatenate(pair),
                )
            )
        title = f"{name}: the most similar pairs, synthetic left, training image right"
        result.append(Pictures(title=title, strips=tuple(strips)))
    return tuple(result)
