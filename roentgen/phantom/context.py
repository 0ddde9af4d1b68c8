"""Clinical context of phantom patients: values that their findings cause, and one that none does.

Each cause that is present makes a value abnormal with its own probability, and some patients have
an abnormal value without any (a noisy or):

    P(abnormal | findings) = 1 - (1 - background) * product over present causes (1 - probability)

An uncertain finding causes nothing. Whether it is abnormal is all that a value tells of the
findings: within its normal and its abnormal range it is uniform. So the AUROC of a finding from the
value, and from the word for an abnormal one ("febrile"), is exactly

    1/2 + (P(abnormal | present) - P(abnormal | absent)) / 2

With the findings of `lesions`, which go together a little because some patients have none, it is

                        temperature   oxygen_saturation   glucose
    Consolidation             0.928               0.530     0.500
    Pneumothorax              0.524               0.883     0.500
    Edema                     0.523               0.674     0.500
    Pleural Effusion          0.527               0.570     0.500
    each other one    0.522 - 0.526       0.527 - 0.531     0.500

Images that are drawn from the word alone, and have the finding as often as patients with that word,
agree less often with the patient whose word it is. The AUROC of that patient's finding from the
image's is

    1/2 + (P(abnormal | present) - P(abnormal | absent))
        * (P(present | abnormal) - P(present | normal)) / 2,

0.843 for consolidation from temperature, and 0.737 for pneumothorax from oxygen saturation.
"""

from dataclasses import dataclass

import numpy as np

from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding, FindingName, Severity


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A finding that makes a value abnormal with a probability."""

    finding: FindingName
    probability: float
    severity: Severity | None = None  # the only one that does; None: each

    def is_among(self, findings: tuple[Finding, ...]) -> bool:
        """Whether it is present."""
        return any(
            finding.name == self.finding
            and finding.state == "present"
            and self.severity in (None, finding.severity)
            for finding in findings
        )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A value with its causes; ranges in its unit."""

    name: str
    unit: str
    decimals: int
    normal: tuple[float, float]
    abnormal: tuple[float, float]
    background: float  # probability of an abnormal value without a cause
    causes: tuple[Cause, ...] = ()

    def chance(self, findings: tuple[Finding, ...]) -> float:
        """The probability of an abnormal value."""
        normal = 1 - self.background
        for cause in self.causes:
            normal *= 1 - cause.probability * cause.is_among(findings)
        return 1 - normal

    def draw(self, rng: np.random.Generator, findings: tuple[Finding, ...]) -> ContextValue:
        """A value of a patient with these findings, some minutes before the study."""
        is_abnormal = rng.random() < self.chance(findings)
        value = rng.uniform(*(self.abnormal if is_abnormal else self.normal))
        return ContextValue(
            name=self.name,
            value=round(value, self.decimals),
            unit=self.unit,
            minutes_before=float(rng.integers(5, 360)),
        )


TEMPERATURE = Measurement(
    name="temperature",
    unit="C",
    decimals=1,
    normal=(36.2, 37.4),
    abnormal=(38.2, 40.0),
    background=0.05,
    causes=(Cause(finding="Consolidation", probability=0.9),),
)
SATURATION = Measurement(
    name="oxygen_saturation",
    unit="%",
    decimals=0,
    normal=(94, 100),
    abnormal=(80, 90),
    background=0.03,
    causes=(
        Cause(finding="Pneumothorax", probability=0.85),
        Cause(finding="Edema", probability=0.4),
        Cause(finding="Pleural Effusion", severity="large", probability=0.3),
    ),
)
GLUCOSE = Measurement(  # the negative control
    name="glucose",
    unit="mg/dL",
    decimals=0,
    normal=(75, 140),
    abnormal=(210, 350),
    background=0.3,
)
FEVER = 38.0  # C, the least


def draw_context(
    rng: np.random.Generator, findings: tuple[Finding, ...]
) -> tuple[ContextValue, ...]:
    """Temperature, oxygen saturation and glucose of a patient with these findings."""
    return tuple(
        measurement.draw(rng, findings) for measurement in (TEMPERATURE, SATURATION, GLUCOSE)
    )


def is_febrile(context: tuple[ContextValue, ...]) -> bool:
    """Whether a patient's temperature is that of a fever."""
    return any(value.name == TEMPERATURE.name and value.value >= FEVER for value in context)
