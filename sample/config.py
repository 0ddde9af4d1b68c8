"""What generation can be told; each section is checked as soon as it is read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from roentgen.diffusion.conditions.prompt_encoding import TooLong
from roentgen.diffusion.sampling.sampler import SamplerSettings
from roentgen.errors import InputError
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.radiograph import Split
from roentgen.record.views import View
from sample.prompts.from_masks import MaskPrompts
from sample.prompts.label_config import LabelPrompts


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


@dataclass(frozen=True, kw_only=True)
class DatasetPrompts:
    """Prompts made from the radiographs of a dataset, one row a radiograph."""

    folder: Path
    """The radiograph dataset."""
    split: str = "test"
    """Its split."""
    views: tuple[View, ...] | None = None
    """Only radiographs of these views; null: all."""
    limit: int | None = None
    """At most so many radiographs, drawn by lot; null: all."""

    def __post_init__(self) -> None:
        _require(
            self.limit is None or self.limit > 0,
            f"prompts.dataset.limit is {self.limit}: at least 1, or null for all",
        )


@dataclass(frozen=True, kw_only=True)
class TablePrompts:
    """Prompts from a table, one row a prompt."""

    file: Path
    """A CSV, TSV (also gzipped) or Parquet file; texts in UTF-8, with a header."""
    column: str
    """The column with the findings or the text, for instance a report's impression."""
    kind: Literal["findings", "text"] = "text"
    """findings: read by the grammar and told in its words; text: used as it is."""
    view_column: str | None = None
    """The column with the view (PA, AP, LATERAL); null: `prompts.views`."""
    count_column: str | None = None
    """The column with the number of images; null: `prompts.count`."""


@dataclass(frozen=True, kw_only=True)
class PromptsConfig:
    """What is drawn: exactly one of findings, texts, dataset, table, labels and masks."""

    findings: tuple[str, ...] | None = None
    """Findings by hand: "cardiomegaly, small left pleural effusion"."""
    texts: tuple[str, ...] | None = None
    """Texts by hand, used as they are; they may hold a view token."""
    dataset: DatasetPrompts | None = None
    """The radiographs of a dataset."""
    table: TablePrompts | None = None
    """A table of prompts."""
    labels: LabelPrompts | None = None
    """So many images of each finding, with mixes of views and patients."""
    masks: MaskPrompts | None = None
    """The masks of a dataset's radiographs, and what these show."""
    views: tuple[View, ...] = ()
    """Each of `findings`, `texts` and `table` without a view of its own is drawn in each of these;
    empty: without a view."""
    count: int = 1
    """Images of each prompt."""
    negative_prompt: str | None = None
    """What guidance leads away from; null: the empty prompt."""

    def __post_init__(self) -> None:
        sources = ("findings", "texts", "dataset", "table", "labels", "masks")
        given = [name for name in sources if getattr(self, name) is not None]
        _require(
            len(given) == 1,
            f"prompts needs exactly one of {', '.join(sources)}; "
            f"given: {', '.join(given) or 'none'}",
        )
        for name in ("findings", "texts"):
            _require(getattr(self, name) != (), f"prompts.{name} is empty: give at least one")
        _require(self.count > 0, f"prompts.count is {self.count}: at least 1")
        _require(
            self.labels is None or self.count == 1,
            "prompts.count does not go with prompts.labels, which say how many images of each",
        )
        for name in ("dataset", "labels", "masks"):
            _require(
                not (getattr(self, name) and self.views),
                f"prompts.views does not go with prompts.{name}: use prompts.{name}.views",
            )


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Generate synthetic radiographs: a radiograph dataset, its plan and a contact sheet."""

    model: str
    """A model folder, a repository id, or "tiny" for the shipped one."""
    prompts: PromptsConfig
    """What is drawn."""
    output: Path
    """The dataset folder that is made."""
    overwrite: bool = False
    """Replace the output folder if it exists."""
    style: PromptStyle | None = None
    """What prompts tell; null: what the model was trained with."""
    long_prompts: TooLong | None = None
    """refuse or truncate prompts beyond the token limit; null: as the model was trained."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    """How images are drawn."""
    seed: int = 0
    """Every image's own seed derives from it, its prompt and its number."""
    split: Split = "train"
    """The split the images come to stand in."""
    sheet_prompts: int = 16
    """Prompts shown on the contact sheet."""
    dry_run: bool = False
    """Say what would be drawn, how long it would take and on how much disk, and end."""

    def __post_init__(self) -> None:
        _require(self.sheet_prompts > 0, f"sheet_prompts is {self.sheet_prompts}: at least 1")
        _require(
            self.prompts.negative_prompt is None or self.sampler.guidance_scale > 1,
            "prompts.negative_prompt has no effect without guidance: set sampler.guidance_scale "
            "above 1, or leave it out",
        )
        plain = SamplerSettings()
        for name in ("conditioning_scale", "conditioning_interval"):
            _require(
                self.prompts.masks is not None
                or getattr(self.sampler, name) == getattr(plain, name),
                f"sampler.{name} has no effect without prompts.masks: leave it out",
            )
