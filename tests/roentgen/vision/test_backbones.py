from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from roentgen.errors import InputError
from roentgen.record.finding import FindingName
from roentgen.vision.backbones import TimmNetwork
from roentgen.vision.classifier import load_classifier, to_input, train_classifier
from roentgen.vision.network_settings import ClassifierConfig

FINDINGS: tuple[FindingName, ...] = ("Cardiomegaly", "Edema")
TINY = "test_resnet"
CONFIG = ClassifierConfig(network=TINY, steps=60, batch_size=16, learning_rate=3e-3)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright left half is cardiomegaly, a bright right half edema."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, 2)) < 0.5).astype(np.float32)
    images = generator.normal(90, 10, (n, 32, 32))
    images[:, :, :16] += 60 * labels[:, 0, None, None]
    images[:, :, 16:] += 60 * labels[:, 1, None, None]
    return images.clip(0, 255).astype(np.uint8), labels, np.zeros(n, dtype=np.int64)


def test_a_model_of_timm_learns_is_kept_and_leaves_the_global_generator(tmp_path: Path) -> None:
    images, labels, views = drawn(120, 1)
    before = torch.random.get_rng_state()
    classifier, same, other = (
        train_classifier(images, labels, views, findings=FINDINGS, config=CONFIG, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    held_out, truth, _ = drawn(80, 2)
    prediction = classifier.predict(held_out).findings
    assert ((prediction > 0.5) == truth).mean() > 0.95  # sides differ: no flips
    np.testing.assert_array_equal(prediction, same.predict(held_out).findings)
    assert (prediction != other.predict(held_out).findings).any()
    classifier.save(tmp_path / "kept")
    again = load_classifier(tmp_path / "kept")
    assert again.spec.network == TINY
    np.testing.assert_array_equal(again.predict(held_out).findings, prediction)
    assert again.features(held_out).shape == (80, again.network.dimension)
    further = train_classifier(
        images,
        labels,
        views,
        findings=FINDINGS,
        config=replace(CONFIG, steps=1, learning_rate=1e-12),
        seed=5,
        start=again,
    )
    # Heads too go on; the running means of one batch are all that moved.
    assert np.abs(further.predict(held_out).findings - prediction).mean() < 0.1


def test_weights_in_three_channels_are_summed_and_standardised(tmp_path: Path) -> None:
    full = timm.create_model(TINY, pretrained=False).eval()
    file = tmp_path / "weights.safetensors"
    save_file(full.state_dict(), file)
    gray = TimmNetwork(TINY, 64, None, str(file)).eval()
    images = drawn(4, 3)[0]
    mean, deviation = (sum(full.pretrained_cfg[k]) / 3 for k in ("mean", "std"))
    x = ((to_input(images) + 1) / 2 - mean) / deviation
    with torch.inference_mode():
        expected = full.forward_head(full.forward_features(x.expand(-1, 3, -1, -1)), True)
        got = gray.features(to_input(images))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_resizing_is_part_of_the_network() -> None:
    images = drawn(4, 3)[0]
    small = np.kron(images, np.ones((2, 2), np.uint8))  # 64 pixels: resized to the 32 that were
    network = TimmNetwork(TINY, 64, 32, None).eval()
    with torch.inference_mode():
        resized = network.features(to_input(small))
        direct = network.pooled(
            torch.nn.functional.interpolate(to_input(small), 32, mode="bilinear", antialias=True)
        )
    torch.testing.assert_close(resized, direct)


def test_densenet_121_and_a_model_of_a_fixed_size_take_gray_images() -> None:
    images = to_input(drawn(2, 3)[0])
    for name, dimension in (("densenet121", 1024), ("test_vit", 64)):
        network = TimmNetwork(name, 32, None, None).eval()
        with torch.inference_mode():
            assert network.features(images).shape == (2, dimension)


def test_mistakes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"'densenet_121', which is neither.*densenet121"):
        ClassifierConfig(network="densenet_121")
    with pytest.raises(InputError, match=r"set classifier\.network to a model of timm"):
        ClassifierConfig(pretrained="hf-hub:timm/densenet121.ra_in1k")
    with pytest.raises(InputError, match=r"classifier\.resize is 30"):
        ClassifierConfig(resize=30)
    (tmp_path / "pickle.pth").write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"not a safetensors file.*hf download timm/densenet121"):
        TimmNetwork("densenet121", 32, None, str(tmp_path / "pickle.pth"))
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"lacks \d+ of the \d+ tensors of test_resnet"):
        TimmNetwork(TINY, 32, None, str(tmp_path / "other.safetensors"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot be fetched.*model\.safetensors --local-dir"):
        TimmNetwork(TINY, 32, None, "hf-hub:timm/absent")
    images, labels, views = drawn(20, 1)
    absent = replace(CONFIG, pretrained=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no classifier in"):
        train_classifier(images, labels, views, findings=FINDINGS, config=absent, seed=0)
