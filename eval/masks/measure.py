"""Mask fidelity: agreement of images with the masks they were generated from."""

from eval.config import MasksConfig
from eval.domain import Domain
from eval.masks.display import methods, pictures, plots, summary, tables, verdict
from eval.masks.scores import (
    ImageScores,
    MaskFidelity,
    image_scores,
    mask_patients,
    structure_score,
)
from eval.report.section import PageSection
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.structure_masks import check_structures
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.estimates import Estimate, Floats
from roentgen.metrics.paired_scores import MEAN, Score, mean_of, share
from roentgen.vision.network_cache import NetworkCache
from roentgen.vision.segmenter import FOLD, Segmenter

SEED = 0  # of the segmenter's training


class Masks(Domain[MasksConfig]):
    """Dice and IoU of each structure in every set and, as the ceiling, in held-out radiographs."""

    def check(self) -> None:
        """Raise InputError for a set without the masks, or of a size that no segmenter reads."""
        check_have_masks(self.settings.structures, *self.sets.all())

    def precompute(self) -> None:
        """Train the segmenter unless it is cached; the first process does."""
        if this_launch().is_main_process:
            self.segmenter()

    def measure(self) -> PageSection:
        """Scores of every set, and of the held-out radiographs."""
        sets, segmenter = self.sets, self.segmenter()
        compared = {**sets.synthetic, "test": sets.test}
        found = {
            name: image_scores(images, segmenter, self.config.seed)
            for name, images in compared.items()
        }
        numbers = {name: self._of_set(compared[name], scores) for name, scores in found.items()}
        return PageSection(
            name="masks",
            title="Masks: are structures where the masks place them?",
            methods=methods(
                self.config,
                *(len(s.with_masks(segmenter.spec.structures)) for s in (sets.train, sets.test)),
            ),
            numbers=numbers,
            summary=summary(numbers),
            verdicts=verdict(numbers, sets.main),
            tables=tables(numbers, self.settings.structures),
            plots=plots(numbers),
            pictures=tuple(
                group
                for name, images in sets.synthetic.items()
                if self.shows_reference  # the masks and prompts are of its patients
                for group in pictures(self.config, images, found[name].dice, segmenter)
            ),
        )

    def segmenter(self) -> Segmenter:
        """The segmenter of the real train split."""
        cache = NetworkCache(folder=self.config.caches_folder)
        return cache.segmenter(
            self.sets.train, self.settings.structures, self.config.segmenter, SEED
        )

    def _of_set(self, images: ImageSet, found: ImageScores) -> MaskFidelity:
        patients = mask_patients(images)
        weights = resamples(patients, self.config.bootstrap, self.config.seed)

        def by_structure(values: Floats) -> dict[str, Estimate]:
            scores: dict[str, Score] = {
                name: structure_score([values[:, k]], patients, weights, self.config.min_cases)
                for k, name in enumerate(self.settings.structures)
            }
            mean, note = mean_of(list(scores.values()), "structures")
            return {MEAN: share(mean, note), **{name: share(one) for name, one in scores.items()}}

        return MaskFidelity(
            dice=by_structure(found.dice),
            iou=by_structure(found.iou),
            shuffled_dice=by_structure(found.shuffled_dice),
            false_positives=by_structure(found.false_positives),
        )


def check_have_masks(structures: tuple[str, ...], *sets: ImageSet) -> None:
    """Raise InputError for a set without a mask of one of the structures, or of no such size."""
    for images in sets:
        for split in images.splits:
            folder, counts = images.dataset.folder, images.dataset.manifest["counts"]
            check_structures(counts[split.name], structures, str(folder), split.name)
        if images.size % FOLD:
            raise InputError(
                f"images of {images.dataset.folder} have {images.size} pixels a side: segmenters "
                f"read multiples of {FOLD}; prepare both sets at such a size"
            )
