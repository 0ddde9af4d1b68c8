"""Classifier two-sample test: how well a linear probe tells a set from held-out radiographs.

Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017, with the AUROC in place of
the accuracy. 0.5 if both are drawn from one distribution, 1 if every image is told apart.
"""

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    count_patients,
    normal_estimate,
)
from roentgen.metrics.features.feature_set import FeatureSet, whole
from roentgen.randomness import derive_seed, numpy_generator
from roentgen.vision.linear_probe import fit_logistic

FOLDS = 5
MOST = 2000  # images of each set: enough, and the probe stays fast
PENALTY = 0.1  # of the logistic regression on standardized features
_MIN_PATIENTS = 2 * FOLDS
_INFLATION = 1 + FOLDS / (FOLDS - 1)


def two_sample_auroc(
    item: FeatureSet, real: FeatureSet, *, samples: int, seed: int, name: str
) -> Estimate:
    """AUROC of out-of-fold scores, the mean over folds of patients and prompts.

    Each fold is scored by a probe that is fitted on the others, and its AUROC is its own: scores of
    different probes are not ranked together. The interval resamples patients and prompts of the
    scores with the probes as they are; as these share most of their training images, the variance
    is that of the resamples times 1 + FOLDS / (FOLDS - 1) (Nadeau and Bengio 2003).
    """
    sides = [_at_most(x, seed, name) for x in (item, real)]
    n, patients = len(sides[0]), count_patients(sides[0].patients)
    few = min(count_patients(side.patients) for side in sides)
    if few < _MIN_PATIENTS:
        why = f"only {few} patients or prompts (at least {_MIN_PATIENTS} needed)"
        return NotMeasured(why, n, patients)
    features = np.concatenate([whole(side.features) for side in sides])
    is_item = np.arange(len(features)) < len(sides[0])
    fold = np.concatenate([_folds(side, seed, name) for side in sides])
    weights = np.concatenate(
        [
            bootstrap_weights(side.patients, samples, derive_seed(seed, "two-sample", name, part))
            for side, part in zip(sides, ("set", "real"), strict=True)
        ],
        axis=1,
    )
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    aurocs: list[Floats] = []
    for k in range(FOLDS):
        held_out = fold == k
        probe = fit_logistic(features[~held_out], is_item[~held_out], PENALTY)
        scores = probe(features[held_out])
        aurocs.append(weighted_auroc(scores, is_item[held_out], weights[:, held_out]))
    means = np.nanmean(aurocs, axis=0)
    replicates = means[0] + np.sqrt(_INFLATION) * (means[1:] - np.nanmean(means[1:]))
    return normal_estimate(means[0], replicates, n, patients=patients, least=0.0, most=1.0)


def _folds(side: FeatureSet, seed: int, name: str) -> NDArray[np.int64]:
    """(N,): the fold of each image; one patient's or prompt's are in one, all folds alike."""
    names, member = np.unique(np.asarray(side.patients), return_inverse=True)
    order = numpy_generator(seed, "two-sample folds", name).permutation(len(names))
    folds: NDArray[np.int64] = (order % FOLDS)[member]
    return folds


def _at_most(item: FeatureSet, seed: int, name: str) -> FeatureSet:
    if len(item) <= MOST:
        return item
    rows = numpy_generator(seed, "two-sample images", name).permutation(len(item))[:MOST]
    return item.take(np.sort(rows))
