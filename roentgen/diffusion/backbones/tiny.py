"""The tiny base: Stable Diffusion's true architecture at a size that two cores can train."""

from typing import TYPE_CHECKING

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.clip_tokenizer import clip_tokenizer

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

IMAGE_SIZE = 128  # pixels a side; the VAE shrinks them by 8


def tiny_autoencoder() -> "AutoencoderKL":
    """An untrained VAE: 3x128x128 images in [-1, 1] to 4x16x16 latents; 3.1 M parameters."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 96, 128),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=IMAGE_SIZE,
        mid_block_add_attention=False,
    )


def build_tiny(seed: int) -> Components:
    """Untrained components of the tiny base, the same for the same seed.

    UNet of 64/128/192 channels on 16x16 latents, CLIP text encoder of width 96, scaled-linear
    noise schedule. It predicts v as Stable Diffusion 2.x does: on small latents the side of a
    finding is decided at high noise, where epsilon's loss hardly weighs it.
    """
    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from roentgen.diffusion.components import Components

    tokenizer = clip_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = tiny_autoencoder()
        unet = UNet2DConditionModel(
            sample_size=IMAGE_SIZE // 8,
            in_channels=4,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(64, 128, 192),
            layers_per_block=1,
            cross_attention_dim=96,
            attention_head_dim=8,
            norm_num_groups=16,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=96,
                intermediate_size=384,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=tokenizer.model_max_length,
                hidden_act="quick_gelu",
                projection_dim=96,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )
    return Components(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=scheduler,
    )
