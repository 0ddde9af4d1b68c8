"""Both nets as one module: one thing to wrap for data parallelism, one set of named weights."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from roentgen.errors import InputError
from roentgen.models.conditioning import encode_tokens
from roentgen.models.stable_diffusion import Parts


class Denoiser(nn.Module):
    """Token ids and noisy latents in, the UNet's prediction out."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.unet = parts.unet
        self.text_encoder = parts.text_encoder

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """Prediction [N, C, H, W] for noisy latents [N, C, H, W], timesteps [N], ids [N, L]."""
        states = encode_tokens(self.text_encoder, ids)
        prediction: Tensor = self.unet(noisy, timesteps, states, return_dict=False)[0]
        return prediction

    def freeze(self, *, unet: bool, text_encoder: bool) -> None:
        """Choose which nets stay as they are."""
        self.unet.requires_grad_(not unet)
        self.text_encoder.requires_grad_(not text_encoder)

    def save_memory(self) -> None:
        """Compute activations anew in the backward pass of the nets that train."""
        self.unet.enable_gradient_checkpointing()
        if any(weight.requires_grad for weight in self.text_encoder.parameters()):
            net = self.text_encoder
            # transformers renamed it between 5.6 and 5.23.
            new = getattr(net, "activation_checkpointing_enable", None)
            (new or net.gradient_checkpointing_enable)()

    def use_xformers(self) -> None:
        """Let the UNet attend by xformers. Raises InputError if it does not come to that."""
        try:
            self.unet.enable_xformers_memory_efficient_attention()
        except Exception as error:  # xformers has several, down to an ImportError
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"xformers cannot be used ({reason}): set xformers=false") from error
        kinds = {type(processor).__name__ for processor in self.unet.attn_processors.values()}
        if kinds != {"XFormersAttnProcessor"}:
            raise InputError(f"xformers has no effect on {', '.join(kinds)}: set xformers=false")

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights that train, in a fixed order."""
        return ((n, p) for n, p in self.named_parameters() if p.requires_grad)

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Copy weights in, by name; layouts stay as they are."""
        for name, parameter in self.trained():
            parameter.copy_(weights[name])
