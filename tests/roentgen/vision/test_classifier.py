from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from roentgen.dataset.label_arrays import UNKNOWN_VIEW, label_matrix, view_indices
from roentgen.errors import InputError
from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import (
    Classifier,
    augment,
    load_classifier,
    masked_loss,
    schedule,
    settings_key,
    to_input,
    train_classifier,
)
from roentgen.vision.network_settings import ClassifierConfig
from roentgen.weights import CLASSIFIER

FINDINGS: tuple[FindingName, ...] = ("Cardiomegaly", "Edema")
CONFIG = ClassifierConfig(steps=250, batch_size=16, widths=(8, 16, 32))


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright left half is cardiomegaly, a bright right half edema; stripes tell the view."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, 2)) < 0.5).astype(np.float32)
    views = generator.integers(0, 3, n)
    images = generator.normal(90, 10, (n, 32, 32))
    images[:, :, :16] += 40 * labels[:, 0, None, None]
    images[:, :, 16:] += 40 * labels[:, 1, None, None]
    images[views == 1, ::4] += 60
    images[views == 2, :, ::4] += 60
    return images.clip(0, 255).astype(np.uint8), labels, views


def trained(seed: int = 0) -> Classifier:
    images, labels, views = drawn(200, 1)
    labels[:50] = np.nan
    views[50:80] = UNKNOWN_VIEW
    return train_classifier(images, labels, views, findings=FINDINGS, config=CONFIG, seed=seed)


def test_it_learns_sides_and_views_from_partial_labels() -> None:
    images, labels, views = drawn(100, 2)
    prediction = trained().predict(images)
    assert ((prediction.findings > 0.5) == labels).mean() > 0.95  # sides differ: no flips
    assert (prediction.views.argmax(axis=1) == views).mean() > 0.85  # chance: 0.33
    np.testing.assert_allclose(prediction.views.sum(axis=1), 1)


def test_equal_seeds_give_equal_networks_and_leave_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    a, b, c = trained(0), trained(0), trained(1)
    assert torch.equal(before, torch.random.get_rng_state())
    images = drawn(5, 3)[0]
    np.testing.assert_array_equal(a.features(images), b.features(images))
    assert (a.features(images) != c.features(images)).any()


def test_saved_and_loaded_it_says_the_same_whatever_the_batch(tmp_path: Path) -> None:
    classifier = trained()
    classifier.save(tmp_path / "c")
    again = load_classifier(tmp_path / "c")
    assert again.spec == classifier.spec
    images = drawn(9, 4)[0]
    expected = classifier.predict(images)
    np.testing.assert_array_equal(again.predict(images).findings, expected.findings)
    alone = again.predict(images, batch_size=2).findings
    np.testing.assert_allclose(alone, expected.findings, atol=1e-6)
    assert again.features(images).shape == (9, 32)
    whole = (tmp_path / "c" / "classifier.json").read_text()
    for damage in ("{", "[]", '{"findings": []}', whole.replace("32", "64")):
        (tmp_path / "c" / "classifier.json").write_text(damage)
        with pytest.raises(InputError, match="is damaged") as caught:
            load_classifier(tmp_path / "c")
        assert "\n" not in str(caught.value)
    (tmp_path / "c" / "classifier.json").write_text(whole)
    (tmp_path / "c" / "classifier.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="is damaged"):
        load_classifier(tmp_path / "c")
    (tmp_path / "c" / "classifier.json").unlink()
    with pytest.raises(InputError, match=r"classifier\.json is missing"):
        load_classifier(tmp_path / "c")


def test_what_is_unknown_has_no_part_in_the_loss() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.zeros(2, 3)
    labels = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])
    loss = masked_loss(logits, labels, torch.tensor([UNKNOWN_VIEW, 1]))
    assert float(loss) == pytest.approx(np.log1p(np.exp(-2)) + np.log(3), rel=1e-6)
    nothing = masked_loss(logits, torch.full((2, 2), torch.nan), torch.tensor([-1, -1]))
    assert float(nothing) == 0


