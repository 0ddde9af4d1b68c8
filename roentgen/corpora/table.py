"""Table corpus: image paths plus columns that the configuration maps."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from roentgen.corpora.image_corpus import ImageCorpusReader, ImageItem, visible_masks
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.row_filter import (
    MaskTable,
    RowFilter,
    RowFilters,
    read_mask_table,
)
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import IMAGES, FolderListing, Scan, check_path, id_of_path
from roentgen.corpora.scanning.value_mapping import (
    Meanings,
    finding_of_value,
    parse_age,
    parse_sex,
    parse_split,
    report_of_columns,
    view_of_cell,
)
from roentgen.errors import InputError, UnwantedError, require
from roentgen.imaging.images import image_size
from roentgen.imaging.masks import prepare_mask
from roentgen.manifest import License
from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import Radiograph, Report, View


@dataclass(frozen=True, kw_only=True)
class ReportColumns:
    """The columns that hold a report's sections."""

    findings: str | None = None
    """Column of the findings section."""
    impression: str | None = None
    """Column of the impression."""
    indication: str | None = None
    """Column of the indication."""
    comparison: str | None = None
    """Column of the comparison."""


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """A CSV, TSV (also .gz) or Parquet table of image paths; fields name its columns."""

    root: Path
    """Folder that the image paths start from."""
    file: str
    """The table, below `root`."""
    licenses: tuple[License, ...] = ()
    """The terms of the images' license, or of those that `license_column` names; a name in the
    column without terms here has terms that do not allow to share."""
    image: str
    """Column with the image's path."""
    patient_id: str
    """Column with the patient."""
    id: str | None = None
    """Column with the radiograph's id; null: the image's path without suffix."""
    study_id: str | None = None
    """Column with the study; null: each radiograph is a study."""
    view: str | None = None
    """Column with the view; blank means unknown."""
    views: dict[str, View | None] = field(default_factory=dict)
    """Meanings of other words than PA, AP, LATERAL; null: unknown."""
    findings: str | None = None
    """Column with a list of finding words."""
    separator: str = ";"
    """Separator of the finding words."""
    meanings: dict[str, Finding | None] = field(default_factory=dict)
    """Meanings of the finding words; null: excluded by name. Others are listed in unmapped.csv."""
    finding_columns: dict[str, FindingName] = field(default_factory=dict)
    """Columns with one finding each: 1 present, 0 absent, -1 uncertain, blank not mentioned."""
    report: ReportColumns | None = None
    """Columns with report sections."""
    age: str | None = None
    """Column with the age in years."""
    sex: str | None = None
    """Column with the sex: F or M."""
    source_column: str | None = None
    """Column with the source's name."""
    source: str | None = None
    """The source's name, if no column has it; null: the root folder's name."""
    license_column: str | None = None
    """Column with the license's name; null: the one license above holds for all."""
    where: tuple[RowFilter, ...] = ()
    """Which rows to take; the others are listed in excluded.csv."""
    masks: MaskTable | None = None
    """Masks of the images."""
    white: int | None = None
    """The stored value that is white in images of more than 8 bits, such as 65535; null: the gray
    range of each image is measured."""
    complete: bool = False
    """True: a missing image counts as a bad item. False: missing images are only counted."""
    chest_only: bool = True
    """Exclude DICOM files whose Modality or BodyPartExamined is not that of a chest radiograph."""

    def __post_init__(self) -> None:
        require(
            self.license_column is not None or len(self.licenses) > 0,
            "table.licenses is empty: name the terms of the images, or set table.license_column",
        )
        for word in self.meanings:
            require(
                self.findings is None or self.separator not in word,
                f"table.meanings has {word!r}, which is never found, for cells are divided at "
                f"{self.separator!r}: give each part a meaning of its own",
            )
        require(
            self.license_column is not None or len(self.licenses) == 1,
            "table.licenses has several entries: set table.license_column",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TableItem(ImageItem):
    """One row that passed the scan."""

    row: dict[str, str]
    masks: tuple[tuple[str, str], ...]  # (structure, path)


@dataclass(frozen=True)
class TableReader(ImageCorpusReader[TableConfig]):
    """Reads a table of image paths."""

    section = "table"
    has_reports = True
    report_setting = "report"

    def __post_init__(self) -> None:
        if self.split.column is None:
            super().__post_init__()

    @cached_property
    def licenses(self) -> Sequence[License]:
        """Those of the configuration, and others that rows name, which do not allow to share."""
        c = self.config
        if c.license_column is None:
            return c.licenses
        rows = read_rows(c.root / c.file, [c.license_column])
        found = sorted({row[c.license_column] for row in rows if row} - {""})
        known = {terms.name for terms in c.licenses}
        others = [License(name=n, data_use=None, may_share=False) for n in found if n not in known]
        return (*c.licenses, *others)

    def gives_section(self, section: str) -> bool:
        """Whether the section has a column."""
        return getattr(self.config.report, section, None) is not None

    @cached_property
    def _columns(self) -> list[str]:
        c = self.config
        single = [c.image, c.patient_id, c.id, c.study_id, c.view, c.findings, c.age, c.sex]
        single += [c.source_column, c.license_column, self.split.column]
        single += vars(c.report).values() if c.report else ()
        named = [*(w.column for w in c.where), *c.finding_columns]
        return [column for column in [*single, *named] if column is not None]

    def plan(self) -> CorpusPlan:
        """Scan the tables; images are not touched."""
        where = RowFilters(self.config.where)
        scan = self.scan(where)
        self.finish(scan, where, self.config.file)
        scan.check_splits(str(self.config.root / self.config.file))
        return scan.plan()

    def finish(self, scan: Scan, where: RowFilters, table: str) -> None:
        """Raises InputError if no image is there, or for a filter that no row could pass."""
        where.check(f"{self.section}.where", table)
        if scan.finds_no_file:
            raise self.wrong_root(f"the images of {table}")

    def scan(self, where: RowFilters) -> Scan:
        """The rows, before patients are compared."""
        c = self.config
        if not c.root.is_dir():
            raise InputError(f"table.root {c.root} is not a folder")
        scan, files = Scan(complete=c.complete), FolderListing(c.root)
        masks = read_mask_table(c.masks, self.fit, scan) if c.masks else {}
        meanings = Meanings(c.meanings, c.separator)
        table = c.root / c.file
        named = set()
        for place, row in scan.rows(table, self._columns):
            named.add(row[c.image])
            name = row[c.id] if c.id else id_of_path(row[c.image])
            with scan.excluding(name if name and row[c.image] else place):
                item = self._plan_row(name, row, where, files, masks)
                if name in scan.items:
                    raise InputError("the id appears twice in the table")
                scan.accept(item, meanings.unmapped(row[c.findings]) if c.findings else ())
        self._exclude_others(scan, files, named, masks)
        return scan

    def _exclude_others(
        self,
        scan: Scan,
        files: FolderListing,
        named: Collection[str],
        masks: dict[str, dict[str, str]],
    ) -> None:
        """List the images beside those of the table that no row names; masks are none."""
        c = self.config
        images = {os.path.normpath(path) for path in named}
        paths: set[str] = set()
        if c.masks is not None:
            below = Path(os.path.relpath(c.masks.root, c.root))
            of_images = (path for of_image in masks.values() for path in of_image.values())
            paths = {os.path.normpath(below / path) for path in of_images}
        known = images | paths
        for folder in sorted({path.rpartition("/")[0] for path in images}):
            if folder.startswith(("/", "..")):
                continue
            for name in sorted(files.names(folder)):
                path = f"{folder}/{name}" if folder else name
                if name.lower().endswith(IMAGES) and path not in known:
                    scan.exclude(path, f"not in {c.file}", expected=True)

    def _plan_row(
        self,
        name: str,
        row: dict[str, str],
        where: RowFilters,
        files: FolderListing,
        masks: dict[str, dict[str, str]],
    ) -> TableItem:
        """Raises InputError for a row that cannot be used."""
        c = self.config
        image, patient = row[c.image], row[c.patient_id]
        if not image or (c.id and not name):
            raise InputError(f"the row has no {'image' if not image else 'id'}")
        if refusal := where.refusal(row):
            raise UnwantedError(refusal)
        check_path(image)
        if not patient:
            raise InputError(f"{c.patient_id} is blank: the split needs the patient")
        if c.license_column and not row[c.license_column]:
            raise InputError(f"{c.license_column} is blank: the terms of the image are not known")
        files.find(os.path.normpath(image))
        if self.split.column is not None:
            split = parse_split(row[self.split.column], self.split.words)
        else:
            split = self.split_of(patient)
        return TableItem(
            id=name,
            patient=patient,
            study=self._study(row, name),
            split=split,
            path=image,
            row=row,
            masks=tuple(sorted(masks.get(image, {}).items())),
        )

    @property
    def white(self) -> int | None:
        """As the settings state it."""
        return self.config.white

    def _study(self, row: dict[str, str], name: str) -> str:
        column = self.config.study_id
        return row[column] if column and row[column] else name

    def read(self, item: TableItem) -> list[Radiograph | Unmapped]:
        """Read one row's image and masks."""
        c, row = self.config, item.row
        image = self.image(item)
        masks: dict[str, bytes | None] = {}
        for structure, file in item.masks:
            assert c.masks is not None
            check_path(file)
            size = image_size(self.path(item))
            masks[structure] = prepare_mask(c.masks.root / file, size, self.size, self.fit)
        shown, empty = visible_masks(masks)
        return [
            self.radiograph(
                item,
                image,
                view=view_of_cell(row[c.view], c.views) if c.view else None,
                findings=tuple(self._findings(row)),
                report=self._report(row),
                masks=shown,
                age=parse_age(row[c.age]) if c.age else None,
                sex=parse_sex(row[c.sex]) if c.sex else None,
                source=row[c.source_column] if c.source_column else c.source or c.root.name,
                license_name=row[c.license_column] if c.license_column else c.licenses[0].name,
            ),
            *empty,
        ]

    def _findings(self, row: dict[str, str]) -> Iterator[Finding]:
        c = self.config
        if c.findings is not None:
            yield from Meanings(c.meanings, c.separator).findings(row[c.findings])
        for column, name in c.finding_columns.items():
            finding = finding_of_value(column, name, row[column])
            if finding is not None:
                yield finding

    def _report(self, row: dict[str, str]) -> Report | None:
        columns = self.config.report
        report = Report() if columns is None else report_of_columns(row, vars(columns))
        return None if report == Report() else report
