"""Is it of use? The same small network trained on real films, on synthetic ones, and on both."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.alignment import MEAN, finding_aurocs
from eval.estimates import Estimate, Floats, percentile_interval
from roentgen.data.findings import FindingName

# A trained network's (N, findings) probabilities on the held-out films, by training set and seed.
HeldOut = Mapping[str, Sequence[Floats]]


def utility(
    held_out: HeldOut,
    labels: NDArray[np.float32],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    untrained: Mapping[str, dict[FindingName, str | None]],
    training_images: Mapping[str, int],
    *,
    min_cases: int,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """AUROC on held-out real films of networks by what they were trained on, and the gain.

    All are judged on the same resamples, so the gain over "real" has a paired interval. Intervals
    cover the choice of held-out patients; the spread over training seeds is listed beside.
    """
    result: dict[str, Any] = {"gain": {}, "training_images": dict(training_images)}
    everything: dict[str, tuple[dict[str, Estimate], dict[str, Floats]]] = {}
    for name, predictions in held_out.items():

        def judge(
            chosen: Sequence[Floats], name: str = name
        ) -> tuple[dict[str, Estimate], dict[str, Floats]]:
            return finding_aurocs(
                chosen,
                labels,
                patients,
                findings,
                untrained[name],
                min_cases=min_cases,
                samples=samples,
                seed=seed,
            )

        everything[name] = estimates, _ = judge(predictions)
        result[name] = {
            "mean_auroc": estimates[MEAN],
            "auroc": {finding: estimates[finding] for finding in findings},
            "mean_auroc_by_seed": _by_seed(predictions, judge),
        }
    base_estimates, base_replicates = everything["real"]
    for name, (estimates, replicates) in everything.items():
        if name == "real" or MEAN not in replicates or MEAN not in base_replicates:
            continue
        common = [f for f in findings if f in replicates and f in base_replicates]
        if not common:
            continue
        gains = np.mean([replicates[f] - base_replicates[f] for f in common], axis=0)
        low, high = percentile_interval(gains)
        value = float(np.mean([_value(estimates[f]) - _value(base_estimates[f]) for f in common]))
        gain = Estimate(value=value, low=low, high=high, n=len(labels))
        result["gain"][name] = gain
    return result


def _by_seed(
    predictions: Sequence[Floats],
    judge: Callable[[Sequence[Floats]], tuple[dict[str, Estimate], dict[str, Floats]]],
) -> list[float | None]:
    return [judge([one])[0][MEAN].value for one in predictions]


def _value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value
