"""Settings of label plans: which findings, how many images, and of which patients."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from roentgen.errors import InputError, require, require_range
from roentgen.prompts.vocabulary import RACES
from roentgen.record.radiograph import FINDING_NAMES, SEVERITIES, SIDES, VIEWS

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
