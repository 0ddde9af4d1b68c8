import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from roentgen.errors import InputError
from roentgen.models.classifier import ClassifierConfig, train_classifier
from roentgen.models.extractor import load_extractor

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8)


def test_the_embedded_one_names_what_it_is(tmp_path: Path) -> None:
    classifier = train_classifier(
        IMAGES,
        np.ones((3, 1), np.float32),
        np.zeros(3, np.int64),
        findings=("Edema",),
        config=ClassifierConfig(steps=2, widths=(8, 16)),
        seed=0,
    )
    classifier.save(tmp_path)
    extractor = load_extractor("roentgen", tmp_path)
    np.testing.assert_allclose(extractor(IMAGES), classifier.features(IMAGES), rtol=1e-5)
    definition = str(extractor.definition)
    assert "d = 16" in definition
    assert "32x32" in definition
    larger = np.kron(IMAGES, np.ones((2, 2), np.uint8))
    assert extractor(larger).shape == (3, 16)
    with pytest.raises(InputError, match="square"):
        extractor(IMAGES[:, :16])


def test_absent_weights_say_how_to_bring_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"torch-fidelity.*extractor\.weights=inception"):
        load_extractor("inception")
    with pytest.raises(InputError, match=r"nowhere does not exist.*torchxrayvision"):
        load_extractor("xrv", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"python -m eval\.train_extractor"):
        load_extractor("roentgen", tmp_path)
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="does not hold its weights"):
        load_extractor("xrv", tmp_path / "other.safetensors")


def test_xrv_reads_its_own_pixels(tmp_path: Path) -> None:
    from torchvision.models import densenet121

    whole = densenet121(weights=None)
    whole.features.conv0 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    state = {k: v.contiguous() for k, v in whole.state_dict().items()}
    save_file(state | {"op_threshs": torch.zeros(18)}, tmp_path / "xrv.safetensors")
    extractor = load_extractor("xrv", tmp_path / "xrv.safetensors")
    assert extractor.definition.pixels == "[-1024, 1024]"
    image = np.full((1, 224, 224), 255, np.uint8)
    with torch.no_grad():
        expected = whole.eval().features(torch.full((1, 1, 224, 224), 1024.0)).relu()
    np.testing.assert_allclose(extractor(image), expected.mean(dim=(2, 3)).numpy(), rtol=1e-3)


def test_inception_reads_torch_fidelitys_names(tmp_path: Path) -> None:
    from roentgen.models.inception import FidInception

    state = {k: v.contiguous() for k, v in FidInception().state_dict().items()}
    assert "Mixed_6e.branch7x7dbl_5.conv.weight" in state
    save_file(state | {"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "i.safetensors")
    extractor = load_extractor("inception", tmp_path / "i.safetensors")
    assert extractor(IMAGES[:1]).shape == (1, 2048)


def test_rad_dino_reads_a_folder_of_transformers(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14
    )
    Dinov2Model(config).save_pretrained(tmp_path)
    processor = {"crop_size": {"height": 56, "width": 56}, "image_mean": [0.5307] * 3}
    processor_file = tmp_path / "preprocessor_config.json"
    processor_file.write_text(json.dumps(processor | {"image_std": [0.2583] * 3}))
    extractor = load_extractor("rad-dino", tmp_path)
    assert extractor(IMAGES).shape == (3, 32)
    assert "56x56" in extractor.definition.resize
    processor_file.unlink()
    with pytest.raises(InputError, match="hf download"):
        load_extractor("rad-dino", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="holds no safetensors"):  # a pickle is not opened
        load_extractor("rad-dino", tmp_path)
