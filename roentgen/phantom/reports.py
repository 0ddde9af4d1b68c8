"""Reports and lay captions of phantom radiographs, in a radiologist's and a layperson's words."""

from collections.abc import Iterable, Sequence

import numpy as np

from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import Report, View

SEVERITY_WORDS = {"small": "mild", "moderate": "moderate", "large": "severe"}

PRESENT: dict[FindingName, tuple[str, ...]] = {
    "Cardiomegaly": ("{degree} cardiomegaly", "The heart is enlarged, {degree} in degree"),
    "Pleural Effusion": (
        "{size} {side} pleural effusion",
        "There is {size} {side} pleural effusion",
    ),
    "Pneumothorax": ("{size} {side} pneumothorax", "A {size} {side} pneumothorax is seen"),
    "Consolidation": (
        "{size} consolidation in the {side} {detail}",
        "Airspace consolidation in the {side} {detail}, {size}",
    ),
    "Edema": ("{degree} pulmonary edema", "Findings of {degree} pulmonary edema"),
    "Atelectasis": ("{degree} {side} basal atelectasis", "Linear atelectasis at the {side} base"),
    "Lung Lesion": (
        "{size} {side} pulmonary nodule",
        "A {size} nodule projects over the {side} lung",
    ),
    "Support Devices": ("{detail} in place", "A {detail} is present"),
}
UNCERTAIN: dict[FindingName, tuple[str, ...]] = {
    "Pleural Effusion": (
        "Possible trace {side} pleural effusion",
        "Trace {side} effusion not excluded",
    ),
    "Consolidation": ("Questionable {side} {detail} consolidation, early pneumonia not excluded",),
    "Edema": ("Borderline pulmonary edema cannot be excluded", "Possible mild pulmonary edema"),
    "Atelectasis": ("Probable minimal {side} basal atelectasis", "Possible {side} atelectasis"),
    "Lung Lesion": ("Possible tiny {side} nodule", "A {side} nodular density may be present"),
}
ABSENT: dict[FindingName, tuple[str, ...]] = {
    "Cardiomegaly": ("Heart size is normal", "The cardiac silhouette is not enlarged"),
    "Pleural Effusion": ("No pleural effusion", "The costophrenic angles are sharp"),
    "Pneumothorax": ("No pneumothorax", "There is no pneumothorax"),
    "Consolidation": ("No focal consolidation", "The lungs are clear of consolidation"),
    "Edema": ("No pulmonary edema", "Pulmonary vasculature is normal"),
    "Atelectasis": ("No atelectasis",),
    "Lung Lesion": ("No pulmonary nodule", "No suspicious nodule"),
    "Support Devices": ("No lines or tubes",),
}
FEVER_INDICATION = "Cough and fever"
INDICATIONS = ("Dyspnea", "Chest pain", FEVER_INDICATION, "Follow-up", "Preoperative examination")

# The same in lay words, in the order of a prompt's: the tiny base is trained on these alone.
# Sizes, sides and zones are ordinary English, which a base knows.
PLAIN: dict[FindingName, str] = {
    "Cardiomegaly": "{size} big round white shape in the middle",
    "Pleural Effusion": "{size} {side} white water level at the bottom",
    "Pneumothorax": "{size} {side} black empty gap",
    "Consolidation": "{size} {side} {place} white cloud",
    "Edema": "{size} {side} white fog in the center",
    "Atelectasis": "{size} {side} low white stripes",
    "Lung Lesion": "{size} {side} white ball",
    "Support Devices": "bright thin wires",
}
PLAIN_SIDE = {"left": "left", "right": "right", "bilateral": "two-sided"}
PLAIN_VIEW: dict[View, str] = {
    "PA": "picture from the front",
    "AP": "picture from the front, lying",
    "LATERAL": "picture from the side",
}


def write_report(
    rng: np.random.Generator,
    findings: Sequence[Finding],
    views: Sequence[View],
    indications: Sequence[str] = INDICATIONS,
) -> Report:
    """A report; absent findings are mainly in its findings section, not in its impression.

    Its indication is one of `indications`.
    """
    reported = [finding for finding in findings if finding.name != "No Finding"]
    sentences = [(finding, _sentence(rng, finding)) for finding in reported]
    absent = [sentence for finding, sentence in sentences if finding.state == "absent"]
    seen = [sentence for finding, sentence in sentences if finding.state != "absent"]
    technique = "Portable AP view." if "AP" in views else "PA and lateral views."
    mentioned = rng.random(len(absent)) < 0.7
    listed = [*seen, *(s for s, chosen in zip(absent, mentioned, strict=True) if chosen)]
    if all(f.state == "absent" or f.name == "Support Devices" for f in reported):
        seen = [*seen, "No acute cardiopulmonary process"]
    elif rng.random() < 0.4 and absent:
        seen = [*seen, str(rng.choice(absent))]
    return Report(
        findings=" ".join([technique, *(f"{s}." for s in listed)]),
        impression=" ".join(f"{s}." for s in seen),
        indication=f"{rng.choice(indications)}.",
        comparison="None.",
    )


def indications(febrile: bool) -> tuple[str, ...]:
    """The indications of patients whose temperature is known: fever, or anything else."""
    if febrile:
        return (FEVER_INDICATION,)
    return tuple(text for text in INDICATIONS if text != FEVER_INDICATION)


def _sentence(rng: np.random.Generator, finding: Finding) -> str:
    table = {"present": PRESENT, "uncertain": UNCERTAIN, "absent": ABSENT}[finding.state]
    forms = table[finding.name]
    text = forms[rng.integers(len(forms))].format(
        size=finding.severity or "",
        degree=SEVERITY_WORDS.get(finding.severity or "", ""),
        side=finding.side or "",
        detail=(finding.detail or ""),
    )
    words = " ".join(text.split())
    return words[0].upper() + words[1:]


def plain_caption(findings: Iterable[Finding], view: View) -> str:
    """A lay caption, without radiological terms and view token."""
    parts = [PLAIN_VIEW[view]]
    wires = False
    for finding in findings:
        if finding.state == "absent" or finding.name == "No Finding":
            continue
        if finding.name == "Support Devices":
            if wires:
                continue
            wires = True
        text = PLAIN[finding.name].format(
            size=finding.severity or "faint",
            side=PLAIN_SIDE.get(finding.side or "", ""),
            place=finding.detail or "",
        )
        parts.append(" ".join(text.split()))
    return ", ".join(parts)
