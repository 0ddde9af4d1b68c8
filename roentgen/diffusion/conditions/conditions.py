"""Conditions: all that a prediction depends on besides the noisy latents and the timestep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from roentgen.errors import InputError

TEXT = ("text", "text_mask", "pooled_text")  # what a prompt gives: dropped and replaced together


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of N images; the first axis of every tensor is the image.

    None: the condition is not given. Except in the text, 0 means unknown.
    """

    text: Tensor | None = None  # token ids, int64 [N, L], or text encoder states, float [N, L, D]
    text_mask: Tensor | None = None  # bool [N, L]: the tokens that are attended to; None: all
    pooled_text: Tensor | None = None  # float [N, D]
    masks: Tensor | None = None  # float [N, structures, H, W]: 1 inside, -1 outside, 0 unknown
    reference: Tensor | None = None  # reference images, float [N, C, H, W]
    added: Mapping[str, Tensor] = field(default_factory=dict)  # anything else, by name

    def given(self) -> dict[str, Tensor]:
        """The tensors that are given, by name."""
        named = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        given = {name: value for name, value in named.items() if isinstance(value, Tensor)}
        return {**given, **self.added}

    def __or__(self, other: "Conditions") -> "Conditions":
        """These conditions and others of the same images, which take precedence."""
        return _conditions(self.given() | other.given())

    def __getitem__(self, rows: slice | Sequence[int]) -> "Conditions":
        """The conditions of some of the images."""
        return self._each(lambda tensor: tensor[rows])

    def without(self, *names: str) -> "Conditions":
        """All but the conditions of these names."""
        return _conditions({k: tensor for k, tensor in self.given().items() if k not in names})

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Conditions":
        """On the device, without waiting for the copies; `dtype` is for floating-point tensors."""

        def moved(tensor: Tensor) -> Tensor:
            kept = dtype is None or not tensor.is_floating_point()
            return tensor.to(device, None if kept else dtype, non_blocking=True)

        return self._each(moved)

    def pinned(self) -> "Conditions":
        """In memory from which a CUDA GPU copies asynchronously."""
        return self._each(Tensor.pin_memory)

    def dropped(self, drops: Mapping[str, Tensor], empty: "Conditions") -> "Conditions":
        """The conditions where some are withheld, so that a model learns to do without.

        `drops` are bool, [N] or [N, channels], by name; that of the text is for all that a prompt
        gives. Text becomes that of the empty prompt, which is `empty`'s, and all else becomes 0.
        """
        changed = {}
        for name, tensor in self.given().items():
            drop = drops.get("text" if name in TEXT else name)
            if drop is None:
                continue
            drop = drop.view(*drop.shape, *[1] * (tensor.ndim - drop.ndim))
            if name in TEXT:
                changed[name] = torch.where(drop, empty.given()[name], tensor)
            else:
                changed[name] = tensor * ~drop
        return self | _conditions(changed)

    def doubled(self, unconditional: "Conditions") -> "Conditions":
        """2N conditions for classifier-free guidance: the unconditional ones, then these.

        `unconditional` gives what differs, such as the text of a negative prompt.
        """
        return Conditions.joined([self | unconditional, self])

    @staticmethod
    def joined(parts: Sequence["Conditions"]) -> "Conditions":
        """The conditions of all images, in order. Raises InputError where only some have one."""
        tensors = [part.given() for part in parts]
        for some in tensors:
            if some.keys() != tensors[0].keys():
                (name, *_) = sorted(some.keys() ^ tensors[0].keys())
                raise InputError(
                    f"some images of a batch are given {name} and others are not: give all of "
                    "them, or generate them separately"
                )
        return _conditions({k: torch.cat([some[k] for some in tensors]) for k in tensors[0]})

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Conditions":
        return _conditions({name: change(tensor) for name, tensor in self.given().items()})


def _conditions(tensors: Mapping[str, Tensor]) -> Conditions:
    """Conditions of tensors by name: fields where there are any, else `added`."""
    names = {entry.name for entry in fields(Conditions)}
    own: dict[str, Any] = {name: tensor for name, tensor in tensors.items() if name in names}
    return Conditions(**own, added={k: t for k, t in tensors.items() if k not in names})
