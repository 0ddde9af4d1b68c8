"""Prompt rows of a configuration: from its findings, texts, dataset, table, labels or masks."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from roentgen.corpora.scanning.rows import read_rows
from roentgen.dataset.dataset import RadiographDataset, RadiographSplit, open_dataset
from roentgen.dataset.structure_masks import annotated_structures, check_structures
from roentgen.errors import InputError
from roentgen.generation.prompt_rows import (
    PromptRow,
    Views,
    check_context_in_style,
    check_view_in_style,
    row_from_radiograph,
    rows_from_findings,
    rows_from_text,
)
from roentgen.preparation.filtered_split import FilteredSplit, filter_split
from roentgen.preparation.prompt_sources import check_prompt_sources
from roentgen.prompts.context_words import context_by_hand
from roentgen.prompts.grammar import SECTIONS, PromptStyle, has_text
from roentgen.prompts.token_lengths import TokenCounter
from roentgen.randomness import derive_seed
from roentgen.record.context import ContextValue
from roentgen.record.finding import FINDING_OF, Finding
from roentgen.record.radiograph import Radiograph, parse_view
from sample.prompts.config import DatasetPrompts, MaskPrompts, PromptsConfig, TablePrompts
from sample.prompts.label_rows import label_rows


def filter_prompts(
    prompts: PromptsConfig, style: PromptStyle, count_tokens: TokenCounter
) -> FilteredSplit | None:
    """The radiographs of a dataset that pass the filter; None without a filter.

    Raises InputError if none does.
    """
    source = prompts.dataset or prompts.masks
    if source is None or source.filter is None:
        return None
    key = "prompts.dataset.filter" if prompts.dataset else "prompts.masks.filter"
    return filter_split(_open(source, style)[1], source.filter, count_tokens, [style], key=key)


def rows_from_config(
    prompts: PromptsConfig, style: PromptStyle, seed: int, filtered: FilteredSplit | None = None
) -> Iterator[PromptRow]:
    """The rows of a configuration; `seed` draws the sample for a dataset's `limit`.

    `filtered` are the radiographs of `filter_prompts`.
    """
    views: Views = prompts.views or (None,)
    column = prompts.table.view_column if prompts.table else None
    if prompts.views or column:
        where = "prompts.views" if prompts.views else "prompts.table.view_column"
        check_view_in_style(where, style)
    context = requested_by_hand(prompts, style)
    if prompts.findings is not None:
        for number, text in enumerate(prompts.findings):
            where = f"prompts.findings[{number}]"
            yield from rows_from_findings(text, style, views, where, context)
    elif prompts.texts is not None:
        for number, text in enumerate(prompts.texts):
            yield from rows_from_text(text, style, views, f"prompts.texts[{number}]", context)
    elif prompts.dataset is not None:
        yield from rows_from_dataset(prompts.dataset, style, seed, filtered, context)
    elif prompts.table is not None:
        yield from rows_from_table(prompts.table, style, views, context)
    elif prompts.labels is not None:
        yield from label_rows(prompts.labels, style, seed, context or ())
    elif prompts.masks is not None:
        yield from rows_from_masks(prompts.masks, style, seed, filtered, context)


def requested_by_hand(
    prompts: PromptsConfig, style: PromptStyle
) -> tuple[ContextValue, ...] | None:
    """The context of every prompt; None: each prompt's own. Raises InputError for other words."""
    if prompts.context is None:
        return None
    if prompts.context:
        check_context_in_style("prompts.context", style)
    return context_by_hand(prompts.context, style.context_rules, "prompts.context")


def requested_style(prompts: PromptsConfig, style: PromptStyle) -> PromptStyle | None:
    """The style that a configuration's prompts are written in; None for texts used verbatim."""
    if prompts.texts is not None or (prompts.table and prompts.table.kind == "text"):
        return None
    if prompts.dataset or (prompts.masks and prompts.masks.prompt == "radiograph"):
        return style
    style = replace(style, text="findings")
    labels = prompts.labels
    if prompts.findings or prompts.table or (labels and (labels.counts or labels.shares)):
        return replace(style, mention_absent=True, mention_uncertain=True)  # all that is typed
    return style


