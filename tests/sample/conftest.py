from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from roentgen.models.stable_diffusion import Parts, add_view_tokens, save_model
from roentgen.models.tokenizer import clip_tokenizer
from roentgen.randomness import derive_seed


def build_parts() -> Parts:
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
        parts = Parts(
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
            parts.text_encoder.get_input_embeddings().weight.mul_(50)
            parts.vae.decoder.conv_out.weight.mul_(5)
        add_view_tokens(parts.tokenizer, parts.text_encoder)
    return parts


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    license_ = {"name": "Apache-2.0", "data_use": None, "may_share": True}
    made_by = {"config": {"prompt": {"mention_absent": False}, "styles": []}}
    save_model(folder, build_parts(), licenses=[license_], provenance=made_by)
    return folder
