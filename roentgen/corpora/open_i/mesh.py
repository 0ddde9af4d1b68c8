"""Open-i's MeSH annotations as findings.

People gave each Open-i report terms such as "Opacity/lung/base/left/mild": a heading, then
qualifiers. A term means the finding in whose mention list the CheXpert labeler files the
same words. Where a term can be worded in ways that lists file differently, or not at all, the
pair of report and finding is *open*: it is no finding of an image, and counts neither for nor
against a labeler. Of the qualifiers, those of side, severity and place of the lung are read.

    Atelectasis                 Pulmonary Atelectasis; open: Volume Loss
    Cardiomegaly                Cardiomegaly, Cardiac Shadow or Heart/enlarged; open: borderline
    Consolidation               Consolidation
    Edema                       Pulmonary Edema, Pulmonary Congestion, Heart Failure
    Enlarged Cardiomediastinum  Mediastinum/enlarged or prominent; open: with lymph nodes or
                                paratracheal, and Cardiac Shadow
    Fracture                    Fractures, Bone; open: Deformity of a bone
    Lung Lesion                 Nodule, Mass; Opacity or Density/round in the lung; open: these
                                elsewhere, granulomas, Calcinosis in the lung, Cysts, Cavitation
    Lung Opacity                Opacity, Density or Infiltrate in the lung, Airspace Disease,
                                Markings/interstitial, Cicatrix in the lung, Lung Diseases,
                                Interstitial; open: Density/round, these outside the lung, other
                                Markings, Lung/interstitial, Pulmonary Fibrosis, granulomas,
                                Thickening of lung or bronchi, Tuberculosis, Bronchiectasis
    Pleural Effusion            Pleural Effusion, Hydro-, Hemo- and Hemopneumothorax; open:
                                Costophrenic Angle (blunted)
    Pleural Other               Thickening/pleura, Cicatrix/pleura; open: other terms at the pleura
    Pneumonia                   Pneumonia; open: Tuberculosis
    Pneumothorax                Pneumothorax, Hydro- and Hemopneumothorax
    Support Devices             Catheters, Indwelling; Implanted Medical Device; Medical Device;
                                Tube, Inserted; open: Stents, Sutures, Surgical Instruments,
                                Spinal Fusion, Foreign Bodies

What the terms cannot express: absence and doubt. The annotators indexed findings that the report
calls possible as well as those it asserts, healed as well as fresh, and did not always give a
term to findings named in passing.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from roentgen.record.finding import FINDING_NAMES, Finding, FindingName, Severity, Side, State
from roentgen.record.statement import Extent, Statement
from roentgen.statements.hierarchy import node_of_label

COVERED: tuple[FindingName, ...] = tuple(name for name in FINDING_NAMES if name != "No Finding")

# A report with one of these was not annotated, or not for its statements on the chest.
NOT_INDEXED = ("No Indexing",)

_PLAIN: dict[str, tuple[FindingName, ...]] = {
    "Airspace Disease": ("Lung Opacity",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Catheters, Indwelling": ("Support Devices",),
    "Consolidation": ("Consolidation",),
    "Fractures, Bone": ("Fracture",),
    "Heart Failure": ("Edema",),
    "Hemopneumothorax": ("Pleural Effusion", "Pneumothorax"),
    "Hemothorax": ("Pleural Effusion",),
    "Hydropneumothorax": ("Pleural Effusion", "Pneumothorax"),
    "Implanted Medical Device": ("Support Devices",),
    "Infiltrate": ("Lung Opacity",),
    "Lung Diseases, Interstitial": ("Lung Opacity",),
    "Medical Device": ("Support Devices",),
    "Pleural Effusion": ("Pleural Effusion",),
    "Pneumonia": ("Pneumonia",),
    "Pneumothorax": ("Pneumothorax",),
    "Pulmonary Atelectasis": ("Atelectasis",),
    "Pulmonary Congestion": ("Edema",),
    "Pulmonary Edema": ("Edema",),
    "Tube, Inserted": ("Support Devices",),
}
_OPEN: dict[str, tuple[FindingName, ...]] = {
    "Bronchiectasis": ("Lung Opacity",),
    "Calcified Granuloma": ("Lung Lesion", "Lung Opacity"),
    "Cavitation": ("Lung Lesion",),
    "Costophrenic Angle": ("Pleural Effusion",),
    "Cysts": ("Lung Lesion",),
    "Deformity": ("Fracture",),
    "Foreign Bodies": ("Support Devices",),
    "Granuloma": ("Lung Lesion", "Lung Opacity"),
    "Granulomatous Disease": ("Lung Lesion", "Lung Opacity"),
    "Pulmonary Fibrosis": ("Lung Opacity", "Pleural Other"),
    "Spinal Fusion": ("Support Devices",),
    "Stents": ("Support Devices",),
    "Surgical Instruments": ("Support Devices",),
    "Sutures": ("Support Devices",),
    "Tuberculosis": ("Pneumonia", "Lung Opacity"),
    "Volume Loss": ("Atelectasis",),
}
_OF_THE_LUNG = frozenset(
    {
        *("lung", "lingula", "upper lobe", "middle lobe", "lower lobe", "base", "apex", "hilum"),
        *("pulmonary alveoli", "retrocardiac", "multilobar"),
    }
)


_DETAILS: dict[str, str] = {
    **{"Infiltrate": "infiltrate", "Mass": "mass", "Nodule": "nodule"},
    **{"Thickening": "pleural thickening", "Cicatrix": "pleural scarring"},
}
_DETAILED = {"Lung Lesion", "Lung Opacity", "Pleural Other"}
_SIDES: dict[str, Side] = {"left": "left", "right": "right", "bilateral": "bilateral"}
_SEVERITIES: dict[str, Severity] = {
    **{"mild": "small", "small": "small", "moderate": "moderate"},
    **{"severe": "large", "large": "large"},
}
_PLACES = {
    **{place: place for place in ("upper lobe", "middle lobe", "lower lobe", "lingula")},
    **{"apex": "apical", "base": "basal", "hilum": "perihilar", "retrocardiac": "retrocardiac"},
}


def findings_of(terms: Sequence[str]) -> tuple[Finding, ...]:
    """The findings that terms such as "Pleural Effusion/left/small" name, without repeats."""
    return tuple(dict.fromkeys(finding for term in terms for finding in _findings(term)))


def unmapped(terms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(heading, why) of each term that becomes no finding."""
    for term in terms:
        if not _findings(term):
            heading = term.split("/")[0].strip()
            yield heading, "excluded by name" if heading in NOT_INDEXED else "no meaning is given"


