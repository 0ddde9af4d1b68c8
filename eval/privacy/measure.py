"""Privacy: whether training images were copied, and whether the model gives its training away."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.config import EvaluateConfig
from eval.config_sections import ExtractorConfig, PrivacyConfig
from eval.features import features_of
from eval.privacy.copies import (
    excess,
    nearest_by_cosine,
    true_positive_rate,
)
from eval.privacy.membership import denoising_losses
from eval.report.plots import Plot, histogram
from eval.report.section import Cell, Line, Part, Pictures, Strip, Table
from eval.sets import ImageSet, Sets
from roentgen.dataset.image_arrays import Chosen
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.training_record import model_manifest, trained_long_prompts, trained_style
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.classification.auroc import auroc, weighted_auroc
from roentgen.metrics.conformal import Threshold, calibrate, copies
from roentgen.metrics.estimates import (
    BOOTSTRAP,
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    percentile_interval,
)
from roentgen.prompts.grammar import prompt_of
from roentgen.randomness import numpy_generator
from roentgen.vision.copy_finder import CopyFinder, Nearest
from roentgen.vision.features.extractor import load_extractor

PIXELS, FEATURES = "pixels", "features"
HELD_OUT = "held-out real"
FALSE_POSITIVES = 0.01  # of membership inference


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """The nearest training image of each image of every set, by one likeness."""

    sets: Mapping[str, Nearest]
    test: Nearest
    threshold: Threshold


def check_privacy(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for absent weights of the extractor."""
    chosen = _extractor(config)
    load_extractor(chosen.name, chosen.weights)


def fill_privacy(config: EvaluateConfig, sets: Sets) -> None:
    """Make this process's share of the features."""
    chosen, launch = _extractor(config), this_launch()
    extractor = load_extractor(chosen.name, chosen.weights)
    for images in sets.all():
        features_of(config, images, extractor, launch)


def measure_privacy(config: EvaluateConfig, sets: Sets) -> Part:
    """Copies in pixels and in features, and membership, of every synthetic set."""
    section = _section(config)
    found = {PIXELS: _by_pixels(config, sets), FEATURES: _by_features(config, sets)}
    counted = {
        space: {
            **{name: copies(near.likeness, of.threshold) for name, near in of.sets.items()},
            HELD_OUT: copies(of.test.likeness, of.threshold),
        }
        for space, of in found.items()
    }
    more = {
        space: {
            name: excess(near.likeness, of.test.likeness, of.threshold)
            for name, near in of.sets.items()
        }
        for space, of in found.items()
    }
    members = {name: _membership(config, sets, images) for name, images in sets.synthetic.items()}
    numbers = {
        space: {
            "threshold": vars(of.threshold),
            "copies": counted[space],
            "excess": more[space],
            "median_likeness": {
                name: float(np.median(near.likeness))
                for name, near in (*of.sets.items(), (HELD_OUT, of.test))
            },
        }
        for space, of in found.items()
    }
    rate = counted[PIXELS]
    line = Line(
        measure="Copies of training images (share; pixels)",
        sets={name: rate[name] for name in sets.synthetic},
        real=rate[HELD_OUT],
    )
    auc = {name: of["auroc"] for name, of in members.items()}
    return Part(
        name="privacy",
        title="Privacy: were training images copied?",
        definition=_definition(config, sets, found),
        numbers={**numbers, "membership": members},
        summary=(line, Line(measure="Membership inference (AUROC; 0.5 is none)", sets=auc)),
        tables=(_table(sets, counted, more, members), _worst_table(section, sets, found[PIXELS])),
        plots=tuple(_plot(space, of) for space, of in found.items()),
        pictures=tuple(
            _worst(section, sets, images, found[PIXELS]) for images in sets.synthetic.values()
        ),
    )


def _by_pixels(config: EvaluateConfig, sets: Sets) -> Lookup:
    finder = CopyFinder(sets.train.images, shift=_section(config).shift)
    nearest = {name: finder.nearest(images.images) for name, images in sets.synthetic.items()}
    return _calibrated(config, sets, nearest, finder.nearest(sets.test.images))


