"""Denoiser: all networks of a model's prediction as one module, for training and sampling alike.

It is one module to wrap for data parallelism, and one set of weights.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.condition_kinds import KINDS
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.prompt_encoding import encode_tokens
from roentgen.diffusion.conditions.text_encoder import idle_weights


class Denoiser(nn.Module):
    """Predicts noise (or v) from noisy latents, timesteps and conditions."""

    def __init__(
        self,
        components: Components,
        *,
        caches_states: bool = True,
        conditioning_scale: float = 1.0,
    ) -> None:
        """`caches_states`: a frozen text encoder is run beforehand, not at every step.

        `conditioning_scale` multiplies what the ControlNet adds to the UNet.
        """
        super().__init__()
        self._caches_states = caches_states
        self._conditioning_scale = conditioning_scale
        self._prompt_chunks = components.prompt_chunks
        self._chunk_length = components.tokenizer.model_max_length
        self.unet = components.unet
        self.text_encoder = components.text_encoder
        self.projection = components.projection
        self.controlnet = components.controlnet
        self.condition_networks = nn.ModuleDict(components.condition_networks)

    def forward(self, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Prediction [N, C, H, W] for noisy latents [N, C, H, W] and timesteps [N], or one for all.

        Text may be token ids, or states that `encoded` made of them. Without masks the ControlNet
        is not run; other conditions that are not given are unknown.
        """
        states = self.encoded(conditions).text
        assert states is not None
        for name, network in self.condition_networks.items():
            values = conditions.added.get(name)
            if values is None:
                values = states.new_zeros(len(states), *KINDS[name].shape)
            states = network(states, values)
        if self.projection is not None:
            states = self.projection(states)
        added = {}
        if self.controlnet is not None and conditions.masks is not None:
            down, middle = self.controlnet(
                noisy,
                timesteps,
                states,
                controlnet_cond=conditions.masks,
                conditioning_scale=self._conditioning_scale,
                return_dict=False,
            )
            added["down_block_additional_residuals"] = down
            added["mid_block_additional_residual"] = middle
        prediction: Tensor = self.unet(noisy, timesteps, states, return_dict=False, **added)[0]
        return prediction

    def encoded(self, conditions: Conditions) -> Conditions:
        """The conditions with text encoder states [N, L, D] in place of any token ids."""
        ids = conditions.text
        if ids is None or ids.is_floating_point():
            return conditions
        states = encode_tokens(self.text_encoder, ids, chunks=self._prompt_chunks)
        return conditions | Conditions(text=states)

    def example_text(self, count: int) -> Tensor:
        """Text of the shape and kind that steps are given, of so many items."""
        length = self._prompt_chunks * self._chunk_length
        device, config = self.text_encoder.device, self.text_encoder.config
        ids = (torch.arange(length, device=device) % 8).expand(count, -1)  # not all are padding
        if self.runs_text_encoder:
            return ids
        return torch.zeros(count, length, config.hidden_size, device=device)

    @property
    def convolutional(self) -> list[Any]:
        """The convolutional networks: diffusers' UNet and ControlNet."""
        return [self.unet] if self.controlnet is None else [self.unet, self.controlnet]

    def freeze(self, rates: Mapping[str, float | None]) -> None:
        """Let networks with a learning rate train, but for weights that no output depends on."""
        for name, net in self.named_children():
            net.requires_grad_(rates.get(name) is not None)
        for name in idle_weights(self.text_encoder):
            self.text_encoder.get_parameter(name).requires_grad_(False)

    @property
    def trains_text_encoder(self) -> bool:
        """Whether text encoder states depend on weights that train; else they can be cached."""
        return any(weight.requires_grad for weight in self.text_encoder.parameters())

    @property
    def runs_text_encoder(self) -> bool:
        """Whether steps are given token ids, and not cached states."""
        return self.trains_text_encoder or not self._caches_states

    def train(self, mode: bool = True) -> "Denoiser":
        """Set the mode of all but a frozen text encoder, which draws no dropout."""
        super().train(mode)
        if not self.trains_text_encoder:
            self.text_encoder.eval()
        return self

    def save_memory(self) -> None:
        """Recompute activations in the backward pass of the networks that train."""
        for convolutional in self.convolutional:
            convolutional.enable_gradient_checkpointing()
        if self.trains_text_encoder:
            net = self.text_encoder
            # transformers renamed it between 5.6 and 5.23. Not reentrant: inputs may be frozen.
            new = getattr(net, "activation_checkpointing_enable", None)
            (new or net.gradient_checkpointing_enable)({"use_reentrant": False})

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and values of the weights that train, in a fixed order."""
        return ((n, p) for n, p in self.named_parameters() if p.requires_grad)

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Copy weights in, by name; layouts stay as they are."""
        for name, parameter in self.trained():
            parameter.copy_(weights[name])
