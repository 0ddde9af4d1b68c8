"""Shared head of the readers of image corpora: settings, split, license, and an image's record."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from roentgen.corpora.scanning.image_files import wrong_root
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, prepare_image
from roentgen.manifest import License
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import SplitRules


@dataclass(frozen=True, kw_only=True)
class ImageCorpusConfig:
    """Settings that corpora of image files share; each names the content of its `root`."""

    root: Path
    """Folder of the corpus."""
    complete: bool = False
    """Whether all files should be here: a missing one is then a bad item. False: a partial copy,
    whose missing files are only counted."""


class HasRoot(Protocol):
    """The settings of a corpus in a folder."""

    @property
    def root(self) -> Path:
        """The folder."""


class ImageItem(Protocol):
    """An accepted image. Items are NamedTuples, so that the plan of a large corpus stays small."""

    @property
    def id(self) -> str:
        """Unique in the corpus."""

    @property
    def patient(self) -> str:
        """The id that the split goes by."""

    @property
    def study(self) -> str:
        """The id of the study."""

    @property
    def split(self) -> Split:
        """The split of the patient."""

    @property
    def path(self) -> str:
        """Path of the image below the root."""


Config = TypeVar("Config", bound=HasRoot)


@dataclass(frozen=True)
class ImageCorpusReader(Generic[Config]):
    """Head of a reader; see `roentgen.corpora.reader.CorpusReader` for what it adds."""

    section: ClassVar[str]  # of the configuration, for messages
    source: ClassVar[str]
    license: ClassVar[License]
    published_splits: ClassVar[tuple[str, ...]] = ()  # names that split.published may have

    config: Config
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    def __post_init__(self) -> None:
        self.split.check_published(self.published_splits)

    @property
    def licenses(self) -> Sequence[License]:
        """The terms of the corpus."""
        return (self.license,)

    def wrong_root(self, expected: str) -> InputError:
        """The error for a root folder that does not hold the corpus."""
        return wrong_root(f"{self.section}.root", self.config.root, expected)

    def split_of(self, patient: str, published: Split | None = None) -> Split:
        """The split of a patient; `published` is its split in the published one."""
        return self.split.of_patient(patient, self.seed, published)

    def path(self, item: ImageItem) -> Path:
        """The image file of an item."""
        return self.config.root / item.path

    def image(self, item: ImageItem) -> bytes:
        """The prepared image as a PNG. Raises InputError for one that cannot be used."""
        return encode_png(prepare_image(self.path(item), self.size, self.fit))

    def radiograph(
        self,
        item: ImageItem,
        image: bytes,
        *,
        source: str | None = None,
        license_name: str | None = None,
        **known: Any,
    ) -> Radiograph:
        """The record of an item; `known` are its other fields.

        Source and license default to those of the corpus.
        """
        return Radiograph(
            id=item.id,
            patient_id=item.patient,
            study_id=item.study,
            split=item.split,
            image=image,
            source=self.source if source is None else source,
            license=self.license.name if license_name is None else license_name,
            **known,
        )
