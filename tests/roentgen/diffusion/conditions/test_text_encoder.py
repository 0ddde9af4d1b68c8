import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn
from transformers import DebertaV2Config, DebertaV2Model

from roentgen.diffusion.backbones.stable_diffusion import (
    add_view_tokens,
    load_components,
    save_model,
)
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import (
    encode_prompts,
    encode_tokens,
    tokenize_prompts,
)
from roentgen.diffusion.conditions.text_encoder import (
    find_text_model,
    fold_projection,
    idle_weights,
    swap_text_encoder,
)
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.schedulers import make_scheduler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
KINDS = {"bert": 24, "t5": 24, "clip": 77}  # and the tokens of a prompt
CLASSES = {"bert": "BertModel", "t5": "T5EncoderModel", "clip": "CLIPTextModel"}


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int = 7
    negative_prompt: None = None


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, make_text_model: Callable[..., Path]
) -> Callable[..., str]:
    """The folder of a text model of this kind and width."""

    def folder(kind: str, width: int = 24) -> str:
        path = tmp_path_factory.getbasetemp() / f"text-{kind}-{width}"
        return str(path if path.exists() else make_text_model(path, kind, width))

    return folder


@pytest.fixture
def swapped(
    folders: Callable[..., str], make_small_components: Callable[..., Components]
) -> Callable[..., Components]:
    """Small components with another text encoder; the UNet takes states 16 wide."""

    def swap(
        kind: str, width: int = 24, max_tokens: int | None = None, seed: int = 0
    ) -> Components:
        components = make_small_components()
        tokens = max_tokens or KINDS[kind]
        swap_text_encoder(components, folders(kind, width), max_tokens=tokens, seed=seed)
        add_view_tokens(components.tokenizer, components.text_encoder)
        with torch.no_grad():  # else random encoders hardly tell prompts apart
            components.text_encoder.get_input_embeddings().weight.mul_(20)
        return components

    return swap


@pytest.mark.parametrize(("kind", "width"), [("bert", 24), ("t5", 24), ("clip", 24), ("bert", 16)])
def test_a_swapped_model_draws_in_diffusers_what_it_draws_here(
    swapped: Callable[..., Components], tmp_path: Path, kind: str, width: int
) -> None:
    components = swapped(kind, width)
    assert (components.projection is None) == (width == 16)
    prompt = "<view-lateral> small left effusion"
    with torch.no_grad():
        before = encode_prompts(components, [prompt])
        projected = before if components.projection is None else components.projection(before)
    assert before.shape == (1, KINDS[kind], width)
    assert projected.shape == (1, KINDS[kind], 16)
    save_model(tmp_path / "model", components, licenses=[LICENSE], provenance={})
    components = load_components(str(tmp_path / "model"))
    assert type(components.text_encoder).__name__ == CLASSES[kind]
    assert components.unet.config.cross_attention_dim == width
    settings = SamplerSettings(scheduler="PNDM", steps=3)
    ours = Sampler(components, settings, "cpu").latents([Image(prompt), Image("cardiomegaly")])
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "model")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = make_scheduler("PNDM", pipeline.scheduler)
    theirs = pipeline(
        prompt,
        num_inference_steps=3,
        guidance_scale=settings.guidance_scale,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
    ).images
    torch.testing.assert_close(ours[:1], theirs, atol=1e-4, rtol=1e-5)
    assert (ours[0] - ours[1]).abs().max() > 0.1  # the prompt matters


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (
            "bert",
            {
                "embeddings.word_embeddings.weight",
                "encoder.layer.1.attention.output.LayerNorm.bias",
                "pooler.dense.weight",
            },
        ),
        (
            "t5",
            {
                "shared.weight",
                "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                "encoder.final_layer_norm.weight",
            },
        ),
        (
            "clip",
            {
                "text_model.embeddings.token_embedding.weight",
                "text_model.final_layer_norm.bias",
            },
        ),
    ],
)
def test_older_transformers_find_the_names_they_know(
    swapped: Callable[..., Components], tmp_path: Path, kind: str, keys: set[str]
) -> None:
    save_model(tmp_path / "model", swapped(kind), licenses=[LICENSE], provenance={})
    assert keys <= load_file(tmp_path / "model" / "text_encoder" / "model.safetensors").keys()
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    said = json.loads((tmp_path / "model" / "tokenizer" / "tokenizer_config.json").read_text())
    assert index["text_encoder"] == ["transformers", CLASSES[kind]]
    if kind == "clip":  # its slow form is there, see test_stable_diffusion
        assert index["tokenizer"] == ["transformers", "CLIPTokenizer"]
    else:
        assert index["tokenizer"] == ["transformers", "PreTrainedTokenizerFast"]
        assert said["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert "extra_special_tokens" not in said
        assert said["model_max_length"] == KINDS[kind]
        assert (tmp_path / "model" / "tokenizer" / "tokenizer.json").exists()


def test_a_folded_projection_changes_nothing(
    make_small_components: Callable[..., Components],
) -> None:
    components = make_small_components()
    unet, projection = components.unet, nn.Linear(40, 16, bias=False)
    components.projection = projection
    noisy, steps, states = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), torch.randn(2, 9, 40)
    with torch.no_grad():
        before = unet(noisy, steps, projection(states)).sample
        fold_projection(components)
        after = unet(noisy, steps, states).sample
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)
    again = UNet2DConditionModel.from_config(unet.config)
    assert {n: w.shape for n, w in again.state_dict().items()} == {
        n: w.shape for n, w in unet.state_dict().items()
    }


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_padding_is_not_attended_to(swapped: Callable[..., Components], kind: str) -> None:
    short, long = swapped(kind, max_tokens=12), swapped(kind, max_tokens=24)
    with torch.no_grad():
        one, other = (
            encode_prompts(short, ["small effusion"]),
            encode_prompts(long, ["small effusion"]),
        )
    torch.testing.assert_close(one[:, :3], other[:, :3], atol=1e-5, rtol=1e-5)


