"""Segmentation utility: gain of a segmenter from training on synthetic images."""

from dataclasses import dataclass
from functools import cached_property

from eval.config import SegmentationConfig
from eval.domain import Domain
from eval.leakage import held_out_prompts
from eval.masks.measure import check_have_masks
from eval.masks.scores import image_scores, structure_score
from eval.networks import Regime, Training, regimes, trainings
from eval.report.section import PageSection
from eval.segmentation.display import entry, methods, plots, summary, tables, verdicts
from roentgen.dataset.image_set import ImageSet, join
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.estimates import Floats, NotMeasured
from roentgen.metrics.paired_scores import MEAN, Gain, Score, difference, gain, mean_of
from roentgen.terminal.progress import Progress
from roentgen.vision.network_cache import NetworkCache, segmenter_key


@dataclass(frozen=True, kw_only=True)
class SegmentationPlan:
    """The segmenters to train, and the regimes that are not measured."""

    train: ImageSet
    """The radiographs to train on, or to sample from."""
    requested: list[Regime]
    trainings: list[Training]
    not_measured: dict[Regime, NotMeasured]


class Segmentation(Domain[SegmentationConfig]):
    """The same segmenter trained in each regime, tested on held-out radiographs."""

    def check(self) -> None:
        """Raise InputError for a set without the masks, or with masks of held-out patients."""
        sets, synthetic = self.sets, self.sets.synthetic[self.sets.main]
        wanted = self.settings.radiographs
        check_have_masks(self.settings.structures, sets.train, sets.test, synthetic)
        there = len(sets.train.with_masks(self.settings.structures))
        if wanted is not None and wanted > there:
            raise InputError(
                f"segmentation.radiographs is {wanted}, but {there} of the train split have masks: "
                "give no more, or null for all"
            )
        leaked = sorted(held_out_prompts(synthetic, sets.test))
        if leaked:
            raise InputError(
                f"synthetic.{synthetic.name} was generated from masks of {len(leaked)} patients "
                "that are held out here "
                f"({', '.join(leaked[:5])}{', ...' if len(leaked) > 5 else ''}): "
                "segmenters must not train on them; generate it from the train split's masks, or "
                "set segmentation=null"
            )

    @cached_property
    def plan(self) -> SegmentationPlan:
        """All segmenters of this evaluation, cached or not."""
        settings = self.settings
        requested = regimes(("mixed",), (settings.radiographs,), settings.multiples)
        if settings.synthetic_alone:
            requested.append(Regime(kind="synthetic"))
        train = self.sets.train.with_masks(settings.structures)
        synthetic = len(self.sets.synthetic[self.sets.main])
        every, not_measured = trainings(requested, settings.seeds, train.patients, synthetic)
        return SegmentationPlan(
            train=train, requested=requested, trainings=every, not_measured=not_measured
        )

    def precompute(self) -> None:
        """Train this process's share of the segmenters, unless they are cached."""
        launch = this_launch()
        mine = self.plan.trainings[launch.process_index :: launch.num_processes]
        shown = launch.is_main_process
        for each in Progress(len(mine), "train", "segmenter", shown=shown).over(mine):
            self._scores(each)

    def measure(self) -> PageSection:
        """Dice and false positives of each regime, and the gains over radiographs alone."""
        plan, settings, test = self.plan, self.settings, self.sets.test
        weights = resamples(test.patients, self.config.bootstrap, self.config.seed)
        dice: dict[Regime, dict[str, Score]] = {}
        false_positives: dict[Regime, dict[str, Score]] = {}
        for regime in plan.requested:
            if regime not in plan.not_measured:
                mine = [self._scores(each) for each in plan.trainings if each.regime == regime]
                dice[regime], false_positives[regime] = (
                    {
                        name: structure_score(
                            [each[kind][:, k] for each in mine],
                            test.patients,
                            weights,
                            self.config.min_cases,
                        )
                        for k, name in enumerate(settings.structures)
                    }
                    for kind in (0, 1)
                )
        trained = {
            regime.name: entry(
                dice[regime],
                false_positives[regime],
                [t for t in plan.trainings if t.regime == regime],
            )
            if regime in dice
            else {"note": plan.not_measured[regime].note}
            for regime in plan.requested
        }
        gains = gains_over_real(dice)
        return PageSection(
            name="segmentation",
            title="Segmentation: does training a segmenter on synthetic images help?",
            methods=methods(
                self.config,
                settings,
                settings.radiographs or len(plan.train),
                len(test.with_masks(settings.structures)),
                self.sets.main,
            ),
            numbers={"set": self.sets.main, "trained": trained, "gains": gains},
            summary=summary(self.sets.main, gains),
            verdicts=verdicts(gains),
            tables=tables(trained, gains, settings),
            plots=plots(trained),
        )

    def _scores(self, training: Training) -> list[Floats]:
        """Dice and false positives (N, structures) of a segmenter on the held-out radiographs."""
        structures, test = self.settings.structures, self.sets.test
        synthetic = self.sets.synthetic[self.sets.main].take(training.synthetic)
        together = join(s for s in (self.plan.train.take(training.real), synthetic) if len(s))
        cache = NetworkCache(folder=self.config.caches_folder)
        network = together, structures, self.config.segmenter, training.seed
        key = fingerprint_of([segmenter_key(*network), test.key])

        def find() -> list[Floats]:
            segmenter = cache.train_segmenter(*network)
            found = image_scores(test, segmenter, self.config.seed)
            return [found.dice, found.false_positives]

        return cache.arrays(f"segmentation-{key}", 2, find)


def gains_over_real(scores: dict[Regime, dict[str, Score]]) -> dict[str, dict[str, Gain]]:
    """By regime: the gain in Dice over radiographs alone, of the mean and of each structure.

    Bonferroni's corrections: a mean is tested once a regime, a structure once a regime and
    structure.
    """
    base, *others = scores
    result = {}
    for regime in others:
        changes = {
            name: difference(scores[regime][name], scores[base][name]) for name in scores[base]
        }
        mean, note = mean_of(list(changes.values()), "structures")
        result[regime.name] = {
            MEAN: gain(mean, len(others), note),
            **{name: gain(each, len(others) * len(changes)) for name, each in changes.items()},
        }
    return result
