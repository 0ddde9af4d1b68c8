"""Privacy display: its methods, tables, plots and pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from eval.config import PrivacyConfig
from eval.privacy.scores import NearestTraining
from eval.report.plots import Plot, histogram
from eval.report.section import HELD_OUT, Cell, Pictures, Strip, SummaryLine, Table
from eval.sets import Sets
from roentgen.metrics.estimates import BOOTSTRAP

REFERENCES = (
    "Newcombe, Interval estimation for the difference between independent proportions, "
    "Statistics in Medicine 1998 (excess of copies).",
    "Vovk et al., Algorithmic learning in a random world, 2005 (threshold of a copy).",
    "Carlini et al., Membership inference attacks from first principles, IEEE S&P 2022.",
    "Carlini et al., Extracting training data from diffusion models, USENIX Security 2023.",
)
PIXELS, FEATURES = "pixels", "features"
FALSE_POSITIVE_RATE = 0.01  # of membership inference
Found = Mapping[str, NearestTraining]  # by PIXELS and FEATURES
Numbers = Mapping[str, Mapping[str, Any]]


def methods(
    settings: PrivacyConfig, found: Found, *, trained_on: int, extractor: str, samples: int
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
        "Membership inference: the model's loss at timesteps "
        f"{', '.join(map(str, settings.timesteps))}, {settings.noises} noise samples each, seeded "
        "by the radiograph's id, with the prompts that it was trained with, on as many radiographs "
        "of the train split as of the test split; AUROC of the smaller loss, and the true positive "
        f"rate at a false positive rate of {FALSE_POSITIVE_RATE:.0%}. Meaningful only if the model "
        "was trained on the train split. " + BOOTSTRAP.format(samples=samples, what="patients"),
        "Whether a near-duplicate is a copy is for a person to judge: the most similar pairs are "
        "shown below.",
    )


def summary(numbers: Numbers, members: Numbers) -> tuple[SummaryLine, ...]:
    """The share of near-duplicates, and membership inference."""
    copies = "Near-duplicates of training images (share; pixels)"
    aurocs = {name: of["auroc"] for name, of in members.items()}
    return (
        SummaryLine.of(copies, numbers[PIXELS]["near_duplicates"]),
        SummaryLine.of("Membership inference (AUROC; 0.5 is chance)", aurocs),
    )


def tables(
    settings: PrivacyConfig, sets: Sets, found: Found, numbers: Numbers, members: Numbers
) -> tuple[Table, ...]:
    """The shares of each set, and its most similar pairs."""
    rows: list[tuple[Cell, ...]] = []
    for name in (*sets.synthetic, "test"):
        cells: list[Cell] = [HELD_OUT if name == "test" else name]
        for space in found:
            of_space = numbers[space]
            cells += [of_space["near_duplicates"][name], of_space["excess"].get(name)]
        of = members.get(name, {})
        rows.append((*cells, of.get("auroc"), of.get("true_positive_rate")))
    pixels = found[PIXELS]
    pairs = [
        (
            name,
            images.radiographs[row].id,
            sets.train.radiographs[original].id,
            similarity,
            "above" if similarity > pixels.threshold.value else "below",
        )
        for name, images in sets.synthetic.items()
        for row, original, similarity in pixels.most_similar(name, settings.examples)
    ]
    return (
        Table(
            name="privacy",
            caption="Near-duplicates of training images, and membership inference",
            columns=(
                *("Set", "Near-duplicates (pixels)", "Excess (pixels)"),
                *("Near-duplicates (features)", "Excess (features)"),
                *("Membership AUROC", f"True positive rate at {FALSE_POSITIVE_RATE:.0%} false"),
            ),
            rows=tuple(rows),
        ),
        Table(
            name="privacy-pairs",
            caption="The most similar pairs, by pixels",
            columns=("Set", "Image", "Training image", "Similarity", "Threshold"),
            rows=tuple(pairs),
        ),
    )


def plots(found: Found) -> tuple[Plot, ...]:
    """Similarity to the nearest training image, in pixels and in features."""
    return tuple(
        histogram(
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
    )


def pictures(settings: PrivacyConfig, sets: Sets, found: NearestTraining) -> tuple[Pictures, ...]:
    """The most similar pairs of each set."""
    result = []
    for name, images in sets.synthetic.items():
        strips = []
        for row, original, similarity in found.most_similar(name, settings.examples):
            pair = [images.images[np.array([row])], sets.train.images[np.array([original])]]
            strips.append(
                Strip(
                    caption=f"similarity {similarity:.3f}: synthetic, training",
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