def test_the_projection_is_a_function_of_the_seed_and_keeps_the_size(
    swapped: Callable[..., Components],
) -> None:
    one, same, other = (swapped("bert", seed=seed).projection for seed in (1, 1, 2))
    assert one is not None
    assert same is not None
    assert other is not None
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert one.weight.detach().std().item() == pytest.approx(24**-0.5, rel=0.2)


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_no_dropout_is_drawn_while_training(swapped: Callable[..., Components], kind: str) -> None:
    components = swapped(kind)
    ids = tokenize_prompts(components.tokenizer, ["cardiomegaly"])
    with torch.no_grad():
        states = encode_tokens(components.text_encoder, ids)
        assert torch.equal(encode_tokens(components.text_encoder.train(), ids), states)


def test_the_pooler_is_known_to_be_idle(swapped: Callable[..., Components]) -> None:
    assert idle_weights(swapped("bert").text_encoder) == {
        "pooler.dense.weight",
        "pooler.dense.bias",
    }
    assert idle_weights(swapped("clip").text_encoder) == set()
    assert idle_weights(swapped("t5").text_encoder) == set()


def test_view_tokens_join_any_tokenizer(swapped: Callable[..., Components]) -> None:
    for kind in KINDS:
        tokenizer = swapped(kind).tokenizer
        with_view = tokenizer("<view-pa> small").input_ids
        token = tokenizer.convert_tokens_to_ids("<view-pa>")
        assert [i for i in with_view if i != token] == tokenizer("small").input_ids


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 41}, r"text-bert-24 does not take max_tokens=41: set"),
        ({"model": "nowhere"}, r"text model 'nowhere' not found: give the folder"),
    ],
)
def test_a_users_mistake_is_one_line(
    folders: Callable[..., str],
    make_small_components: Callable[..., Components],
    options: dict[str, Any],
    message: str,
) -> None:
    given: dict[str, Any] = {"model": folders("bert"), "max_tokens": 40, "seed": 0} | options
    with pytest.raises(InputError, match=message) as error:
        swap_text_encoder(make_small_components(), **given)
    assert "\n" not in str(error.value)


def test_models_that_do_not_serve_are_refused(
    tmp_path: Path,
    make_small_components: Callable[..., Components],
    make_text_model: Callable[..., Path],
) -> None:
    def swap(folder: Path) -> None:
        swap_text_encoder(make_small_components(), str(folder), max_tokens=20, seed=0)

    with pytest.raises(InputError, match="cannot read text model"):
        swap(tmp_path)
    folder = make_text_model(tmp_path / "bert", "bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bart"}))
    with pytest.raises(InputError, match="a bart has a decoder too"):
        swap(folder)
    masked = DebertaV2Config(
        **{key: config[key] for key in ("hidden_size", "vocab_size", "num_hidden_layers")},
        **{key: config[key] for key in ("intermediate_size", "num_attention_heads")},
    )
    DebertaV2Model(masked).save_pretrained(folder)
    with pytest.raises(InputError, match="masks padding in a way of its own"):
        swap(folder)
    make_text_model(folder, "bert")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")  # not even opened
    with pytest.raises(InputError, match="cannot read text model"):
        swap(folder)


def test_a_text_model_that_cannot_be_fetched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"'nobody/nothing' .* cannot be fetched"):
        find_text_model("nobody/nothing")


def plant_code(folder: Path, config: str, marker: Path) -> None:
    """Make a model's configuration name a class in a file beside it, which would leave a marker."""
    path = folder / config
    content = json.loads(path.read_text()) if path.exists() else {}
    names = ("AutoConfig", "AutoModel", "AutoTokenizer")
    content |= {"model_type": "other", "auto_map": dict.fromkeys(names, "code.Other")}
    path.write_text(json.dumps(content))
    (folder / "code.py").write_text(f"open({str(marker)!r}, 'w').close()\n")


@pytest.mark.parametrize("config", ["config.json", "tokenizer_config.json"])
def test_code_of_a_text_model_is_refused_without_a_question(
    config: str,
    make_text_model: Callable[..., Path],
    make_small_components: Callable[..., Components],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    folder = make_text_model(tmp_path / "text", "bert", 24)
    plant_code(folder, config, tmp_path / "ran")
    with pytest.raises(InputError, match=r"names code of its own \(auto_map") as error:
        swap_text_encoder(make_small_components(), str(folder), max_tokens=24, seed=0)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()
