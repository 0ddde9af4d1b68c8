"""Radiograph: the record that every stage reads and writes."""

from dataclasses import dataclass, field
from typing import Literal

from roentgen.record.findings import Finding
from roentgen.record.views import View

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
            if value is not None and not key.startswith("from_")
        }


@dataclass(frozen=True, kw_only=True)
class Radiograph:
    """One image with all its metadata.

    `image` is the encoded file (gray 8-bit PNG or JPEG); `masks` maps a structure ("lungs",
    "heart", "pleural effusion") to a PNG of 0 and 255 of the same size.
    """

    id: str
    patient_id: str
    study_id: str
    split: Split
    image: bytes
    view: View | None = None
    findings: tuple[Finding, ...] = ()
    report: Report | None = None
    masks: dict[str, bytes] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    age: float | None = None  # years
    sex: Sex | None = None
    race: str | None = None  # in the words of prompts: "white", "black or african american"
    source: str
    license: str
    synthesis: Synthesis | None = None