def _by_features(config: EvaluateConfig, sets: Sets) -> Lookup:
    chosen = _extractor(config)
    extractor = load_extractor(chosen.name, chosen.weights)
    train = features_of(config, sets.train, extractor).features

    def nearest(images: ImageSet) -> Nearest:
        return nearest_by_cosine(features_of(config, images, extractor).features, train)

    made = {name: nearest(images) for name, images in sets.synthetic.items()}
    return _calibrated(config, sets, made, nearest(sets.test))


def _calibrated(
    config: EvaluateConfig, sets: Sets, made: Mapping[str, Nearest], test: Nearest
) -> Lookup:
    threshold = calibrate(test.likeness, sets.test.patients, _section(config).false_alarms)
    return Lookup(sets=made, test=test, threshold=threshold)


def _membership(config: EvaluateConfig, sets: Sets, images: ImageSet) -> dict[str, Any]:
    """AUROC of the loss of the set's model, train films against held-out ones."""
    section = _section(config)
    if section.membership_images is None:
        return _nothing(0, "privacy.membership_images is null")
    source = images.dataset.manifest["provenance"].get("made_from", {}).get("model") or {}
    path = source.get("path")
    if not path or not Path(path).is_dir():
        return _nothing(0, "the set does not lead to a model folder")
    n = min(section.membership_images, len(sets.train), len(sets.test))
    try:
        manifest = model_manifest(path)
        components = load_components(path)
        losses = {
            s.name: _losses(config, s, manifest, components, n) for s in (sets.train, sets.test)
        }
    except InputError as error:
        return _nothing(0, str(error))
    members, others = (-losses[s.name][0] for s in (sets.train, sets.test))
    patients = losses["train"][1] + losses["test"][1]
    scores = np.concatenate([members, others])
    positive = np.arange(len(scores)) < len(members)
    weights = bootstrap_weights(patients, config.bootstrap, config.seed)
    low, high = percentile_interval(weighted_auroc(scores, positive, weights))
    rate, _ = true_positive_rate(members, others, FALSE_POSITIVES)
    return {
        "auroc": Estimate(value=auroc(scores, positive), low=low, high=high, n=len(scores)),
        "members_found": Estimate(value=rate, n=len(members)),
        "model": manifest["fingerprint"],
    }


def _losses(
    config: EvaluateConfig,
    images: ImageSet,
    manifest: dict[str, Any],
    components: Components,
    n: int,
) -> tuple[Floats, list[str]]:
    """The losses of n films drawn by the seed, and whose films they are."""
    section = _section(config)
    draws = numpy_generator(config.seed, "membership", images.name).permutation(len(images))
    rows: NDArray[np.int64] = np.sort(draws[:n])
    chosen = [images.radiographs[row] for row in rows]
    style = trained_style(manifest)
    losses = denoising_losses(
        components,
        Chosen(images.images, rows),
        [prompt_of(radiograph, style) for radiograph in chosen],
        [radiograph.id for radiograph in chosen],
        timesteps=section.timesteps,
        noises=section.noises,
        seed=config.seed,
        too_long=trained_long_prompts(manifest),
    )
    return losses, [radiograph.patient_id for radiograph in chosen]


def _nothing(n: int, why: str) -> dict[str, Any]:
    return {"auroc": NotMeasured(why, n), "members_found": NotMeasured(why, n), "model": None}


