"""Fidelity: how close to held-out real films."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.domain import Domain
from eval.features import features_of
from eval.fidelity.config import FidelityConfig
from eval.fidelity.display import REFERENCES, definition, plots, summary, tables
from eval.fidelity.distances import FLOOR, fidelity
from eval.fidelity.groups import Members, by_group
from eval.fidelity.softness import softness
from eval.report.section import PageSection
from eval.sets import Sets
from eval.subgroups import groups_of, names_of
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.features.fid_extrapolation import REFERENCE
from roentgen.record.findings import FindingName


class Fidelity(Domain[FidelityConfig]):
    """Distances to held-out real films on every extractor, and softness."""

    def check(self) -> None:
        """Raise InputError for absent weights, or a set with too few images for its neighbours."""
        for images in self.sets.all():
            if len(images) <= self.settings.neighbours:
                raise InputError(
                    f"fidelity.neighbours is {self.settings.neighbours}, but set {images.name!r} "
                    f"has {len(images)} images: it needs more than that"
                )
        for chosen in self.config.extractors:
            chosen.load()

    def precompute(self) -> None:
        """Make this process's share of the features, one pass over each set for each extractor."""
        launch = this_launch()
        for chosen in self.config.extractors:
            extractor = chosen.load(launch.device())
            for images in self.sets.all():
                features_of(self.config, images, extractor, launch)

    def measure(self) -> PageSection:
        """Every distance on every extractor and the softness of every set and of the floor."""
        settings, sets = self.settings, self.sets
        found: dict[str, dict[str, Any]] = {}
        described = {}
        for chosen in self.config.extractors:
            extractor = chosen.load()
            features = {i.name: features_of(self.config, i, extractor) for i in sets.all()}
            made = {name: features[name] for name in sets.synthetic}
            train, test = features["train"], features["test"]
            numbers = fidelity(
                made,
                train,
                test,
                k=settings.neighbours,
                clip=chosen.name == "clip",
                subsets=settings.subsets,
                samples=settings.bootstrap,
                seed=self.config.seed,
            )
            numbers["groups"] = {
                attribute: by_group(
                    made,
                    train,
                    test,
                    members,
                    least=settings.group_images,
                    most=settings.group_most,
                    samples=settings.bootstrap,
                    seed=self.config.seed,
                )
                for attribute, members in members_of_groups(sets, self.config.findings).items()
            }
            described[chosen.label] = str(extractor.definition)
            said = {**vars(extractor.definition), "image_size": sets.test.size}
            found[chosen.label] = {"extractor": said, **numbers}
        soft = softness({**sets.synthetic, FLOOR: sets.train}, sets.test)
        return PageSection(
            name="fidelity",
            title="Fidelity: how close to held-out real films?",
            definition=definition(settings, found, soft, described, sets.test.size),
            references=REFERENCES,
            numbers={**found, "softness": soft},
            summary=summary(found, soft, list(sets.synthetic)),
            tables=tables(found, soft),
            plots=plots(found),
        )


def members_of_groups(sets: Sets, findings: Sequence[FindingName]) -> dict[str, Members]:
    """The rows of each group in every set, by attribute that is known of any real film."""
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
