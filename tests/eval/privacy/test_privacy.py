from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from eval.evaluation import domains_of
from eval.privacy.membership import NoiseSettings, denoising_losses
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.prompt_encoding import tokenize_prompts
from roentgen.metrics.classification.operating_points import true_positive_rate
from roentgen.metrics.classification.ranking import auroc
from roentgen.metrics.estimates import calibrate, difference_of_shares, proportion, share_above
from roentgen.metrics.features.nearest import nearest_by_cosine
from roentgen.randomness import numpy_generator


def test_a_further_patient_is_called_copied_no_oftener_than_guaranteed() -> None:
    draws = numpy_generator(0, "calibration")
    alarms = []
    for _ in range(2000):
        values = draws.standard_normal(100)
        threshold = calibrate(values[:99], [str(i) for i in range(99)], 0.05)
        assert threshold.guaranteed == 0.05  # 5 of 99 + 1
        alarms.append(values[99] > threshold.value)
    # Exactly 0.05 in expectation; four standard deviations of 2,000 draws.
    assert np.mean(alarms) == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 2000) ** 0.5)


def test_few_patients_guarantee_less_and_say_so() -> None:
    threshold = calibrate(np.array([0.1, 0.4, 0.2, 0.3]), ["a", "a", "b", "c"], 0.01)
    assert (threshold.value, threshold.patients, threshold.guaranteed) == (0.4, 3, 0.25)


def test_the_share_of_copies_has_newcombes_interval() -> None:
    # 56 of 70 against 48 of 80: Newcombe 1998, table II, method 10.
    found = difference_of_shares(proportion(56, 70), proportion(48, 80))
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0524, abs=5e-5)
    assert found.high == pytest.approx(0.3339, abs=5e-5)
    threshold = calibrate(np.array([0.5]), ["a"], 0.01)
    assert share_above((np.arange(70) < 56).astype(float), ["a"] * 70, threshold).value == 0.8


def test_the_nearest_by_cosine_is_that_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roentgen.metrics.features.feature_set.BLOCK", 7)
    draws = numpy_generator(1, "cosine")
    x, y = draws.standard_normal((20, 5)), draws.standard_normal((33, 5))
    cosine = (x @ y.T) / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    found = nearest_by_cosine(x, y)
    assert found.row.tolist() == cosine.argmax(axis=1).tolist()
    assert found.similarity == pytest.approx(cosine.max(axis=1))


def test_members_found_at_few_false_alarms() -> None:
    others = np.arange(100.0)
    assert true_positive_rate(np.array([97.5, 98.5, 200.0, 0.0]), others, 0.01) == (0.5, 98.0)


@pytest.fixture
def films() -> np.ndarray:
    """Forty images that differ much: stripes of random direction and phase."""
    draws = numpy_generator(2, "films")
    y, x = np.mgrid[:32, :32] / 32
    waves = draws.uniform(-12, 12, (40, 2))
    phases = draws.uniform(0, 6, 40)
    levels = [np.sin(a * x + b * y + p) for (a, b), p in zip(waves, phases, strict=True)]
    return ((np.stack(levels) + 1) * 127).astype(np.uint8)


def losses(components: Components, films: np.ndarray, rows: list[int]) -> np.ndarray:
    text = tokenize_prompts(components.tokenizer, ["film"] * len(rows))
    return denoising_losses(
        components,
        films[rows],
        Conditions(text=text).__getitem__,
        [str(row) for row in rows],
        NoiseSettings(timesteps=(100, 300), noises=2, seed=0),
    )


class Memory(torch.nn.Module):
    """The best denoiser of a finite training set: it knows these latents and no others.

    It tells the noise that is left when the posterior's mean of the latents is taken away.
    """

    def __init__(self, latents: torch.Tensor, alpha_bars: torch.Tensor) -> None:
        super().__init__()
        self.latents, self.alpha_bars = latents, alpha_bars
        self.device = latents.device

    def forward(
        self, noisy: torch.Tensor, steps: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor]:
        alpha_bar = self.alpha_bars[steps].view(-1, 1)
        known, given = self.latents.flatten(1), noisy.flatten(1)
        squared = (given[:, None] - alpha_bar[:, None].sqrt() * known).square().sum(2)
        likely = torch.softmax(-squared / (2 * (1 - alpha_bar)), dim=1)
        left = (given - alpha_bar.sqrt() * (likely @ known)) / (1 - alpha_bar).sqrt()
        return (left.view_as(noisy),)


