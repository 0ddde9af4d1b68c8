from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from roentgen.config import load_config
from roentgen.dataset.dataset import DatasetWriter
from roentgen.diffusion.backbones.stable_diffusion import add_view_tokens, save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.clip_tokenizer import clip_tokenizer
from roentgen.imaging.images import encode_png
from roentgen.randomness import derive_seed
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Box, Radiograph, Report, Synthesis, View
from sample.export import export
from sample.exports.config import ExportConfig


def build_components() -> Components:
    """A random Stable Diffusion of 32 pixels, small enough to draw in a second."""
    tokenizer = clip_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(0, "parts"))
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            projection_dim=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        components = Components(
            vae=AutoencoderKL(
                block_out_channels=(8, 8, 8, 8),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                latent_channels=4,
                norm_num_groups=4,
                sample_size=32,
            ).eval(),
            unet=UNet2DConditionModel(
                sample_size=4,
                block_out_channels=(8, 16),
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                layers_per_block=1,
                cross_attention_dim=16,
                attention_head_dim=4,
                norm_num_groups=4,
            ).eval(),
            text_encoder=CLIPTextModel(text).eval(),
            tokenizer=tokenizer,
            scheduler=DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
        )
        with torch.no_grad():  # a conditioning and an image that differ clearly
            components.text_encoder.get_input_embeddings().weight.mul_(50)
            components.vae.decoder.conv_out.weight.mul_(5)
        add_view_tokens(components.tokenizer, components.text_encoder)
    return components


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    license_ = {"name": "Apache-2.0", "data_use": None, "may_share": True}
    made_by = {"config": {"prompt": {"mention_absent": False}, "styles": []}}
    save_model(folder, build_components(), licenses=[license_], provenance=made_by)
    return folder


def _film(
    number: int, view: View | None, findings: tuple[Finding, ...], **known: Any
) -> Radiograph:
    """A radiograph of 40x32 smooth pixels: another image for each number."""
    x, y = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 32))
    waves = np.sin(2 * np.pi * (x + number / 9)) * np.cos(np.pi * y * (1 + number % 3))
    pixels = (127.5 + 127.5 * waves).astype(np.uint8)
    synthesis = Synthesis(
        prompt=f"naïve prompt {number}: <view-pa>\nsmall effusion",
        negative_prompt="blur" if number % 2 else None,
        seed=2**63 - 1 - number,
        guidance_scale=3.0,
        steps=20,
        scheduler="DPM-Solver++",
        model="0123456789abcdef",
        from_radiograph=f"real-{number}",
    )
    mask = np.where(pixels > 127, 255, 0).astype(np.uint8)
    name = f"patient/{number}.ä b"
    given = {
        **{"id": f"{name}-0", "patient_id": name, "study_id": name, "split": "train"},
        **{"image": encode_png(pixels), "view": view, "findings": findings},
        **{"masks": {"lungs": encode_png(mask)}, "source": "synthetic", "license": "terms"},
        **{"synthesis": synthesis},
    }
    return Radiograph(**(given | known))


def radiographs_to_export() -> list[Radiograph]:
    """Synthetic radiographs of three splits, as odd as they may be, and a real one at the end."""
    effusion = Finding(name="Pleural Effusion", side="left", severity="small")
    maybe, no = Finding(name="Edema", state="uncertain"), Finding(name="Edema", state="absent")
    healthy, devices = Finding(name="No Finding"), Finding(name="Support Devices")
    other = {"patient_id": "patient/0.ä b", "study_id": "patient/0.ä b"}  # of the same study
    report = Report(findings="Clear.", impression="No acute process.")
    box = Box(structure="effusion", left=1, top=2, right=3, bottom=4.5)
    return [
        _film(0, "PA", (effusion, maybe), age=63, sex="F", race="white"),
        _film(1, "LATERAL", (effusion, maybe), **other, age=63, sex="F", race="white"),
        _film(2, "PA", (no, devices), **other, age=64, sex="F"),
        _film(3, "AP", (healthy, devices), **(other | {"study_id": "second"}), age=66, sex="F"),
        _film(4, None, (Finding(name="Fracture"),), age=0.5, sex="M"),
        _film(5, "PA", (healthy, effusion)),
        _film(6, "PA", ()),
        _film(7, "AP", (no, maybe, healthy), split="validate", age=41, sex="M"),
        _film(8, "PA", (effusion,), split="validate", masks={}),
        _film(9, "LATERAL", (no,), split="test", age=89.0),
        _film(10, "PA", (devices,), split="test", synthesis=None, report=report, boxes=(box,)),
    ]


@pytest.fixture(scope="session")
def set_to_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of `radiographs_to_export`, under terms that forbid passing it on."""
    folder = tmp_path_factory.mktemp("export") / "set"
    terms = {"name": "Secret Terms 1.0", "data_use": "no sharing at all", "may_share": False}
    with DatasetWriter(folder, licenses=[terms], provenance={}) as writer:
        for radiograph in radiographs_to_export():
            writer.add(radiograph)
    return folder


@pytest.fixture
def exported(set_to_export: Path, tmp_path: Path) -> Callable[..., Path]:
    """`exported(folder={...}, ...)`: exports the set in these formats and returns the folder."""

    def run(**formats: Any) -> Path:
        places = {"dataset": str(set_to_export), "output": str(tmp_path / "out")}
        values = {**places, "lineage": "full", **formats}
        recipe = tmp_path / "export.yaml"
        recipe.write_text(yaml.safe_dump(values))
        return export(load_config(ExportConfig, [str(recipe)]))

    return run
