"""Alignment: whether it is what was asked for."""

from eval.alignment.clip_agreement import REAL, agreement, embed, prompted_sets
from eval.alignment.config import AlignmentConfig
from eval.alignment.display import (
    REFERENCES,
    Agreement,
    definition,
    plots,
    summary,
    tables,
)
from eval.alignment.judges import finding_judge, judges, judging_films, side_judge
from eval.domain import Domain
from eval.report.section import PageSection
from roentgen.distributed import this_launch
from roentgen.metrics.estimates import Estimate
from roentgen.vision.clip import load_clip


class Alignment(Domain[AlignmentConfig]):
    """Judges' readings of every set, and of the held-out real films, which are the ceiling."""

    def check(self) -> None:
        """Raise InputError for a CLIP model that is absent, or an unknown view token."""
        for model in self.settings.clip:
            load_clip(model.model)
        if self.settings.clip:
            prompted_sets(self.sets)

    def precompute(self) -> None:
        """Train this process's share of the judges; make its share of the CLIP embeddings."""
        launch = this_launch()
        for k, train in enumerate((finding_judge, side_judge)):
            if k % launch.num_processes == launch.process_index:
                train(self.settings, self.config, self.sets)
        for chosen in self.settings.clip:
            model = load_clip(chosen.model, launch.device())
            for images, prompts in prompted_sets(self.sets).values():
                embed(self.config, model, images, prompts, launch)

    def measure(self) -> PageSection:
        """Every set against what was asked for."""
        config, sets = self.config, self.sets
        asked = judges(self.settings, config, sets)
        judged = {
            name: asked.measure(images)
            for name, images in (*sets.synthetic.items(), (REAL, sets.test))
        }
        agreements = {model.name: self._agreement(model.model) for model in self.settings.clip}
        learnt, validation = judging_films(self.settings, config, sets)
        return PageSection(
            name="alignment",
            title="Alignment: is it what was asked for?",
            definition=definition(config, len(learnt), len(validation), asked, agreements),
            references=REFERENCES,
            numbers={
                **judged,
                "clip": {
                    name: {
                        "model": told.model,
                        "pool": told.pool,
                        "too_long": told.too_long,
                        "sets": told.sets,
                    }
                    for name, told in agreements.items()
                },
            },
            summary=summary(judged, agreements),
            tables=tables(config, judged, agreements),
            plots=plots(judged),
        )

    def _agreement(self, source: str) -> Agreement:
        model, prompted = load_clip(source), prompted_sets(self.sets)
        pool, found = agreement(self.settings, self.config, model, prompted)
        synthetic = [prompt for name in self.sets.synthetic for prompt in prompted[name][1]]
        different = list(dict.fromkeys(synthetic))
        by_set: dict[str, dict[str, Estimate]] = found
        return Agreement(
            model=f"{source}: {model.definition}",
            pool=pool,
            too_long=model.too_long(different) if different else 0,
            prompts=len(different),
            sets=by_set,
        )
