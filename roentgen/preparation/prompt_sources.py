"""Report sections and patient data that prompts are made of: whether a split has any, and the fix.

Only columns are read, so that a dataset without them is refused before any work.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from roentgen.dataset.dataset import RadiographDataset, RadiographSplit
from roentgen.errors import InputError
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import SECTIONS, PromptStyle

# The setting of a data recipe that gives a corpus its reports, where they are a choice.
REPORT_SETTINGS = {
    "mimic_cxr": "mimic_cxr.reports",
    "mimic_cxr_jpg": "mimic_cxr_jpg.reports",
    "chexpert": "chexpert.plus",
    "padchest": "padchest.reports",
    "table": "table.report",
    "image_folder": "image_folder.report",
}
WITHOUT_REPORTS = ("nih", "vindr", "siim_acr", "rsna", "drr_rate")
# The setting that gives MIMIC-CXR what is known of a patient.
PATIENT_SETTINGS = {"age": "patients", "sex": "patients", "race": "admissions"}
_EXAMPLE = "as configs/data/mimic_cxr_jpg.yaml does"


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
                raise InputError(
                    f"{name} needs the patient's {known}, but {where} has one: "
                    f"{patient_remedy(prepared, known)}, or set another data.filter"
                )
    for style in styles:
        sections = [SECTIONS[style.text]] if style.text in SECTIONS else []
        if style.text == "entities":  # read from the report
            sections = ["findings", "impression"]
        if sections and not _has_section(split, sections):
            raise InputError(
                f"prompts of {style.text} need reports, but {where} has a report section "
                f"{' or '.join(map(repr, sections))}: {report_remedy(prepared)}, or choose another "
                "prompt text, such as findings"
            )


def report_remedy(prepared: Mapping[str, Any]) -> str:
    """What to do about missing reports; `prepared` is the configuration of the preparation."""
    for corpus, setting in REPORT_SETTINGS.items():
        if prepared.get(corpus) is not None:
            return f"prepare it again with {setting} ({_EXAMPLE})"
    for corpus in WITHOUT_REPORTS:
        if prepared.get(corpus) is not None:
            return f"{corpus} has no reports, so use a corpus that has ({_EXAMPLE})"
    return f"use a dataset that was prepared with reports ({_EXAMPLE})"


def patient_remedy(prepared: Mapping[str, Any], known: str) -> str:
    """What to do where no patient's age, sex or race is known; `prepared` as above."""
    for corpus in ("mimic_cxr", "mimic_cxr_jpg"):
        if prepared.get(corpus) is not None:
            return f"prepare it again with {corpus}.{PATIENT_SETTINGS[known]} ({_EXAMPLE})"
    return f"use a dataset that was prepared with it ({_EXAMPLE})"


def _has_section(split: RadiographSplit, sections: Sequence[str]) -> bool:
    """Whether any radiograph has a text in one of these sections of its report."""
    for section in sections:
        for chunk in split.column("report").chunks:
            texts = pc.struct_field(chunk, section)
            if pc.any(pc.greater(pc.utf8_length(texts), 0)).as_py():
                return True
    return False
