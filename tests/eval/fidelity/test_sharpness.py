"""Sharpness of sets whose blur, share of blurred images and views are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from eval.fidelity.sharpness import sharpness
from eval.fidelity.sharpness_display import verdicts
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.imaging.images import encode_png
from roentgen.record.radiograph import Radiograph, View

Image = NDArray[np.uint8]
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
FEW = 12  # lateral images in every set


def drawn(seed: int, n: int) -> list[Image]:
    """Noise of various grain: detail varies as it does between radiographs."""
    generator = np.random.default_rng(seed)
    result = []
    for _ in range(n):
        coarse = gaussian_filter(generator.normal(size=(32, 32)), 4)
        fine = generator.normal(size=(32, 32)) * generator.uniform(0.15, 0.35)
        image = 128 + 30 * (coarse / coarse.std() + fine)
        result.append(image.round().clip(0, 255).astype(np.uint8))
    return result


def written(folder: Path, images: Sequence[Image]) -> ImageSet:
    """A set of one image a patient: some lateral, the others PA and AP in turn."""
    with DatasetWriter(folder, licenses=[LICENSE], provenance={"program": "drawn"}) as writer:
        for i, image in enumerate(images):
            view: View = "LATERAL" if i < FEW else ("PA", "AP")[i % 2]
            record = Radiograph(
                id=str(i),
                patient_id=str(i),
                study_id=str(i),
                split="test",
                image=encode_png(image),
                view=view,
                source="drawn",
                license="CC0-1.0",
            )
            writer.add(record)
    return ImageSet.of(open_dataset(folder).split("test"), name=folder.name)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("sharpness")
    real, other, made = drawn(0, 300), drawn(1, 300), drawn(2, 300)
    sets = {
        "floor": written(place / "floor", other),
        "blurred": written(place / "blurred", [gaussian_filter(x, 1) for x in made]),
        "some blurred": written(
            place / "some", [gaussian_filter(x, 2) if i % 5 == 0 else x for i, x in enumerate(made)]
        ),
        "noisy": written(
            place / "noisy",
            [
                (x + np.random.default_rng(i).normal(0, 40, x.shape)).clip(0, 255).astype(np.uint8)
                for i, x in enumerate(made)
            ],
        ),
        "few": written(place / "few", made[:19]),
    }
    return sharpness(sets, written(place / "test", real), samples=100, seed=0)


def test_other_real_images_are_as_sharp(found: dict[str, Any]) -> None:
    for view in ("all", "PA", "AP"):
        for measure in ("detail", "fine_power"):
            numbers = {key: found[view][measure][key]["floor"] for key in ("ratio", "below")}
            assert numbers["ratio"].low < 1 < numbers["ratio"].high
            assert numbers["below"].low <= found[view]["expected_beyond"]
    assert found["all"]["expected_beyond"] == 0.01
    assert found["PA"]["expected_beyond"] == 0.01  # of 144
    assert verdicts(found, "floor")[0].status == "works"


def test_medians_and_spreads_are_those_of_the_images(found: dict[str, Any]) -> None:
    """The radiographs' numbers stand beside each set's, and the ratio is that of the medians."""
    detail = found["all"]["detail"]
    median = {name: estimate.value for name, estimate in detail["median"].items() if name != "few"}
    for name in ("floor", "blurred", "noisy"):
        assert detail["ratio"][name].value == pytest.approx(median[name] / median["test"])
        assert detail["median"][name].low < median[name] < detail["median"][name].high
    assert detail["spread"]["test"].value > 0
    assert "test" not in detail["ratio"]


def test_blur_is_seen_below_and_noise_above(found: dict[str, Any]) -> None:
    for measure in ("detail", "fine_power"):
        numbers = found["all"][measure]
        assert numbers["ratio"]["blurred"].high < 0.6
        assert numbers["below"]["blurred"].value == 1
        assert numbers["above"]["blurred"].value == 0
        assert numbers["ratio"]["noisy"].low > 1.5
        assert numbers["above"]["noisy"].value > 0.95
        assert numbers["below"]["noisy"].value == 0
    (softer,), (sharper,) = (verdicts(found, name) for name in ("blurred", "noisy"))
    assert softer.status == sharper.status == "fails"
    assert softer.sentence.startswith("Images are softer than radiographs: median detail is 0")
    assert sharper.sentence.startswith("Images are sharper than radiographs")
    distance = found["all"]["spectrum_distance"]
    assert distance["floor"].high < distance["blurred"].low
    assert distance["floor"].high < distance["noisy"].low


def test_a_share_of_blurred_images_is_counted(found: dict[str, Any]) -> None:
    """A fifth is blurred, also of each view: the median hardly moves, the share below does."""
    for view in ("all", "PA", "AP"):
        below = found[view]["detail"]["below"]["some blurred"]
        assert below.low < 0.2 < below.high
    assert verdicts(found, "some blurred")[0].status == "fails"


def test_few_patients_are_not_measured(found: dict[str, Any]) -> None:
    assert found["not_measured"]["LATERAL"].reason == (
        "only 12 patients or prompts (at least 20 needed)"
    )
    assert "LATERAL" not in found
    estimate = found["all"]["detail"]["below"]["few"]
    assert estimate.note == "not measured: only 19 patients or prompts (at least 20 needed)"
    assert verdicts(found, "few") == ()
