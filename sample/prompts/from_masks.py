"""Prompts with masks: a dataset's masks, as they are or moved, with what their radiographs show."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographSplit, open_dataset
from roentgen.dataset.structure_masks import check_structures, structures_shown
from roentgen.errors import InputError
from roentgen.prompts.grammar import PromptStyle, compose, findings_text, findings_told, prompt_of
from roentgen.randomness import derive_seed
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Radiograph
from roentgen.record.structures import FINDING_OF
from sample.prompts.config import MaskPrompts
from sample.prompts.row import PromptRow, told_findings

_NORMAL = (Finding(name="No Finding"),)


def rows_of_masks(source: MaskPrompts, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """The prompts of a split's masks, in its order; one radiograph is held at a time.

    Raises InputError for a structure of which the split has no mask, and where nothing is left.
    """
    dataset = open_dataset(source.folder)
    split = dataset.split(source.split)
    if source.structures is not None:
        counts = dataset.manifest["counts"][source.split]
        check_structures(counts, source.structures, str(source.folder), source.split)
    shown = structures_shown(split)
    chosen = _chosen(split, shown, source, seed)
    for row, radiograph in enumerate(split.without_images()):
        if chosen[row]:
            yield from _rows(radiograph, row, source, style, shown(row))


def _chosen(
    split: RadiographSplit, shown: Callable[[int], set[str]], source: MaskPrompts, seed: int
) -> NDArray[np.bool_]:
    """(radiographs,): those that have a mask of the views asked for, or a lot of them."""
    asked = set(source.structures or ())
    found = (shown(row) for row in range(len(split)))
    have = (bool(names & asked if asked else names) for names in found)
    wanted = np.fromiter(have, dtype=np.bool_, count=len(split))
    if source.views is not None:
        wanted &= np.isin(split.column("view").to_numpy(), source.views)
    if not wanted.any():
        views = f" of the views {', '.join(source.views)}" if source.views else ""
        raise InputError(
            f"split {source.split!r} of {source.folder} has no radiograph{views} with a mask: "
            "change prompts.masks"
        )
    if source.limit is not None and source.limit < wanted.sum():
        rows = np.flatnonzero(wanted)
        ids = split.column("id").take(pa.array(rows)).to_pylist()
        lots = np.array([derive_seed(seed, "limit", name) for name in ids])
        wanted[rows[lots > np.partition(lots, source.limit - 1)[source.limit - 1]]] = False
    return wanted


def _rows(
    radiograph: Radiograph,
    row: int,
    source: MaskPrompts,
    style: PromptStyle,
    shown: set[str],
) -> Iterator[PromptRow]:
    common = PromptRow(
        prompt="",
        view=radiograph.view if style.view_token else None,
        age=radiograph.age if style.demographics else None,
        sex=radiograph.sex if style.demographics else None,
        race=radiograph.race if style.race else None,
        radiograph=radiograph.id,
        patient=radiograph.patient_id,
        mask_row=row,
    )
    if source.prompt == "radiograph":
        findings = told_findings(findings_told(radiograph, style), style)
        yield replace(common, prompt=prompt_of(radiograph, style), findings=findings)
        return
    names = {FINDING_OF[structure] for structure in shown if structure in FINDING_OF}
    present = [finding for finding in radiograph.findings if finding.state == "present"]
    alone = [
        tuple(finding for finding in present if finding.name == name)
        for name in dict.fromkeys(finding.name for finding in present)
        if name in names
    ]
    told = replace(style, text="findings")
    normal = [] if any(finding.name != "No Finding" for finding in present) else [_NORMAL]
    for findings in alone or normal:
        words = findings_text(findings, told)
        prompt = compose(
            words,
            told,
            view=common.view,
            age=common.age,
            sex=common.sex,
            race=common.race,
        )
        yield replace(common, prompt=prompt, findings=findings)
