"""Program: prepare a corpus into a radiograph dataset.

`python -m roentgen.prepare configs/data/films.yaml [--key=value ...]`
"""

import csv
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from roentgen.config import load_config
from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.corpora.reader import CorpusReader, Plan
from roentgen.corpora.table import TableConfig, TableReader
from roentgen.corpora.work import outcomes
from roentgen.data.dataset import DatasetWriter
from roentgen.data.findings import Finding
from roentgen.data.images import Fit, decode, encode_png
from roentgen.data.radiograph import Radiograph
from roentgen.data.sheet import contact_sheet
from roentgen.data.splits import SplitRules
from roentgen.errors import InputError, run_program
from roentgen.runs import check_free_space, check_output, provenance, write_file

CONTACT_SHEET = "contact_sheet.png"
UNMAPPED = "unmapped.csv"
_ON_SHEET = 40
_SHEET_COLUMNS = 8


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Prepare a corpus into a radiograph dataset. Give exactly one corpus section."""

    output: Path
    """The dataset folder to write."""
    overwrite: bool = False
    """Replace the output folder if it is there."""
    size: int
    """Width and height of the images in pixels."""
    fit: Fit = "pad"
    """"pad" keeps the whole image, centred on black; "crop" keeps its centred square."""
    seed: int = 0
    """Decides the split of each patient, and the patients of a phantom."""
    workers: int | None = None
    """Processes to work with; null: one a core. The result does not depend on it."""
    max_left_out: float = 0.05
    """The share of items that may be bad; more and the run fails. Filtered rows do not count."""
    split: SplitRules | None = None
    """How a table is split; phantoms bring their own split."""
    phantom: PhantomConfig | None = None
    """Corpus: drawn phantoms."""
    table: TableConfig | None = None
    """Corpus: a table of image paths."""

    def __post_init__(self) -> None:
        if (self.phantom is None) == (self.table is None):
            raise InputError("give exactly one corpus section: phantom or table")
        if self.table is not None and self.split is None:
            raise InputError("split is missing: give split.fractions or split.column")
        if self.phantom is not None and self.split is not None:
            raise InputError("split does not go with phantom: set the split's sizes in phantom")
        if self.size < 1:
            raise InputError(f"size is {self.size}: it must be at least 1")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers is {self.workers}: it must be at least 1, or null")
        if not 0 <= self.max_left_out <= 1:
            raise InputError(f"max_left_out is {self.max_left_out}: it must be between 0 and 1")


def make_reader(config: PrepareConfig) -> CorpusReader:
    """The reader of the one corpus section that is given."""
    if config.phantom is not None:
        return PhantomReader(config.phantom, config.size, config.seed)
    assert config.table is not None
    assert config.split is not None
    return TableReader(config.table, config.split, config.size, config.fit, config.seed)


def prepare(config: PrepareConfig) -> str:
    """Write the dataset; returns a summary for the user. Raises InputError for what is wrong."""
    check_output(config.output, overwrite=config.overwrite)
    reader = make_reader(config)
    plan = Plan(*reader.plan())
    limit = _BadItems(config.max_left_out, len(plan.items), plan)
    limit.check()
    # PNG takes less than a byte a pixel, and masks take little.
    check_free_space(config.output, len(plan.items) * config.size**2)
    sheet = _Sheet(len(plan.items))
    with DatasetWriter(
        config.output,
        licenses=reader.licenses,
        provenance=provenance("roentgen.prepare", config, {}),
        preparation={"size": config.size, "fit": config.fit},
        overwrite=config.overwrite,
    ) as writer:
        for left_out in plan.left_out:
            writer.leave_out(left_out.id, left_out.reason)
        work = outcomes(reader, plan.items, config.workers or os.cpu_count() or 1)
        progress = tqdm(work, total=len(plan.items), unit=" items", desc="preparing")
        for index, outcome in enumerate(progress):
            if outcome.reason is not None:
                writer.leave_out(outcome.id, outcome.reason)
                limit.add(outcome.reason)
            for radiograph in outcome.radiographs:
                writer.add(radiograph)
            sheet.add(index, outcome.radiographs)
        _write_unmapped(writer.folder / UNMAPPED, plan.unmapped)
        sheet.write(writer.folder / CONTACT_SHEET)
    return _summary(config.output, writer, plan.unmapped)


class _BadItems:
    """Counts bad items by reason, and ends the run when there are too many."""

    def __init__(self, share: float, good: int, plan: Plan) -> None:
        self.reasons = Counter(item.reason for item in plan.left_out if not item.asked)
        self.all = good + self.reasons.total()
        self.share = share

    def add(self, reason: str) -> None:
        self.reasons[reason] += 1
        self.check()

    def check(self) -> None:
        bad = self.reasons.total()
        if bad <= self.share * self.all:
            return
        commonest = "; ".join(f"{text} ({n})" for text, n in self.reasons.most_common(3))
        raise InputError(
            f"{bad} of {self.all} items are bad, more than max_left_out={self.share:g}; "
            f"the commonest reasons: {commonest}"
        )


class _Sheet:
    """Gathers radiographs at even distances through the corpus for the contact sheet."""

    def __init__(self, items: int) -> None:
        self.at = {int(i) for i in np.linspace(0, items - 1, min(items, _ON_SHEET))}
        self.chosen: list[Radiograph] = []

    def add(self, index: int, radiographs: tuple[Radiograph, ...]) -> None:
        if index in self.at and radiographs:
            self.chosen.append(radiographs[index % len(radiographs)])

    def write(self, path: Path) -> None:
        if self.chosen:
            images = [decode(radiograph.image) for radiograph in self.chosen]
            captions = [_caption(radiograph) for radiograph in self.chosen]
            write_file(path, encode_png(contact_sheet(images, captions, _SHEET_COLUMNS)))


def _caption(radiograph: Radiograph) -> str:
    present = [_words(f) for f in radiograph.findings if f.state == "present"]
    return f"{radiograph.view or 'view unknown'}: {', '.join(present) or 'nothing said'}"


def _words(finding: Finding) -> str:
    parts = (finding.severity, finding.side, finding.name)
    detail = f" ({finding.detail})" if finding.detail else ""
    return " ".join(part for part in parts if part) + detail


def _write_unmapped(path: Path, unmapped: Mapping[tuple[str, str], int]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["word", "count", "why"])
        for (word, why), count in sorted(unmapped.items(), key=_by_count):
            writer.writerow([word, count, why])


def _by_count(item: tuple[tuple[str, str], int]) -> tuple[int, str]:
    return -item[1], item[0][0]


def _summary(output: Path, writer: DatasetWriter, unmapped: Mapping[tuple[str, str], int]) -> str:
    lines = []
    for split, tally in writer.tallies.items():
        views = ", ".join(f"{view} {count}" for view, count in tally.views.most_common())
        found = [(name, n) for (name, state), n in tally.findings.items() if state == "present"]
        found.sort(key=lambda item: (-item[1], item[0]))
        findings = ", ".join(f"{name} {count}" for name, count in found) or "none"
        lines.append(f"{split}: {tally.rows} radiographs; views: {views}; present: {findings}")
    lines.append(f"left out: {writer.left_out.total()} (left_out.csv)")
    lines += [f"  {count}: {reason}" for reason, count in writer.left_out.most_common(10)]
    if unmapped:
        words = ", ".join(
            f"{word} {count}" for (word, _), count in sorted(unmapped.items(), key=_by_count)[:10]
        )
        lines.append(f"finding words without meaning ({UNMAPPED}): {words}")
    lines.append(f"contact sheet: {output / CONTACT_SHEET}")
    lines.append(f"dataset: {output}")
    return "\n".join(lines)


def main() -> None:
    """Prepare a corpus as the command line says."""
    print(prepare(load_config(PrepareConfig)))  # noqa: T201


if __name__ == "__main__":
    run_program(main)