def _findings(term: str) -> list[Finding]:
    heading, *qualifiers = (part.strip() for part in term.split("/"))
    at = frozenset(qualifiers)
    if heading == "normal":
        return [Finding(name="No Finding")]
    names, leaves_open = _of_term(heading, at)
    state: State = "present"
    if "borderline" in at and "Cardiomegaly" in leaves_open:
        names, state = ("Cardiomegaly",), "uncertain"
    side = next((_SIDES[q] for q in qualifiers if q in _SIDES), None)
    severity = next((_SEVERITIES[q] for q in qualifiers if q in _SEVERITIES), None)
    detail = _DETAILS.get(heading)
    return [
        Finding(
            name=name,
            state=state,
            side=side,
            severity=severity,
            detail=detail if name in _DETAILED else None,
        )
        for name in names
    ]


def statements_of_terms(terms: Sequence[str]) -> tuple[Statement, ...]:
    """One statement for each finding that a term names, with all its sides, severity and places.

    A bilateral finding has an extent for each side. The lingula is in the left lung.
    """
    statements: dict[Statement, None] = {}
    for term in terms:
        heading, *qualifiers = (part.strip() for part in term.split("/"))
        names, _ = _of_term(heading, frozenset(qualifiers))
        extents = _extents(qualifiers)
        findings = (node_of_label(name).name for name in names)
        statements |= dict.fromkeys(Statement(finding=node, extents=extents) for node in findings)
    return tuple(statements)


