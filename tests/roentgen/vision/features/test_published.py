"""Pipelines of the 1.x and 2.x line as they are published: none is laid out quite like ours."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPTextConfig, CLIPTextModel

from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.clip_tokenizer import clip_tokenizer
from roentgen.diffusion.conditions.prompt_encoding import encode_prompts
from roentgen.errors import InputError


def save_v2(folder: Path, components: Components, **options: Any) -> Path:
    """As RoentGen-v2: Stable Diffusion 2.1's architecture, an image processor, no safety checker.

    OpenCLIP's text encoder (gelu), padding with "!", head counts and linear projections, and the
    keys of the text encoder with the prefix of transformers 4.
    """
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=32,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            hidden_act="gelu",
            vocab_size=49408,
            pad_token_id=1,
            projection_dim=512,
        )
    )
    tokenizer = clip_tokenizer()
    tokenizer.pad_token = "!"
    StableDiffusionPipeline(
        vae=components.vae,
        unet=unet,
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        scheduler=PNDMScheduler.from_config(components.scheduler.config, prediction_type="epsilon"),
        safety_checker=None,
        feature_extractor=CLIPImageProcessor(),
        requires_safety_checker=False,
    ).save_pretrained(folder, **options)
    prefix_text_encoder(folder)
    return folder


def prefix_text_encoder(folder: Path) -> None:
    for path in (folder / "text_encoder").glob("*.safetensors"):
        weights = {f"text_model.{name}": w.clone() for name, w in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, make_small_components: Callable[..., Components]
) -> Path:
    return save_v2(tmp_path_factory.mktemp("published") / "v2", make_small_components())


def same_weights(one: Components, other: Components, tolerance: float = 0.0) -> None:
    for name in ("vae", "unet", "text_encoder"):
        a, b = getattr(one, name).state_dict(), getattr(other, name).state_dict()
        assert a.keys() == b.keys()
        assert all(w.dtype == torch.float32 for w in a.values() if w.is_floating_point())
        for key in a:
            torch.testing.assert_close(a[key], b[key], atol=tolerance, rtol=tolerance)


def test_a_checkpoint_like_roentgen_v2s_is_read_whole(published: Path) -> None:
    index = json.loads((published / "model_index.json").read_text())
    assert index["safety_checker"] == [None, None]
    assert index["feature_extractor"][1] == "CLIPImageProcessor"
    components = load_components(str(published))
    pipeline = StableDiffusionPipeline.from_pretrained(published)
    prompt = "50 year old White female. Normal chest radiograph."
    with torch.no_grad():
        ours = encode_prompts(components, [prompt, ""])
        theirs, without = pipeline.encode_prompt(
            prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
        )
    assert torch.equal(ours, torch.cat([theirs, without]))
    assert components.text_encoder.config.hidden_act == "gelu"
    assert components.tokenizer("").input_ids == [49406, 49407]
    assert components.tokenizer("", padding="max_length").input_ids[2:] == [0] * 75
    for name in ("unet", "vae"):
        theirs = getattr(pipeline, name).state_dict()
        ours = getattr(components, name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_sharded_weights_are_read(
    published: Path, tmp_path: Path, make_small_components: Callable[..., Components]
) -> None:
    folder = save_v2(tmp_path / "sharded", make_small_components(), max_shard_size="100KB")
    assert len(list((folder / "unet").glob("*-of-*.safetensors"))) > 1
    same_weights(load_components(str(folder)), load_components(str(published)))


def test_half_precision_files_alone_are_read(
    published: Path, tmp_path: Path, make_small_components: Callable[..., Components]
) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(published)
    folder = tmp_path / "half"
    pipeline.to(torch.float16).save_pretrained(folder, variant="fp16")
    assert (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").exists()
    same_weights(load_components(str(folder)), load_components(str(published)), tolerance=1e-3)


def test_a_unet_beside_another_pipelines_parts_is_read(published: Path, tmp_path: Path) -> None:
    # As RoentGen v1 was given away: a UNet, the rest being Stable Diffusion's.
    folder = tmp_path / "joined"
    shutil.copytree(published, folder, ignore=shutil.ignore_patterns("unet"))
    other = UNet2DConditionModel.from_pretrained(published / "unet")
    with torch.no_grad():
        other.conv_in.weight.zero_()
    other.save_pretrained(tmp_path / "unet")
    (folder / "unet").symlink_to(tmp_path / "unet")
    assert not load_components(str(folder)).unet.conv_in.weight.any()


@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae"])
def test_pickled_weights_are_refused_unopened(published: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(published, tmp_path / "model")
    (weights,) = (folder / part).glob("*.safetensors")
    weights.unlink()
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    (folder / part / name).write_bytes(b"pickle")
    with pytest.raises(InputError, match=f"the {part} of .* pickled, .* save them as safetensors"):
        load_components(str(folder))
