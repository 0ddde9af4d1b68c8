"""The radiographs that a format is given, in order and counted; what it cannot take is listed."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from roentgen.dataset.dataset import EXCLUDED, EXCLUDED_COLUMNS, Identities, RadiographDataset
from roentgen.dataset.shards import Tally
from roentgen.record.radiograph import Radiograph
from sample.exports.record import open_table

Refusal = Callable[[Radiograph], str | None]


class Intake:
    """The radiographs of some splits of a dataset; iterating writes excluded.csv into `folder`.

    `refusal` says why a radiograph cannot be written, None where it can.
    """

    def __init__(
        self, dataset: RadiographDataset, splits: Sequence[str], folder: Path, refusal: Refusal
    ) -> None:
        self.fingerprint = dataset.fingerprint
        masks = [set(dataset.manifest["counts"][split]["masks"]) for split in splits]
        self.structures = sorted(set().union(*masks))  # of masks
        self.structures_everywhere = set.intersection(*masks)  # those that every split has
        self._dataset, self._splits = dataset, splits
        self._folder, self._refusal = folder, refusal
        self._identities = Identities()
        self.tallies: dict[str, Tally] = {}
        self.excluded: Counter[str] = Counter()  # by reason
        self.notes: list[str] = []  # what a format has to tell the user at once
        self.models: Counter[str | None] = Counter()  # None: radiographs that are not synthetic

    def __iter__(self) -> Iterator[Radiograph]:
        rows = [(split, self._dataset.split(split)) for split in self._splits]
        total = sum(len(split) for _, split in rows)
        with (
            open_table(self._folder / EXCLUDED, EXCLUDED_COLUMNS) as excluded,
            tqdm(total=total, desc=self._folder.name, unit="image") as bar,
        ):
            for name, split in rows:
                tally = Tally()
                for number in range(len(split)):
                    radiograph = split[number]
                    reason = self._refusal(radiograph)
                    if reason is None:
                        yield radiograph
                        self._count(radiograph, tally)
                    else:
                        excluded.add(radiograph.id, reason, "no")
                        self.excluded[reason] += 1
                    bar.update()
                if tally.rows:
                    self.tallies[name] = tally

    def _count(self, radiograph: Radiograph, tally: Tally) -> None:
        tally.add(radiograph)
        self._identities.add(radiograph.id, radiograph.patient_id, radiograph.split)
        self.models[radiograph.synthesis.model if radiograph.synthesis else None] += 1

    def without_images(self) -> Iterator[Radiograph]:
        """All radiographs in order, refused ones too, with image=b"" and masks={}."""
        for split in self._splits:
            yield from self._dataset.split(split).without_images()

    def patients(self) -> Counter[str]:
        """The number of patients written in each split."""
        return self._identities.patients()
