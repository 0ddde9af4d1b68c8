"""Privacy: near-duplicates of training images, and membership inference against the model."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.config import PrivacyConfig
from eval.domain import Domain
from eval.features import features_of, open_extractor
from eval.leakage import recorded_training
from eval.privacy.display import (
    FALSE_POSITIVE_RATE,
    FEATURES,
    PIXELS,
    REFERENCES,
    methods,
    pairs,
    pictures,
    plots,
    summary,
    table,
    verdicts,
)
from eval.privacy.membership import NoiseSettings, denoising_losses
from eval.privacy.scores import NearestTraining
from eval.report.section import PageSection
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.structure_masks import masks_of
from roentgen.diffusion.backbones.model_folder import model_manifest, recorded_model
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.controlnet import mask_conditions
from roentgen.diffusion.conditions.prompt_encoding import tokenize_prompts
from roentgen.diffusion.conditions.record_conditions import record_conditions
from roentgen.diffusion.training_record import trained_long_prompts, trained_style
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.classification.operating_points import true_positive_rate
from roentgen.metrics.classification.ranking import auroc, weighted_auroc
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    calibrate,
    count_patients,
    percentile_interval,
    share_of_images,
)
from roentgen.metrics.features.nearest import Nearest, nearest_by_cosine
from roentgen.prompts.grammar import prompt_of
from roentgen.randomness import numpy_generator
from roentgen.vision.copy_finder import CopyFinder


class Privacy(Domain[PrivacyConfig]):
    """Near-duplicates in pixels and in features, and membership, of every synthetic set."""

    def check(self) -> None:
        """Raise InputError for missing weights of the extractor."""
        open_extractor(self.config.extractors[0])

    def precompute(self) -> None:
        """Extract this process's share of the features."""
        launch = this_launch()
        extractor = open_extractor(self.config.extractors[0], launch.device())
        for images in self.sets.all():
            features_of(self.config, images, extractor, launch)

    def measure(self) -> PageSection:
        """Near-duplicates against those among held-out radiographs, and membership inference."""
        extractor = open_extractor(self.config.extractors[0])
        train = features_of(self.config, self.sets.train, extractor).features
        finder = CopyFinder(self.sets.train.images, shift=self.settings.shift)
        found = {
            PIXELS: self._nearest(lambda images: finder.nearest(images.images)),
            FEATURES: self._nearest(
                lambda images: nearest_by_cosine(
                    features_of(self.config, images, extractor).features, train
                )
            ),
        }
        members = {name: self._membership(images) for name, images in self.sets.synthetic.items()}
        numbers = {
            space: {
                "threshold": vars(of.threshold),
                "near_duplicates": of.shares(),
                "excess": of.excess(),
                "median_similarity": {
                    name: float(np.median(near.similarity)) for name, near in of.everyone.items()
                },
            }
            for space, of in found.items()
        }
        examples, shown = (self.settings, self.sets, found[PIXELS]), self.shows_reference
        return PageSection(
            name="privacy",
            title="Privacy: are training images memorized?",
            methods=methods(
                self.settings,
                found,
                members,
                trained_on=len(self.sets.train),
                extractor=str(extractor.definition),
                samples=self.config.bootstrap,
            ),
            references=REFERENCES,
            numbers={**numbers, "membership": members},
            summary=summary(numbers, members),
            verdicts=verdicts(numbers, members, self.sets.main),
            tables=(table(self.sets, numbers, members), *([pairs(*examples)] * shown)),
            plots=plots(found),
            pictures=pictures(*examples) if shown else (),
        )

    def _nearest(self, nearest: Callable[[ImageSet], Nearest]) -> NearestTraining:
        sets = {name: nearest(images) for name, images in self.sets.synthetic.items()}
        test = nearest(self.sets.test)
        rate = self.settings.false_alarms
        threshold = calibrate(test.similarity, self.sets.test.patients, rate)
        compared = {**self.sets.synthetic, "test": self.sets.test}
        patients = {name: images.patients for name, images in compared.items()}
        return NearestTraining(sets=sets, test=test, patients=patients, threshold=threshold)

    def _membership(self, images: ImageSet) -> dict[str, Any]:
        """AUROC of the loss of the set's model: train radiographs against held-out ones."""
        if self.settings.membership_images is None:
            return _no_membership("privacy.membership_images is null")
        path = recorded_model(images.dataset.manifest["provenance"])
        if path is None:
            return _no_membership("the set does not lead to a model folder")
        training = recorded_training(images)
        if training is not None and training.is_of(self.sets.train) is False:
            return _no_membership("its model was not trained on the train radiographs")
        train, test = self.sets.train, self.sets.test
        n = min(self.settings.membership_images, len(train), len(test))
        try:
            manifest = model_manifest(str(path))
            components = load_components(str(path))
            losses = {s.name: self._losses(s, manifest, components, n) for s in (train, test)}
        except InputError as error:
            return _no_membership(str(error))
        members, others = (-losses[s.name][0] for s in (train, test))
        patients = losses["train"][1] + losses["test"][1]
        scores = np.concatenate([members, others])
        positive = np.arange(len(scores)) < len(members)
        weights = bootstrap_weights(patients, self.config.bootstrap, self.config.seed)
        low, high = percentile_interval(weighted_auroc(scores, positive, weights))
        _, threshold = true_positive_rate(members, others, FALSE_POSITIVE_RATE)
        return {
            "auroc": Estimate(
                value=auroc(scores, positive),
                low=low,
                high=high,
                n=len(scores),
                patients=count_patients(patients),
            ),
            "true_positive_rate": share_of_images(members > threshold, losses["train"][1]),
            "model": manifest["fingerprint"],
        }

    def _losses(
        self, images: ImageSet, manifest: dict[str, Any], components: Components, n: int
    ) -> tuple[Floats, list[str]]:
        """The losses of n radiographs sampled by the seed, and their patients."""
        seed = self.config.seed
        draws = numpy_generator(seed, "membership", images.name).permutation(len(images))
        rows: NDArray[np.int64] = np.sort(draws[:n])
        chosen = images.take(rows)
        losses = denoising_losses(
            components,
            chosen.images,
            conditions_of(chosen, manifest, components),
            chosen.ids,
            NoiseSettings(
                timesteps=self.settings.timesteps, noises=self.settings.noises, seed=seed
            ),
        )
        return losses, chosen.patients


def conditions_of(
    images: ImageSet, manifest: dict[str, Any], components: Components
) -> Callable[[slice], Conditions]:
    """The images' prompts, as the model was trained with, and its other conditions.

    Raises InputError for prompts that are too long; the conditions do for unknown masks.
    """
    style = trained_style(manifest)
    ids = tokenize_prompts(
        components.tokenizer,
        [prompt_of(radiograph, style) for radiograph in images.radiographs],
        chunks=components.prompt_chunks,
        too_long=trained_long_prompts(manifest),
    )
    structures, size = components.structures, components.image_size

    def of_rows(rows: slice) -> Conditions:
        given = Conditions(text=ids[rows])
        if structures:
            items = range(len(images))[rows]
            masks = (masks_of(images[item], structures, size) for item in items)
            given |= Conditions.joined([mask_conditions(some, structures) for some in masks])
        records = images.radiographs[rows]
        given |= Conditions.joined([record_conditions(record, components) for record in records])
        return given

    return of_rows


def _no_membership(why: str) -> dict[str, Any]:
    missing = NotMeasured(why)
    return {"auroc": missing, "true_positive_rate": missing, "model": None}
