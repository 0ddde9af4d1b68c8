import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from roentgen.errors import InputError
from roentgen.vision.classifier import train_classifier
from roentgen.vision.features.extractor import load_extractor
from roentgen.vision.network_settings import ClassifierConfig

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8)


def larger(size: int, n: int = 2) -> np.ndarray:
    """Images that a network of this size reads as they are."""
    return np.random.default_rng(1).integers(0, 256, (n, size, size)).astype(np.uint8)


def standardised(images: np.ndarray, mean: float, deviation: float) -> torch.Tensor:
    x = torch.from_numpy(images).float().unsqueeze(1).expand(-1, 3, -1, -1)
    return (x / 255 - mean) / deviation


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
    extractor = load_extractor("roentgen", str(tmp_path))
    np.testing.assert_allclose(extractor(IMAGES), classifier.features(IMAGES), rtol=1e-5)
    definition = str(extractor.definition)
    assert "d = 16" in definition
    assert "32x32" in definition
    assert extractor(np.kron(IMAGES, np.ones((2, 2), np.uint8))).shape == (3, 16)
    with pytest.raises(InputError, match="square"):
        extractor(IMAGES[:, :16])


def test_absent_weights_say_how_to_bring_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"torch-fidelity.*weights: inception"):
        load_extractor("inception")
    with pytest.raises(InputError, match=r"nowhere does not exist.*torchxrayvision"):
        load_extractor("xrv", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"python -m eval\.train_extractor"):
        load_extractor("roentgen", str(tmp_path))
    for name, how in (
        ("clip", "BiomedCLIP"),
        ("timm", "hf-hub:timm/NAME"),
        ("rad-dino", "rad-dino"),
    ):
        with pytest.raises(InputError, match=f"extractor '{name}' has no weights.*{how}"):
            load_extractor(name)  # type: ignore[arg-type]
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="does not hold its weights"):
        load_extractor("xrv", str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="unknown extractor 'vgg'"):
        load_extractor("vgg")  # type: ignore[arg-type]


def test_the_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> str:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"cannot be fetched: ConnectionError.*hf download micro"):
        load_extractor("rad-dino", "hf-hub:microsoft/rad-dino")


def test_xrv_reads_its_own_pixels(tmp_path: Path) -> None:
    from torchvision.models import densenet121

    whole = densenet121(weights=None)
    whole.features.conv0 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    state = {k: v.contiguous() for k, v in whole.state_dict().items()}
    save_file(state | {"op_threshs": torch.zeros(18)}, tmp_path / "xrv.safetensors")
    extractor = load_extractor("xrv", str(tmp_path / "xrv.safetensors"))
    assert extractor.definition.pixels == "[-1024, 1024]"
    image = np.full((1, 224, 224), 255, np.uint8)
    with torch.no_grad():
        expected = whole.eval().features(torch.full((1, 1, 224, 224), 1024.0)).relu()
    np.testing.assert_allclose(extractor(image), expected.mean(dim=(2, 3)).numpy(), rtol=1e-3)
    # A folder, as a repository of the hub is, holds the one file.
    again = load_extractor("xrv", str(tmp_path))
    assert again.definition == extractor.definition
    save_file({"x": torch.zeros(1)}, tmp_path / "second.safetensors")
    with pytest.raises(
        InputError, match=r"file is needed, there is: second\.safetensors, xrv\.safet"
    ):
        load_extractor("xrv", str(tmp_path))


def test_xrv_is_the_package_s_own_layer(tmp_path: Path) -> None:
    xrv = pytest.importorskip("torchxrayvision")
    theirs = xrv.models.DenseNet(weights=None, num_classes=18).eval()
    state = {k: v.clone().contiguous() for k, v in theirs.state_dict().items()}
    save_file(state, tmp_path / "xrv.safetensors")
    images = larger(224)
    pixels = xrv.datasets.normalize(images.astype(np.float32), 255)[:, None]
    with torch.no_grad():
        expected = theirs.features2(torch.from_numpy(pixels)).numpy()
    ours = load_extractor("xrv", str(tmp_path / "xrv.safetensors"))(images)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


