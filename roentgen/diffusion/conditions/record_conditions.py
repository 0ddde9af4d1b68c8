"""Conditions of radiographs' records: their networks, and the values of each kind."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.condition_kinds import KINDS
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.errors import InputError
from roentgen.randomness import derive_seed
from roentgen.record.radiograph import Radiograph


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


def check_condition_fields(fields: Iterable[str], components: Components) -> None:
    """Raise InputError for fields of the record on which no condition of a model depends."""
    known = sorted(condition_fields(components))
    if unknown := sorted(set(fields) - set(known)):
        depends = f"depends on: {', '.join(known)}" if known else "is conditioned on none"
        raise InputError(f"unknown condition of the record {unknown[0]!r}; the model {depends}")


def record_conditions(radiograph: Radiograph, components: Components) -> Conditions:
    """The conditions that a model takes of a radiograph's record, N = 1; no pixel is read.

    Raises InputError for a record of which a value cannot be made.
    """
    return Conditions(
        added={name: _value(name, radiograph)[None] for name in components.condition_networks}
    )


def _value(name: str, radiograph: Radiograph) -> Tensor:
    kind = KINDS[name]
    try:
        value = kind.value(radiograph)
        if not value.isfinite().all():
            raise ValueError("it is not finite")
    except (TypeError, ValueError) as error:
        of = ", ".join(f"{field}={getattr(radiograph, field)!r}" for field in kind.fields)
        raise InputError(
            f"radiograph {radiograph.id!r}: no condition {name!r} of {of}: {error}"
        ) from None
    return value
