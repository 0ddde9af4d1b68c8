"""Sharpness of each set beside held-out real radiographs, in all images and by view.

Features respond to blur as far as they were trained to, and distances of whole sets do not see a
few images: so each image is measured by itself, without a network.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images, ImageSet
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    count_patients,
    normal_estimate,
    percentile_interval,
    share_estimate,
    weighted_mean,
)
from roentgen.metrics.images.laplacian import laplacian_detail
from roentgen.metrics.images.power_spectrum import BAND_ENDS, band_shares, decibels
from roentgen.metrics.quantiles import weighted_quantile
from roentgen.randomness import derive_seed
from roentgen.record.radiograph import VIEWS

Measure = Literal["detail", "fine_power"]
ALL_VIEWS, REAL = "all", "test"
NUMBERS = ("median", "spread", "ratio", "below", "above")  # of the radiographs the first two alone
TAIL = 0.01  # of real radiographs that are below and above the limits of their sharpness
MIN_PATIENTS = 20  # of a set and of the held-out radiographs
_BATCH = 256  # images read at once


class Sharpness(NamedTuple):
    """The sharpness of each image of a set, and how often it is in each bootstrap resample."""

    detail: Floats  # (N,), standard deviation of the Laplacian over that of the image
    fine_power: Floats  # (N,), share of the power above a quarter of a cycle per pixel
    spectrum: Floats  # (N, bands), decibels; NaN for an image without contrast
    patients: NDArray[np.str_]  # (N,)
    weights: NDArray[np.int32]  # (1 + resamples, N), the first of ones

    @classmethod
    def of(cls, images: ImageSet, samples: int, seed: int) -> "Sharpness":
        """Reads every image once."""
        detail, shares = _measured(images.images)
        return cls(
            detail=detail,
            fine_power=np.nan_to_num(shares[:, -1]),
            spectrum=decibels(shares),
            patients=np.asarray(images.patients),
            weights=np.concatenate(
                [
                    np.ones((1, len(images)), np.int32),
                    bootstrap_weights(images.patients, samples, seed),
                ]
            ),
        )

    def take(self, rows: NDArray[np.bool_]) -> "Sharpness":
        """Some images alone, in the same resamples."""
        return Sharpness(
            detail=self.detail[rows],
            fine_power=self.fine_power[rows],
            spectrum=self.spectrum[rows],
            patients=self.patients[rows],
            weights=self.weights[:, rows],
        )

    def quantile(self, measure: Measure, share: float) -> Floats:
        """(1 + resamples,)."""
        return weighted_quantile(getattr(self, measure), self.weights, share)

    @property
    def too_few(self) -> NotMeasured | None:
        """The reason why the set is not measured, if it is not."""
        if self.distinct_patients >= MIN_PATIENTS:
            return None
        why = f"only {self.distinct_patients} patients or prompts (at least {MIN_PATIENTS} needed)"
        return NotMeasured(why, len(self.patients), self.distinct_patients)

    @property
    def distinct_patients(self) -> int:
        """The number of distinct patients."""
        return count_patients(self.patients.tolist())


def sharpness(
    sets: Mapping[str, ImageSet], test: ImageSet, *, samples: int, seed: int
) -> dict[str, Any]:
    """The sharpness of each set and of the held-out radiographs, in all images and by view.

    Views of too few held-out patients are listed in "not_measured".
    """
    named = {REAL: test, **sets}
    found = {
        name: Sharpness.of(images, samples, derive_seed(seed, "sharpness", name))
        for name, images in named.items()
    }
    result: dict[str, Any] = {"band_ends": list(BAND_ENDS[:-1]), ALL_VIEWS: _compared(found)}
    not_measured: dict[str, NotMeasured] = {}
    for number, view in enumerate(VIEWS):
        of_view = {name: found[name].take(images.views == number) for name, images in named.items()}
        too_few = of_view[REAL].too_few
        if too_few is None:
            result[view] = _compared(of_view)
        elif too_few.n:
            not_measured[view] = too_few
    return result | {"not_measured": not_measured}


def _compared(found: Mapping[str, Sharpness]) -> dict[str, Any]:
    """Every set beside the held-out radiographs, of one view or of all."""
    real = found[REAL]
    too_few = {name: item.too_few or real.too_few for name, item in found.items()}
    result: dict[str, Any] = {"expected_beyond": max(TAIL, 1 / (len(real.detail) + 1))}
    for measure in get_args(Measure):
        numbers: dict[str, dict[str, Estimate]] = {key: {} for key in NUMBERS}
        for name, item in found.items():
            why = too_few[name]
            of_set = dict.fromkeys(NUMBERS, why) if why else _numbers(item, real, measure)
            for key in NUMBERS if name != REAL else NUMBERS[:2]:
                numbers[key][name] = of_set[key]
        result[measure] = numbers
    result["spectrum"] = {
        name: np.nanmean(item.spectrum, axis=0).tolist()
        for name, item in found.items()
        if too_few[name] is None
    }
    result["spectrum_distance"] = {
        name: too_few[name] or _spectrum_distance(item, real)
        for name, item in found.items()
        if name != REAL
    }
    return result


def _numbers(item: Sharpness, real: Sharpness, measure: Measure) -> dict[str, Estimate]:
    """A measure's median and interquartile range, its ratio to that of the radiographs, and shares.

    Both sides are resampled: a resample has its own limits of the radiographs.
    """
    low, median, high = (item.quantile(measure, share) for share in (0.25, 0.5, 0.75))
    ratio = median / np.maximum(real.quantile(measure, 0.5), 1e-12)
    n, patients = len(item.detail), item.distinct_patients

    def beyond(compare: Callable[..., NDArray[np.bool_]], limits: Floats) -> Estimate:
        values = getattr(item, measure)
        counts = [
            (compare(values, limit) @ weights, weights.sum())
            for limit, weights in zip(limits, item.weights, strict=True)
        ]
        shares = np.array([count / total if total else np.nan for count, total in counts])
        return share_estimate(float(shares[0]), shares[1:], n, patients)

    return {
        "median": _estimate(median, n, patients),
        "spread": _estimate(high - low, n, patients),
        "ratio": _estimate(ratio, n, patients),
        "below": beyond(np.less, real.quantile(measure, TAIL)),
        "above": beyond(np.greater, real.quantile(measure, 1 - TAIL)),
    }


def _estimate(replicates: Floats, n: int, patients: int) -> Estimate:
    """The first with the percentiles of the others."""
    low, high = percentile_interval(replicates[1:])
    return Estimate(value=float(replicates[0]), low=low, high=high, n=n, patients=patients)


def _spectrum_distance(item: Sharpness, real: Sharpness) -> Estimate:
    """Root mean square over the bands of the difference of mean spectra, in decibels."""
    means = [
        np.stack([weighted_mean(band, x.weights) for band in x.spectrum.T]) for x in (item, real)
    ]
    distances = np.sqrt(np.mean((means[0] - means[1]) ** 2, axis=0))
    n = len(item.detail)
    return normal_estimate(
        distances[0], distances[1:], n, patients=item.distinct_patients, least=0.0
    )


def _measured(images: Images) -> tuple[Floats, Floats]:
    """Detail (N,) and shares of power (N, bands)."""
    parts = []
    for start in range(0, len(images), _BATCH):
        pixels = images[start : start + _BATCH]
        parts.append((np.exp(laplacian_detail(pixels)), band_shares(pixels)))
    detail, shares = zip(*parts, strict=True)
    return np.concatenate(detail), np.concatenate(shares)
