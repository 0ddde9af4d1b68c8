"""Condition kinds: what a model may be given of a radiograph's record besides prompt and masks.

Configurations check names against these, so torch is not imported here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roentgen.record.radiograph import Radiograph

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ConditionKind:
    """A value of the record and the network by which it changes the text states."""

    fields: tuple[str, ...]  # of the record, all that the value depends on
    shape: tuple[int, ...]  # of a value; () is a number
    # float32 of that shape; 0 is unknown, and nothing else
    value: Callable[[Radiograph], "Tensor"]
    # A new one for a model's `Components`: its forward(states [N, L, D], values [N, *shape]) gives
    # states [N, M, D].
    network: Callable[[Any], "nn.Module"]


KINDS: dict[str, ConditionKind] = {}  # by name; see docs/extending.md
