"""Modules whose outputs are kept and given again, for what changes little or not at all."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel


class Recall:
    """Within `at_work`, modules give what they gave last as long as `again` is set."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._modules = list(modules)
        self.again = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Afterwards the modules are as before, and nothing is kept."""
        before = [module.__dict__.get("forward") for module in self._modules]
        for module in self._modules:
            module.forward = self._remembering(module.forward)
        try:
            yield
        finally:
            for module, forward in zip(self._modules, before, strict=True):
                del module.forward
                if forward is not None:
                    module.forward = forward

    def _remembering(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        kept: list[Any] = []

        def forward(*args: Any, **kwargs: Any) -> Any:
            if not self.again:
                kept[:] = [compute(*args, **kwargs)]
            return kept[0]

        return forward


def deep_blocks(unet: "UNet2DConditionModel") -> list[nn.Module]:
    """All blocks but those at full resolution, the first and the last.

    If they give what they gave at the step before, the rest is a fifth to a third of the work, and
    what it makes is much the same, as deep features change slowly (DeepCache, Ma et al. 2023).
    """
    middle = [] if unet.mid_block is None else [unet.mid_block]
    return [*unet.down_blocks[1:], *middle, *unet.up_blocks[:-1]]


def prompt_projections(net: "UNet2DConditionModel | ControlNetModel") -> list[nn.Module]:
    """The layers that see nothing but the prompt: the same at each step, to the last bit."""
    from diffusers.models.attention_processor import Attention

    attentions = [m for m in net.modules() if isinstance(m, Attention) and m.is_cross_attention]
    return [layer for attention in attentions for layer in (attention.to_k, attention.to_v)]
