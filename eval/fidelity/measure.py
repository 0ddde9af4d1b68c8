"""Fidelity: distances to held-out radiographs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.config import FidelityConfig
from eval.domain import Domain
from eval.features import features_of, open_extractor
from eval.fidelity.display import (
    REFERENCES,
    TWO_DATASETS,
    headline,
    methods,
    plots,
    summary,
    tables,
    verdicts,
)
from eval.fidelity.scores import FLOOR, fidelity
from eval.fidelity.sharpness import sharpness
from eval.fidelity.subgroup_distances import Members, by_subgroup
from eval.report.section import PageSection
from eval.sets import Sets
from eval.subgroups import groups_of, names_of
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.features.fid_at_n import REFERENCE
from roentgen.record.finding import FindingName


class Fidelity(Domain[FidelityConfig]):
    """Distances to held-out radiographs on every extractor, and sharpness."""

    def check(self) -> None:
        """Raise InputError for missing weights, or a set with too few images for k neighbors."""
        for images in self.sets.all():
            if len(images) <= self.settings.neighbors:
                raise InputError(
                    f"fidelity.neighbors is {self.settings.neighbors}, but set {images.name!r} "
                    f"has {len(images)} images: it needs more than that"
                )
        for chosen in self.config.extractors:
            open_extractor(chosen)

    def precompute(self) -> None:
        """Extract this process's share of the features of every set on every extractor."""
        launch = this_launch()
        for chosen in self.config.extractors:
            extractor = open_extractor(chosen, launch.device())
            for images in self.sets.all():
                features_of(self.config, images, extractor, launch)

    def measure(self) -> PageSection:
        """Every distance on every extractor, and the sharpness of every set and of the floor."""
        settings, sets = self.settings, self.sets
        found: dict[str, dict[str, Any]] = {}
        described = {}
        for chosen in self.config.extractors:
            extractor = open_extractor(chosen)
            features = {i.name: features_of(self.config, i, extractor) for i in sets.all()}
            synthetic = {name: features[name] for name in sets.synthetic}
            train, test = features["train"], features["test"]
            numbers = fidelity(
                synthetic,
                train,
                test,
                k=settings.neighbors,
                clip=chosen.name == "clip",
                subsets=settings.subsets,
                samples=settings.bootstrap,
                seed=self.config.seed,
            )
            numbers["subgroups"] = {
                attribute: by_subgroup(
                    synthetic,
                    train,
                    test,
                    members,
                    least=settings.min_subgroup_patients,
                    most=settings.max_subgroup_images,
                    samples=settings.bootstrap,
                    seed=self.config.seed,
                )
                for attribute, members in subgroup_members(sets, self.config.findings).items()
            }
            described[chosen.label] = str(extractor.definition)
            defined = {**vars(extractor.definition), "image_size": sets.test.size}
            found[chosen.label] = {"extractor": defined, **numbers}
        detail = sharpness(
            {**sets.synthetic, FLOOR: sets.train},
            sets.test,
            samples=settings.bootstrap,
            seed=self.config.seed,
        )
        return PageSection(
            name="fidelity",
            title="Fidelity: how close to held-out radiographs?",
            methods=(
                *methods(settings, found, detail, described, sets.test.size),
                *[TWO_DATASETS] * sets.two_datasets,
            ),
            references=REFERENCES,
            numbers={**found, "sharpness": detail},
            summary=summary(found, detail),
            headline=headline(found),
            tables=tables(found, detail),
            verdicts=verdicts(found, detail, sets.main),
            plots=plots(found, detail),
        )


def subgroup_members(sets: Sets, findings: Sequence[FindingName]) -> dict[str, Members]:
    """The rows of each subgroup in every set, by attribute."""
    named = {**sets.synthetic, FLOOR: sets.train, REFERENCE: sets.test}
    result: dict[str, Members] = {
        "finding": {
            finding: {n: np.flatnonzero(images.labels[:, j] == 1) for n, images in named.items()}
            for j, finding in enumerate(findings)
        }
    }
    known = {name: groups_of(images.radiographs) for name, images in named.items()}
    for attribute, groups in known[REFERENCE].items():
        result[attribute] = {
            group: {name: np.flatnonzero(known[name][attribute] == group) for name in named}
            for group in names_of(groups)
        }
    return result
