"""Prompt rows from a dataset: of its radiographs, or of its masks with what they show."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographDataset, RadiographSplit, open_dataset
from roentgen.dataset.structure_masks import annotated_structures, check_structures
from roentgen.errors import InputError
from roentgen.generation.prompt_rows import PromptRow, row_from_radiograph
from roentgen.preparation.prompt_sources import check_prompt_sources
from roentgen.prompts.grammar import PromptStyle
from roentgen.randomness import derive_seed
from roentgen.record.radiograph import Finding, Radiograph
from roentgen.record.structures import FINDING_OF
from sample.prompts.config import DatasetPrompts, MaskPrompts


def rows_from_dataset(source: DatasetPrompts, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """The prompts of a dataset's radiographs, in their order; one radiograph is held at a time."""
    split = _open(source, style)[1]
    selected = _select(split, source, np.ones(len(split), dtype=np.bool_), seed)
    for radiograph in compress(split.without_images(), selected.tolist()):
        yield row_from_radiograph(radiograph, style)


def rows_from_masks(source: MaskPrompts, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """The prompts of a split's masks, in its order; one radiograph is held at a time.

    Raises InputError for a structure of which the split has no mask, and where nothing is left.
    """
    dataset, split = _open(source, style)
    requested = set(source.structures or ())
    if source.structures is not None:
        counts = dataset.manifest["counts"][source.split]
        check_structures(counts, source.structures, str(source.folder), source.split)
    structures_of = annotated_structures(split)
    found = (structures_of(row) for row in range(len(split)))
    have = (bool(names & requested if requested else names) for names in found)
    with_masks = np.fromiter(have, dtype=np.bool_, count=len(split))
    selected = _select(split, source, with_masks, seed)
    for row, radiograph in enumerate(split.without_images()):
        if not selected[row]:
            continue
        if source.prompt == "radiograph":
            yield row_from_radiograph(radiograph, style, row)
        else:
            for findings in _single_diseases(radiograph, structures_of(row)):
                alone = replace(radiograph, findings=findings)
                yield row_from_radiograph(alone, replace(style, text="findings"), row)


def check_source(source: DatasetPrompts | MaskPrompts, style: PromptStyle) -> None:
    """Raise InputError where the split has nothing that prompts of this style are made of."""
    _open(source, style)


def _open(
    source: DatasetPrompts | MaskPrompts, style: PromptStyle
) -> tuple[RadiographDataset, RadiographSplit]:
    dataset = open_dataset(source.folder)
    split = dataset.split(source.split)
    if isinstance(source, DatasetPrompts) or source.prompt == "radiograph":
        check_prompt_sources(dataset, split, [style])
    return dataset, split


def _select(
    split: RadiographSplit,
    source: DatasetPrompts | MaskPrompts,
    candidates: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.bool_]:
    """(radiographs,): the candidates of the source's views, or a random sample of `limit`."""
    selected = candidates
    if source.views is not None:
        selected = selected & np.isin(split.column("view").to_numpy(), source.views)
    if not selected.any():
        views = f" of the views {', '.join(source.views)}" if source.views else ""
        masks = " with a mask" if isinstance(source, MaskPrompts) else ""
        key = "prompts.masks" if masks else "prompts.dataset.views"
        raise InputError(
            f"split {source.split!r} of {source.folder} has no radiograph{views}{masks}: "
            f"change {key}"
        )
    if source.limit is not None and source.limit < selected.sum():
        ids = (name for chunk in split.column("id").chunks for name in chunk.to_pylist())
        seeds = (derive_seed(seed, "limit", name) for name in compress(ids, selected.tolist()))
        order = np.fromiter(seeds, dtype=np.int64)
        selected[selected] = order <= np.partition(order, source.limit - 1)[source.limit - 1]
    return selected


def _single_diseases(radiograph: Radiograph, structures: set[str]) -> list[tuple[Finding, ...]]:
    """The present findings that have masks, each name by itself; "No Finding" for a normal image.

    Empty where findings are present and none has a mask.
    """
    masked = {FINDING_OF[structure] for structure in structures if structure in FINDING_OF}
    present = [finding for finding in radiograph.findings if finding.state == "present"]
    names = dict.fromkeys(finding.name for finding in present if finding.name in masked)
    if not names and all(finding.name == "No Finding" for finding in present):
        return [(Finding(name="No Finding"),)]
    return [tuple(finding for finding in present if finding.name == name) for name in names]
