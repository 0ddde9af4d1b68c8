"""Finished parts become the dataset: the last step of a preparation."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from roentgen.corpora.reader import CorpusPlan, Exclusion, Unmapped
from roentgen.dataset.dataset import EXCLUDED, EXCLUDED_COLUMNS, Identities, open_dataset
from roentgen.dataset.finalize import SPLITS, seal
from roentgen.dataset.shards import Tally
from roentgen.dataset.work_folder import read_row
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.manifest import License
from roentgen.preparation.bad_items import Reasons
from roentgen.preparation.part_record import PreparationFolder, PreparedPart, TokenCounts
from roentgen.prompts.token_lengths import TokenLengths
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Radiograph
from roentgen.storage import write_file

CONTACT_SHEET = "contact_sheet.png"
UNMAPPED = "unmapped.csv"
_SHEET_COLUMNS = 8
# Releases of the same patients under the same patient ids.
_SAME_PATIENTS = {"MIMIC-CXR-JPG": "MIMIC-CXR", "CheXpert Plus": "CheXpert"}


@dataclass
class Joined:
    """What the parts hold together."""

    shards: dict[str, list[Path]] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    planned: Sequence[Exclusion] = ()  # excluded before any work
    of_parts: list[Exclusion] = field(default_factory=list)  # excluded by the parts, in order
    shown: list[Radiograph] = field(default_factory=list)
    lengths: TokenCounts = field(default_factory=dict)
    unmapped: Counter[Unmapped] = field(default_factory=Counter)

    def add(self, part: PreparedPart, dataset: Path) -> None:
        """Add the next part, whose shards are in the folder `dataset`."""
        for split, shard in part.shards.items():
            self.shards.setdefault(split, []).append(dataset / shard.file)
            self.tallies[split] = self.tallies.get(split, Tally()) + shard.tally
        self.of_parts += part.excluded
        self.unmapped.update(part.unmapped)
        for split, row in part.shown:
            self.shown.append(read_row(dataset / part.shards[split].file, row))
        for section, counts in part.lengths.items():
            self.lengths.setdefault(section, Counter()).update(counts)

    @property
    def excluded(self) -> Iterator[Exclusion]:
        """All that was excluded, in order."""
        return chain(self.planned, self.of_parts)

    def reasons(self) -> Counter[str]:
        """What was excluded, by kind of reason."""
        return Reasons(item.reason for item in self.excluded).counts()


def join_parts(work: PreparationFolder, plan: CorpusPlan, parts: int) -> Joined:
    """All parts in order, what the plan excluded before them."""
    joined = Joined(planned=plan.excluded, unmapped=Counter(plan.unmapped))
    for number in range(parts):
        joined.add(work.read(number), work.dataset)
    return joined


def check_identities(joined: Joined, others: Mapping[str, Sequence[Path]]) -> Counter[str]:
    """The number of patients by split.

    Raises InputError for an id that stands twice, a patient in two splits, and a patient that a
    dataset in `others` has: anywhere ("disjoint_from") or in another split ("same_splits_as").
    """
    identities = Identities()
    mine: dict[tuple[str, str], str] = {}  # (source, patient): split
    for split, shards in joined.shards.items():
        for name, patient, source in _identities(shards):
            identities.add(name, patient, split)
            if any(others.values()):
                mine[_SAME_PATIENTS.get(source, source), patient] = split
    for rule, folders in others.items():
        for folder in folders:
            _check_against(mine, folder, disjoint=rule == "disjoint_from")
    return identities.patients()


def _check_against(mine: Mapping[tuple[str, str], str], folder: Path, *, disjoint: bool) -> None:
    other = open_dataset(folder)
    shared: dict[tuple[str, str], str] = {}
    for split in other.splits:
        files = json.loads((folder / split / "state.json").read_text())["_data_files"]
        for _, patient, source in _identities(folder / split / f["filename"] for f in files):
            here = mine.get((_SAME_PATIENTS.get(source, source), patient))
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
    joined: Joined,
    *,
    patients: Mapping[str, int],
    licenses: Sequence[License],
    provenance: Mapping[str, Any],
    preparation: Mapping[str, Any],
) -> None:
    """Make a dataset of the finished shards: tables, contact sheet, card and manifest."""
    folder = work.dataset
    shards = {shard for split in joined.shards.values() for shard in split}
    for path in list(folder.rglob("*")):  # what a killed run left
        if path.is_file() and path not in shards:
            path.unlink()
    for split in SPLITS:
        if (folder / split).is_dir() and split not in joined.shards:
            (folder / split).rmdir()
    _write_table(
        folder / EXCLUDED,
        EXCLUDED_COLUMNS,
        ((item.id, item.reason, "yes" if item.expected else "no") for item in joined.excluded),
    )
    lost = sorted(joined.unmapped.items(), key=by_count)
    rows = ((about, word, count, why) for (about, word, why), count in lost)
    _write_table(folder / UNMAPPED, ("field", "word", "count", "why"), rows)
    if joined.shown:
        images = [decode(radiograph.image) for radiograph in joined.shown]
        captions = [caption(radiograph) for radiograph in joined.shown]
        sheet = contact_sheet(images, captions, _SHEET_COLUMNS)
        write_file(folder / CONTACT_SHEET, encode_png(sheet))
    seal(
        folder,
        name=work.target.name,
        shards=joined.shards,
        tallies=joined.tallies,
        excluded=joined.reasons(),
        licenses=[asdict(item) for item in licenses],
        provenance=provenance,
        preparation=preparation,
        patients=patients,
        text_lengths=describe_lengths(joined.lengths),
    )


def describe_lengths(lengths: TokenCounts) -> dict[str, dict[str, int]]:
    """Of each section: the texts, their median and greatest length, and how many are too long."""
    described = {}
    for section, counts in sorted(lengths.items()):
        tally = TokenLengths(counts=counts)
        described[section] = {
            "texts": tally.texts,
            "median": tally.quantile(0.5),
            "longest": max(counts),
            "limit": tally.limit,
            "beyond": tally.beyond,
        }
    return described


def by_count(item: tuple[Unmapped, int]) -> tuple[int, Unmapped]:
    """Sorts words by their count, the commonest first."""
    return -item[1], item[0]


def _identities(shards: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """(id, patient, source) of each radiograph."""
    for shard in shards:
        with pa.ipc.open_stream(pa.memory_map(str(shard))) as stream:
            for batch in stream:
                columns = (batch.column(name) for name in ("id", "patient_id", "source"))
                yield from zip(*(column.to_pylist() for column in columns), strict=True)


def caption(radiograph: Radiograph) -> str:
    """The view, and what is there or may be; where nothing is, what is not."""
    said = {"present": "", "uncertain": "possible ", "absent": "no "}
    words: dict[str, list[str]] = {state: [] for state in said}
    for finding in radiograph.findings:
        words[finding.state].append(said[finding.state] + _words(finding))
    told = [*words["present"], *words["uncertain"]] or words["absent"]
    return f"{radiograph.view or 'view unknown'}: {', '.join(told) or 'nothing said'}"


def _words(finding: Finding) -> str:
    parts = (finding.severity, finding.side, finding.name)
    detail = f" ({finding.detail})" if finding.detail else ""
    return " ".join(part for part in parts if part) + detail


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
