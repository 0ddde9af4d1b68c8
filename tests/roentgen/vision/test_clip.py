import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertTokenizerFast

from roentgen.errors import InputError
from roentgen.vision.clip import load_clip

VISION = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
MEAN = [0.4, 0.5, 0.6]


def write_model(folder: Path, text: dict[str, Any]) -> Path:
    """A small CLIP with random weights in open_clip's layout."""
    folder.mkdir(exist_ok=True)
    told = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text}
    content = {"model_cfg": told, "preprocess_cfg": {"mean": MEAN, "std": [0.2, 0.3, 0.2]}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    custom = "hf_model_name" in text
    text = text | ({"hf_model_pretrained": False} if custom else {})
    network = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**told | {"text_cfg": text})
    state = {k: v.clone().contiguous() for k, v in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("clip") / "model", TEXT)


def noise(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8)


def test_agrees_with_open_clip(folder: Path) -> None:
    ours = load_clip(str(folder))
    theirs = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    texts = ["small left pleural effusion", "no acute findings"]
    images = noise(2, 32)
    x = torch.from_numpy(images).float().unsqueeze(1).expand(-1, 3, -1, -1) / 255
    x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor([0.2, 0.3, 0.2]).view(1, 3, 1, 1)
    with torch.inference_mode():
        told = theirs.encode_text(tokenizer(texts), normalize=True).numpy()
        seen = theirs.encode_image(x, normalize=True).numpy()
    np.testing.assert_allclose(ours.encode_texts(texts), told, atol=1e-6)
    np.testing.assert_allclose(ours.encode_images(images), seen, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-6)
    assert ours.dimension == 24
    assert ours.encode_images(noise(3, 50)).shape == (3, 24)  # resized


def test_texts_that_do_not_fit_are_counted(folder: Path) -> None:
    model = load_clip(str(folder))
    fitting = " ".join(["lung"] * 14)  # and a begin and an end
    assert model.too_long([fitting, fitting + " lung", "lung " * 50, "lung"]) == 2
    cut = model.encode_texts([fitting, fitting + " clear"])
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-6)


def test_a_text_tower_of_transformers_is_read_from_the_folder(tmp_path: Path) -> None:
    tower = tmp_path / "biomed" / "text"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "clear", "lungs", "effusion"]
    BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    ).save_pretrained(tower)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(words))
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(tmp_path / "biomed")
    text = {
        "hf_model_name": str(tower),
        "hf_tokenizer_name": "anyone/tower",
        "proj_type": "linear",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 8,
    }
    write_model(tmp_path / "biomed", text)
    model = load_clip(str(tmp_path / "biomed"))
    assert model.encode_texts(["clear lungs", "effusion"]).shape == (2, 24)
    assert model.too_long(["clear lungs", "clear " * 7]) == 1
    shutil.rmtree(tower)
    with pytest.raises(InputError, match="lacks its text tower's configuration: hf download"):
        load_clip(str(tmp_path / "biomed"))


def test_what_is_absent_is_told_with_how_to_bring_it(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no CLIP model in nowhere.*hf download microsoft/Biomed"):
        load_clip("nowhere")
    copy = Path(shutil.copytree(folder, tmp_path / "pickled"))
    (copy / "open_clip_model.safetensors").rename(copy / "open_clip_pytorch_model.bin")
    with pytest.raises(InputError, match=r"one safetensors file, it has none.*converted there by"):
        load_clip(str(copy))
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "open_clip_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"CLIP model .*broken cannot be read \("):
        load_clip(str(broken))
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    told = json.loads((other / "open_clip_config.json").read_text())
    told["model_cfg"]["embed_dim"] = 12
    (other / "open_clip_config.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="other cannot be read"):
        load_clip(str(other))
    with pytest.raises(InputError, match="square gray images"):
        load_clip(str(folder)).encode_images(np.zeros((1, 8, 9), np.uint8))


def test_the_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> str:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"cannot be fetched \(ConnectionError\): give a folder"):
        load_clip("hf-hub:someone/clip")
