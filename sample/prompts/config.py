"""Settings of prompts: where the prompts of a synthetic set come from."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from roentgen.errors import InputError, require, require_distinct, require_range
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.vocabulary import RACES
from roentgen.record.finding import FINDING_NAMES, SEVERITIES, SIDES
from roentgen.record.radiograph import VIEWS, View
from sample.masks.config import MaskTransforms

OLDEST = 120  # years
_KINDS = ("counts", "shares", "single", "balanced", "prevalence")


def _check_names(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raises InputError for an unknown name, with the nearest known one."""
    choices = tuple(known)
    for name in names:
        if name not in choices:
            folded = {choice.lower(): choice for choice in choices}
            near = difflib.get_close_matches(name.lower(), folded, n=1)
            hint = f"did you mean {folded[near[0]]!r}?" if near else f"known: {', '.join(choices)}"
            raise InputError(f"{what} has the unknown name {name!r}; {hint}")


def _check_shares(what: str, shares: Mapping[str, float]) -> None:
    """Raises InputError unless shares are finite, none is negative and at least one is above 0."""
    for name, share in shares.items():
        if not (math.isfinite(share) and share >= 0):
            raise InputError(f"{what} of {name!r} is {share}: at least 0")
    if not sum(shares.values()) > 0:
        raise InputError(f"{what} add up to 0: give at least one above 0")


def age_band(text: str) -> tuple[int, int]:
    """The first and the last year of an age band such as "40-64". Raises InputError otherwise."""
    match = re.fullmatch(r"(\d+)-(\d+)", text.replace(" ", ""))
    low, high = (int(years) for years in match.groups()) if match else (1, 0)
    if not low <= high <= OLDEST:
        raise InputError(
            f"prompts.labels.ages has the band {text!r}: write its first and last year, as in "
            f"'40-64', up to {OLDEST}"
        )
    return low, high


@dataclass(frozen=True, kw_only=True)
class SingleFindings:
    """One finding an image, each in an equal share of the images."""

    findings: tuple[str, ...] | None = None
    """Names of findings; null: the 12 pathologies."""

    def __post_init__(self) -> None:
        _check_findings("prompts.labels.single.findings", self.findings)


@dataclass(frozen=True, kw_only=True)
class DatasetLabels:
    """Findings, view and patient of each image are those of a radiograph drawn at random.

    None is repeated before all are drawn, so that shares in the plan are the dataset's.
    """

    folder: Path
    """The radiograph dataset."""
    split: str = "train"
    """Its split."""


@dataclass(frozen=True, kw_only=True)
class BalancedLabels:
    """As `prevalence`, but each radiograph is drawn from those with the finding rarest so far.

    Radiographs that also have a finding which is already more frequent are skipped, where others
    are available.
    """

    folder: Path
    """The radiograph dataset."""
    split: str = "train"
    """Its split."""
    findings: tuple[str, ...] | None = None
    """The findings that become equally frequent; null: all pathologies in the split."""
    top_up: bool = False
    """Count the split's radiographs too: balance dataset and synthetic images together."""

    def __post_init__(self) -> None:
        _check_findings("prompts.labels.balanced.findings", self.findings)


def _check_findings(what: str, names: tuple[str, ...] | None) -> None:
    if names is None:
        return
    if not names:
        raise InputError(f"{what} is empty: name at least one, or null for all")
    _check_names(what, names, FINDING_NAMES)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"{what} names {twice!r} twice: once is enough")


