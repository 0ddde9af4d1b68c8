"""Damaged model folders: named by their checksums; without them loaded or refused with one line."""

import json
import random
import shutil
import string
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.components import Components
from roentgen.errors import InputError
from roentgen.storage import CARD

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
Mutants = Callable[..., Iterator[bytes]]
Fuzz = Callable[[Callable[[int], str], int], tuple[Counter[str], list[str]]]
OURS = shutil.ignore_patterns("roentgen.json", "checksums.json")  # without them it is a plain one
ODD: list[Any] = [
    *(None, -1, 0, 1, 3, 2**15, 2**31, 2**40, 2**70, 1.5, -0.5, 1e308, True, False),
    *("", "x", "../../etc/passwd", "evil/code", "a\nb", "\ud800", "relu" * 1000, "CLIPTokenizer"),
    *([], {}, [1], [None], ["a", 1], [2**31], [8] * 50, {"a": 1}, {"auto_map": "a--b.C"}),
]
KEYS = (
    *("auto_map", "_attn_implementation", "quantization_config", "torch_dtype", "_class_name"),
    *("model_type", "tokenizer_class", "architectures", "vision_config", "text_config"),
)


def small_tokenizer() -> CLIPTokenizer:
    ends = ["<|startoftext|>", "<|endoftext|>"]
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    vocab = {token: i for i, token in enumerate([*letters, "no</w>", *ends])}
    return CLIPTokenizer(vocab=vocab, merges=[("n", "o</w>")], model_max_length=16)


@pytest.fixture(scope="module")
def model(
    make_small_components: Callable[..., Components], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model folder of 200 kB."""
    made = make_small_components()
    tokenizer = small_tokenizer()
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    made.tokenizer = tokenizer
    made.text_encoder = CLIPTextModel(
        CLIPTextConfig(
            **sizes,
            **ends,
            num_attention_heads=2,
            vocab_size=len(tokenizer),
            max_position_embeddings=16,
        )
    ).eval()
    made.unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(4, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    ).eval()
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    save_model(folder, made, licenses=[LICENSE], provenance={})
    return folder


def edited_json(data: bytes, draws: random.Random) -> bytes:
    """One value of a JSON file lost, doubled, replaced or added."""
    value = json.loads(data)
    places = list(_places(value))
    where, key = draws.choice(places)
    match draws.randrange(8):
        case 0:
            del where[key]
        case 1 if isinstance(where, dict):
            where[draws.choice(KEYS)] = draws.choice(ODD)
        case 2:
            other, second = draws.choice(places)
            where[key] = json.loads(json.dumps(other[second]))
        case 3:
            return data.replace(b"{", b'{"a":' * draws.choice([2, 5000]) + b"{", 1)
        case _:
            where[key] = draws.choice(ODD)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Containers within a JSON value, with the keys of each."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def edited_tensors(data: bytes, draws: random.Random, mutants: Mutants, seed: int) -> bytes:
    """Safetensors whose header is damaged, with its length mended so that it is parsed."""
    (length,) = struct.unpack_from("<Q", data)
    header, body = data[8 : 8 + length], data[8 + length :]
    if draws.random() < 0.5:
        (header,) = mutants(header, 1, seed=seed)
    else:
        header = edited_json(header, draws)
    return struct.pack("<Q", len(header)) + header + body


def damaged(path: Path, seed: int, mutants: Mutants) -> bytes:
    """Another content of a file, a function of `seed`."""
    data, draws = path.read_bytes(), random.Random(seed)
    if draws.random() < 0.6 and path.suffix == ".json" and len(json.loads(data)):
        return edited_json(data, draws)
    if draws.random() < 0.6 and path.suffix == ".safetensors":
        return edited_tensors(data, draws, mutants, seed)
    return list(mutants(data, 5, seed=seed))[seed % 5]


@pytest.mark.parametrize("count", [40, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damage_of_a_plain_folder(
    model: Path, mutants: Mutants, fuzz: Fuzz, count: int, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder, ignore=OURS)
    files = sorted(path for path in folder.rglob("*") if path.is_file())

    def load(seed: int) -> str:
        file = files[seed % len(files)]
        whole = file.read_bytes()
        file.write_bytes(damaged(file, seed, mutants))
        try:
            load_components(str(folder))
        except InputError as error:
            assert "\n" not in str(error), error  # noqa: PT017
            return "refused"
        finally:
            file.write_bytes(whole)
        return "read"

    outcomes, failures = fuzz(load, count)
    assert failures == []
    assert outcomes.keys() == {"read", "refused"}


@pytest.mark.parametrize("count", [40, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damage_of_a_folder_with_checksums_is_named(
    model: Path, mutants: Mutants, fuzz: Fuzz, count: int, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD)

    def load(seed: int) -> str:
        file = files[seed % len(files)]
        whole = file.read_bytes()
        changed = damaged(file, seed, mutants)
        file.write_bytes(changed)
        try:
            load_components(str(folder))
        except InputError as error:
            assert "\n" not in str(error), error  # noqa: PT017
            assert file.name in str(error), error  # noqa: PT017
            return "refused"
        finally:
            file.write_bytes(whole)
        assert changed == whole, file
        return "read"

    assert fuzz(load, count)[1] == []
