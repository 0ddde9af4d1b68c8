"""Shared head of the readers of image corpora: settings, split, license, and an image's record."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.image_files import wrong_root
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, prepare_image
from roentgen.manifest import License
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import SplitRules

_EXAMPLE = "as configs/data/mimic_cxr_jpg.yaml does"
WITH_REPORTS = f"use a dataset that was prepared with reports ({_EXAMPLE})"
WITH_PATIENTS = f"use a dataset that was prepared with it ({_EXAMPLE})"


@dataclass(frozen=True, kw_only=True)
class ImageCorpusConfig:
    """Settings that corpora of image files share; each names the content of its `root`."""

    root: Path
    """Folder of the corpus."""
    complete: bool = False
    """True: a missing file counts as a bad item. False: missing files are only counted."""


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
class ImageCorpusReader(ABC, Generic[Config]):
    """Head of a reader; see `roentgen.corpora.reader.CorpusReader` for `plan` and `read`."""

    section: ClassVar[str]  # of the configuration, for messages
    source: ClassVar[str]
    license: ClassVar[License]
    published_splits: ClassVar[tuple[str, ...]] = ()  # names that split.published may have
    has_reports: ClassVar[bool] = False
    report_setting: ClassVar[str | None] = None  # gives the reports, where they are a choice
    patient_settings: ClassVar[Mapping[str, str]] = {}  # give age, sex and race, as above

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

    @abstractmethod
    def plan(self) -> CorpusPlan:
        """A cheap scan. Raises InputError for a folder that is not the corpus."""

    @abstractmethod
    def read(self, item: Any) -> Sequence[Radiograph | Unmapped]:
        """The radiograph of one item, and the values of its image file that are lost."""

    def gives_section(self, section: str) -> bool:
        """Whether the reports have this section, with these settings."""
        return self.has_reports

    @classmethod
    def report_remedy(cls) -> str:
        """Remedy for missing reports."""
        if cls.report_setting is not None:
            return f"prepare it again with {cls.section}.{cls.report_setting} ({_EXAMPLE})"
        if not cls.has_reports:
            return f"{cls.section} has no reports, so use a corpus that has ({_EXAMPLE})"
        return WITH_REPORTS

    @classmethod
    def patient_remedy(cls, known: str) -> str:
        """Remedy where no patient's age, sex or race (`known`) is given."""
        if known in cls.patient_settings:
            setting = f"{cls.section}.{cls.patient_settings[known]}"
            return f"prepare it again with {setting} ({_EXAMPLE})"
        return WITH_PATIENTS

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
