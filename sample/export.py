"""Export program: `python -m sample.export configs/sample/export.yaml`.

Each format is a folder below the output, with a card (README.md) that explains how to read it and
its license terms, excluded.csv, and roentgen.json.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from roentgen.config import config_to_dict, load_config
from roentgen.dataset.card import dataset_card
from roentgen.dataset.dataset import RadiographDataset, open_dataset
from roentgen.dataset.finalize import SPLITS, manifest_counts
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.shards import RadiographCounts
from roentgen.errors import InputError, run_program
from roentgen.manifest import check_unchanged, fingerprint_of, is_made, provenance, write_manifest
from roentgen.storage import (
    atomic_folder,
    check_free_space,
    check_output,
    reserve_output,
    write_file,
)
from sample.exports import chexpert, dicom, image_folder, mimic_cxr_jpg, webdataset
from sample.exports.config import ExportConfig
from sample.exports.export_source import ExclusionReason, ExportSource
from sample.exports.lineage import LineageFilter, lineage_of

SET_CARD = "SET.md"  # the exported dataset's own card
_WRITERS: dict[str, Callable[[ExportSource, Path, Any], list[str]]] = {
    "folder": image_folder.write,
    "webdataset": webdataset.write,
    "chexpert": chexpert.write,
    "mimic_cxr_jpg": mimic_cxr_jpg.write,
    "dicom": dicom.write,
}
_EXCLUSIONS: dict[str, ExclusionReason] = {
    "chexpert": chexpert.exclusion_reason,
    "mimic_cxr_jpg": mimic_cxr_jpg.exclusion_reason,
    "dicom": dicom.exclusion_reason,
}


def export(config: ExportConfig) -> Path:
    """Write the formats of a configuration and return the output folder, created atomically.

    Raises InputError for what the user must change.
    """
    with reserve_output(config.output):
        check_output(config.output, overwrite=config.overwrite)
        _export(config)
    return config.output


def _export(config: ExportConfig) -> None:
    dataset = open_dataset(config.dataset)
    splits = [split for split in SPLITS if split in (config.splits or dataset.splits)]
    check_free_space(config.output, _bytes_needed(config, dataset, splits))
    images = ImageSet.of(*map(dataset.split, splits))
    check_formats(config, images)
    card = (dataset.folder / "README.md").read_bytes()
    made_from = provenance("sample.export", config, {"dataset": dataset.manifest})
    lineage = LineageFilter(lineage_of(config.lineage, dataset.licenses))
    for line in sharing_lines(dataset.licenses):
        _print(line)
    if withheld := lineage.withheld():
        _print(f"{withheld}; lineage=full writes all")
    with atomic_folder(config.output, overwrite=config.overwrite) as folder:
        for name in config.formats:
            (folder / name).mkdir()
            write_file(folder / name / SET_CARD, card)
        fingerprints = {
            name: _export_format(
                name,
                config,
                ExportSource(dataset, images, folder / name, _EXCLUSIONS.get(name), lineage),
                made_from,
            )
            for name in config.formats
        }
        whole = fingerprint_of(fingerprints)
        formats = list(config.formats)
        write_manifest(folder, "export", whole, dataset.licenses, made_from, formats=formats)
        check_unchanged(dataset.manifest)


def check_formats(config: ExportConfig, images: ImageSet) -> None:
    """Raise InputError for a format that can hold none of the radiographs."""
    for name in config.formats:
        reason = _EXCLUSIONS.get(name, lambda radiograph: None)
        records = chain.from_iterable(split.without_images() for split in images.splits)
        reasons = Counter(map(reason, records))
        if None not in reasons:
            most_frequent = reasons.most_common(1)[0][0]
            raise InputError(
                f"{name} can hold none of the radiographs: {most_frequent}; take it out of formats"
            )


def _export_format(
    name: str, config: ExportConfig, source: ExportSource, made_from: dict[str, Any]
) -> str:
    """Write one format with its card and manifest; returns its fingerprint."""
    dataset, folder = source.dataset, source.folder
    how_to_read = _WRITERS[name](source, folder, getattr(config, name))
    total = sum(source.counts.values(), RadiographCounts())
    for note in source.notes:
        _print(f"{name}: {note}")
    patients = source.patients()
    counts = {s: {"patients": patients[s], **manifest_counts(t)} for s, t in source.counts.items()}
    excluded = dict(source.excluded.most_common())
    about = {
        "What this is": _origin(dataset, source, total.rows),
        "How to read it": how_to_read + source.notes,
    }
    opening = f"Radiographs in the format `{name}`, written by `sample.export`."
    title = f"{dataset.folder.name}: {name}"
    card = dataset_card(title, counts, excluded, dataset.licenses, {}, about, opening=opening)
    write_file(folder / "README.md", card)
    settings = config_to_dict(getattr(config, name))
    fingerprint = fingerprint_of(
        {"format": name, "settings": settings, "digests": f"{total.digests:064x}"}
    )
    extra: dict[str, Any] = {
        "format": name,
        "settings": settings,
        "lineage": source.lineage.lineage,
        "counts": counts,
        "excluded": excluded,
    }
    write_manifest(folder, "export", fingerprint, dataset.licenses, made_from, **extra)
    number = sum(excluded.values())
    note = f"; {number} excluded (excluded.csv)" if number else ""
    _print(f"{name}: {total.rows} radiographs{note}")
    return fingerprint


def sharing_lines(licenses: list[dict[str, Any]]) -> list[str]:
    """A line for each license that forbids sharing an export."""
    return [
        f"not to be shared, by the terms of {terms['name']}: {terms['data_use'] or 'see there'}"
        for terms in licenses
        if not terms["may_share"]
    ]


def _origin(dataset: RadiographDataset, source: ExportSource, total: int) -> list[str]:
    """Lines for the card: how many images are synthetic, and which models generated them."""
    real = source.models[None]
    lines = [f"Made from the dataset {dataset.fingerprint}, whose card is {SET_CARD}."]
    if total > real:
        models = ", ".join(sorted(str(model) for model in source.models if model is not None))
        lines.append(
            f"{total - real} images are synthetic, generated by the model {models}; none shows a "
            "patient, and none is for diagnosis."
        )
    if real:
        lines.append(f"{real} images are not synthetic, and are not marked as such.")
    if withheld := source.lineage.withheld():
        lines.append(f"{withheld[0].upper()}{withheld[1:]}.")
    return lines


def _bytes_needed(config: ExportConfig, dataset: RadiographDataset, splits: Sequence[str]) -> int:
    """An estimate of disk space: a byte per pixel of an image file, one or two per pixel of DICOM.

    Raises InputError for a split that the dataset does not have.
    """
    total = 0
    for split in map(dataset.split, splits):
        total += len(split) * split.images([0])[0].size
    dicom_bytes = 0 if config.dicom is None else 1 if config.dicom.bits == 8 else 2
    return total * (len(config.formats) - (config.dicom is not None) + dicom_bytes)


def _print(line: str) -> None:
    print(f"export: {line}", flush=True)  # noqa: T201


def main() -> None:
    """Read the command line, export, and print the output folder."""
    config = load_config(ExportConfig)
    if not is_made("sample.export", config, config.output):
        print(export(config))  # noqa: T201


if __name__ == "__main__":
    run_program(main)
