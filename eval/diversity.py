"""How alike images are that were asked for alike: MS-SSIM within a prompt, as RoentGen did.

Real films have no prompt; those that share view and findings stand in, and synthetic images are
compared by that rule too, so that there is a scale.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.estimates import Estimate, not_measured, percentile_interval
from eval.ms_ssim import ms_ssim_pairs
from roentgen.data.findings import states
from roentgen.data.pixels import Images
from roentgen.data.radiograph import Radiograph
from roentgen.randomness import numpy_generator

MIN_GROUPS = 2


def prompt_key(radiograph: Radiograph) -> Hashable:
    """The prompt, or None for an image without one."""
    return None if radiograph.synthesis is None else radiograph.synthesis.prompt


def asked_key(radiograph: Radiograph) -> Hashable:
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
    samples: int,
    seed: int,
) -> Estimate:
    """Mean over groups of the mean MS-SSIM of their pairs; the interval resamples groups.

    A group gives at most `per_group` images; two of one patient are never paired. n is the pairs.
    """
    draws = numpy_generator(seed, "ms-ssim")
    groups: dict[Hashable, list[int]] = {}
    for row in draws.permutation(len(radiographs)).tolist():
        group = key(radiographs[row])
        if group is not None:
            groups.setdefault(group, []).append(row)
    drawn = [_different_patients(rows, radiographs)[:per_group] for rows in groups.values()]
    paired = [chosen for chosen in drawn if len(chosen) > 1]
    found, n = len(paired), sum(math.comb(len(chosen), 2) for chosen in paired)
    if found < MIN_GROUPS:
        return not_measured(n, f"only {found} groups have two images of two patients")
    means = np.array([_mean_of_pairs(images[np.array(chosen)]) for chosen in paired])
    resampled = means[draws.integers(found, size=(samples, found))].mean(axis=1)
    low, high = percentile_interval(resampled)
    return Estimate(value=float(means.mean()), low=low, high=high, n=n)


def _mean_of_pairs(images: NDArray[np.uint8]) -> float:
    return float(ms_ssim_pairs(images, list(combinations(range(len(images)), 2))).mean())


def diversity(
    sets: Mapping[str, tuple[Images, Sequence[Radiograph]]],
    *,
    per_group: int,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """MS-SSIM of each set within prompt and within equal view and findings."""
    return {
        rule: {
            name: within_group(
                images, records, key, per_group=per_group, samples=samples, seed=seed
            )
            for name, (images, records) in sets.items()
            if rule != "within_prompt" or any(r.synthesis for r in records)
        }
        for rule, key in (("within_prompt", prompt_key), ("within_view_and_findings", asked_key))
    }


def _different_patients(rows: Sequence[int], radiographs: Sequence[Radiograph]) -> list[int]:
    """One row a patient; synthetic images are different draws even of one patient's prompt."""
    seen: set[str] = set()
    result = []
    for row in rows:
        record = radiographs[row]
        identity = record.id if record.synthesis else record.patient_id
        if identity not in seen:
            seen.add(identity)
            result.append(row)
    return result
