"""Alignment: agreement of images with their prompts."""

from eval.alignment.clip_agreement import CEILING_KEY, agreement, embed, prompted_sets
from eval.alignment.display import REFERENCES, ClipAgreement, methods, plots, summary, tables
from eval.alignment.reference_networks import (
    finding_classifier,
    laterality_classifier,
    reference_networks,
    split_train,
)
from eval.config import AlignmentConfig
from eval.domain import Domain
from eval.report.section import PageSection
from roentgen.distributed import this_launch
from roentgen.metrics.estimates import Estimate
from roentgen.vision.clip import load_clip


class Alignment(Domain[AlignmentConfig]):
    """Scores of every set by reference networks; held-out real radiographs are the ceiling."""

    def check(self) -> None:
        """Raise InputError for a CLIP model that is absent, or an unknown view token."""
        for model in self.settings.clip:
            load_clip(model.model)
        if self.settings.clip:
            prompted_sets(self.sets)

    def precompute(self) -> None:
        """Train this process's share of the networks; make its share of the CLIP embeddings."""
        launch = this_launch()
        for k, train in enumerate((finding_classifier, laterality_classifier)):
            if k % launch.num_processes == launch.process_index:
                train(self.settings, self.config, self.sets)
        for chosen in self.settings.clip:
            model = load_clip(chosen.model, launch.device())
            for images, prompts in prompted_sets(self.sets).values():
                embed(self.config, model, images, prompts, launch)

    def measure(self) -> PageSection:
        """Every set against its requests."""
        config, sets = self.config, self.sets
        networks = reference_networks(self.settings, config, sets)
        measured = {
            name: networks.measure(images)
            for name, images in (*sets.synthetic.items(), (CEILING_KEY, sets.test))
        }
        agreements = {model.name: self._agreement(model.model) for model in self.settings.clip}
        training, validation = split_train(self.settings, config, sets)
        return PageSection(
            name="alignment",
            title="Alignment: do images match their prompts?",
            methods=methods(config, len(training), len(validation), networks, agreements),
            references=REFERENCES,
            numbers={
                **measured,
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
            tables=tables(config, measured, agreements),
            plots=plots(measured),
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