def rows_from_table(
    source: TablePrompts,
    style: PromptStyle,
    views: Views,
    context: tuple[ContextValue, ...] | None = None,
) -> Iterator[PromptRow]:
    """The rows of a table's prompts; messages count its rows from 1.

    Raises InputError for a missing column, a value that cannot be used and an empty table.
    """
    read = rows_from_findings if source.kind == "findings" else rows_from_text
    columns = (source.column, source.view_column, source.count_column)
    number = 0
    lines = read_rows(source.file, [column for column in columns if column is not None])
    for number, line in enumerate(lines, 1):
        where = f"{source.file} row {number}"
        if line is None:
            raise InputError(f"{where} has more or fewer fields than the header")
        own, count = views, None
        try:
            if source.view_column:
                own = [parse_view(line[source.view_column])]
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if source.count_column:
            text = line[source.count_column].strip()
            if not text.isdecimal():
                raise InputError(f"{where}: {source.count_column} is {text!r}, not a whole number")
            count = int(text)
        for row in read(line[source.column], style, own, where, context):
            yield replace(row, count=count)
    if number == 0:
        raise InputError(f"{source.file} has no row below its header")


def rows_from_dataset(
    source: DatasetPrompts,
    style: PromptStyle,
    seed: int,
    filtered: FilteredSplit | None = None,
    context: tuple[ContextValue, ...] | None = None,
) -> Iterator[PromptRow]:
    """The prompts of a dataset's radiographs, in their order; one radiograph is held at a time.

    Raises InputError, with their number, where radiographs have no text for a prompt.
    """
    split = _open(source, style)[1]
    selected = _select(split, source, _passing(split, filtered), seed)
    _check_texts(split, selected, style, "prompts.dataset.filter")
    for radiograph in compress(split.without_images(), selected.tolist()):
        yield row_from_radiograph(_in_context(radiograph, context), style)


def _in_context(radiograph: Radiograph, context: tuple[ContextValue, ...] | None) -> Radiograph:
    """The radiograph with this context, or with its own."""
    return radiograph if context is None else replace(radiograph, context=context)


def _passing(split: RadiographSplit, filtered: FilteredSplit | None) -> NDArray[np.bool_]:
    """(radiographs,): whether each passes the filter."""
    passing = np.ones(len(split), dtype=np.bool_)
    if filtered is not None:
        passing[:] = False
        passing[filtered.rows] = True
    return passing


def _check_texts(
    split: RadiographSplit, selected: NDArray[np.bool_], style: PromptStyle, key: str
) -> None:
    """Raise InputError where selected radiographs have no text for a prompt."""
    if style.text in ("findings", "none"):
        return
    without = [
        radiograph.id
        for radiograph in compress(split.without_images(), selected.tolist())
        if not has_text(radiograph, style)
    ]
    if without:
        section = SECTIONS.get(style.text)
        remedy = f"exclude them by {key}.section={section}, or " if section else ""
        raise InputError(
            f"{len(without)} of {int(selected.sum())} radiographs of split {split.name!r} have no "
            f"text for a prompt of {style.text}, the first {without[0]!r}: {remedy}choose another "
            "style.text"
        )


def rows_from_masks(
    source: MaskPrompts,
    style: PromptStyle,
    seed: int,
    filtered: FilteredSplit | None = None,
    context: tuple[ContextValue, ...] | None = None,
) -> Iterator[PromptRow]:
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
    selected = _select(split, source, with_masks & _passing(split, filtered), seed)
    if source.prompt == "radiograph":
        _check_texts(split, selected, style, "prompts.masks.filter")
    for row, real in enumerate(split.without_images()):
        if not selected[row]:
            continue
        radiograph = _in_context(real, context)
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
