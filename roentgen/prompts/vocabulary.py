"""The words of prompts: the one that is written for each finding, and those understood."""

from dataclasses import dataclass
from typing import Literal

from roentgen.record.findings import FindingName, Severity, Side, State

# What a finding is called when it is written. "No Finding" is told by negation ("no acute
# findings"), so its word is the opposite of its name.
NOUNS: dict[FindingName, str] = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Enlarged Cardiomediastinum": "enlarged cardiomediastinum",
    "Fracture": "fracture",
    "Lung Lesion": "lung lesion",
    "Lung Opacity": "lung opacity",
    "No Finding": "acute findings",
    "Pleural Effusion": "pleural effusion",
    "Pleural Other": "pleural abnormality",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Support Devices": "support devices",
}

# What a prompt calls a race; others are understood after an age ("63 year old ... woman").
RACES: tuple[str, ...] = (
    "white",
    "black",
    "african american",
    "black or african american",
    "asian",
    "hispanic",
    "hispanic or latino",
    "american indian or alaska native",
    "native hawaiian or other pacific islander",
    "multiple race",
    "other",
)

# Details that name the finding by themselves, so that they stand in the noun's place.
DETAIL_NOUNS: dict[FindingName, tuple[str, ...]] = {
    "Fracture": ("rib fracture", "clavicle fracture", "vertebral fracture"),
    "Lung Lesion": ("nodule", "mass"),
    "Lung Opacity": ("infiltrate",),
    "Pleural Other": ("pleural thickening", "pleural scarring"),
    "Support Devices": (
        "endotracheal tube",
        "nasogastric tube",
        "chest tube",
        "central line",
        "pacemaker",
    ),
}

# Details that say where; they stand before the noun: "right lower zone consolidation".
PLACES: tuple[str, ...] = (
    "upper zone",
    "mid zone",
    "lower zone",
    "upper lobe",
    "middle lobe",
    "lower lobe",
    "apical",
    "basal",
    "perihilar",
    "retrocardiac",
)

SIZES: dict[Severity, str] = {"small": "small", "moderate": "moderate", "large": "large"}
DEGREES: dict[Severity, str] = {"small": "mild", "moderate": "moderate", "large": "severe"}
# Findings that have a degree rather than a size: "severe edema", not "large edema".
GRADED: frozenset[FindingName] = frozenset(
    {"Atelectasis", "Cardiomegaly", "Edema", "Enlarged Cardiomediastinum", "Pneumonia"}
)

# Findings of which a radiologist says how large or how severe they are, and on which side; the rest
# lie in the middle or on both sides, or have no size.
SIZED: frozenset[FindingName] = GRADED | {
    "Consolidation",
    "Lung Lesion",
    "Lung Opacity",
    "Pleural Effusion",
    "Pneumothorax",
}
SIDED: frozenset[FindingName] = frozenset(
    {
        "Atelectasis",
        "Consolidation",
        "Fracture",
        "Lung Lesion",
        "Lung Opacity",
        "Pleural Effusion",
        "Pleural Other",
        "Pneumonia",
        "Pneumothorax",
    }
)

# Details that settle the side themselves.
SIDE_SETTLED: tuple[str, ...] = ("middle lobe", "vertebral fracture")


@dataclass(frozen=True)
class Noun:
    """What a noun stands for. `negates`: it says the opposite of its finding ("acute findings")."""

    name: FindingName
    detail: str | None = None
    negates: bool = False


@dataclass(frozen=True)
class Mark:
    """An attribute of a finding, a separator, or a word without meaning of its own.

    "join" leaves open whether a negation before it goes on, "or" carries it on, "break" ends it;
    "free" is a detail in parentheses.
    """

    kind: Literal["state", "side", "severity", "place", "free", "join", "or", "break", "filler"]
    value: str = ""


