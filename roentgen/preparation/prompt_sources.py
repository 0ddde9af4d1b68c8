"""Report sections and patient data that prompts are made of: whether a split has any, and the fix.

Only columns are read, so that a dataset without them is refused before any work.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from roentgen.corpora.image_corpus import WITH_PATIENTS, WITH_REPORTS, ImageCorpusReader
from roentgen.dataset.dataset import RadiographDataset, RadiographSplit
from roentgen.errors import InputError
from roentgen.preparation.config import READERS
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import SECTIONS, PromptStyle


def check_prompt_sources(
    dataset: RadiographDataset,
    split: RadiographSplit,
    styles: Iterable[PromptStyle],
    rules: RadiographFilter | None = None,
) -> None:
    """Raise InputError where no radiograph of a split has what prompts or a filter need.

    `styles` are those of the prompts, `rules` is what data.filter says.
    """
    where = f"no radiograph of split {split.name!r} of {dataset.folder}"
    prepared = dataset.manifest["provenance"].get("config") or {}
    if rules is not None:
        name = "data.filter" if rules.preset is None else f"data.filter.preset {rules.preset}"
        if rules.section and not _has_section(split, (rules.section,)):
            raise InputError(
                f"{name} needs reports, but {where} has the section {rules.section!r}: "
                f"{report_remedy(prepared)}, or set another data.filter"
            )
        for known in rules.known or ():
            if not pc.any(pc.is_valid(split.column(known))).as_py():
                reader = _reader(prepared)
                remedy = WITH_PATIENTS if reader is None else reader.patient_remedy(known)
                raise InputError(
                    f"{name} needs the patient's {known}, but {where} has one: {remedy}, or set "
                    "another data.filter"
                )
    for style in styles:
        sections = [SECTIONS[style.text]] if style.text in SECTIONS else []
        if style.text in ("entities", "facts") and not _has_statements(split):  # the report is read
            sections = ["findings", "impression", "last_paragraph"]
        if sections and not _has_section(split, sections):
            raise InputError(
                f"prompts of {style.text} need reports, but {where} has a report section "
                f"{' or '.join(map(repr, sections))}: {report_remedy(prepared)}, or choose another "
                "prompt text, such as findings"
            )


def report_remedy(prepared: Mapping[str, Any]) -> str:
    """What to do about missing reports; `prepared` is the configuration of the preparation."""
    reader = _reader(prepared)
    return WITH_REPORTS if reader is None else reader.report_remedy()


def _reader(prepared: Mapping[str, Any]) -> type[ImageCorpusReader[Any]] | None:
    return next((READERS[name] for name in READERS if prepared.get(name) is not None), None)


def _has_section(split: RadiographSplit, sections: Sequence[str]) -> bool:
    """Whether any radiograph has a text in one of these sections of its report."""
    for section in sections:
        for chunk in split.column("report").chunks:
            texts = pc.struct_field(chunk, section)
            if pc.any(pc.greater(pc.utf8_length(texts), 0)).as_py():
                return True
    return False


def _has_statements(split: RadiographSplit) -> bool:
    """Whether any radiograph has a statement."""
    return any(
        pc.any(pc.greater(pc.list_value_length(chunk), 0)).as_py()
        for chunk in split.column("statements").chunks
    )
