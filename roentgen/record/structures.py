"""Structures of masks: their findings, and the check of an empty mask."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.record.radiograph import FindingName, State

Masks = dict[str, NDArray[np.bool_] | None]  # by structure, bool [H, W]; None: unknown

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


def check_not_empty(
    mask: NDArray[np.bool_], structure: str, found: Mapping[FindingName, State], where: str
) -> None:
    """Raise InputError for a mask without a pixel, unless it is of a finding that is not present.

    `found` are the states of the findings; `where` names the mask in the error.
    """
    finding = FINDING_OF.get(structure)
    if not mask.any() and (finding is None or found.get(finding) == "present"):
        must = f"{finding} is present" if finding else "every patient has it"
        raise InputError(f"{where} is empty, but {must}: omit the mask where it is unknown")
