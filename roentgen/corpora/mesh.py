"""Open-i's MeSH annotations as findings."""

from collections.abc import Iterator, Sequence

from roentgen.data.findings import Finding, FindingName, Severity, Side, State

# First parts of "Opacity/lung/base/left". Others, and None, have no place among the 14.
MEANINGS: dict[str, tuple[FindingName, str | None] | None] = {
    "Airspace Disease": ("Lung Opacity", None),
    "Atelectasis": ("Atelectasis", None),
    "Cardiomegaly": ("Cardiomegaly", None),
    "Catheters, Indwelling": ("Support Devices", None),
    "Consolidation": ("Consolidation", None),
    "Fractures, Bone": ("Fracture", None),
    "Hydropneumothorax": ("Pneumothorax", None),
    "Implanted Medical Device": ("Support Devices", None),
    "Infiltrate": ("Lung Opacity", "infiltrate"),
    "Mass": ("Lung Lesion", "mass"),
    "Medical Device": ("Support Devices", None),
    "Nodule": ("Lung Lesion", "nodule"),
    "Opacity": ("Lung Opacity", None),
    "Pleural Effusion": ("Pleural Effusion", None),
    "Pneumonia": ("Pneumonia", None),
    "Pneumothorax": ("Pneumothorax", None),
    "Pulmonary Atelectasis": ("Atelectasis", None),
    "Pulmonary Edema": ("Edema", None),
    "Tube, Inserted": ("Support Devices", None),
    "normal": ("No Finding", None),
    "No Indexing": None,
    "Technical Quality of Image Unsatisfactory": None,
}
# Two parts that only together name a finding.
_TOGETHER: dict[tuple[str, str], FindingName] = {
    ("Cardiac Shadow", "enlarged"): "Cardiomegaly",
    ("Mediastinum", "enlarged"): "Enlarged Cardiomediastinum",
    ("Thickening", "pleura"): "Pleural Other",
    ("Cicatrix", "pleura"): "Pleural Other",
}
_DETAILS = {"Thickening": "pleural thickening", "Cicatrix": "pleural scarring"}
_NOT_IN_THE_LUNG = {"abdomen", "breast", "neck", "stomach"}
_SIDES: dict[str, Side] = {"left": "left", "right": "right", "bilateral": "bilateral"}
_SEVERITIES: dict[str, Severity] = {
    **{"mild": "small", "small": "small", "moderate": "moderate"},
    **{"severe": "large", "large": "large"},
}
_STATES: dict[str, State] = {"borderline": "uncertain"}


def findings_of(terms: Sequence[str]) -> tuple[Finding, ...]:
    """The findings that terms such as "Pleural Effusion/left/small" name, without repeats."""
    findings = [finding for term in terms if (finding := _finding(term)) is not None]
    return tuple(dict.fromkeys(findings))


def unmapped(terms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(first part, why) of each term that becomes no finding."""
    for term in terms:
        if _finding(term) is None:
            head = term.split("/")[0].strip()
            named = head in MEANINGS and MEANINGS[head] is None
            yield head, "left out by name" if named else "no meaning is given"


def _finding(term: str) -> Finding | None:
    head, *parts = (part.strip() for part in term.split("/"))
    name, detail = MEANINGS.get(head) or (None, None)
    if name == "Lung Opacity" and _NOT_IN_THE_LUNG & set(parts):
        return None
    if name is None:
        name = next(
            (n for (first, p), n in _TOGETHER.items() if first == head and p in parts), None
        )
        detail = _DETAILS.get(head)
    if name is None:
        return None
    side = next((_SIDES[p] for p in parts if p in _SIDES), None)
    severity = next((_SEVERITIES[p] for p in parts if p in _SEVERITIES), None)
    state: State = next((_STATES[p] for p in parts if p in _STATES), "present")
    return Finding(name=name, state=state, side=side, severity=severity, detail=detail)