def _definition(config: EvaluateConfig, sets: Sets, found: Mapping[str, Lookup]) -> tuple[str, ...]:
    section, pixels = _section(config), found[PIXELS].threshold
    chosen = _extractor(config)
    extractor = load_extractor(chosen.name, chosen.weights)
    limits = "; ".join(f"{space}: {of.threshold.likeness:.4f}" for space, of in found.items())
    return (
        f"The nearest of {len(sets.train)} training images to each image. In pixels: the largest "
        f"normalised cross-correlation over shifts of up to {section.shift} pixels at a side of "
        "128, of images without their smooth part and their grain; brightness and contrast do not "
        f"matter. In features: the cosine of those of {extractor.definition}.",
        f"A copy is what is more alike than held-out films are: the threshold ({limits}) is such "
        f"that the likeliest film of a further patient exceeds it with a probability of at most "
        f"{pixels.guaranteed:.4f} (split conformal, on {pixels.patients} held-out patients). "
        "Shares: Wilson's interval; excess over held-out films: Newcombe's.",
        f"Membership: the model's loss at timesteps {', '.join(map(str, section.timesteps))}, "
        f"{section.noises} noises each, drawn from the film's id, with the prompts it was trained "
        "with, on as many films of the train split as of the test split; AUROC of the smaller loss "
        f"and the share of train films found at {FALSE_POSITIVES:.0%} false alarms. It says "
        "something where the model was trained on the train split. "
        + BOOTSTRAP.format(samples=config.bootstrap, what="patients"),
        "What is called a copy is for a person to judge: the likeliest pairs stand below.",
    )


def _table(
    sets: Sets,
    counted: Mapping[str, Mapping[str, Estimate]],
    more: Mapping[str, Mapping[str, Estimate]],
    members: Mapping[str, Mapping[str, Any]],
) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in (*sets.synthetic, HELD_OUT):
        cells: list[Cell] = [name]
        for space in (PIXELS, FEATURES):
            cells += [counted[space][name], more[space].get(name)]
        of = members.get(name, {})
        rows.append((*cells, of.get("auroc"), of.get("members_found")))
    return Table(
        name="privacy",
        caption="Copies of training images, and membership inference",
        columns=(
            *("Set", "Copies (pixels)", "Excess (pixels)", "Copies (features)"),
            *("Excess (features)", "Membership AUROC", "Members found"),
        ),
        rows=tuple(rows),
    )


def _worst_rows(section: PrivacyConfig, near: Nearest) -> list[int]:
    order: list[int] = np.argsort(-near.likeness, kind="stable")[: section.examples].tolist()
    return order


def _worst_table(section: PrivacyConfig, sets: Sets, found: Lookup) -> Table:
    rows = [
        (
            name,
            sets.synthetic[name].radiographs[row].id,
            sets.train.radiographs[int(near.row[row])].id,
            float(near.likeness[row]),
            "above" if near.likeness[row] > found.threshold.likeness else "below",
        )
        for name, near in found.sets.items()
        for row in _worst_rows(section, near)
    ]
    return Table(
        name="privacy-pairs",
        caption="The likeliest pairs, by pixels",
        columns=("Set", "Image", "Training image", "Likeness", "Threshold"),
        rows=tuple(rows),
    )


def _worst(section: PrivacyConfig, sets: Sets, images: ImageSet, found: Lookup) -> Pictures:
    near = found.sets[images.name]
    strips = []
    for row in _worst_rows(section, near):
        pair = [images.images[np.array([row])], sets.train.images[near.row[[row]]]]
        likeness = near.likeness[row]
        strips.append(
            Strip(
                caption=f"likeness {likeness:.3f}: synthetic, training",
                alt=(
                    f"Image {images.radiographs[row].id} of {images.name} beside training image "
                    f"{sets.train.radiographs[int(near.row[row])].id}, likeness {likeness:.3f}"
                ),
                images=np.concatenate(pair),
            )
        )
    return Pictures(
        title=f"{images.name}: the likeliest pairs, synthetic left, training image right",
        strips=tuple(strips),
    )


def _plot(space: str, of: Lookup) -> Plot:
    return histogram(
        {HELD_OUT: of.test.likeness, **{name: near.likeness for name, near in of.sets.items()}},
        f"Likeness ({space}) of each image to its nearest training image.",
        x_label="likeness",
        mark=of.threshold.likeness,
        mark_label="threshold of a copy",
    )


def _section(config: EvaluateConfig) -> PrivacyConfig:
    assert config.privacy is not None
    return config.privacy


def _extractor(config: EvaluateConfig) -> ExtractorConfig:
    return config.fidelity.extractors[0] if config.fidelity else ExtractorConfig()
