"""Condition kinds: what a model may be given of a radiograph's record besides prompt and masks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.errors import InputError
from roentgen.randomness import derive_seed
from roentgen.record.radiograph import Radiograph


@dataclass(frozen=True, kw_only=True)
class ConditionKind:
    """A value of the record and the network by which it changes the text states."""

    fields: tuple[str, ...]  # of the record, all that the value depends on
    shape: tuple[int, ...]  # of a value; () is a number
    value: Callable[[Radiograph], Tensor]  # float32 of that shape; 0 is unknown
    # A new one for a model: forward(states [N, L, D], values [N, *shape]) gives states [N, M, D].
    network: Callable[[Components], nn.Module]


KINDS: dict[str, ConditionKind] = {}  # by name; see docs/extending.md


def new_network(name: str, components: Components, seed: int = 0) -> nn.Module:
    """The untrained network of a condition, a function of `seed`, in eval mode.

    Raises InputError for a condition that is not in KINDS.
    """
    if name not in KINDS:
        known = ", ".join(KINDS) or "none"
        raise InputError(f"unknown condition {name!r}; there are: {known}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "condition", name))
        return KINDS[name].network(components).eval()


def condition_fields(components: Components) -> set[str]:
    """The fields of a radiograph's record that a model's conditions depend on."""
    return {field for name in components.condition_networks for field in KINDS[name].fields}


def record_conditions(radiograph: Radiograph, components: Components) -> Conditions:
    """The conditions that a model takes of a radiograph's record, N = 1; no pixel is read."""
    values = {name: KINDS[name].value(radiograph)[None] for name in components.condition_networks}
    return Conditions(added=values)
