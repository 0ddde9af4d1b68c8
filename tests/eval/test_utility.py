from typing import Any

import numpy as np
import pytest

from eval.utility import utility
from roentgen.data.findings import FindingName

FINDINGS: tuple[FindingName, ...] = ("Pleural Effusion", "Pneumothorax")


def measure(quality: dict[str, list[float]], untrained: str | None = None) -> dict[str, Any]:
    """Networks whose scores are truth times quality plus noise, one a seed."""
    generator = np.random.default_rng(0)
    labels = (generator.random((600, 2)) < 0.4).astype(np.float32)
    held_out = {
        name: [q * labels + generator.standard_normal((600, 2)) for q in qualities]
        for name, qualities in quality.items()
    }
    why = {name: dict.fromkeys(FINDINGS) for name in quality}
    why["synthetic"]["Pneumothorax"] = untrained
    return utility(
        held_out,
        labels,
        [str(i) for i in range(600)],
        FINDINGS,
        why,
        {"real": 10, "synthetic": 20, "both": 30},
        min_cases=5,
        samples=200,
        seed=0,
    )


def test_a_better_network_gains_and_a_worse_one_loses() -> None:
    result = measure({"real": [1.0, 1.2], "synthetic": [0.3, 0.2], "both": [2.0, 2.2]})
    gain = result["gain"]
    assert gain["both"].low > 0.05
    assert gain["synthetic"].high < -0.05
    difference = result["both"]["mean_auroc"].value - result["real"]["mean_auroc"].value
    assert gain["both"].value == pytest.approx(difference, rel=1e-9)
    seeds = result["real"]["mean_auroc_by_seed"]
    assert result["real"]["mean_auroc"].value == pytest.approx(np.mean(seeds), rel=1e-9)


def test_a_finding_that_one_set_lacks_is_stated_and_the_gain_is_over_the_rest() -> None:
    result = measure(
        {"real": [1.0], "synthetic": [1.0], "both": [1.0]}, untrained="no positives to train on"
    )
    missing = result["synthetic"]["auroc"]["Pneumothorax"]
    assert missing.note == "not measured: no positives to train on"
    effusion = [result[k]["auroc"]["Pleural Effusion"].value for k in ("synthetic", "real")]
    assert result["gain"]["synthetic"].value == pytest.approx(effusion[0] - effusion[1])
