"""PadChest's labels and localizations as statements, and as findings with their side.

Every label is a node of the hierarchy of findings, except four that are about the report or the
image; every localization is a side, a node of the hierarchy of places, or both.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Literal

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.value_mapping import unmapped_finding
from roentgen.errors import InputError
from roentgen.record.finding import Finding, Side
from roentgen.record.statement import Extent, Statement
from roentgen.statements.hierarchy import ancestors, findings, labels_of, require_place
from roentgen.statements.merged_extents import located_extents

NORMAL, UNCHANGED = "normal", "unchanged"
# About the report or the image, not the patient.
NO_FINDINGS = (NORMAL, UNCHANGED, "exclude", "suboptimal study")
_LOCALIZATION = "loc "
_SIDED = re.compile(r"(?!loc )(.+?) (left side|right side|both sides?|bilateral)")
_SIDES = {"left side": "left", "right side": "right"} | dict.fromkeys(
    ("both side", "both sides", "bilateral"), "bilateral"
)
_BOTH: tuple[Literal["left"], Literal["right"]] = ("left", "right")
# Nodes of labels, where their names differ.
_NODES: dict[str, str] = {
    "increased density": "lung opacity",
    "infiltrates": "infiltrate",
    "alveolar pattern": "alveolar opacity",
    "interstitial pattern": "interstitial opacity",
    "reticular interstitial pattern": "reticular opacity",
    "reticulonodular interstitial pattern": "reticulonodular opacity",
    "miliary opacities": "miliary opacity",
    "ground glass pattern": "ground glass opacity",
    "bronchovascular markings": "increased bronchovascular markings",
    "asbestosis signs": "asbestosis",
    "pulmonary edema": "edema",
    "laminar atelectasis": "linear atelectasis",
    "atelectasis basal": "basal atelectasis",
    "pulmonary mass": "mass",
    "lymphangitis carcinomatosa": "lymphangitic carcinomatosis",
    "cavitation": "cavity",
    "abscess": "lung abscess",
    "COPD signs": "chronic obstructive pulmonary disease",
    "bullas": "bulla",
    "hyperinflated lung": "hyperinflation",
    "hypoexpansion": "low lung volumes",
    "hypoexpansion basal": "basal hypoexpansion",
    "lung vascular paucity": "vascular paucity",
    "post radiotherapy changes": "post-radiotherapy changes",
    "loculated fissural effusion": "fissural effusion",
    "pleural plaques": "pleural plaque",
    "calcified pleural plaques": "calcified pleural plaque",
    "mediastinal enlargement": "enlarged cardiomediastinum",
    "heart insufficiency": "heart failure",
    "tracheal shift": "tracheal deviation",
    "mediastinic lipomatosis": "mediastinal lipomatosis",
    "esophagic dilatation": "esophageal dilatation",
    "adenopathy": "lymphadenopathy",
    "calcified adenopathy": "calcified lymphadenopathy",
    "calcified mediastinal adenopathy": "calcified mediastinal lymphadenopathy",
    "pulmonary artery hypertension": "pulmonary arterial hypertension",
    "heart valve calcified": "heart valve calcification",
    "ascendent aortic elongation": "ascending aortic elongation",
    "descendent aortic elongation": "descending aortic elongation",
    "supra aortic elongation": "supra-aortic elongation",
    "aortic button enlargement": "aortic knob enlargement",
    "aortic atheromatosis": "aortic atherosclerosis",
    "right sided aortic arch": "right-sided aortic arch",
    "vertebral anterior compression": "anterior vertebral compression",
    "callus rib fracture": "healed rib fracture",
    "non axial articular degenerative changes": "articular degenerative changes",
    "axial hyperostosis": "vertebral hyperostosis",
    "thoracic cage deformation": "thoracic cage deformity",
    "pectum excavatum": "pectus excavatum",
    "pectum carinatum": "pectus carinatum",
    "hemidiaphragm elevation": "elevated hemidiaphragm",
    "pneumoperitoneo": "pneumoperitoneum",
    "Chilaiditi sign": "chilaiditi sign",
    "NSG tube": "nasogastric tube",
    "chest drain tube": "chest tube",
    "ventriculoperitoneal drain tube": "ventriculoperitoneal shunt",
    "central venous catheter": "central line",
    "central venous catheter via jugular vein": "jugular central line",
    "central venous catheter via subclavian vein": "subclavian central line",
    "central venous catheter via umbilical vein": "umbilical venous catheter",
    "reservoir central venous catheter": "port",
    "single chamber device": "single chamber pacemaker",
    "dual chamber device": "dual chamber pacemaker",
    "dai": "implantable cardioverter defibrillator",
    "artificial heart valve": "prosthetic heart valve",
    "artificial aortic heart valve": "prosthetic aortic valve",
    "artificial mitral heart valve": "prosthetic mitral valve",
    "osteosynthesis material": "orthopedic hardware",
    "mammary prosthesis": "breast implant",
    "endoprosthesis": "stent",
    "aortic endoprosthesis": "aortic stent graft",
    "double J stent": "ureteral stent",
    "calcified densities": "calcification",
    "mass": "mass lesion",
    "air fluid level": "air-fluid level",
    "abnormal foreign body": "foreign body",
    "surgery": "postoperative change",
    "surgery heart": "heart surgery",
    "surgery lung": "lung surgery",
    "surgery breast": "breast surgery",
    "surgery neck": "neck surgery",
    "surgery humeral": "humeral surgery",
    "end on vessel": "end-on vessel",
}
# Nodes of localizations without their side, where their names differ.
_PLACES: dict[str, str] = {
    "lung field": "lung",
    "upper lung field": "upper zone",
    "middle lung field": "mid zone",
    "lower lung field": "lower zone",
    "lobar": "lobe",
    "tracheal": "trachea",
    "peribronchi": "peribronchial",
    "pleural": "pleura",
    "paramediastinum": "paramediastinal",
    "esophageal": "esophagus",
    "cardiac": "heart",
    "aortic": "aorta",
    "aortic button": "aortic knob",
    "supra aortic": "supra-aortic",
    "superior cave vein": "superior vena cava",
    "brachiocephalic veins": "brachiocephalic vein",
    "costoesternal": "costosternal",
    "column": "spine",
    "cervical vertebrae": "cervical spine",
    "dorsal vertebrae": "thoracic spine",
    "lumbar vertebrae": "lumbar spine",
    "intersomatic space": "intervertebral space",
    "supraspisnous": "supraspinatus",
    "supradiaphragm": "supradiaphragmatic",
    "infradiaphragm": "subdiaphragmatic",
    "gastric chamber": "stomach",
    "epigastric": "epigastrium",
    "axilar": "axilla",
    "cervical": "neck",
}
# Details of findings, where they are not the names of the nodes.
_DETAILS: dict[str, str] = {
    **{f"{kind} atelectasis": kind for kind in ("laminar", "lobar", "segmental", "round", "total")},
    "atelectasis basal": "basal",
    "superior mediastinal enlargement": "superior mediastinum",
    "lung metastasis": "metastasis",
    "alveolar pattern": "alveolar pattern",
    "interstitial pattern": "interstitial pattern",
    "reticular interstitial pattern": "reticular interstitial pattern",
    "reticulonodular interstitial pattern": "reticulonodular interstitial pattern",
    "ground glass pattern": "ground glass pattern",
    "miliary opacities": "miliary opacities",
    "loculated pleural effusion": "loculated",
    "loculated fissural effusion": "loculated in a fissure",
    "pleural plaques": "pleural plaques",
    "calcified pleural plaques": "calcified pleural plaques",
    "atypical pneumonia": "atypical",
    "ventriculoperitoneal drain tube": "ventriculoperitoneal drain",
    "central venous catheter via jugular vein": "central line",
    "central venous catheter via subclavian vein": "central line",
    "dai": "implanted defibrillator",
}


def node_of(label: str) -> str:
    """The finding of the hierarchy that a label names. Raises InputError if there is none."""
    node = _NODES.get(label, label)
    if node not in findings():
        raise InputError(f"label {label!r} of PadChest is no finding")
    return node


@cache
def default_meanings() -> dict[str, Finding | None]:
    """The finding of each label that has one of the 14 names; None for those about the image.

    Of several names it is the last: a hydropneumothorax is a pneumothorax. The detail says what the
    name does not.
    """
    meanings: dict[str, Finding | None] = {NORMAL: Finding(name="No Finding")}
    labels = {node: label for label, node in _NODES.items()}
    for node in findings().values():
        label = labels.get(node.name, node.name)
        for name in labels_of(node.name)[-1:]:
            detail = _DETAILS.get(label, None if node.label else node.name)
            meanings[label] = Finding(name=name, detail=detail)
    return dict.fromkeys(NO_FINDINGS) | meanings


def statements_of(words: Sequence[str], source: str = "physician") -> tuple[Statement, ...]:
    """The findings that the labels of a sentence, or of a row, state.

    `words` are labels and localizations. Localizations, and "unchanged", are of the finding if
    there is one, or one with the kinds that it is of ("pacemaker", "single chamber device"); of
    several findings nobody knows which they belong to. Raises InputError for an unknown word.
    """
    labels = [word for word in words if not word.startswith(_LOCALIZATION)]
    nodes = list(dict.fromkeys(node_of(label) for label in labels if label not in NO_FINDINGS))
    extents = extents_of([word for word in words if word.startswith(_LOCALIZATION)])
    leaves = [node for node in nodes if not any(node in ancestors(other) for other in nodes)]
    one = len(leaves) == 1
    return tuple(
        Statement(
            finding=node,
            extents=extents if one else (Extent(),),
            change="unchanged" if one and UNCHANGED in labels else None,
            source=source,
        )
        for node in nodes
    )


def extents_of(localizations: Sequence[str]) -> tuple[Extent, ...]:
    """Sides with their places: "loc left lower lobe" is of the left, "loc basal" of every side.

    Raises InputError for an unknown localization.
    """
    return located_extents((_sides_of(word), _place_of(word)) for word in localizations)


def _sides_of(localization: str) -> tuple[Literal["left", "right"], ...]:
    words = localization.split()
    return _BOTH if "bilateral" in words else tuple(side for side in _BOTH if side in words)


def _place_of(localization: str) -> tuple[str, ...]:
    words = localization.removeprefix(_LOCALIZATION).split()
    name = " ".join(word for word in words if word not in (*_BOTH, "bilateral"))
    try:
        return (require_place(_PLACES.get(name, name)).name,) if name else ()
    except InputError:
        raise InputError(f"localization {localization!r} of PadChest is no place") from None


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


def parse_sentences(cell: str) -> tuple[tuple[str, ...], ...]:
    """The labels and localizations of each sentence of LabelsLocalizationsBySentence.

    A label with its side ("pleural effusion right side") becomes the label and its localization; of
    several labels in a sentence, these two are a sentence of their own besides. None for a blank
    cell. Raises InputError for anything but a list of lists of texts.
    """
    if cell.strip() in ("", "nan"):
        return ()
    sentences = []
    for sentence in _literal(cell, "LabelsLocalizationsBySentence"):
        if not isinstance(sentence, list) or not all(isinstance(word, str) for word in sentence):
            raise InputError("LabelsLocalizationsBySentence is not a list of lists of texts")
        sentences += _with_sides([word.strip() for word in sentence if word.strip()])
    return tuple(sentences)


def _with_sides(words: Sequence[str]) -> list[tuple[str, ...]]:
    split = [
        match.groups() if (match := _SIDED.fullmatch(word)) else (word, None) for word in words
    ]
    sided = [(label, f"{_LOCALIZATION}{_SIDES[side]}") for label, side in split if side]
    labels = dict.fromkeys(label for label, _ in split)
    if sum(not label.startswith(_LOCALIZATION) for label in labels) == 1:
        return [(*labels, *(localization for _, localization in sided))]
    return [*sided, tuple(labels)]


def parse_sides(cell: str) -> dict[str, Side]:
    """The side of each label of LabelsLocalizationsBySentence that has just one.

    A sentence gives a label's side if it has no other label; sentences that differ give none.
    """
    by_label: dict[str, set[Side]] = {}
    for words in parse_sentences(cell):
        labels = {word for word in words if not word.startswith(_LOCALIZATION)}
        sides = {side for word in set(words) - labels for side in _sides_of(word)}
        if len(labels) == 1 and sides:
            side: Side = "bilateral" if len(sides) > 1 else sides.pop()
            by_label.setdefault(labels.pop(), set()).add(side)
    return {label: next(iter(sides)) for label, sides in by_label.items() if len(sides) == 1}


def to_findings(
    labels: Sequence[str], sides: Mapping[str, Side], meanings: Mapping[str, Finding | None]
) -> tuple[tuple[Finding, ...], list[Unmapped]]:
    """The findings, and each label that becomes none.

    "normal" beside other labels is about one structure ("heart of normal size"), so it is "No
    Finding" only on its own.
    """
    others = [label for label in labels if label not in (NORMAL, UNCHANGED)]
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
