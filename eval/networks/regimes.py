"""Training regimes: real radiographs, synthetic ones, mixes, or synthetic first and then real."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import NotMeasured
from roentgen.randomness import numpy_generator

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
        """Such as "10 % of real + 2x synthetic"."""
        real = "real" if self.fraction == 1 else f"{100 * self.fraction:g} % of real"
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
        """The real radiographs alone, which it is compared with."""
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
    """All combinations, real alone first; synthetic alone is compared with all real radiographs."""
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
