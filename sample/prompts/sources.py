"""Prompt rows of a configuration: from its findings, texts, dataset, table, labels or masks."""

from collections.abc import Iterator
from dataclasses import replace

from roentgen.corpora.scanning.rows import read_rows
from roentgen.errors import InputError
from roentgen.generation.prompt_rows import (
    PromptRow,
    Views,
    check_view_in_style,
    rows_from_findings,
    rows_from_text,
)
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.radiograph import parse_view
from sample.prompts.config import PromptsConfig, TablePrompts
from sample.prompts.dataset_rows import rows_from_dataset, rows_from_masks
from sample.prompts.label_rows import label_rows


def rows_from_config(prompts: PromptsConfig, style: PromptStyle, seed: int) -> Iterator[PromptRow]:
    """The rows of a configuration; `seed` draws the sample for a dataset's `limit`."""
    views: Views = prompts.views or (None,)
    column = prompts.table.view_column if prompts.table else None
    if prompts.views or column:
        where = "prompts.views" if prompts.views else "prompts.table.view_column"
        check_view_in_style(where, style)
    if prompts.findings is not None:
        for number, text in enumerate(prompts.findings):
            yield from rows_from_findings(text, style, views, f"prompts.findings[{number}]")
    elif prompts.texts is not None:
        for number, text in enumerate(prompts.texts):
            yield from rows_from_text(text, style, views, f"prompts.texts[{number}]")
    elif prompts.dataset is not None:
        yield from rows_from_dataset(prompts.dataset, style, seed)
    elif prompts.table is not None:
        yield from rows_from_table(prompts.table, style, views)
    elif prompts.labels is not None:
        yield from label_rows(prompts.labels, style, seed)
    elif prompts.masks is not None:
        yield from rows_from_masks(prompts.masks, style, seed)


def rows_from_table(source: TablePrompts, style: PromptStyle, views: Views) -> Iterator[PromptRow]:
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
        for row in read(line[source.column], style, own, where):
            yield replace(row, count=count)
    if number == 0:
        raise InputError(f"{source.file} has no row below its header")
