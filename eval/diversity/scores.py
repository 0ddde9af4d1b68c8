"""Diversity scores: MS-SSIM of pairs that share a prompt, a finding or the set; Vendi score.

Real radiographs have no prompt: pairs that share view and findings are compared instead, in
synthetic sets too, for scale.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images
from roentgen.metrics.estimates import (
    Estimate,
    NotMeasured,
    count_patients,
    normal_estimate,
    percentile_interval,
)
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.fid_at_n import JACKKNIFE_GROUPS
from roentgen.metrics.features.vendi import vendi_jackknife
from roentgen.metrics.images.ms_ssim import ms_ssim_pairs
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName, states
from roentgen.record.radiograph import Radiograph

MIN_GROUPS = 2
_PAIRS_AT_ONCE = 16  # whose images are read together


def prompt_key(radiograph: Radiograph) -> Hashable:
    """The prompt, or None for an image without one."""
    return None if radiograph.synthesis is None else radiograph.synthesis.prompt


def view_and_findings_key(radiograph: Radiograph) -> Hashable:
    """View and the findings that are present; None where neither is known."""
    present = frozenset(n for n, state in states(radiograph.findings).items() if state == "present")
    if radiograph.view is None and not radiograph.findings:
        return None
    return radiograph.view, present - {"No Finding"}


def within_group(
    images: Images,
    radiographs: Sequence[Radiograph],
    key: Callable[[Radiograph], Hashable],
    *,
    per_group: int,
    max_groups: int,
    samples: int,
    seed: int,
) -> Estimate:
    """Mean over groups of the mean MS-SSIM of their pairs; the interval resamples groups.

    A group gives at most `per_group` images; two of one patient are never paired. At most
    `max_groups` groups with a pair are sampled by the seed. n is the number of pairs.
    """
    draws = numpy_generator(seed, "ms-ssim")
    groups: dict[Hashable, list[int]] = {}
    for row in draws.permutation(len(radiographs)).tolist():
        group = key(radiographs[row])
        if group is not None:
            groups.setdefault(group, []).append(row)
    drawn = (one_a_patient(rows, radiographs)[:per_group] for rows in groups.values())
    paired = [chosen for chosen in drawn if len(chosen) > 1][:max_groups]
    n = sum(math.comb(len(chosen), 2) for chosen in paired)
    patients = count_patients(radiographs[row].patient_id for rows in paired for row in rows)
    if len(paired) < MIN_GROUPS:
        few = f"only {len(paired)} groups have two images of two patients"
        return NotMeasured(few, n, patients)
    means = []
    for chosen in paired:
        pairs = list(combinations(range(len(chosen)), 2))
        means.append(ms_ssim_pairs(images[np.array(chosen)], pairs).mean())
    return _mean(np.array(means), n, patients, samples, draws)


def random_pairs(
    images: Images,
    radiographs: Sequence[Radiograph],
    finding: FindingName | None,
    *,
    pairs: int,
    samples: int,
    seed: int,
) -> Estimate:
    """Mean MS-SSIM of at most `pairs` random pairs, of the whole set or of those with a finding.

    An image (of real radiographs: a patient) is in at most one pair, so that pairs, which n counts
    and the interval resamples, are independent.
    """
    draws = numpy_generator(seed, "ms-ssim pairs", finding or "")
    rows = [
        row
        for row in draws.permutation(len(radiographs)).tolist()
        if finding is None or states(radiographs[row].findings).get(finding) == "present"
    ]
    rows = one_a_patient(rows, radiographs)
    n = min(pairs, len(rows) // 2)
    if n < MIN_GROUPS:
        kind = "images" if finding is None else f"images with {finding}"
        return NotMeasured(f"only {len(rows)} {kind} of different patients", n, len(rows))
    chosen = rows[: 2 * n]
    patients = count_patients(radiographs[row].patient_id for row in chosen)
    values = np.concatenate(list(_paired(images, np.array(chosen))))
    return _mean(values, n, patients, samples, draws)


def one_a_patient(rows: Sequence[int], radiographs: Sequence[Radiograph]) -> list[int]:
    """The first row of each patient; synthetic images are independent even of one patient."""
    seen: set[str] = set()
    result = []
    for row in rows:
        record = radiographs[row]
        identity = record.id if record.synthesis else record.patient_id
        if identity not in seen:
            seen.add(identity)
            result.append(row)
    return result


def matched_vendi(sets: dict[str, FeatureSet], seed: int) -> dict[str, Estimate]:
    """The Vendi score of each set's features at the n of the smallest, sampled by the seed.

    Interval: 1.96 standard deviations of a jackknife over 20 groups of patients (a bootstrap's
    repeats would themselves lower the score).
    """
    n = min(len(item) for item in sets.values())
    result = {}
    for name, item in sets.items():
        draws = numpy_generator(seed, "vendi", name)
        drawn = item.take(np.sort(draws.permutation(len(item))[:n]))
        names, member = np.unique(np.asarray(drawn.patients), return_inverse=True)
        groups = min(JACKKNIFE_GROUPS, len(names))
        group = draws.permutation(np.arange(len(names)) % groups)[member]
        value, without = vendi_jackknife(drawn.features, group)
        if not len(without):
            result[name] = Estimate(value=value, n=n, patients=len(names))
            continue
        # The jackknife's variance is (g - 1)^2 / g times that among its g values.
        replicates = without * (groups - 1) / math.sqrt(groups)
        result[name] = normal_estimate(value, replicates, n, patients=len(names), least=1.0, most=n)
    return result


def _paired(images: Images, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """MS-SSIM of the first and second row, the third and fourth, and so on."""
    for start in range(0, len(rows), 2 * _PAIRS_AT_ONCE):
        part = images[rows[start : start + 2 * _PAIRS_AT_ONCE]]
        yield ms_ssim_pairs(part, [(i, i + 1) for i in range(0, len(part), 2)])


def _mean(
    values: NDArray[np.float64],
    n: int,
    patients: int,
    samples: int,
    draws: np.random.Generator,
) -> Estimate:
    resampled = values[draws.integers(len(values), size=(samples, len(values)))].mean(axis=1)
    low, high = percentile_interval(resampled)
    return Estimate(value=float(values.mean()), low=low, high=high, n=n, patients=patients)
