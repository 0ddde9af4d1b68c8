"""Networks that evaluation trains: training regimes, and the networks in words for the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.config import ComparisonConfig
from roentgen.metrics.estimates import NotMeasured
from roentgen.randomness import numpy_generator
from roentgen.vision.network_settings import OURS

Kind = Literal["real", "synthetic", "mixed", "pretrained"]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Regime:
    """What a network is trained on."""

    kind: Kind
    fraction: float = 1.0
    """Share of the real patients."""
    multiple: float | None = None
    """Synthetic images for each real one; None: all there are."""

    @property
    def name(self) -> str:
        """Such as "10 % of radiographs + 2x synthetic"."""
        real = "radiographs"
        if self.fraction < 1:
            real = f"{100 * self.fraction:g} % of radiographs"
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
        return Regime(kind="real", fraction=self.fraction)


@dataclass(frozen=True, kw_only=True)
class Training:
    """One network: its regime, its seed, and the rows of the real and synthetic set it sees."""

    regime: Regime
    seed: int
    real: Rows
    synthetic: Rows


def regimes(
    kinds: Sequence[Kind], fractions: Sequence[float], multiples: Sequence[float | None]
) -> list[Regime]:
    """All combinations, real alone first; synthetic alone is compared with all radiographs."""
    requested = []
    for fraction in sorted(fractions, reverse=True):
        requested.append(Regime(kind="real", fraction=fraction))
        requested += [
            Regime(kind=kind, fraction=fraction, multiple=multiple)
            for kind in kinds
            if kind != "real" and (kind != "synthetic" or fraction == 1)
            for multiple in multiples
        ]
    return requested


def hold_out(patients: Sequence[str], share: float, seed: int) -> tuple[Rows, Rows]:
    """The rows of a share of the patients, at least one, and the rows of all others."""
    chosen = np.isin(patients, _first(patients, share, seed, "validation"))
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def trainings(
    requested: Sequence[Regime], seeds: Sequence[int], patients: Sequence[str], synthetic: int
) -> tuple[list[Training], dict[Regime, NotMeasured]]:
    """Every network to train, and the regimes that have none.

    `patients` are those of the real images, `synthetic` is how many synthetic images there are.
    Each seed draws its own share of patients, the smaller within the larger, and its own synthetic
    images; networks of one seed share them in all regimes.
    """
    result: list[Training] = []
    not_measured: dict[Regime, NotMeasured] = {}
    for regime in requested:
        each = []
        for seed in seeds:
            chosen = _first(patients, regime.fraction, seed, "fraction")
            real = np.flatnonzero(np.isin(patients, chosen))
            count = _synthetic_count(regime, len(real), synthetic)
            if count > synthetic:
                not_measured[regime] = NotMeasured(
                    f"{count} synthetic images are needed, there are {synthetic}"
                )
                break
            order = numpy_generator(seed, "synthetic").permutation(synthetic)
            synthetic_rows = np.sort(order[:count])
            if regime.kind == "synthetic":
                real = real[:0]
            each.append(Training(regime=regime, seed=seed, real=real, synthetic=synthetic_rows))
        else:
            result += each
    return result, not_measured


def _synthetic_count(regime: Regime, real: int, synthetic: int) -> int:
    if regime.kind == "real":
        return 0
    return synthetic if regime.multiple is None else max(1, round(regime.multiple * real))


def _first(patients: Sequence[str], share: float, seed: int, what: str) -> NDArray[np.str_]:
    """The first of the patients in the seed's order."""
    names = np.unique(np.asarray(patients))
    count = max(1, math.floor(share * len(names) + 0.5))
    return names[numpy_generator(seed, "utility", what).permutation(len(names))[:count]]


def classifier_text(config: ComparisonConfig, size: int) -> str:
    """The classifier for images of `size` pixels a side."""
    c = config.classifier
    widths = f"residual CNN, widths {', '.join(map(str, c.widths))}"
    network = widths if c.network == OURS else f"{c.network} of timm, one gray channel"
    start = f"from the layers of {c.pretrained}" if c.pretrained else "from scratch"
    resize = f"none ({size}x{size})"
    if c.resize is not None and c.resize != size:
        resize = f"{size}x{size} to {c.resize}x{c.resize}, bilinear with antialiasing"
    return (
        f"Network: {network}, {c.steps} steps of {c.batch_size} images {start}, no flips; "
        f"resize {resize}, pixels [-1, 1]. A finding that is uncertain is excluded; one not "
        f"mentioned is {'excluded' if config.not_mentioned == 'ignore' else 'taken as absent'}."
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
