"""Finding: one of the 14 names with its state, side and severity."""

from dataclasses import dataclass
from typing import Literal, get_args

from roentgen.errors import require_choice

FindingName = Literal[
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
]
State = Literal["present", "absent", "uncertain"]  # not mentioned: no Finding of that name
Side = Literal["left", "right", "bilateral"]
Severity = Literal["small", "moderate", "large"]

FINDING_NAMES: tuple[FindingName, ...] = get_args(FindingName)
STATES: tuple[State, ...] = get_args(State)
SIDES: tuple[Side, ...] = get_args(Side)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
# Structures that exist only where a finding is present.
FINDING_OF: dict[str, FindingName] = {
    "atelectasis": "Atelectasis",
    "consolidation": "Consolidation",
    "edema": "Edema",
    "fracture": "Fracture",
    "nodule": "Lung Lesion",
    "pleural effusion": "Pleural Effusion",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "support devices": "Support Devices",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One statement on a radiograph: a finding, its state, and side and severity if known.

    `detail` is a free phrase for what the 14 names do not distinguish ("nodule", "endotracheal
    tube", "right upper zone").
    """

    name: FindingName
    state: State = "present"
    side: Side | None = None
    severity: Severity | None = None
    detail: str | None = None

    def __post_init__(self) -> None:
        require_choice("finding", self.name, FINDING_NAMES)
        require_choice("state", self.state, STATES)
        if self.side is not None:
            require_choice("side", self.side, SIDES)
        if self.severity is not None:
            require_choice("severity", self.severity, SEVERITIES)


def states(findings: tuple[Finding, ...]) -> dict[FindingName, State]:
    """The state of each finding mentioned; present outweighs uncertain, uncertain absent."""
    order: tuple[State, ...] = ("absent", "uncertain", "present")
    result: dict[FindingName, State] = {}
    for finding in findings:
        known = result.get(finding.name, "absent")
        result[finding.name] = max(known, finding.state, key=order.index)
    return result
