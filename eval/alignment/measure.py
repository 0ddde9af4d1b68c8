"""Alignment: agreement of images with their prompts."""

from collections import Counter
from functools import cached_property

from eval.alignment.clip_agreement import CEILING_KEY, agreement, embed, prompted_sets
from eval.alignment.confounding import confounding
from eval.alignment.display import (
    REFERENCES,
    ClipAgreement,
    confounding_tables,
    headline,
    methods,
    plots,
    summary,
    tables,
    verdicts,
)
from eval.alignment.reference_limits import explained
from eval.alignment.reference_networks import SEED, ReferenceNetworks
from eval.alignment.view_scores import views_not_learnable
from eval.config import AlignmentConfig
from eval.domain import Domain
from eval.networks import hold_out
from eval.report.section import PageSection, measured_keys
from roentgen.dataset.image_set import ImageSet
from roentgen.distributed import this_launch
from roentgen.metrics.classification.finding_scores import not_learnable, thresholds_of
from roentgen.metrics.estimates import Estimate
from roentgen.vision.classifier import Classifier
from roentgen.vision.clip import load_clip
from roentgen.vision.image_halves import labeled_halves, laterality_not_learnable
from roentgen.vision.linear_probe import fit_demographics
from roentgen.vision.network_cache import NetworkCache


class Alignment(Domain[AlignmentConfig]):
    """Scores of every set by reference networks; held-out radiographs are the ceiling."""

    def check(self) -> None:
        """Raise InputError for a CLIP model that is absent, or an unknown view token."""
        for model in self.settings.clip:
            load_clip(model.model)
        if self.settings.clip:
            prompted_sets(self.sets)

    def precompute(self) -> None:
        """Train this process's share of the networks; make its share of the CLIP embeddings."""
        launch = this_launch()
        for k, train in enumerate((self.finding_classifier, self.laterality_classifier)):
            if k % launch.num_processes == launch.process_index:
                train()
        for chosen in self.settings.clip:
            model = load_clip(chosen.model, launch.device())
            for images, prompts in prompted_sets(self.sets).values():
                embed(self.config, model, images, prompts, launch)

    def measure(self) -> PageSection:
        """Every set against its requests."""
        config, sets = self.config, self.sets
        networks = self.networks()
        held_out = networks.read(sets.test)
        networks = networks.verified(held_out)
        measured = {
            name: networks.measure(networks.read(images)) for name, images in sets.synthetic.items()
        }
        measured[CEILING_KEY] = networks.measure(held_out)
        labels = {images.name: confounding(images) for images in sets.all()}
        above = {
            name: explained(measured[name], measured[CEILING_KEY], labels[name], labels["test"])
            for name in sets.synthetic
        }
        agreements = {model.name: self._agreement(model.model) for model in self.settings.clip}
        training, validation = self.split
        return PageSection(
            name="alignment",
            title="Alignment: do images match their prompts?",
            methods=methods(
                config,
                len(training),
                len(validation),
                networks,
                agreements,
                measured_keys(measured),
            ),
            references=REFERENCES,
            numbers={
                **measured,
                "above_ceiling": above,
                "confounding": labels if any(above.values()) else {},
                "clip": {
                    name: {
                        "model": clip.model,
                        "pool": clip.pool,
                        "too_long": clip.too_long,
                        "sets": clip.sets,
                    }
                    for name, clip in agreements.items()
                },
            },
            summary=summary(measured, agreements),
            verdicts=verdicts(
                measured,
                sets.main,
                Counter(r.view for r in sets.synthetic[sets.main].radiographs if r.view),
                above[sets.main],
            ),
            headline=headline(measured, sets.main),
            tables=(
                *tables(config, measured, agreements),
                *confounding_tables(above, labels),
            ),
            plots=plots(measured),
        )

    @cached_property
    def split(self) -> tuple[ImageSet, ImageSet]:
        """The radiographs to train on, and other patients' that thresholds are chosen on."""
        train = self.sets.train
        held_out, rest = hold_out(train.patients, self.settings.validation, self.config.seed)
        return train.take(rest), train.take(held_out)

    def finding_classifier(self) -> Classifier:
        """The classifier of findings and views."""
        cache = NetworkCache(folder=self.config.caches_folder)
        return cache.classifier(self.split[0], self.config.classifier, SEED)

    def laterality_classifier(self) -> Classifier | None:
        """The classifier of image halves; None if no finding's side can be learned."""
        config, halves = self.config, labeled_halves(self.split[0])
        not_learned = laterality_not_learnable(
            halves.by_image, halves.patients, config.findings, config.min_cases
        )
        if len(not_learned) == len(config.findings):
            return None
        return NetworkCache(folder=config.caches_folder).classifier(halves, config.classifier, SEED)

    def networks(self) -> ReferenceNetworks:
        """Both classifiers, thresholds, and probes of the first one's features."""
        findings, least = self.config.findings, self.config.min_cases
        (training, validation), network = self.split, self.finding_classifier()
        scores = network.predict(validation.images).findings
        halves = labeled_halves(training)
        features = network.features(training.images)
        return ReferenceNetworks(
            config=self.config,
            findings=network,
            not_learned=not_learnable(training.labels, training.patients, findings, least),
            never_seen=views_not_learnable(training.views, training.patients, least),
            views_not_told={},
            thresholds=thresholds_of(
                scores, validation.labels, validation.patients, findings, least
            ),
            laterality=self.laterality_classifier(),
            laterality_not_learned=laterality_not_learnable(
                halves.by_image, halves.patients, findings, least
            ),
            demographics=fit_demographics(features, training.radiographs, least),
        )

    def _agreement(self, source: str) -> ClipAgreement:
        model, prompted = load_clip(source), prompted_sets(self.sets)
        pool, found = agreement(self.settings, self.config, model, prompted)
        synthetic = [prompt for name in self.sets.synthetic for prompt in prompted[name][1]]
        different = list(dict.fromkeys(synthetic))
        by_set: dict[str, dict[str, Estimate]] = found
        return ClipAgreement(
            model=f"{source}: {model.definition}",
            pool=pool,
            too_long=model.too_long(different) if different else 0,
            prompts=len(different),
            sets=by_set,
        )
