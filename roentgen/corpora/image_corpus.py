"""Shared head of the readers of image corpora: settings, items, split, license and record."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.scan import IMAGES, FileIndex, Scan, optional_file, wrong_root
from roentgen.errors import InputError, UnwantedError
from roentgen.imaging.boxes import SourceBox
from roentgen.imaging.images import Fit, Prepared, encode_png, read_prepared
from roentgen.manifest import License
from roentgen.record.finding import Finding
from roentgen.record.radiograph import VIEWS, Radiograph, Report, Sex, Split, View
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
    chest_only: bool = True
    """Exclude DICOM files whose Modality or BodyPartExamined is not that of a chest radiograph."""


class HasRoot(Protocol):
    """The settings of a corpus in a folder."""

    @property
    def root(self) -> Path:
        """The folder."""

    @property
    def chest_only(self) -> bool:
        """Whether DICOM files of other modalities and body parts are excluded."""


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Settings of the corpora whose tables have a word for each view."""

    views: tuple[View, ...] = VIEWS
    """The views to take."""
    view_words: dict[str, View | None] = field(default_factory=dict)
    """Meanings of further words in the column of views; null: excluded by name."""
    accept_unknown_view: bool = False
    """Take images whose view is not given; their view stays unknown."""

    def view_of(self, word: str, published: Mapping[str, View | None]) -> View | None:
        """The view that a word means; None for a blank one where unknown views are accepted.

        `published` are the meanings of the corpus's own words. Raises UnwantedError for a view that
        the settings exclude, InputError for an unknown word.
        """
        if not word:
            if self.accept_unknown_view:
                return None
            raise UnwantedError("view not given")
        try:
            view = self.view_words[word] if word in self.view_words else published[word]
        except KeyError:
            raise InputError(f"unknown view {word!r}: give its meaning in view_words") from None
        if view is None:
            raise UnwantedError(f"view {word!r} is excluded by name")
        if view not in self.views:
            raise UnwantedError(f"view {view} is not in views")
        return view


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageItem:
    """An accepted image; readers add what their corpus has. Slots keep the plan of many small."""

    id: str  # unique in the corpus
    patient: str  # the split goes by it
    study: str
    split: Split
    path: str  # of the image, below the root
    view: View | None = None
    findings: tuple[Finding, ...] = ()
    report: Report | None = None
    boxes: tuple[SourceBox, ...] = ()  # as drawn
    age: float | None = None  # years
    sex: Sex | None = None
    race: str | None = None


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

    def read(self, item: Any) -> Sequence[Radiograph | Unmapped]:
        """The radiograph of one item, and the values of its image file that are lost."""
        return [self.radiograph(item, self.image(item))]

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

    def index_images(
        self,
        given: str | None,
        published: Sequence[str],
        expected: str,
        suffixes: Collection[str] = IMAGES,
    ) -> FileIndex:
        """The images below the folder `given`, else the first of those published, else the root.

        Raises InputError, with the `expected` content, if there are none.
        """
        root = self.config.root
        files = FileIndex(root, optional_file(root, given, published) or root, suffixes)
        if not len(files):
            raise wrong_root(f"{self.section}.images", files.folder, expected)
        return files

    def finish_plan(
        self, scan: Scan, files: FileIndex, table: Path, named: Collection[str]
    ) -> CorpusPlan:
        """The plan, with the images excluded that are not `named` in the table.

        Raises InputError if none of those named is there.
        """
        if scan.finds_no_file:
            expected = f"the images of {table.name}"
            raise wrong_root(f"{self.section}.images", files.folder, expected)
        for name in files.others(named):
            scan.exclude(name, f"not in {table.name}", expected=True)
        return scan.plan()

    def split_of(self, patient: str, published: Split | None = None) -> Split:
        """The split of a patient; `published` is its split in the published one."""
        return self.split.of_patient(patient, self.seed, published)

    @property
    def white(self) -> int | None:
        """The stored value that is white in images of more than 8 bits, where it is known."""
        return None

    def path(self, item: ImageItem) -> Path:
        """The image file of an item."""
        return self.config.root / item.path

    def image(self, item: ImageItem) -> Prepared:
        """The prepared image.

        Raises InputError for one that cannot be used, UnwantedError for one of no chest.
        """
        return read_prepared(
            *(self.path(item), self.size, self.fit, self.white),
            chest_only=self.config.chest_only,
        )

    def radiograph(
        self,
        item: ImageItem,
        image: Prepared,
        *,
        source: str | None = None,
        license_name: str | None = None,
        **known: Any,
    ) -> Radiograph:
        """The record of an item; `known` are fields that replace its own or that it does not have.

        Source and license default to those of the corpus.
        """
        names = ("view", "findings", "report", "age", "sex", "race")
        return Radiograph(
            id=item.id,
            patient_id=item.patient,
            study_id=item.study,
            split=item.split,
            image=encode_png(image.pixels),
            light=image.light,
            source=self.source if source is None else source,
            license=self.license.name if license_name is None else license_name,
            **{name: getattr(item, name) for name in names} | known,
        )


def visible_masks(
    masks: Mapping[str, bytes | None],
) -> tuple[dict[str, bytes], list[Unmapped]]:
    """The masks with pixels in the prepared image, and the others (None) to be counted."""
    empty = [name for name, mask in masks.items() if mask is None]
    why = "no pixel in the prepared image: left unknown"
    return (
        {name: mask for name, mask in masks.items() if mask is not None},
        [Unmapped("mask", name, why) for name in empty],
    )