def test_a_model_that_learnt_its_films_by_heart_tells_them_and_an_untrained_one_does_not(
    make_small_components: Callable[..., Components], films: np.ndarray
) -> None:
    members, others = list(range(20)), list(range(20, 40))
    positive = np.arange(40) < 20

    def measured(components: Components) -> float:
        both = [-losses(components, films, rows) for rows in (members, others)]
        return auroc(np.concatenate(both), positive)

    components = make_small_components()
    # Of 20 and 20 by chance: 0.5 with a standard deviation of 0.09.
    assert measured(components) == pytest.approx(0.5, abs=0.27)
    pixels = torch.from_numpy(films[members]).float().unsqueeze(1).expand(-1, 3, -1, -1) / 127.5 - 1
    with torch.no_grad():
        latents = components.vae.encode(pixels).latent_dist.mean
    scale = float(1 / (latents - latents.mean(0)).std())  # films differ by 1, as it is meant to be
    components.vae.register_to_config(scaling_factor=scale)
    schedule = DDPMScheduler.from_config(components.scheduler.config)
    components.unet = Memory(latents * scale, schedule.alphas_cumprod)
    assert measured(components) > 0.95


def test_a_films_loss_does_not_depend_on_its_neighbors(
    make_small_components: Callable[..., Components], films: np.ndarray
) -> None:
    components = make_small_components()
    assert losses(components, films, [3])[0] == pytest.approx(
        losses(components, films, [1, 2, 3])[2]
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, write_drawn: Any) -> Callable[..., Any]:
    """The part, of sets of which a share are changed training images."""
    from eval.config import EvaluateConfig, PrivacyConfig, ReferenceSetConfig
    from eval.sets import read_sets

    folder = tmp_path_factory.mktemp("privacy")
    write_drawn(folder / "real", {"train": 120, "test": 120}, 1)
    write_drawn(folder / "clean", {"train": 100}, 2, synthetic=True)
    write_copies(folder / "copied", folder / "real", folder / "clean", 25)

    def measure(**settings: Any) -> Any:
        config = EvaluateConfig(
            reference=ReferenceSetConfig.of(folder / "real"),
            synthetic={"clean": folder / "clean", "copied": folder / "copied"},
            findings=("Pleural Effusion",),
            output=folder / "results",
            privacy=PrivacyConfig(**settings),
        )
        sets = read_sets(config)
        privacy = domains_of(config, sets)["privacy"]
        privacy.precompute()
        return privacy.measure()

    return measure


def write_copies(folder: Path, real: Path, clean: Path, count: int) -> None:
    """The clean set, its first `count` images replaced by changed training images."""
    from dataclasses import replace

    from roentgen.dataset.dataset import DatasetWriter, open_dataset
    from roentgen.imaging.images import encode_png

    originals = open_dataset(real).split("train")
    split = open_dataset(clean).split("train")
    draws = numpy_generator(3, "copies")
    licenses = [{"name": "CC0-1.0", "data_use": None, "may_share": True}]
    with DatasetWriter(
        folder, licenses=licenses, provenance={"program": "drawn", "made_from": {}}
    ) as writer:
        for i in range(len(split)):
            record = split[i]
            if i < count:
                (image,) = originals.images([3 * i])
                moved = np.roll(image, (1, -1), (0, 1))  # 4 of 128 pixels
                changed = 20 + 0.8 * moved + draws.normal(0, 3, moved.shape)
                record = replace(record, image=encode_png(changed.clip(0, 255).astype(np.uint8)))
            writer.add(record)


def test_planted_copies_are_counted_and_a_clean_set_has_none(measured: Any) -> None:
    part = measured(membership_images=None)
    pixels = part.numbers["pixels"]
    assert (
        pixels["near_duplicates"]["copied"].low <= 0.25 <= pixels["near_duplicates"]["copied"].high
    )
    assert pixels["near_duplicates"]["clean"].value <= 0.05
    assert pixels["excess"]["copied"].low > 0.1
    assert pixels["excess"]["clean"].low <= 0
    (pairs,) = [table for table in part.tables if table.name == "privacy-pairs"]
    worst = [row for row in pairs.rows if row[0] == "copied"]
    for _, image, original, _, threshold in worst:
        number = int(str(image).rsplit("-", 1)[1])
        assert original == f"1-train-{3 * number}"
        assert threshold == "above"
    assert part.numbers["membership"]["clean"]["auroc"].note == (
        "not measured: privacy.membership_images is null"
    )
