"""Step cache: module outputs computed at one sampling step and reused at later ones."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from roentgen.diffusion.denoiser import Denoiser

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


class StepCache:
    """Within `active`, the modules return their last outputs as long as `reuse` is set."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._modules = list(modules)
        self.reuse = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Afterwards the modules are as before, and no output is held."""
        before = [module.__dict__.get("forward") for module in self._modules]
        for module in self._modules:
            module.forward = self._caching(module.forward)
        try:
            yield
        finally:
            for module, forward in zip(self._modules, before, strict=True):
                del module.forward
                if forward is not None:
                    module.forward = forward

    def _caching(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        cached: list[Any] = []

        def forward(*args: Any, **kwargs: Any) -> Any:
            if not self.reuse:
                cached[:] = [compute(*args, **kwargs)]
            return cached[0]

        return forward


def deep_blocks(unet: "UNet2DConditionModel") -> list[nn.Module]:
    """All blocks but those at full resolution, the first and the last.

    With their outputs reused, the rest is a fifth to a third of the work, and the result hardly
    differs, as deep features change slowly (DeepCache, Ma et al. 2023).
    """
    middle = [] if unet.mid_block is None else [unet.mid_block]
    return [*unet.down_blocks[1:], *middle, *unet.up_blocks[:-1]]


def condition_layers(denoiser: Denoiser) -> list[nn.Module]:
    """The layers whose input is a condition alone: exactly the same output at every step."""
    from diffusers.models.attention_processor import Attention

    layers: list[nn.Module] = [*denoiser.condition_networks.values()]
    if denoiser.projection is not None:
        layers.append(denoiser.projection)
    for net in denoiser.convolutional:
        for module in net.modules():
            if isinstance(module, Attention) and module.is_cross_attention:
                layers += [module.to_k, module.to_v]
    if denoiser.controlnet is not None:
        layers.append(denoiser.controlnet.controlnet_cond_embedding)
    return layers
