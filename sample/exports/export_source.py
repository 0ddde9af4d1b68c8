"""Source of an export format: the radiographs to write, with counts and a list of the excluded."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from roentgen.dataset.dataset import EXCLUDED, EXCLUDED_COLUMNS, Identities, RadiographDataset
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.shards import RadiographCounts
from roentgen.record.radiograph import Radiograph
from roentgen.terminal.progress import Progress
from sample.exports.lineage import LineageFilter
from sample.exports.serialization import open_csv

ExclusionReason = Callable[[Radiograph], str | None]


class ExportSource:
    """The radiographs of a dataset to write; iterating writes excluded.csv into `folder`.

    `exclusion_reason` gives why a radiograph cannot be written, None if it can (None:
    all can); `lineage` removes
    what may not leave of its identifiers and texts.
    """

    def __init__(
        self,
        dataset: RadiographDataset,
        images: ImageSet,
        folder: Path,
        exclusion_reason: ExclusionReason | None,
        lineage: LineageFilter,
    ) -> None:
        self.dataset, self.folder, self.lineage = dataset, folder, lineage
        masks = [set(dataset.manifest["counts"][split.name]["masks"]) for split in images.splits]
        self.structures = sorted(set().union(*masks))  # of masks
        self.structures_everywhere = set.intersection(*masks)  # those that every split has
        self.images = images
        self._exclusion_reason = exclusion_reason
        self._identities = Identities()
        self.counts: dict[str, RadiographCounts] = {}
        self.excluded: Counter[str] = Counter()  # by reason
        self.notes: list[str] = []  # messages of a format to the user
        self.models: Counter[str | None] = Counter()  # None: radiographs that are not synthetic

    def __iter__(self) -> Iterator[Radiograph]:
        with (
            open_csv(self.folder / EXCLUDED, EXCLUDED_COLUMNS) as excluded,
            Progress(len(self.images), self.folder.name, "image") as bar,
        ):
            for item in range(len(self.images)):
                radiograph = self.lineage(self.images[item])
                reason = self._exclusion_reason(radiograph) if self._exclusion_reason else None
                if reason is None:
                    yield radiograph
                    self.counts.setdefault(radiograph.split, RadiographCounts()).add(radiograph)
                    self._identities.add(radiograph.id, radiograph.patient_id, radiograph.split)
                    self.models[radiograph.synthesis.model if radiograph.synthesis else None] += 1
                else:
                    excluded.add(radiograph.id, reason, "no")
                    self.excluded[reason] += 1
                bar.update()

    def records(self) -> Iterator[Radiograph]:
        """All radiographs without pixels, also those that cannot be written."""
        return map(self.lineage, self.images.without_images())

    def patients(self) -> Counter[str]:
        """The number of patients written in each split."""
        return self._identities.patients()
