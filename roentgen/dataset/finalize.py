"""The last step of writing a dataset: what makes whole shards a dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from roentgen.dataset import schema
from roentgen.dataset.card import dataset_card
from roentgen.dataset.shards import Tally
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of, write_manifest
from roentgen.record.radiograph import Split
from roentgen.storage import write_file, write_json

SPLITS: tuple[Split, ...] = get_args(Split)


def seal(
    folder: Path,
    *,
    name: str,
    shards: Mapping[str, Sequence[Path]],
    tallies: Mapping[str, Tally],
    excluded: Mapping[str, int],
    licenses: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    preparation: Mapping[str, Any] | None,
    patients: Mapping[str, int],
    text_lengths: Mapping[str, Any] | None = None,
    about: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Make whole shards a dataset: the JSON files of `datasets`, the card, the manifest last.

    `excluded` counts by reason, `patients` by split; `text_lengths` tells of report sections how
    long they are in tokens; `about` has further sections of the card, lines by title.
    """
    total = sum(tallies.values(), Tally())
    if total.rows == 0:
        commonest = max(excluded, key=lambda reason: excluded[reason], default="nothing was given")
        raise InputError(f"dataset {name!r} would be empty; the commonest reason: {commonest}")
    fingerprint = fingerprint_of({"rows": total.rows, "digests": f"{total.digests:064x}"})
    splits = [split for split in SPLITS if split in shards]
    for split in splits:
        info = {"citation": "", "description": "", "homepage": "", "license": ""}
        write_json(folder / split / "dataset_info.json", {**info, "features": schema.features()})
        state: dict[str, Any] = {
            "_data_files": [{"filename": shard.name} for shard in shards[split]],
            "_fingerprint": fingerprint_of([fingerprint, split]),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }
        write_json(folder / split / "state.json", state)
    write_json(folder / "dataset_dict.json", {"splits": splits})
    counts: dict[str, dict[str, Any]] = {
        split: {"patients": patients[split], **counts_of(tallies[split])} for split in splits
    }
    extra: dict[str, Any] = {
        "preparation": dict(preparation or {}),
        "counts": counts,
        "excluded": dict(sorted(excluded.items(), key=lambda item: (-item[1], item[0]))),
    }
    if text_lengths:
        extra["text_lengths"] = dict(text_lengths)
    card = dataset_card(name, counts, extra["excluded"], licenses, text_lengths or {}, about or {})
    write_file(folder / "README.md", card)
    write_manifest(folder, "dataset", fingerprint, licenses, provenance, **extra)


def counts_of(tally: Tally) -> dict[str, Any]:
    """What a split holds, as its manifest says it."""
    findings: dict[str, dict[str, int]] = {}
    for (name, state), count in sorted(tally.findings.items()):
        findings.setdefault(name, {})[state] = count
    return {
        "radiographs": tally.rows,
        "views": dict(sorted(tally.views.items())),
        "findings": findings,
        "masks": dict(sorted(tally.structures.items())),
        "boxes": dict(sorted(tally.boxes.items())),
        "reports": dict(sorted(tally.sections.items())),
        "sources": [
            {"source": source, "license": license_name, "radiographs": count}
            for (source, license_name), count in sorted(tally.sources.items())
        ],
    }
