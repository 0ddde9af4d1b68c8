"""Clinical context: values of a patient that were known before the study."""

import math
from dataclasses import dataclass

from roentgen.errors import require


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextValue:
    """One value: a temperature of 38.6 C, 40 minutes before the study.

    A yes or no has the value 1 or 0 and no unit ("intubated"). A value that nobody measured but a
    model inferred is `imputed`; its probability is the model's own.
    """

    name: str  # "temperature", as in the settings of the context
    value: float
    unit: str = ""  # "C", "%", "/min"; "" for yes or no
    minutes_before: float | None = None  # the study, above 0; None: before it, the time unknown
    imputed: bool = False
    probability: float | None = None  # of an imputed value, 0 to 1

    def __post_init__(self) -> None:
        require(bool(self.name), "a context value has no name")
        require(
            math.isfinite(self.value),
            f"context value {self.name!r} is {self.value}: it must be finite",
        )
        require(
            self.minutes_before is None or 0 < self.minutes_before < math.inf,
            f"context value {self.name!r} is {self.minutes_before} minutes before the study: it "
            "must be above 0",
        )
        require(
            self.probability is None or (self.imputed and 0 <= self.probability <= 1),
            f"context value {self.name!r} has the probability {self.probability}: it must be 0 to "
            "1, of an imputed value",
        )
