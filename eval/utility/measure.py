"""Utility: gain of a classifier from training on synthetic images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eval.config import UtilityConfig
from eval.domain import Domain
from eval.leakage import held_out_prompts, named_patients
from eval.networks import Regime, Training, hold_out, regimes, trainings
from eval.report.section import PageSection
from eval.subgroups import groups_of
from eval.utility.display import (
    REFERENCES,
    entry,
    headline,
    methods,
    plots,
    summary,
    tables,
    verdicts,
)
from eval.utility.gain_curve import gain_curves
from eval.utility.scores import HeldOutLabels, Predictions, gains, score_regime
from roentgen.dataset.image_set import ImageSet, join
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.classification.finding_scores import not_learnable
from roentgen.metrics.estimates import Floats, NotMeasured
from roentgen.record.finding import FindingName
from roentgen.terminal.progress import Progress
from roentgen.vision.network_cache import NetworkCache, Phase
from roentgen.vision.network_settings import ClassifierConfig


@dataclass(frozen=True, kw_only=True)
class UtilityPlan:
    """The networks to train, and the regimes and findings that are not measured."""

    train: ImageSet
    """The radiographs that are trained on."""
    validation: ImageSet
    """The radiographs that operating points are chosen on: other patients."""
    synthetic: ImageSet
    requested: list[Regime]
    trainings: list[Training]
    not_measured: dict[Regime, NotMeasured]
    not_learned: dict[Regime, dict[FindingName, NotMeasured]]


class Utility(Domain[UtilityConfig]):
    """The same network trained in each regime, tested on held-out radiographs."""

    def check(self) -> None:
        """Raise InputError if the set has held-out patients of its own, or steps are too few."""
        synthetic = self.sets.synthetic[self.sets.main]
        leaked = named_patients(synthetic, self.sets.test)
        if leaked:
            names = ", ".join(sorted(leaked)[:5]) + (", ..." if len(leaked) > 5 else "")
            raise InputError(
                f"synthetic.{synthetic.name} holds {len(leaked)} patients that are held out here "
                f"({names}): networks must not train on them; exclude their images, or set "
                "utility=null"
            )
        if "pretrained" in self.settings.regimes and self.classifier.steps < 2:
            raise InputError(
                "classifier.steps is 1, but utility.regimes has pretrained: give 2 or more"
            )

    @property
    def classifier(self) -> ClassifierConfig:
        """The network that is trained."""
        return self.settings.classifier or self.config.classifier

    @cached_property
    def plan(self) -> UtilityPlan:
        """All networks of this evaluation, cached or not."""
        config, settings = self.config, self.settings
        synthetic = self.sets.synthetic[self.sets.main]
        held_out, rest = hold_out(self.sets.train.patients, settings.validation, config.seed)
        train = self.sets.train.take(rest)
        requested = regimes(settings.regimes, settings.radiographs, settings.multiples)
        every, not_measured = trainings(requested, settings.seeds, train.patients, len(synthetic))
        not_learned: dict[Regime, dict[FindingName, NotMeasured]] = {}
        for regime in requested:
            for each in (t for t in every if t.regime == regime):
                labels = np.concatenate([train.labels[each.real], synthetic.labels[each.synthetic]])
                patients = [
                    *(train.patients[row] for row in each.real),
                    *(synthetic.patients[row] for row in each.synthetic),
                ]
                missing = not_learnable(labels, patients, config.findings, config.min_cases)
                not_learned[regime] = missing | not_learned.get(regime, {})
            if regime in not_learned and len(not_learned[regime]) == len(config.findings):
                not_measured[regime] = NotMeasured("no finding has enough labels to train on")
        return UtilityPlan(
            train=train,
            validation=self.sets.train.take(held_out),
            synthetic=synthetic,
            requested=requested,
            trainings=[t for t in every if t.regime not in not_measured],
            not_measured=not_measured,
            not_learned=not_learned,
        )

    def precompute(self) -> None:
        """Train this process's share of the networks, unless their predictions are cached."""
        launch = this_launch()
        mine = self.plan.trainings[launch.process_index :: launch.num_processes]
        shown = launch.is_main_process
        for each in Progress(len(mine), "train", "network", shown=shown).over(mine):
            self._predicted(each)

    def measure(self) -> PageSection:
        """The scores of each regime, and the gains over radiographs alone."""
        plan, config, test = self.plan, self.config, self.sets.test
        labels = HeldOutLabels.of(
            test.labels,
            test.patients,
            groups_of(test.radiographs),
            (plan.validation.labels, plan.validation.patients),
            config.findings,
            min_cases=config.min_cases,
            samples=config.bootstrap,
            seed=config.seed,
        )
        trainings_of = {
            regime: [each for each in plan.trainings if each.regime == regime]
            for regime in plan.requested
            if regime not in plan.not_measured
        }
        scores = {}
        for regime, mine in trainings_of.items():
            held_out, validation = zip(*(self._predicted(each) for each in mine), strict=True)
            predictions = Predictions(
                held_out=held_out, validation=validation, not_learned=plan.not_learned[regime]
            )
            scores[regime] = score_regime(predictions, labels)
        found_gains = gains(
            {regime.name: found for regime, found in scores.items()},
            {regime.name: regime.base.name for regime in scores if regime.kind != "real"},
            config.findings,
        )
        curves = gain_curves(plan.requested, found_gains, len(plan.train))
        trained = {
            regime.name: entry(scores[regime], trainings_of[regime])
            if regime in scores
            else {"note": plan.not_measured[regime].note}
            for regime in plan.requested
        }
        counts = {
            "trained_on": len(plan.train),
            "validation": len(plan.validation),
            "held_out": len(test),
        }
        return PageSection(
            name="utility",
            title="Utility: does training on synthetic images help?",
            methods=methods(
                config,
                self.settings,
                counts,
                size=test.size,
                synthetic=plan.synthetic.name,
                held_out_prompts=len(held_out_prompts(plan.synthetic, test)),
            ),
            references=REFERENCES,
            numbers={
                "set": plan.synthetic.name,
                "counts": counts,
                "trained": trained,
                "gains": found_gains,
            },
            summary=summary(plan.synthetic.name, plan.requested, found_gains),
            verdicts=verdicts(plan.requested, found_gains, curves),
            headline=headline(plan.requested, trained, curves),
            tables=tables(config.findings, trained, found_gains, self.settings.seeds),
            plots=plots(plan.requested, trained, curves),
        )

    def _predicted(self, training: Training) -> list[Floats]:
        """The network's predictions on the held-out and the validation radiographs."""
        settings, classifier = self.settings, self.classifier
        steps, rate = classifier.steps, classifier.learning_rate
        real = self.plan.train.take(training.real)
        synthetic = self.plan.synthetic.take(training.synthetic)
        phases = [
            Phase(
                images=join(s for s in (real, synthetic) if len(s)), steps=steps, learning_rate=rate
            )
        ]
        if training.regime.kind == "pretrained":
            first = min(max(1, round(settings.pretraining * steps)), steps - 1)
            rest, lower = steps - first, settings.fine_tuning * rate
            phases = [
                Phase(images=synthetic, steps=first, learning_rate=rate),
                Phase(images=real, steps=rest, learning_rate=lower),
            ]
        sets = [self.sets.test, self.plan.validation]
        cache = NetworkCache(folder=self.config.caches_folder)
        return cache.probabilities(phases, classifier, training.seed, sets)
