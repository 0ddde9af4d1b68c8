"""PadChest's labels as findings, with the side where a sentence of the report gives one."""

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.value_mapping import unmapped_finding
from roentgen.errors import InputError
from roentgen.record.radiograph import Finding, FindingName, Side

NORMAL = "normal"
_SIDES: dict[str, Side] = {
    "loc left": "left",
    "loc right": "right",
    "loc bilateral": "bilateral",
    "loc basal bilateral": "bilateral",
}


def _meanings() -> dict[str, Finding | None]:
    plain: dict[FindingName, tuple[str, ...]] = {
        "Atelectasis": ("atelectasis",),
        "Cardiomegaly": ("cardiomegaly",),
        "Consolidation": ("consolidation",),
        "Edema": ("pulmonary edema",),
        "Enlarged Cardiomediastinum": ("mediastinal enlargement",),
        "Fracture": ("fracture",),
        "Lung Opacity": ("increased density",),
        "Pleural Effusion": ("pleural effusion",),
        "Pneumonia": ("pneumonia",),
        "Pneumothorax": ("pneumothorax",),
    }
    detailed: dict[FindingName, dict[str, str]] = {
        "Atelectasis": {
            f"{kind} atelectasis": kind
            for kind in ("laminar", "lobar", "segmental", "round", "total")
        }
        | {"atelectasis basal": "basal"},
        "Enlarged Cardiomediastinum": {
            "superior mediastinal enlargement": "superior mediastinum",
        },
        "Fracture": {
            "rib fracture": "rib fracture",
            "clavicle fracture": "clavicle fracture",
            "vertebral fracture": "vertebral fracture",
            "humeral fracture": "humeral fracture",
            "callus rib fracture": "healed rib fracture",
        },
        "Lung Lesion": {
            "nodule": "nodule",
            "multiple nodules": "multiple nodules",
            "pulmonary mass": "mass",
            "lung metastasis": "metastasis",
        },
        "Lung Opacity": {
            "infiltrates": "infiltrate",
            "alveolar pattern": "alveolar pattern",
            "interstitial pattern": "interstitial pattern",
            "reticular interstitial pattern": "reticular interstitial pattern",
            "reticulonodular interstitial pattern": "reticulonodular interstitial pattern",
            "ground glass pattern": "ground glass pattern",
            "miliary opacities": "miliary opacities",
        },
        "Pleural Effusion": {
            "loculated pleural effusion": "loculated",
            "loculated fissural effusion": "loculated in a fissure",
        },
        "Pleural Other": {
            "pleural thickening": "pleural thickening",
            "apical pleural thickening": "apical pleural thickening",
            "calcified pleural thickening": "calcified pleural thickening",
            "fissure thickening": "fissure thickening",
            "minor fissure thickening": "minor fissure thickening",
            "major fissure thickening": "major fissure thickening",
            "pleural plaques": "pleural plaques",
            "calcified pleural plaques": "calcified pleural plaques",
        },
        "Pneumonia": {"atypical pneumonia": "atypical"},
        "Pneumothorax": {"hydropneumothorax": "hydropneumothorax"},
        "Support Devices": {
            "NSG tube": "nasogastric tube",
            "endotracheal tube": "endotracheal tube",
            "tracheostomy tube": "tracheostomy tube",
            "chest drain tube": "chest tube",
            "ventriculoperitoneal drain tube": "ventriculoperitoneal drain",
            "gastrostomy tube": "gastrostomy tube",
            "central venous catheter": "central line",
            "central venous catheter via jugular vein": "central line",
            "central venous catheter via subclavian vein": "central line",
            "central venous catheter via umbilical vein": "umbilical venous catheter",
            "reservoir central venous catheter": "port",
            "catheter": "catheter",
            "pacemaker": "pacemaker",
            "single chamber device": "single chamber pacemaker",
            "dual chamber device": "dual chamber pacemaker",
            "dai": "implanted defibrillator",
            "electrical device": "electrical device",
        },
    }
    meanings: dict[str, Finding | None] = {NORMAL: Finding(name="No Finding")}
    for name, labels in plain.items():
        meanings |= {label: Finding(name=name) for label in labels}
    for name, details in detailed.items():
        meanings |= {label: Finding(name=name, detail=d) for label, d in details.items()}
    # About the report or the image, not the patient.
    return meanings | dict.fromkeys(("unchanged", "exclude", "suboptimal study"))


MEANINGS = _meanings()


@lru_cache(maxsize=1 << 15)
def parse_labels(cell: str) -> tuple[str, ...]:
    """The labels of a Python list's text, each once; none for a blank cell.

    Raises InputError for anything but a list of texts.
    """
    if cell.strip() in ("", "nan"):
        return ()
    parsed = _literal(cell, "Labels")
    labels = [label.strip() for label in parsed if isinstance(label, str)]
    if len(labels) != len(parsed):
        raise InputError("Labels is not a list of texts")
    return tuple(dict.fromkeys(label for label in labels if label))


def parse_sides(cell: str) -> dict[str, Side]:
    """The side of each label of LabelsLocalizationsBySentence that has just one.

    A sentence gives a label's side if it has no other label; sentences that differ give none.
    """
    if cell.strip() in ("", "nan"):
        return {}
    by_label: dict[str, set[Side]] = {}
    for sentence in _literal(cell, "LabelsLocalizationsBySentence"):
        if not isinstance(sentence, list) or not all(isinstance(word, str) for word in sentence):
            raise InputError("LabelsLocalizationsBySentence is not a list of lists of texts")
        words = [word.strip() for word in sentence]
        labels = {word for word in words if word and not word.startswith("loc ")}
        if len(labels) == 1:
            sides = {_SIDES[word] for word in words if word in _SIDES}
            by_label.setdefault(labels.pop(), set()).update(sides)
    return {label: next(iter(sides)) for label, sides in by_label.items() if len(sides) == 1}


def to_findings(
    labels: Sequence[str], sides: Mapping[str, Side], meanings: Mapping[str, Finding | None]
) -> tuple[tuple[Finding, ...], list[Unmapped]]:
    """The findings, and each label that becomes none.

    "normal" beside other labels is about one structure ("heart of normal size"), so it is "No
    Finding" only on its own.
    """
    others = [label for label in labels if label not in (NORMAL, "unchanged")]
    findings: list[Finding] = []
    unmapped = []
    for label in labels:
        meaning = meanings.get(label)
        if label == NORMAL and others:
            unmapped.append(Unmapped("finding", label, "beside other labels"))
        elif meaning is None:
            unmapped.append(unmapped_finding(label, meanings))
        else:
            side = sides.get(label)
            findings.append(
                meaning
                if side is None
                else Finding(name=meaning.name, side=side, detail=meaning.detail)
            )
    return tuple(dict.fromkeys(findings)), unmapped


def _literal(cell: str, column: str) -> list[object]:
    try:
        parsed = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        parsed = None
    if not isinstance(parsed, list):
        raise InputError(f"{column} is not a list: {cell[:40]!r}")
    return parsed
