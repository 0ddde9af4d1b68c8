"""All that trains as one module: one thing to wrap for data parallelism, one set of weights."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import encode_tokens
from roentgen.diffusion.conditions.text_encoder import idle_weights


class Denoiser(nn.Module):
    """What the prompts say and noisy latents in, the UNet's prediction out."""

    def __init__(self, components: Components, *, caches_states: bool = True) -> None:
        """`caches_states`: a frozen text encoder is run beforehand, not at every step."""
        super().__init__()
        self._caches_states = caches_states
        self.unet = components.unet
        self.text_encoder = components.text_encoder
        self.projection = components.projection
        self.controlnet = components.controlnet
        self._windows = components.prompt_chunks
        self.prompt_length = (
            components.prompt_chunks * components.tokenizer.model_max_length
        )  # tokens

    def forward(
        self, noisy: Tensor, timesteps: Tensor, prompts: Tensor, conditions: Tensor | None = None
    ) -> Tensor:
        """Prediction [N, C, H, W] for noisy latents [N, C, H, W], timesteps [N] and prompts.

        These are token ids, int64 [N, L], or the states that a frozen text encoder made of them,
        float32 [N, L, D]. `conditions` are the masks for a ControlNet, see `models.control`.
        """
        states = prompts
        if not prompts.is_floating_point():
            states = encode_tokens(self.text_encoder, prompts, windows=self._windows)
        if self.projection is not None:
            states = self.projection(states)
        added = {}
        if self.controlnet is not None and conditions is not None:
            down, middle = self.controlnet(
                noisy, timesteps, states, controlnet_cond=conditions, return_dict=False
            )
            added["down_block_additional_residuals"] = down
            added["mid_block_additional_residual"] = middle
        prediction: Tensor = self.unet(noisy, timesteps, states, return_dict=False, **added)[0]
        return prediction

    @property
    def convolutional(self) -> list[Any]:
        """The nets that work on images, of diffusers."""
        return [self.unet] if self.controlnet is None else [self.unet, self.controlnet]

    def freeze(self, rates: Mapping[str, float | None]) -> None:
        """Let the nets train that have a learning rate, and of them what anything depends on."""
        for name, net in self.named_children():
            net.requires_grad_(rates.get(name) is not None)
        for name in idle_weights(self.text_encoder):
            self.text_encoder.get_parameter(name).requires_grad_(False)

    @property
    def trains_text_encoder(self) -> bool:
        """Whether states depend on weights that train; else they can be made once."""
        return any(weight.requires_grad for weight in self.text_encoder.parameters())

    @property
    def runs_text_encoder(self) -> bool:
        """Whether steps are given token ids, and not states that were made of them."""
        return self.trains_text_encoder or not self._caches_states

    def train(self, mode: bool = True) -> "Denoiser":
        """As any module, but a frozen text encoder draws no dropout."""
        super().train(mode)
        if not self.trains_text_encoder:
            self.text_encoder.eval()
        return self

    def save_memory(self) -> None:
        """Compute activations anew in the backward pass of the nets that train."""
        for convolutional in self.convolutional:
            convolutional.enable_gradient_checkpointing()
        if self.trains_text_encoder:
            net = self.text_encoder
            # transformers renamed it between 5.6 and 5.23. Not reentrant: inputs may be frozen.
            new = getattr(net, "activation_checkpointing_enable", None)
            (new or net.gradient_checkpointing_enable)({"use_reentrant": False})

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights that train, in a fixed order."""
        return ((n, p) for n, p in self.named_parameters() if p.requires_grad)

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Copy weights in, by name; layouts stay as they are."""
        for name, parameter in self.trained():
            parameter.copy_(weights[name])
