"""Assembly of finished parts to a dataset: the last step of a preparation."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from roentgen.corpora.reader import CorpusPlan, Exclusion, Unmapped
from roentgen.csv_table import CsvTable
from roentgen.dataset.dataset import EXCLUDED, EXCLUDED_COLUMNS, Identities, open_dataset
from roentgen.dataset.finalize import SPLITS, finalize_dataset
from roentgen.dataset.shards import Shard
from roentgen.dataset.verified_batches import VerifiedBatches
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import CONTACT_SHEET, contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.imaging.light import LightNote
from roentgen.manifest import License
from roentgen.preparation.bad_items import Reasons
from roentgen.preparation.part_record import PreparationFolder, PreparedPart, TokenCounts
from roentgen.prompts.captions import radiograph_caption
from roentgen.prompts.token_lengths import TokenLengths
from roentgen.record.radiograph import Radiograph
from roentgen.storage import write_file

UNMAPPED = "unmapped.csv"
# Releases of the same patients under the same patient ids.
_SAME_PATIENTS = {"MIMIC-CXR-JPG": "MIMIC-CXR", "CheXpert Plus": "CheXpert"}


@dataclass
class AssembledParts:
    """The contents of all parts."""

    shards: dict[str, list[Shard]] = field(default_factory=dict)
    planned: Sequence[Exclusion] = ()  # excluded before any work
    of_parts: list[Exclusion] = field(default_factory=list)  # excluded by the parts, in order
    on_sheet: list[Radiograph] = field(default_factory=list)
    lengths: TokenCounts = field(default_factory=dict)
    unmapped: Counter[Unmapped] = field(default_factory=Counter)
    light: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)

    def add(self, part: PreparedPart, dataset: Path) -> None:
        """Add the next part, whose shards are in the folder `dataset`."""
        for split, shard in part.shards.items():
            self.shards.setdefault(split, []).append(shard)
        self.of_parts += part.excluded
        self.unmapped.update(part.unmapped)
        self.light.update(part.light)
        self.languages.update(part.languages)
        for split, row in part.on_sheet:
            batches = VerifiedBatches(dataset, [part.shards[split].index])
            self.on_sheet.append(batches.radiograph(row))
        for section, counts in part.lengths.items():
            self.lengths.setdefault(section, Counter()).update(counts)

    @property
    def excluded(self) -> Iterator[Exclusion]:
        """All exclusions, in order."""
        return chain(self.planned, self.of_parts)

    def reasons(self) -> Counter[str]:
        """Number of exclusions by kind of reason."""
        return Reasons(item.reason for item in self.excluded).counts()


def assemble_parts(work: PreparationFolder, plan: CorpusPlan, parts: int) -> AssembledParts:
    """All parts in order, after the exclusions of the plan."""
    assembled = AssembledParts(planned=plan.excluded, unmapped=Counter(plan.unmapped))
    for number in range(parts):
        assembled.add(work.read(number), work.dataset)
    return assembled


def check_identities(
    assembled: AssembledParts, dataset: Path, others: Mapping[str, Sequence[Path]]
) -> Counter[str]:
    """The number of patients by split; `dataset` is the folder with the shards.

    Raises InputError for a duplicate id, a patient in two splits, and a patient that a
    dataset in `others` has: anywhere ("disjoint_from") or in another split ("same_splits_as").
    """
    identities = Identities()
    split_of: dict[tuple[str, str], str] = {}  # (source, patient): split
    for split, shards in assembled.shards.items():
        batches = VerifiedBatches(dataset, [shard.index for shard in shards])
        for name, patient, source in batches.columns("id", "patient_id", "source"):
            identities.add(name, patient, split)
            if any(others.values()):
                split_of[_SAME_PATIENTS.get(source, source), patient] = split
    for rule, folders in others.items():
        for folder in folders:
            _check_against(split_of, folder, disjoint=rule == "disjoint_from")
    return identities.patients()


def _check_against(
    split_of: Mapping[tuple[str, str], str], folder: Path, *, disjoint: bool
) -> None:
    other = open_dataset(folder)
    shared: dict[tuple[str, str], str] = {}
    for split in other.splits:
        columns = (other.split(split).column(name) for name in ("patient_id", "source"))
        for patient, source in zip(*(column.to_pylist() for column in columns), strict=True):
            here = split_of.get((_SAME_PATIENTS.get(source, source), patient))
            if here is not None and (disjoint or here != split):
                shared[source, patient] = f"{here} here and {split} there"
    if shared:
        (source, patient), where = min(shared.items())
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(
            f"patient {patient!r} of {source}{more} is also in {folder} ({where}): "
            "split both by the same rule, or prepare other patients"
        )


def write_dataset(
    work: PreparationFolder,
    assembled: AssembledParts,
    *,
    patients: Mapping[str, int],
    licenses: Sequence[License],
    provenance: Mapping[str, Any],
    preparation: Mapping[str, Any],
) -> None:
    """Make a dataset of the finished shards: tables, contact sheet, card and manifest."""
    folder = work.dataset
    shards = {folder / shard.index.file for split in assembled.shards.values() for shard in split}
    for path in list(folder.rglob("*")):  # left by a killed run
        if path.is_file() and path not in shards:
            path.unlink()
    for split in SPLITS:
        if (folder / split).is_dir() and split not in assembled.shards:
            (folder / split).rmdir()
    _write_table(
        folder / EXCLUDED,
        EXCLUDED_COLUMNS,
        (
            (item.id, item.reason, "missing" if item.missing else "yes" if item.expected else "no")
            for item in assembled.excluded
        ),
    )
    unmapped = sorted(assembled.unmapped.items(), key=by_count)
    rows = ((about, word, count, why) for (about, word, why), count in unmapped)
    _write_table(folder / UNMAPPED, ("field", "word", "count", "why"), rows)
    if assembled.on_sheet:
        images = [decode(radiograph.image) for radiograph in assembled.on_sheet]
        captions = [radiograph_caption(radiograph) for radiograph in assembled.on_sheet]
        sheet = contact_sheet(images, captions)
        write_file(folder / CONTACT_SHEET, encode_png(sheet))
    finalize_dataset(
        folder,
        name=work.target.name,
        shards=assembled.shards,
        excluded=assembled.reasons(),
        licenses=[asdict(item) for item in licenses],
        provenance=provenance,
        preparation=preparation,
        patients=patients,
        text_lengths=describe_lengths(assembled.lengths),
        about={"Light": light_lines(assembled.light)},
    )


def light_lines(light: Counter[str]) -> list[str]:
    """Numbers of images by note on their light, all of them."""
    return [f"{light[note]} {note}" for note in LightNote]


def describe_lengths(lengths: TokenCounts) -> dict[str, dict[str, int]]:
    """By section: number of texts, their median and greatest length, and how many are too long."""
    described = {}
    for section, counts in sorted(lengths.items()):
        section_lengths = TokenLengths(counts=counts)
        described[section] = {
            "texts": section_lengths.texts,
            "median": section_lengths.quantile(0.5),
            "longest": max(counts),
            "limit": section_lengths.limit,
            "beyond": section_lengths.beyond,
        }
    return described


def by_count(item: tuple[Unmapped, int]) -> tuple[int, Unmapped]:
    """Sort key of words: the most frequent first."""
    return -item[1], item[0]


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = CsvTable(file, header)
        for row in rows:
            table.add(*row)