def test_augmentation_never_flips_and_can_be_off() -> None:
    images = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (64, 32, 1))  # brighter to the right
    x = augment(to_input(images), ClassifierConfig(), torch.Generator().manual_seed(0))
    assert bool((x[..., 16:].mean(dim=(1, 2, 3)) > x[..., :16].mean(dim=(1, 2, 3)) + 0.5).all())
    assert float(x.abs().max()) <= 1
    off = ClassifierConfig(shift=0, rotation=0, contrast=0)
    same = augment(to_input(images), off, torch.Generator().manual_seed(0))
    torch.testing.assert_close(same, to_input(images), atol=1e-5, rtol=0)


def test_schedule_warms_up_and_falls_to_zero() -> None:
    values = [schedule(step, 100) for step in range(100)]
    assert values[0] == pytest.approx(0.1)
    assert max(values) == 1
    assert values[9] == values[10] == 1
    assert values[-1] < 0.001


def record(*findings: Finding) -> Radiograph:
    return Radiograph(
        id="a",
        patient_id="a",
        study_id="a",
        split="train",
        image=b"",
        findings=findings,
        source="s",
        license="CC0-1.0",
    )


def test_labels_keep_what_is_not_known_apart() -> None:
    records = [
        record(Finding(name="Cardiomegaly"), Finding(name="Edema", state="uncertain")),
        record(Finding(name="Edema", state="absent")),
        record(Finding(name="No Finding")),
        record(),
    ]
    nan = np.nan
    ignoring = [[1, nan], [nan, 0], [0, 0], [nan, nan]]
    np.testing.assert_array_equal(label_matrix(records, FINDINGS), ignoring)
    absent = [[1, nan], [0, 0], [0, 0], [nan, nan]]
    np.testing.assert_array_equal(label_matrix(records, FINDINGS, "absent"), absent)
    assert np.isnan(label_matrix(records[2:3], ("Support Devices",))).all()
    assert view_indices(records).tolist() == [UNKNOWN_VIEW] * 4


def test_mistakes_are_told() -> None:
    images, labels, views = drawn(4, 0)
    with pytest.raises(InputError, match="nothing to train"):
        train_classifier(
            images,
            np.full_like(labels, np.nan),
            views * 0 - 1,
            findings=FINDINGS,
            config=CONFIG,
            seed=0,
        )
    with pytest.raises(InputError, match="30x30"):
        train_classifier(
            images[:, :30, :30], labels, views, findings=FINDINGS, config=CONFIG, seed=0
        )
    with pytest.raises(InputError, match="32 pixels a side, these are 16x16"):
        trained().predict(images[:, ::2, ::2])
    with pytest.raises(InputError, match=r"classifier\.steps is 0"):
        ClassifierConfig(steps=0)
    with pytest.raises(InputError, match="widths"):
        ClassifierConfig(widths=(12,))


def test_training_can_start_from_saved_layers(tmp_path: Path) -> None:
    images, labels, views = drawn(64, 1)
    first = train_classifier(images, labels, views, findings=FINDINGS, config=CONFIG, seed=0)
    first.save(tmp_path)
    still = replace(CONFIG, pretrained=str(tmp_path), steps=1, learning_rate=1e-12)
    again = train_classifier(images, labels, views, findings=FINDINGS, config=still, seed=1)
    np.testing.assert_allclose(again.features(images), first.features(images), atol=1e-5)
    other = replace(still, widths=(8, 16))
    with pytest.raises(InputError, match="widths"):
        train_classifier(images, labels, views, findings=FINDINGS, config=other, seed=1)


def test_the_shipped_layers_are_named_embedded_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "embedded").write_bytes(b"a file of this name is not meant")
    images, labels, views = drawn(64, 1)
    named = ClassifierConfig(pretrained="embedded", steps=1, batch_size=16)
    paths = replace(named, pretrained=str(CLASSIFIER))
    first, second = (
        train_classifier(images, labels, views, findings=FINDINGS, config=config, seed=1)
        for config in (named, paths)
    )
    np.testing.assert_array_equal(first.features(images), second.features(images))
    assert settings_key(named)[1] == settings_key(paths)[1] is not None