def test_inception_is_torch_fidelitys(tmp_path: Path) -> None:
    """The same weights in their network and in ours give the same features."""
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from roentgen.vision.features.inception import FidInception

    torch.manual_seed(0)
    network = FidInception()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # or random layers fade to nothing
            module.get_buffer("running_mean").uniform_(-0.1, 0.1)
            module.get_buffer("running_var").uniform_(0.02, 0.05)
    extra = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    state = {k: v.contiguous() for k, v in network.state_dict().items()} | extra
    save_file(state, tmp_path / "i.safetensors")
    torch.save(state, tmp_path / "i.pth")
    theirs = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(tmp_path / "i.pth")
    ).eval()
    images = larger(299)
    with torch.no_grad():
        (expected,) = theirs(torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1))
    ours = load_extractor("inception", str(tmp_path / "i.safetensors"))(images)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_timm_opens_any_model_from_a_folder_of_the_hub(tmp_path: Path) -> None:
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=5).eval()
    save_for_hf(model, str(tmp_path), safe_serialization=True)
    for pickle in tmp_path.glob("*.bin"):
        pickle.unlink()
    extractor = load_extractor("timm", str(tmp_path))
    images = larger(224)
    mean, deviation = (model.pretrained_cfg[key][0] for key in ("mean", "std"))
    with torch.no_grad():
        features = model.forward_features(standardised(images, mean, deviation))
        expected = model.forward_head(features, pre_logits=True).numpy()
    np.testing.assert_allclose(extractor(images), expected, rtol=1e-3, atol=1e-4)
    assert extractor.definition.dimension == 192
    assert "vit_tiny_patch16_224" in str(extractor.definition)
    state = load_file(tmp_path / "model.safetensors")
    del state["norm.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"does not hold its weights.*norm\.weight"):
        load_extractor("timm", str(tmp_path))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(
        InputError, match=r"model\.safetensors is missing"
    ):  # a pickle is not opened
        load_extractor("timm", str(tmp_path))


def processor(folder: Path, size: int, resample: int = 3) -> None:
    told: dict[str, Any] = {
        "crop_size": {"height": size, "width": size},
        "image_mean": [0.5307] * 3,
    }
    told |= {"image_std": [0.2583] * 3, "resample": resample}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))


def test_rad_dino_reads_a_folder_of_transformers(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14
    )
    model = Dinov2Model(config).eval()
    model.save_pretrained(tmp_path)
    processor(tmp_path, 56)
    extractor = load_extractor("rad-dino", str(tmp_path))
    images = larger(56)
    with torch.no_grad():
        expected = model(pixel_values=standardised(images, 0.5307, 0.2583)).pooler_output.numpy()
    np.testing.assert_allclose(extractor(images), expected, rtol=1e-3, atol=1e-5)
    assert extractor(IMAGES).shape == (3, 32)
    assert "square to 56x56, bicubic" in extractor.definition.resize
    save_file({"head": torch.zeros(1)}, tmp_path / "dino_head.safetensors")  # beside it on the hub
    assert load_extractor("rad-dino", str(tmp_path)).definition == extractor.definition
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="hf download"):
        load_extractor("rad-dino", str(tmp_path))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="it holds no safetensors"):  # a pickle is not opened
        load_extractor("rad-dino", str(tmp_path))


def test_transformers_takes_the_class_token_and_refuses_random_layers(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
    )
    model = ViTModel(config, add_pooling_layer=False).eval()  # as many on the hub are
    model.save_pretrained(tmp_path)
    processor(tmp_path, 32, resample=2)
    extractor = load_extractor("transformers", str(tmp_path))
    with torch.no_grad():
        states = model(pixel_values=standardised(IMAGES, 0.5307, 0.2583)).last_hidden_state
    np.testing.assert_allclose(extractor(IMAGES), states[:, 0].numpy(), rtol=1e-3, atol=1e-5)
    assert "ViTModel, class token" in str(extractor.definition)
    assert "bilinear" in extractor.definition.resize
    state = load_file(tmp_path / "model.safetensors")
    del state["layernorm.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"tensors are missing, such as layernorm\.weight"):
        load_extractor("transformers", str(tmp_path))
    words = tmp_path / "words"
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    BertModel(BertConfig(vocab_size=9, intermediate_size=8, **sizes)).save_pretrained(words)
    processor(words, 32)
    with pytest.raises(InputError, match="cannot be used on pixels alone"):
        load_extractor("transformers", str(words))


def test_clip_gives_open_clips_image_embeddings(tmp_path: Path) -> None:
    import open_clip

    from roentgen.vision.clip import load_clip

    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8}
    text = {"context_length": 8, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
    told: dict[str, Any] = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": told}))
    state = {k: v.clone().contiguous() for k, v in open_clip.CLIP(**told).state_dict().items()}
    save_file(state, tmp_path / "open_clip_model.safetensors")
    extractor = load_extractor("clip", str(tmp_path))
    expected = load_clip(str(tmp_path)).encode_images(IMAGES)
    np.testing.assert_allclose(extractor(IMAGES), expected, atol=1e-6)
    assert (extractor.definition.name, extractor.definition.dimension) == ("clip", 24)
