"""A corpus described by a table: image paths plus columns that the configuration maps."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from roentgen.corpora.reader import Exclusion, Plan, Unmapped
from roentgen.corpora.scanning.mask_table import MaskTable, plan_masks
from roentgen.corpora.scanning.row_filter import Where, check_path
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.value_mapping import (
    Meanings,
    finding_of_value,
    parse_age,
    parse_sex,
    parse_split,
    view_of,
)
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, open_gray, prepare_image
from roentgen.imaging.masks import prepare_mask
from roentgen.manifest import License
from roentgen.record.findings import Finding, FindingName
from roentgen.record.radiograph import Radiograph, Report, Split
from roentgen.record.splits import SplitRules, split_of_patient
from roentgen.record.views import View
from roentgen.setting_checks import require


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
    licenses: tuple[License, ...]
    """The terms of every licence that the rows name."""
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
    """What other words than PA, AP, LATERAL mean; null: unknown."""
    findings: str | None = None
    """Column with a list of finding words."""
    separator: str = ";"
    """What stands between finding words."""
    meanings: dict[str, Finding | None] = field(default_factory=dict)
    """What a finding word means; null: excluded by name. Others are listed in unmapped.csv."""
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
    """Column with the licence's name; null: the one licence above holds for all."""
    where: tuple[Where, ...] = ()
    """Which rows to take; the others are listed in excluded.csv."""
    masks: MaskTable | None = None
    """Masks of the images."""

    def __post_init__(self) -> None:
        require(len(self.licenses) > 0, "table.licenses is empty: name the terms of the images")
        require(
            self.license_column is not None or len(self.licenses) == 1,
            "table.licenses has several entries: set table.license_column",
        )


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row that passed the scan."""

    id: str
    row: dict[str, str]
    split: Split
    masks: tuple[tuple[str, str], ...] = ()  # (structure, path)


@dataclass(frozen=True)
class TableReader:
    """Reads a table corpus; see `roentgen.corpora.reader.CorpusReader`."""

    config: TableConfig
    split: SplitRules
    size: int | None
    fit: Fit
    seed: int

    @property
    def licenses(self) -> Sequence[License]:
        """All licences that rows may name."""
        return self.config.licenses

    @cached_property
    def _columns(self) -> list[str]:
        c = self.config
        single = [c.image, c.patient_id, c.id, c.study_id, c.view, c.findings, c.age, c.sex]
        single += [c.source_column, c.license_column, self.split.column]
        if c.report:
            single += [c.report.findings, c.report.impression]
            single += [c.report.indication, c.report.comparison]
        named = [*(w.column for w in c.where), *c.finding_columns]
        return [column for column in [*single, *named] if column is not None]

    def plan(self) -> Plan:
        """Scan the tables; images are not touched."""
        if not self.config.root.is_dir():
            raise InputError(f"table.root {self.config.root} is not a folder")
        masks, excluded = plan_masks(self.config.masks, self.fit) if self.config.masks else ({}, [])
        unmapped: Counter[Unmapped] = Counter()
        items: dict[str, Item] = {}
        splits: dict[str, Split] = {}
        meanings = Meanings(self.config.meanings, self.config.separator)
        path = self.config.root / self.config.file
        for number, row in enumerate(read_rows(path, self._columns), start=1):
            try:
                item = self._plan_row(row, number, masks)
            except InputError as error:
                name = row[self.config.image] if row else f"row {number}"
                excluded.append(Exclusion(id=name, reason=str(error)))
                continue
            if isinstance(item, Exclusion):
                excluded.append(item)
                continue
            if item.id in items:
                excluded.append(Exclusion(id=item.id, reason="the id stands twice in the table"))
                continue
            patient = item.row[self.config.patient_id]
            if splits.setdefault(patient, item.split) != item.split:
                raise InputError(
                    f"{path}: patient {patient!r} is in both {splits[patient]} and {item.split}; "
                    "use split.fractions"
                )
            items[item.id] = item
            if self.config.findings is not None:
                unmapped.update(meanings.unmapped(item.row[self.config.findings]))
        return Plan(list(items.values()), excluded, unmapped)

    def _plan_row(
        self, row: dict[str, str] | None, number: int, masks: dict[str, dict[str, str]]
    ) -> Item | Exclusion:
        """Raises InputError for a row that cannot be used."""
        c = self.config
        if row is None:
            raise InputError("the row has not as many fields as the header, or is no JSON object")
        image = row[c.image]
        name = row[c.id] if c.id else str(PurePosixPath(image).with_suffix("")) if image else ""
        if not name or not image:
            raise InputError(f"row {number} has no {'image' if not image else 'id'}")
        for where in c.where:
            refusal = where.refusal(row[where.column])
            if refusal:
                return Exclusion(id=name, reason=refusal, expected=True)
        check_path(image)
        if not row[c.patient_id]:
            raise InputError(f"{c.patient_id} is blank: the split needs the patient")
        known = [item.name for item in c.licenses]
        if c.license_column and row[c.license_column] not in known:
            raise InputError(
                f"licence {row[c.license_column]!r} is not in table.licenses: {', '.join(known)}"
            )
        if self.split.column is not None:
            split = parse_split(row[self.split.column], self.split.words)
        else:
            assert self.split.fractions is not None
            split = split_of_patient(row[c.patient_id], self.seed, self.split.fractions)
        mine = tuple(sorted(masks.get(image, {}).items()))
        return Item(id=name, row=row, split=split, masks=mine)

    def read(self, item: Item) -> list[Radiograph]:
        """Read one row's image and masks."""
        c, row = self.config, item.row
        path = c.root / row[c.image]
        pixels = prepare_image(path, self.size, self.fit)
        masks = {}
        for structure, file in item.masks:
            assert c.masks is not None
            check_path(file)
            size = open_gray(path).size
            masks[structure] = prepare_mask(c.masks.root / file, size, self.size, self.fit)
        radiograph = Radiograph(
            id=item.id,
            patient_id=row[c.patient_id],
            study_id=row[c.study_id] if c.study_id and row[c.study_id] else item.id,
            split=item.split,
            image=encode_png(pixels),
            view=view_of(row[c.view], c.views) if c.view else None,
            findings=tuple(self._findings(row)),
            report=self._report(row),
            masks=masks,
            age=parse_age(row[c.age]) if c.age else None,
            sex=parse_sex(row[c.sex]) if c.sex else None,
            source=row[c.source_column] if c.source_column else c.source or c.root.name,
            license=row[c.license_column] if c.license_column else c.licenses[0].name,
        )
        return [radiograph]

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
        if columns is None:
            return None

        def section(column: str | None) -> str | None:
            return (row[column].strip() or None) if column else None

        report = Report(
            findings=section(columns.findings),
            impression=section(columns.impression),
            indication=section(columns.indication),
            comparison=section(columns.comparison),
        )
        return None if report == Report() else report