@dataclass(frozen=True, kw_only=True)
class LabelPrompts:
    """Images planned by label: exactly one of counts, shares, single, balanced and prevalence.

    Shares need not add up to 1. They are met exactly (largest remainder) and assigned at random,
    each kind independently of the others.
    """

    counts: dict[str, int] | None = None
    """Images of each finding or combination, in the grammar's words: {Pneumothorax: 500,
    "cardiomegaly, small left effusion": 200, No Finding: 300}; prompts mention no other finding."""
    shares: dict[str, float] | None = None
    """The same, as shares of `images`."""
    single: SingleFindings | None = None
    """One finding an image."""
    balanced: BalancedLabels | None = None
    """Combinations of a dataset, every finding equally often."""
    prevalence: DatasetLabels | None = None
    """Combinations of a dataset, as frequent as there."""
    images: int | None = None
    """Total number of images; null: the sum of `counts`, or with `balanced.top_up` as many as it
    takes until the rarest finding is as frequent as the split's most frequent one."""
    no_finding: float = 0.0
    """Share of normal images in `images`, for `shares`, `single` and `balanced`."""
    views: dict[str, float] | None = None
    """Shares of PA, AP, LATERAL; null: the drawn radiograph's view, or none."""
    sexes: dict[str, float] | None = None
    """Shares of F and M; null: as for views."""
    ages: dict[str, float] | None = None
    """Shares of age bands, {18-39: 1, 40-64: 2}, uniform within each; null: as for views."""
    races: dict[str, float] | None = None
    """Shares of races, in the words of prompts; null: as for views."""
    sides: dict[str, float] | None = None
    """Shares of left, right, bilateral for each finding that can have a side and has none."""
    severities: dict[str, float] | None = None
    """Shares of small, moderate, large for each finding that can have a severity and has none."""

    def __post_init__(self) -> None:
        self._check_kind()
        self._check_images()
        for name, known in (
            ("views", VIEWS),
            ("sexes", ("F", "M")),
            ("ages", None),
            ("races", RACES),
            ("sides", SIDES),
            ("severities", SEVERITIES),
        ):
            shares = getattr(self, name)
            if shares is not None:
                if known is not None:
                    _check_names(f"prompts.labels.{name}", shares, known)
                _check_shares(f"prompts.labels.{name}", shares)
        bands = sorted(map(age_band, self.ages or ()))
        for (low, high), (start, end) in pairwise(bands):
            if start <= high:
                raise InputError(
                    f"prompts.labels.ages: {low}-{high} and {start}-{end} overlap; a year belongs "
                    "to one band"
                )

    def _check_kind(self) -> None:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise InputError(
                f"prompts.labels needs exactly one of {', '.join(_KINDS)}; "
                f"given: {', '.join(given) or 'none'}"
            )
        if self.counts is not None:
            _check_shares("prompts.labels.counts", self.counts)
        if self.shares is not None:
            _check_shares("prompts.labels.shares", self.shares)

    def _check_images(self) -> None:
        require(
            self.counts is None or self.images is None,
            "prompts.labels.images does not go with counts, which add up to it",
        )
        open_end = self.balanced is not None and self.balanced.top_up
        require(
            self.images is not None or self.counts is not None or open_end,
            "prompts.labels.images is missing: set the total number of images",
        )
        require_range(self, "prompts.labels.images", at_least=1)
        require_range(self, "prompts.labels.no_finding", at_least=0, below=1)
        require(
            not self.no_finding or (self.counts is None and self.prevalence is None),
            "prompts.labels.no_finding goes with shares, single and balanced: counts name "
            "'No Finding' themselves, prevalence has the dataset's share",
        )
        require(
            not self.no_finding or self.images is not None,
            "prompts.labels.no_finding is a share of images: set images",
        )


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
    filter: RadiographFilter | None = None
    """Rules that radiographs must pass, as `prompts.dataset.filter`; null: all pass."""
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
    filter: RadiographFilter | None = None
    """Rules that radiographs must pass, as `data.filter` of the training; the others are listed in
    excluded.csv. Tokens are counted on the prompts of this run. null: all pass."""
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
    context: tuple[str, ...] | None = None
    """Words of the clinical context in every prompt, in place of its own: [febrile]. []: none, to
    draw the same images without it. null: a prompt's own, which are those of its radiograph."""
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

    @property
    def source(self) -> DatasetPrompts | MaskPrompts | BalancedLabels | DatasetLabels | None:
        """The split of a dataset that prompts are made from, if any."""
        labels = self.labels and (self.labels.balanced or self.labels.prevalence)
        return self.dataset or self.masks or labels or None
