from collections.abc import Sequence

import numpy as np
import pytest

from eval.diversity.scores import (
    matched_vendi,
    prompt_key,
    random_pairs,
    view_and_findings_key,
    within_group,
)
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.vendi import vendi_jackknife
from roentgen.metrics.images.ms_ssim import ms_ssim_pairs
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from tests.conftest import SYNTHESIS

SIZE = 32


def noise(n: int, seed: int = 0) -> np.ndarray:
    """Images of which all pairs are about equally unlike."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    base = 0.5 + 0.3 * np.sin(7 * x + 3 * y)
    images = base + 0.15 * generator.standard_normal((n, SIZE, SIZE))
    return np.asarray(images.clip(0, 1) * 255, dtype=np.uint8)


def measured(estimate: Estimate) -> tuple[float, float, float]:
    """Value, low and high of what must have been measured."""
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value, estimate.low, estimate.high


def radiographs(
    prompts: Sequence[str] | None, patients: Sequence[str], findings: Sequence[bool] | None = None
) -> list[Radiograph]:
    result = []
    for i, patient in enumerate(patients):
        synthesis = prompts and SYNTHESIS(prompt=prompts[i], seed=i)
        present = findings is None or findings[i]
        result.append(
            Radiograph(
                id=str(i),
                patient_id=patient,
                study_id=str(i),
                split="test",
                image=b"",
                view="PA",
                findings=(Finding(name="Edema", state="present" if present else "absent"),),
                source="drawn",
                license="CC0-1.0",
                synthesis=synthesis or None,
            )
        )
    return result


def test_within_a_prompt_are_all_pairs_of_four_images() -> None:
    images = noise(12)
    records = radiographs(["a"] * 4 + ["b"] * 4 + ["c"] * 4, ["p"] * 12)
    found = within_group(
        images, records, prompt_key, per_group=4, max_groups=2000, samples=50, seed=0
    )
    pairs = [(g + i, g + j) for g in (0, 4, 8) for i in range(4) for j in range(i)]
    assert found.n == 18
    value, low, high = measured(found)
    assert value == pytest.approx(ms_ssim_pairs(images, pairs).mean(), abs=1e-6)
    assert low <= value <= high
    fewer = within_group(images, records, prompt_key, per_group=4, max_groups=2, samples=50, seed=0)
    assert fewer.n == 12


def test_collapse_within_prompts_raises_ms_ssim_by_what_theory_gives() -> None:
    # Of the prompts a share q always gives one image: MS-SSIM rises from m to q + (1 - q) m.
    prompts, per = 40, 4
    images = noise(prompts * per)
    names = [str(i // per) for i in range(prompts * per)]
    records = radiographs(names, ["p"] * len(names))
    options = {"per_group": per, "max_groups": 2000, "samples": 50, "seed": 0}
    before = within_group(images, records, prompt_key, **options)
    collapsed = images.copy()
    for prompt in range(10):
        collapsed[prompt * per : (prompt + 1) * per] = images[prompt * per]
    after = within_group(collapsed, records, prompt_key, **options)
    at_first = measured(before)[0]
    assert at_first < 0.9
    assert after.value == pytest.approx(0.25 + 0.75 * at_first, abs=0.005)


def test_collapse_of_a_set_raises_ms_ssim_of_random_pairs_by_what_theory_gives() -> None:
    # A share q of the images is one image: both of a pair are with q^2, and m rises to
    # q^2 + (1 - q^2) m. With 400 pairs q^2 = 0.36 is met within three deviations, 0.072.
    images = noise(800)
    records = radiographs(None, [str(i) for i in range(800)])
    options = {"pairs": 1000, "samples": 200, "seed": 0}
    before = random_pairs(images, records, None, **options)
    images[:480] = images[0]
    after = random_pairs(images, records, None, **options)
    assert before.n == after.n == 400
    at_first, _, before_high = measured(before)
    at_last, after_low, _ = measured(after)
    assert (at_last - at_first) / (1 - at_first) == pytest.approx(0.36, abs=0.072)
    assert after_low > before_high


def test_pairs_are_of_a_finding_and_of_different_patients() -> None:
    images = noise(12)
    patients = [str(i // 2) for i in range(12)]
    present = [i < 8 for i in range(12)]
    records = radiographs(None, patients, present)
    found = random_pairs(images, records, "Edema", pairs=100, samples=20, seed=0)
    assert found.n == 2  # 8 images of 4 patients
    fewer = random_pairs(images, records[:4], "Edema", pairs=100, samples=20, seed=0)
    assert fewer.value is None
    assert fewer.note == "not measured: only 2 images with Edema of different patients"
    alone = within_group(
        images, records[:2], view_and_findings_key, per_group=4, max_groups=9, samples=20, seed=0
    )
    assert alone.note == "not measured: only 0 groups have two images of two patients"


def test_collapse_lowers_vendi_by_what_theory_gives() -> None:
    # 400 images spread over 100 features at right angles; a share q collapses to the first. The
    # eigenvalues become q + (1 - q)/100 and (1 - q)/100, and the score exp of their entropy.
    basis = np.tile(np.eye(100, dtype=np.float32), (4, 1))
    patients = [str(i) for i in range(400)]
    collapsed = basis.copy()
    collapsed[:200] = basis[0]
    shares = np.full(100, 0.5 / 100)
    shares[0] += 0.5
    expected = np.exp(-np.sum(shares * np.log(shares)))
    sets = {
        "real": FeatureSet(features=basis, patients=patients),
        "collapsed": FeatureSet(features=collapsed, patients=patients),
    }
    found = matched_vendi(sets, seed=0)
    assert found["real"].value == pytest.approx(100, rel=1e-5)
    assert found["collapsed"].value == pytest.approx(expected, rel=1e-5)
    assert measured(found["collapsed"])[2] < 25
    one = FeatureSet(features=np.ones((400, 5), np.float32), patients=patients)
    assert measured(matched_vendi({"one": one}, seed=0)["one"]) == pytest.approx((1, 1, 1))


def test_sets_are_compared_at_one_n() -> None:
    draws = np.random.default_rng(0)
    patients = [str(i) for i in range(300)]
    features = draws.standard_normal((300, 50)).astype(np.float32)
    large = FeatureSet(features=features, patients=patients)
    small = FeatureSet(features=large.features[:60], patients=patients[:60])
    found = matched_vendi({"large": large, "small": small}, seed=0)
    assert {e.n for e in found.values()} == {60}
    at_n = measured(found["large"])[0]
    assert at_n == pytest.approx(measured(found["small"])[0], rel=0.1)
    assert vendi_jackknife(large.features, np.zeros(len(large.features), int))[0] > 1.2 * at_n


def test_the_vendi_interval_is_as_wide_as_sets_differ() -> None:
    # 60 sets drawn alike: the mean half-width over 1.96 is their standard deviation.
    def drawn(seed: int) -> FeatureSet:
        draws = np.random.default_rng(seed)
        kinds = draws.integers(2, size=(100, 1))
        x = draws.standard_normal((100, 10)) * np.where(kinds, 0.3, 1.5) + 1
        return FeatureSet(features=x.astype(np.float32), patients=[str(i) for i in range(100)])

    found = [matched_vendi({"set": drawn(seed)}, seed)["set"] for seed in range(60)]
    values, lows, highs = np.array([measured(e) for e in found]).T
    spread, claimed = values.std(ddof=1), (highs - lows).mean() / 3.92
    assert claimed == pytest.approx(spread, rel=0.35)


class Watched:
    """Images that remember how many were asked for at once."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.most = 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray:
        chosen = self._images[rows]
        self.most = max(self.most, len(chosen))
        return chosen


def test_few_images_are_held_however_many_there_are() -> None:
    for n in (200, 800):
        images = Watched(noise(n))
        records = radiographs([str(i // 4) for i in range(n)], ["p"] * n)
        random_pairs(images, records, None, pairs=1000, samples=20, seed=0)
        within_group(images, records, prompt_key, per_group=4, max_groups=2000, samples=20, seed=0)
        assert 0 < images.most <= 32
