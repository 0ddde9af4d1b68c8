"""Networks that evaluation trains: training regimes, and the networks in words for the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.config import ComparisonConfig
from roentgen.dataset.label_arrays import NotMentioned
from roentgen.metrics.estimates import NotMeasured
from roentgen.randomness import numpy_generator
from roentgen.vision.network_settings import OURS, ClassifierConfig

Kind = Literal["real", "synthetic", "mixed", "pretrained"]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Regime:
    """What a network is trained on."""

    kind: Kind
    radiographs: int | None = None
    """Number of real images; None: all there are."""
    multiple: float | None = None
    """Synthetic images for each real one; None: all there are."""

    @property
    def name(self) -> str:
        """Such as "60 radiographs + 2x synthetic"."""
        real = "radiographs" if self.radiographs is None else f"{self.radiographs} radiographs"
        synthetic_label = (
            "all synthetic" if self.multiple is None else f"{self.multiple:g}x synthetic"
        )
        match self.kind:
            case "real":
                return real
            case "synthetic":
                return synthetic_label
            case "mixed":
                return f"{real} + {synthetic_label}"
            case "pretrained":
                return f"{synthetic_label}, then {real}"

    @property
    def base(self) -> "Regime":
        """The radiographs alone, which it is compared with."""
        return Regime(kind="real", radiographs=self.radiographs)


@dataclass(frozen=True, kw_only=True)
class Training:
    """One network: its regime, its seed, and the rows of the real and synthetic set it sees."""

    regime: Regime
    seed: int
    real: Rows
    synthetic: Rows


def regimes(
    kinds: Sequence[Kind], counts: Sequence[int | None], multiples: Sequence[float | None]
) -> list[Regime]:
    """All combinations, real alone first; synthetic alone is compared with all radiographs.

    `counts` are numbers of radiographs; None: all.
    """
    requested = []
    for count in sorted(counts, key=lambda count: math.inf if count is None else count)[::-1]:
        requested.append(Regime(kind="real", radiographs=count))
        requested += [
            Regime(kind=kind, radiographs=count, multiple=multiple)
            for kind in kinds
            if kind != "real" and (kind != "synthetic" or count is None)
            for multiple in multiples
        ]
    return requested


def hold_out(patients: Sequence[str], share: float, seed: int) -> tuple[Rows, Rows]:
    """The rows of a share of the patients, at least one, and the rows of all others."""
    names = np.unique(np.asarray(patients))
    count = max(1, math.floor(share * len(names) + 0.5))
    order = numpy_generator(seed, "utility", "validation").permutation(len(names))
    chosen = np.isin(patients, names[order[:count]])
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def trainings(
    requested: Sequence[Regime], seeds: Sequence[int], patients: Sequence[str], synthetic: int
) -> tuple[list[Training], dict[Regime, NotMeasured]]:
    """Every network to train, and the regimes that have none.

    `patients` are those of the real images, `synthetic` is how many synthetic images there are.
    Each seed draws its own radiographs, fewer being contained in more, and its own synthetic
    images; networks of one seed share them in all regimes.
    """
    result: list[Training] = []
    not_measured: dict[Regime, NotMeasured] = {}
    for regime in requested:
        real_count = len(patients) if regime.radiographs is None else regime.radiographs
        count = _synthetic_count(regime, real_count, synthetic)
        if real_count > len(patients):
            reason = f"{real_count} radiographs are needed, there are {len(patients)}"
            not_measured[regime] = NotMeasured(reason)
            continue
        if count > synthetic:
            reason = f"{count} synthetic images are needed, there are {synthetic}"
            not_measured[regime] = NotMeasured(reason)
            continue
        for seed in seeds:
            real = _sampled(patients, real_count if regime.kind != "synthetic" else 0, seed)
            order = numpy_generator(seed, "synthetic").permutation(synthetic)
            synthetic_rows = np.sort(order[:count])
            result.append(Training(regime=regime, seed=seed, real=real, synthetic=synthetic_rows))
    return result, not_measured


def _synthetic_count(regime: Regime, real: int, synthetic: int) -> int:
    if regime.kind == "real":
        return 0
    return synthetic if regime.multiple is None else max(1, round(regime.multiple * real))


def _sampled(patients: Sequence[str], count: int, seed: int) -> Rows:
    """The first rows, patient after patient in the seed's order; the last may lack images."""
    names, owners = np.unique(np.asarray(patients), return_inverse=True)
    order = numpy_generator(seed, "utility", "fraction").permutation(len(names))
    ranks = np.argsort(order)[owners]
    return np.sort(np.argsort(ranks, kind="stable")[:count])


def classifier_text(c: ClassifierConfig, not_mentioned: NotMentioned, size: int) -> str:
    """The classifier for images of `size` pixels a side."""
    widths = f"residual CNN, widths {', '.join(map(str, c.widths))}"
    network = widths if c.network == OURS else f"{c.network} of timm, one gray channel"
    start = f"from the layers of {c.pretrained}" if c.pretrained else "from scratch"
    resize = f"none ({size}x{size})"
    if c.resize is not None and c.resize != size:
        resize = f"{size}x{size} to {c.resize}x{c.resize}, bilinear with antialiasing"
    return (
        f"Network: {network}, {c.steps} steps of {c.batch_size} images {start}, no flips; "
        f"resize {resize}, pixels [-1, 1]. A finding that is uncertain is excluded; one not "
        f"mentioned is {'excluded' if not_mentioned == 'ignore' else 'taken as absent'}."
    )


def segmenter_text(config: ComparisonConfig) -> str:
    """The segmenter."""
    c = config.segmenter
    return (
        f"Network: U-Net of segmentation_models_pytorch with the encoder {c.encoder}, from "
        f"scratch, {c.steps} steps of {c.batch_size} images, cross-entropy and soft Dice; "
        "small random shifts, rotations and scalings, never flips. Pixels of unknown structure are "
        "ignored. A pixel counts as inside at a probability of at least 0.5."
    )
