"""Stable Diffusion 1.5's architecture with random weights, two steps at 512 px, within 20 GB."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from roentgen.models.stable_diffusion import Parts, save_model

ROOT = Path(__file__).parents[2]
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}


def save_full_size(folder: Path, parts: Parts) -> float:
    """Save SD 1.5's shapes, weights random, with the scheduler and tokenizer of `parts`.

    The UNet's parameters, in millions.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    parts.vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    parts.unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    parts.text_encoder = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    )
    save_model(folder, parts, licenses=[LICENSE], provenance={})
    return float(sum(weight.numel() for weight in parts.unet.parameters()) / 1e6)


@pytest.mark.slow
def test_two_steps_save_and_reload_within_20_gb(
    tmp_path: Path,
    make_small_parts: Callable[..., Parts],
    make_small_dataset: Callable[..., Path],
) -> None:
    parameters = save_full_size(tmp_path / "base", make_small_parts())
    assert parameters == pytest.approx(859.5, abs=0.1)
    settings = {
        "base": str(tmp_path / "base"),
        "data": {"folder": str(make_small_dataset(tmp_path / "data", train=2, size=512))},
        "output": str(tmp_path / "run"),
        "steps": 2,
        "batch": 1,
        "optimizer": {"name": "adafactor"},
        "ema": None,
        "precision": "bf16",
        "gradient_checkpointing": True,
        "validation": None,
        "log_every": 1,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "train.finetune", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # GiB
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    print(f"peak {peak:.1f} GiB; {lines}")
    assert peak * 2**30 < 20e9
    assert [json.loads(line)["step"] for line in lines] == [1, 2]

    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        tmp_path / "run" / "model", dtype=torch.bfloat16, local_files_only=True
    )
    assert pipeline.tokenizer("<view-pa>").input_ids == [49406, 49408, 49407]
    assert sum(weight.numel() for weight in pipeline.unet.parameters()) / 1e6 == parameters
