"""Last step of writing a dataset: finished shards get their JSON files, card and manifest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from roentgen.checksums import write_checked_json
from roentgen.dataset import schema
from roentgen.dataset.card import dataset_card
from roentgen.dataset.shard_index import INDEX
from roentgen.dataset.shards import RadiographCounts, Shard
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import CONTACT_SHEET
from roentgen.manifest import fingerprint_of, write_manifest
from roentgen.record.radiograph import Split
from roentgen.storage import CARD, write_file, write_json

SPLITS: tuple[Split, ...] = get_args(Split)


def finalize_dataset(
    folder: Path,
    *,
    name: str,
    shards: Mapping[str, Sequence[Shard]],
    excluded: Mapping[str, int],
    licenses: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    preparation: Mapping[str, Any] | None,
    patients: Mapping[str, int],
    text_lengths: Mapping[str, Any] | None = None,
    about: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Make finished shards a dataset: the JSON files of `datasets`, the card, the manifest last.

    `shards` and `patients` are by split, `excluded` by reason; `text_lengths` has the lengths of
    the report sections in tokens, `about` further sections of the card, lines by title.
    """
    counts = {split: count_all(those) for split, those in shards.items()}
    if not any(count.rows for count in counts.values()):
        most_frequent = max(
            excluded, key=lambda reason: excluded[reason], default="it was given nothing"
        )
        raise InputError(
            f"dataset {name!r} would be empty; the most frequent reason: {most_frequent}"
        )
    splits = [split for split in SPLITS if split in shards]
    fingerprint = fingerprint_of(
        [[split, counts[split].rows, f"{counts[split].digests:064x}"] for split in splits]
    )
    for split in splits:
        info = {"citation": "", "description": "", "homepage": "", "license": ""}
        write_json(folder / split / "dataset_info.json", {**info, "features": schema.features()})
        state: dict[str, Any] = {
            "_data_files": [{"filename": Path(shard.index.file).name} for shard in shards[split]],
            "_fingerprint": fingerprint_of([fingerprint, split]),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }
        write_json(folder / split / "state.json", state)
        write_index(folder / split, shards[split])
    write_json(folder / "dataset_dict.json", {"splits": splits})
    by_split: dict[str, dict[str, Any]] = {
        split: {"patients": patients[split], **manifest_counts(counts[split])} for split in splits
    }
    extra: dict[str, Any] = {
        "preparation": dict(preparation or {}),
        "counts": by_split,
        "excluded": dict(sorted(excluded.items(), key=lambda item: (-item[1], item[0]))),
    }
    if text_lengths:
        extra["text_lengths"] = dict(text_lengths)
    card = dataset_card(
        name,
        by_split,
        extra["excluded"],
        licenses,
        text_lengths or {},
        about or {},
        arrow_bytes={s: sum(shard.index.sum.bytes for shard in shards[s]) for s in splits},
        picture=CONTACT_SHEET if (folder / CONTACT_SHEET).exists() else None,
    )
    write_file(folder / CARD, card)
    known = {each.index.file: each.index.sum for split in splits for each in shards[split]}
    write_manifest(folder, "dataset", fingerprint, licenses, provenance, known=known, **extra)


def count_all(shards: Sequence[Shard]) -> RadiographCounts:
    """The counts of all shards of a split, in their order."""
    return sum((shard.counts for shard in shards), RadiographCounts())


def write_index(folder: Path, shards: Sequence[Shard]) -> None:
    """Write the index of a split's shards into its folder."""
    plain = [shard.index.to_json() for shard in shards]
    write_checked_json(folder / INDEX, {"shards": plain}, indent=None)


def age_summary(ages: Mapping[int, int]) -> dict[str, float]:
    """How many ages are known, the least, the median and the most, in years; {} for none.

    `ages` are numbers of radiographs by age.
    """
    known = sum(ages.values())
    if not known:
        return {}
    years = np.repeat(sorted(ages), [ages[age] for age in sorted(ages)])
    least, median, most = float(years[0]), float(np.median(years)), float(years[-1])
    return {"known": known, "least": least, "median": median, "most": most}


def manifest_counts(counts: RadiographCounts) -> dict[str, Any]:
    """The counts of a split in the form of the manifest."""
    findings: dict[str, dict[str, int]] = {}
    for (name, state), number in sorted(counts.findings.items()):
        findings.setdefault(name, {})[state] = number
    return {
        "radiographs": counts.rows,
        "views": dict(sorted(counts.views.items())),
        "findings": findings,
        "statements": dict(sorted(counts.statements.items())),
        "masks": dict(sorted(counts.structures.items())),
        "boxes": dict(sorted(counts.boxes.items())),
        "reports": dict(sorted(counts.sections.items())),
        "sexes": dict(sorted(counts.sexes.items())),
        "ages": age_summary(counts.ages),
        "races": dict(sorted(counts.races.items())),
        "sources": [
            {"source": source, "license": license_name, "radiographs": count}
            for (source, license_name), count in sorted(counts.sources.items())
        ],
    }
