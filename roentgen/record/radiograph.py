"""Radiograph: the record that every stage reads and writes, with findings, report and masks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.record.context import ContextValue
from roentgen.record.finding import FINDING_OF, Finding, FindingName, State
from roentgen.record.statement import Statement

View = Literal["PA", "AP", "LATERAL"]
VIEWS: tuple[View, ...] = get_args(View)
VIEW_TOKENS: dict[View, str] = {"PA": "<view-pa>", "AP": "<view-ap>", "LATERAL": "<view-lateral>"}
# Words whose mean embedding initializes a new view token.
VIEW_WORDS: dict[View, str] = {
    "PA": "frontal chest x-ray standing",
    "AP": "frontal chest x-ray supine",
    "LATERAL": "side chest x-ray lateral",
}


def parse_view(text: str) -> View:
    """The view of that name, in any case. Raises InputError for an unknown one."""
    for view in VIEWS:
        if text.strip().upper() == view:
            return view
    raise InputError(f"unknown view {text!r}; choose one of: {', '.join(VIEWS)}")


Masks = dict[str, NDArray[np.bool_] | None]  # by structure, bool [H, W]; None: unknown


Split = Literal["train", "validate", "test"]
Sex = Literal["F", "M"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The sections of a radiology report; None where a section is missing."""

    findings: str | None = None
    impression: str | None = None
    indication: str | None = None
    comparison: str | None = None
    last_paragraph: str | None = None  # of a report without titles


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle around a structure, in pixels of the prepared image from its top left corner."""

    structure: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """How a synthetic radiograph was generated: enough to generate it again."""

    prompt: str
    negative_prompt: str | None
    seed: int
    guidance_scale: float
    steps: int
    scheduler: str
    model: str  # fingerprint of the model folder
    from_radiograph: str | None = None  # id of the radiograph whose prompt was used
    from_patient: str | None = None  # that radiograph's patient
    guidance_interval: tuple[float, float] | None = None  # see SamplerSettings
    guidance_rescale: float | None = None
    cache_interval: int | None = None
    conditioning_scale: float | None = None  # None: without masks
    conditioning_interval: tuple[float, float] | None = None
    mask_seed: int | None = None  # of the transform of that radiograph's masks

    def as_text(self) -> dict[str, str]:
        """Texts for the image file: that it is synthetic, and how it was generated."""
        return {"Description": "synthetic chest radiograph, not of a patient"} | {
            key.replace("_", " ").capitalize(): str(value)
            for key, value in vars(self).items()
            if value not in (None, "") and not key.startswith("from_")
        }


@dataclass(frozen=True, kw_only=True)
class Radiograph:
    """One image with all its metadata.

    `image` is the encoded file (gray 8-bit PNG or JPEG); `masks` maps a structure ("lungs",
    "heart", "pleural effusion") to a PNG of 0 and 255 of the same size. `findings` are the labels;
    `statements` are what was read from the study's report or its graph, more exact and in its
    order, () where none was read. Their evidence is in characters of `report`.
    """

    id: str
    patient_id: str
    study_id: str
    split: Split
    image: bytes
    view: View | None = None
    findings: tuple[Finding, ...] = ()
    statements: tuple[Statement, ...] = ()
    report: Report | None = None
    masks: dict[str, bytes] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    age: float | None = None  # years
    sex: Sex | None = None
    race: str | None = None  # in the words of prompts: "white", "black or african american"
    context: tuple[ContextValue, ...] = ()  # known before the study, () where nothing was joined
    source: str
    license: str
    synthesis: Synthesis | None = None
    light: tuple[str, ...] = field(default=(), compare=False)  # notes of a preparation; not stored


def check_not_empty(
    mask: NDArray[np.bool_], structure: str, found: Mapping[FindingName, State], where: str
) -> None:
    """Raise InputError for a mask without a pixel, unless it is of a finding that is not present.

    `found` are the states of the findings; `where` names the mask in the error.
    """
    finding = FINDING_OF.get(structure)
    if not mask.any() and (finding is None or found.get(finding) == "present"):
        must = f"{finding} is present" if finding else "every patient has it"
        raise InputError(f"{where} is empty, but {must}: omit the mask where it is unknown")