def _extents(qualifiers: Sequence[str]) -> tuple[Extent, ...]:
    severity = next((_SEVERITIES[q] for q in qualifiers if q in _SEVERITIES), None)
    places = tuple(dict.fromkeys(_PLACES[q] for q in qualifiers if q in _PLACES))
    at = frozenset(qualifiers)
    sides: list[Literal["left", "right"] | None] = []
    if at & {"left", "bilateral", "lingula"}:
        sides.append("left")
    if at & {"right", "bilateral"}:
        sides.append("right")
    return tuple(Extent(side, severity, places) for side in sides or [None])


def gold(terms: Sequence[str]) -> tuple[frozenset[FindingName], frozenset[FindingName]]:
    """The findings that terms say are present, and those they leave open."""
    present: set[FindingName] = set()
    leaves_open: set[FindingName] = set()
    for term in terms:
        heading, *qualifiers = (part.strip() for part in term.split("/"))
        named, open_names = _of_term(heading, frozenset(qualifiers))
        present |= set(named)
        leaves_open |= set(open_names)
    return frozenset(present), frozenset(leaves_open - present)


def _of_term(
    heading: str, at: frozenset[str]
) -> tuple[tuple[FindingName, ...], tuple[FindingName, ...]]:
    """The findings one term stands for, and those it leaves open."""
    lung = bool(at & _OF_THE_LUNG) and "pleura" not in at
    match heading:
        case "Cardiomegaly" | "Cardiac Shadow" | "Heart" if "borderline" in at:
            return (), ("Cardiomegaly",)
        case "Cardiac Shadow" if "enlarged" in at or "prominent" in at:
            return ("Cardiomegaly",), ("Enlarged Cardiomediastinum",)
        case "Heart" if "enlarged" in at:
            return ("Cardiomegaly",), ()
        case "Mediastinum" if at & {"enlarged", "prominent"}:
            elsewhere = at & {"lymph nodes", "paratracheal"}
            return ((), _MEDIASTINUM) if elsewhere else (_MEDIASTINUM, ())
        case "Nodule" | "Mass":
            outside = at and not lung and "thorax" not in at
            return ((), ("Lung Lesion",)) if outside else (("Lung Lesion",), ())
        case "Opacity" | "Density" if "round" in at:
            if not lung:
                return (), ("Lung Lesion", "Lung Opacity")
            both = heading == "Opacity"
            return ("Lung Lesion", *_OPACITY[: int(both)]), _OPACITY[int(both) :]
        case "Cicatrix" | "Thickening" if "pleura" in at:
            return ("Pleural Other",), ("Lung Opacity",)
        case "Opacity" | "Density" | "Cicatrix" | "Thickening" | "Markings" | "Calcinosis":
            if heading in ("Opacity", "Density", "Cicatrix") and (lung or not at):
                return _OPACITY, ()
            if heading == "Markings" and "interstitial" in at:
                return _OPACITY, ()
            if heading == "Calcinosis" and "pleura" not in at:
                return (), ("Lung Lesion", "Lung Opacity") if lung else ()
            return (), (*_OPACITY, *_PLEURAL[: int("pleura" in at)])
        case "Lung" if "interstitial" in at:
            return (), _OPACITY
        case _ if "pleura" in at:
            return _PLAIN.get(heading, ()), _PLEURAL
    return _PLAIN.get(heading, ()), _OPEN.get(heading, ())


_MEDIASTINUM: tuple[FindingName, ...] = ("Enlarged Cardiomediastinum",)
_OPACITY: tuple[FindingName, ...] = ("Lung Opacity",)
_PLEURAL: tuple[FindingName, ...] = ("Pleural Other",)
