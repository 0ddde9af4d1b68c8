"""The prompts of a configuration: by hand, of a dataset, of a table, of label plans."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from roentgen.corpora.scanning.rows import read_rows
from roentgen.dataset.dataset import RadiographSplit, open_dataset
from roentgen.errors import InputError
from roentgen.prompts.grammar import (
    PromptStyle,
    compose,
    findings_text,
    findings_told,
    parse_prompt,
    prompt_of,
    split_view,
)
from roentgen.randomness import derive_seed
from roentgen.record.views import View, parse_view
from sample.prompts.by_label import label_rows
from sample.prompts.config import DatasetPrompts, PromptsConfig, TablePrompts
from sample.prompts.from_masks import rows_of_masks
from sample.prompts.row import PromptRow, told_findings

Views = Sequence[View | None]


def prompt_rows(prompts: PromptsConfig, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """The prompts of a configuration; `seed` draws the lot for a dataset's `limit`."""
    views: Views = prompts.views or (None,)
    column = prompts.table.view_column if prompts.table else None
    if (prompts.views or column) and not style.view_token:
        where = "prompts.views" if prompts.views else "prompts.table.view_column"
        raise InputError(
            f"{where} is set, but prompts do not tell the view, as the model was trained or by "
            "style: leave it out, or set style.view_token=true"
        )
    if prompts.findings is not None:
        for number, text in enumerate(prompts.findings):
            yield from rows_of_findings(text, style, views, f"prompts.findings[{number}]")
    elif prompts.texts is not None:
        for number, text in enumerate(prompts.texts):
            yield from rows_of_text(text, style, views, f"prompts.texts[{number}]")
    elif prompts.dataset is not None:
        yield from rows_of_dataset(prompts.dataset, style, seed)
    elif prompts.table is not None:
        yield from rows_of_table(prompts.table, style, views)
    elif prompts.labels is not None:
        yield from label_rows(prompts.labels, style, seed)
    elif prompts.masks is not None:
        yield from rows_of_masks(prompts.masks, style, seed)


def rows_of_findings(
    text: str, style: PromptStyle, views: Views, where: str
) -> Iterator[PromptRow]:
    """Findings by hand in the grammar's words; all that is typed is told, whatever the style."""
    try:
        content = parse_prompt(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not content.findings:
        raise InputError(f"{where} names no finding: write 'no acute findings' for a normal film")
    age, sex, race = content.age, content.sex, content.race
    told = replace(
        style,
        text="findings",
        mention_absent=True,
        mention_uncertain=True,
        view_token=style.view_token or content.view is not None,
        demographics=style.demographics or age is not None or sex is not None,
        race=style.race or race is not None,
    )
    words = findings_text(content.findings, told)
    for view in [content.view] if content.view else views:
        prompt = compose(words, told, view=view, age=age, sex=sex, race=race)
        yield PromptRow(
            prompt=prompt, view=view, findings=content.findings, age=age, sex=sex, race=race
        )


def rows_of_text(text: str, style: PromptStyle, views: Views, where: str) -> Iterator[PromptRow]:
    """A text as it is, with a view token before it; what it says of findings is not known."""
    try:
        own, words = split_view(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not words and not own:
        raise InputError(f"{where} is empty: write a prompt")
    token = style if own is None or style.view_token else replace(style, view_token=True)
    for view in [own] if own else views:
        yield PromptRow(prompt=compose(" ".join(words.split()), token, view=view), view=view)


def rows_of_dataset(source: DatasetPrompts, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """The prompts of a dataset's radiographs, in their order; one radiograph is held at a time."""
    split = open_dataset(source.folder).split(source.split)
    wanted = _wanted(split, source, seed)
    for radiograph in compress(split.without_images(), wanted.tolist()):
        yield PromptRow(
            prompt=prompt_of(radiograph, style),
            view=radiograph.view if style.view_token else None,
            findings=told_findings(findings_told(radiograph, style), style),
            age=radiograph.age if style.demographics else None,
            sex=radiograph.sex if style.demographics else None,
            race=radiograph.race if style.race else None,
            radiograph=radiograph.id,
            patient=radiograph.patient_id,
        )


def _wanted(split: RadiographSplit, source: DatasetPrompts, seed: int) -> NDArray[np.bool_]:
    """(radiographs,): those of the views asked for, or the `limit` of them with the lowest lots."""
    wanted = np.ones(len(split), dtype=np.bool_)
    if source.views is not None:
        wanted = np.isin(split.column("view").to_numpy(), source.views)
    if not wanted.any():
        raise InputError(
            f"split {source.split!r} of {source.folder} has no radiograph of the views "
            f"{', '.join(source.views or ())}: change prompts.dataset.views"
        )
    if source.limit is not None and source.limit < wanted.sum():
        ids = (name for chunk in split.column("id").chunks for name in chunk.to_pylist())
        drawn = (derive_seed(seed, "limit", name) for name in compress(ids, wanted.tolist()))
        lots = np.fromiter(drawn, dtype=np.int64)
        wanted[wanted] = lots <= np.partition(lots, source.limit - 1)[source.limit - 1]
    return wanted


def rows_of_table(source: TablePrompts, style: PromptStyle, views: Views) -> Iterator[PromptRow]:
    """The prompts of a table. Raises InputError for a missing column or a value, by row."""
    read = rows_of_findings if source.kind == "findings" else rows_of_text
    for where, line in _table_rows(source):
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
        for row in read(line[source.column], style, own, where):
            yield replace(row, count=count)


def _table_rows(source: TablePrompts) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row as its columns' texts, with its place in words; rows count from 1."""
    columns = (source.column, source.view_column, source.count_column)
    number = 0
    for row in read_rows(source.file, [column for column in columns if column is not None]):
        number += 1
        where = f"{source.file} row {number}"
        if row is None:
            raise InputError(f"{where} has more or fewer fields than the header")
        yield where, row
    if number == 0:
        raise InputError(f"{source.file} has no row below its header")
