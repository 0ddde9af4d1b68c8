"""Settings of prompts: where the prompts of a synthetic set come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.errors import require, require_distinct, require_range
from roentgen.record.radiograph import View
from sample.masks.transforms import MaskTransforms
from sample.prompts.label_config import LabelPrompts


@dataclass(frozen=True, kw_only=True)
class MaskPrompts:
    """The masks of a split's radiographs, for a model with a ControlNet."""

    folder: Path
    """A radiograph dataset with masks, prepared to the size of the model's images."""
    split: str = "train"
    """Its split. Masks of held-out patients would carry them into the synthetic set."""
    structures: tuple[str, ...] | None = None
    """The masks given to the model; other structures are unknown to it. Radiographs without any of
    these masks are skipped. null: all structures of the model."""
    views: tuple[View, ...] | None = None
    """Only radiographs of these views; null: all."""
    limit: int | None = None
    """At most this many radiographs, sampled at random; null: all."""
    prompt: Literal["radiograph", "single disease"] = "radiograph"
    """radiograph: its own prompt, in the style of the model. single disease: for each of its
    findings that has a mask, that finding alone, without the masks of other findings; a normal
    image where there is none (as the best-practices study prompts)."""
    transforms: MaskTransforms | None = None
    """Random transforms of each image's masks; null: none."""
    first_untransformed: bool = False
    """Leave the masks of each prompt's first image untransformed."""

    def __post_init__(self) -> None:
        require_range(self, "prompts.masks.limit", at_least=1, note="or null for all")
        require_distinct(self, "prompts.masks.structures", note="or null")
        require(
            self.transforms is not None or not self.first_untransformed,
            "prompts.masks.first_untransformed has no effect without transforms",
        )


@dataclass(frozen=True, kw_only=True)
class DatasetPrompts:
    """Prompts made from the radiographs of a dataset, one per radiograph."""

    folder: Path
    """The radiograph dataset."""
    split: str = "test"
    """Its split."""
    views: tuple[View, ...] | None = None
    """Only radiographs of these views; null: all."""
    limit: int | None = None
    """At most this many radiographs, sampled at random; null: all."""

    def __post_init__(self) -> None:
        require_range(self, "prompts.dataset.limit", at_least=1, note="or null for all")


@dataclass(frozen=True, kw_only=True)
class TablePrompts:
    """Prompts from a table, one per row."""

    file: Path
    """A CSV, TSV (also gzipped) or Parquet file; texts in UTF-8, with a header."""
    column: str
    """The column with the findings or the text, for instance a report's impression."""
    kind: Literal["findings", "text"] = "text"
    """findings: read by the grammar and written in its words; text: used verbatim."""
    view_column: str | None = None
    """The column with the view (PA, AP, LATERAL); null: `prompts.views`."""
    count_column: str | None = None
    """The column with the number of images; null: `prompts.count`."""


@dataclass(frozen=True, kw_only=True)
class PromptsConfig:
    """Source of prompts: exactly one of findings, texts, dataset, table, labels and masks."""

    findings: tuple[str, ...] | None = None
    """Findings by hand: "cardiomegaly, small left pleural effusion"."""
    texts: tuple[str, ...] | None = None
    """Texts by hand, used verbatim; they may contain a view token."""
    dataset: DatasetPrompts | None = None
    """The radiographs of a dataset."""
    table: TablePrompts | None = None
    """A table of prompts."""
    labels: LabelPrompts | None = None
    """A number or share of images of each finding, view and patient group."""
    masks: MaskPrompts | None = None
    """The masks of a dataset's radiographs, with prompts of what they show."""
    views: tuple[View, ...] = ()
    """Views in which to draw each prompt of `findings`, `texts` and `table`, unless it names its
    own; empty: none."""
    count: int = 1
    """Images per prompt."""
    negative_prompt: str | None = None
    """The prompt that guidance steers away from; null: the empty prompt."""

    def __post_init__(self) -> None:
        sources = ("findings", "texts", "dataset", "table", "labels", "masks")
        given = [name for name in sources if getattr(self, name) is not None]
        require(
            len(given) == 1,
            f"prompts needs exactly one of {', '.join(sources)}; "
            f"given: {', '.join(given) or 'none'}",
        )
        for name in ("findings", "texts"):
            require(getattr(self, name) != (), f"prompts.{name} is empty: give at least one")
        require_range(self, "prompts.count", at_least=1)
        require(
            self.labels is None or self.count == 1,
            "prompts.count does not go with prompts.labels, which set the number of images",
        )
        for name in ("dataset", "labels", "masks"):
            require(
                not (getattr(self, name) and self.views),
                f"prompts.views does not go with prompts.{name}: use prompts.{name}.views",
            )
