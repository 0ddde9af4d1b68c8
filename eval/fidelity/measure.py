"""Fidelity: how close to held-out real films."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.config import EvaluateConfig
from eval.config_sections import FidelityConfig
from eval.features import features_of
from eval.fidelity.display import definition, plots, summary, tables
from eval.fidelity.distances import FLOOR, fidelity
from eval.fidelity.groups import GroupDistances, Members, by_group
from eval.fidelity.softness import softness
from eval.report.section import Part
from eval.sets import Sets
from eval.subgroups import groups_of, names_of
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.fid_extrapolation import REFERENCE
from roentgen.vision.features.extractor import load_extractor


def check_fidelity(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for absent weights, or a set with too few images for its neighbours."""
    section = _section(config)
    for images in sets.all():
        if len(images) <= section.neighbours:
            raise InputError(
                f"fidelity.neighbours is {section.neighbours}, but set {images.name!r} has "
                f"{len(images)} images: it needs more than that"
            )
    for extractor in section.extractors:
        load_extractor(extractor.name, extractor.weights)


def fill_fidelity(config: EvaluateConfig, sets: Sets) -> None:
    """Make this process's share of the features, one pass over each set for each extractor."""
    launch = this_launch()
    for chosen in _section(config).extractors:
        extractor = load_extractor(chosen.name, chosen.weights, launch.device())
        for images in sets.all():
            features_of(config, images, extractor, launch)


def measure_fidelity(config: EvaluateConfig, sets: Sets) -> Part:
    """Every distance on every extractor and the softness of every set and of the floor."""
    section = _section(config)
    found: dict[str, dict[str, Any]] = {}
    described = {}
    for chosen in section.extractors:
        extractor = load_extractor(chosen.name, chosen.weights)
        features = {i.name: features_of(config, i, extractor) for i in sets.all()}
        made = {name: features[name] for name in sets.synthetic}
        numbers = fidelity(
            made,
            features["train"],
            features["test"],
            k=section.neighbours,
            clip=chosen.name == "clip",
            subsets=section.subsets,
            samples=section.bootstrap,
            seed=config.seed,
        )
        numbers["groups"] = _groups(config, sets, features)
        described[chosen.label] = str(extractor.definition)
        said = {**vars(extractor.definition), "image_size": sets.test.size}
        found[chosen.label] = {"extractor": said, **numbers}
    soft = softness({**sets.synthetic, FLOOR: sets.train}, sets.test)
    return Part(
        name="fidelity",
        title="Fidelity: how close to held-out real films?",
        definition=definition(section, found, soft, described, sets.test.size),
        numbers={**found, "softness": soft},
        summary=summary(found, soft, list(sets.synthetic)),
        tables=tables(found, soft),
        plots=plots(found),
    )


def _groups(
    config: EvaluateConfig, sets: Sets, features: dict[str, FeatureSet]
) -> dict[str, dict[str, GroupDistances]]:
    """The distances of the groups of each attribute that is known of any real film."""
    section = _section(config)
    return {
        attribute: by_group(
            {name: features[name] for name in sets.synthetic},
            features["train"],
            features["test"],
            members,
            least=section.group_images,
            most=section.group_most,
            samples=section.bootstrap,
            seed=config.seed,
        )
        for attribute, members in _members(config, sets).items()
    }


def _members(config: EvaluateConfig, sets: Sets) -> dict[str, Members]:
    """The rows of each group of each attribute, in every set."""
    named = {**sets.synthetic, FLOOR: sets.train, REFERENCE: sets.test}
    result: dict[str, Members] = {
        "finding": {
            finding: {name: _rows(images.labels[:, j] == 1) for name, images in named.items()}
            for j, finding in enumerate(config.findings)
        }
    }
    known = {name: groups_of(images.radiographs) for name, images in named.items()}
    for attribute, groups in known[REFERENCE].items():
        result[attribute] = {
            group: {name: _rows(known[name][attribute] == group) for name in named}
            for group in names_of(groups)
        }
    return result


def _rows(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(chosen)


def _section(config: EvaluateConfig) -> FidelityConfig:
    assert config.fidelity is not None
    return config.fidelity