_SYNONYMS: dict[FindingName, tuple[str, ...]] = {
    "Atelectasis": ("atelectases", "atelectatic changes"),
    "Cardiomegaly": (
        "enlarged heart",
        "heart enlargement",
        "cardiac enlargement",
        "enlarged cardiac silhouette",
        "enlarged heart size",
    ),
    "Consolidation": ("airspace consolidation", "lung consolidation"),
    "Edema": ("pulmonary edema", "oedema", "pulmonary oedema", "lung edema"),
    "Enlarged Cardiomediastinum": (
        "enlarged mediastinum",
        "widened mediastinum",
        "mediastinal widening",
        "enlarged cardiomediastinal silhouette",
    ),
    "Lung Lesion": ("lesion", "pulmonary lesion"),
    "Lung Opacity": (
        "opacity",
        "opacities",
        "lung opacities",
        "pulmonary opacity",
        "pulmonary opacities",
        "airspace opacity",
        "airspace opacities",
    ),
    "Pleural Effusion": ("effusion", "pleural fluid"),
    "Pleural Other": ("pleural other", "pleural abnormalities", "other pleural abnormality"),
    "Pneumothorax": ("pneumothoraces",),
    "Support Devices": ("support device", "device", "devices"),
}
_DETAIL_SYNONYMS: dict[str, tuple[str, ...]] = {
    "rib fracture": ("fractured rib", "broken rib"),
    "nodule": ("lung nodule", "pulmonary nodule"),
    "mass": ("masses", "lung mass", "pulmonary mass"),
    "infiltrate": ("infiltration", "pulmonary infiltrate"),
    "endotracheal tube": ("et tube", "ett"),
    "nasogastric tube": ("ng tube", "enteric tube", "feeding tube"),
    "chest tube": ("chest drain", "intercostal drain", "pleural drain"),
    "central line": ("central venous line", "central venous catheter", "central catheter", "cvc"),
    "pacemaker": ("pacer", "cardiac pacemaker"),
}
_NEGATED_NORMAL: tuple[str, ...] = (
    *("finding", "findings", "abnormality", "abnormalities", "acute finding", "acute findings"),
    *("acute abnormality", "acute disease", "acute process", "acute cardiopulmonary findings"),
    *("acute cardiopulmonary abnormality", "acute cardiopulmonary disease"),
    "acute cardiopulmonary process",
)
_NORMAL = ("normal", "normal chest", "normal study", "unremarkable")
_STATES: dict[State, tuple[str, ...]] = {
    "absent": ("no", "without", "no evidence of", "without evidence of", "negative for"),
    "uncertain": (
        "possible",
        "possibly",
        "probable",
        "probably",
        "likely",
        "questionable",
        "suspected",
        "uncertain",
    ),
}
_SIDES: dict[Side, tuple[str, ...]] = {
    "left": ("left sided", "left side"),
    "right": ("right sided", "right side"),
    "bilateral": ("bilaterally", "both sides", "left and right", "right and left"),
}
_SEVERITIES: dict[Severity, tuple[str, ...]] = {
    "small": ("mild", "minimal", "slight", "tiny", "trace", "minor"),
    "moderate": ("medium", "moderately"),
    "large": ("severe", "massive", "marked", "extensive", "big"),
}
_PLACE_SYNONYMS: dict[str, tuple[str, ...]] = {
    "mid zone": ("middle zone", "midzone"),
    "middle lobe": ("mid lobe",),
    "basal": ("basilar", "base", "basis"),
    "apical": ("apex",),
}
_SEPARATORS: dict[Literal["join", "or", "break", "filler"], tuple[str, ...]] = {
    "join": ("and", "with", "&"),
    "or": ("or", "nor"),
    "break": ("but",),
    "filler": ("a", "an", "the", "in", "on", "at", "of", "there", "is", "are"),
}


def _plural(noun: str) -> str:
    return noun if noun.endswith(("s", "x", "y", "ia")) else f"{noun}s"


def _lexicon() -> dict[tuple[str, ...], tuple[Noun | Mark, ...]]:
    """Every phrase that is understood, as words, with its meaning."""
    meanings: dict[str, tuple[Noun | Mark, ...]] = {}
    for name, noun in NOUNS.items():
        if name != "No Finding":
            for text in (name.lower(), noun, *_SYNONYMS.get(name, ())):
                meanings[text] = meanings[_plural(text)] = (Noun(name),)
    for name, details in DETAIL_NOUNS.items():
        for detail in details:
            for text in (detail, *_DETAIL_SYNONYMS.get(detail, ())):
                meanings[text] = meanings[_plural(text)] = (Noun(name, detail),)
    meanings |= {text: (Noun("No Finding", negates=True),) for text in _NEGATED_NORMAL}
    meanings |= {text: (Noun("No Finding"),) for text in _NORMAL}
    for state, texts in _STATES.items():
        meanings |= {text: (Mark("state", state),) for text in texts}
    for side, texts in _SIDES.items():
        meanings |= {text: (Mark("side", side),) for text in (side, *texts)}
    for severity, texts in _SEVERITIES.items():
        meanings |= {text: (Mark("severity", severity),) for text in (severity, *texts)}
    for place in PLACES:
        for text in (place, *_PLACE_SYNONYMS.get(place, ())):
            meanings[text] = (Mark("place", place),)
    for place, texts in (("basal", ("bibasilar", "bibasal")), ("apical", ("biapical",))):
        meanings |= {text: (Mark("side", "bilateral"), Mark("place", place)) for text in texts}
    for kind, texts in _SEPARATORS.items():
        meanings |= {text: (Mark(kind, text),) for text in texts}
    return {tuple(text.split()): meaning for text, meaning in meanings.items()}


LEXICON: dict[tuple[str, ...], tuple[Noun | Mark, ...]] = _lexicon()
LONGEST_PHRASE: int = max(map(len, LEXICON))
