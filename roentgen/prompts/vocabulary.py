"""Prompt vocabulary: the words written for each finding, and the synonyms understood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from roentgen.record.doubt import DOUBTS
from roentgen.record.finding import FindingName, Severity, Side, State
from roentgen.record.radiograph import Sex
from roentgen.statements.hierarchy import findings, labels_of

# The noun written for each finding. "No Finding" is written by negation ("no acute findings"), so
# its noun is the opposite of its name.
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

SEXES: dict[str, Sex | None] = {
    **dict.fromkeys(("woman", "female", "girl"), "F"),
    **dict.fromkeys(("man", "male", "boy"), "M"),
    "patient": None,
}

# Races as prompts write them; others are understood after an age ("63 year old ... woman").
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

# Details that name the finding by themselves, so that they replace its noun.
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

# Details of location; they precede the noun: "right lower zone consolidation".
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
# Findings without a label that have a size rather than a degree: "large hiatal hernia", but "severe
# emphysema".
SIZED_FINDINGS = frozenset(
    (
        *("cavity", "lung abscess", "cyst", "granuloma", "calcified granuloma", "bulla"),
        *("mass lesion", "mediastinal mass", "soft tissue mass", "breast mass", "bone lesion"),
        *("sclerotic bone lesion", "blastic bone lesion", "lytic bone lesion", "bone metastasis"),
        *("hiatal hernia", "pericardial effusion", "pneumopericardium", "pneumomediastinum"),
        *("pneumoperitoneum", "aortic aneurysm", "foreign body", "air-fluid level"),
    )
)
# Findings that radiologists describe by size or severity, and by side; the others are midline or
# bilateral, or have no size.
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

# Details that imply the side.
SIDE_IMPLIED: tuple[str, ...] = ("middle lobe", "vertebral fracture")

STATE_WORDS: dict[State, str] = {"present": "", "uncertain": "possible", "absent": "no"}

Follows = Literal["never", "may", "must"]


@dataclass(frozen=True)
class Noun:
    """The meaning of a noun. `negates`: it is the opposite of its finding ("acute findings")."""

    name: FindingName
    detail: str | None = None
    negates: bool = False


@dataclass(frozen=True)
class OtherNoun:
    """The meaning of a noun beyond the 14 names: a finding of the hierarchy."""

    node: str


@dataclass(frozen=True)
class Modifier:
    """An attribute of a finding, a separator, or a filler word.

    "join" leaves open whether a preceding negation extends, "or" extends it, "break" ends it;
    "free" is a detail in parentheses. `follows`: where a state may stand behind its finding
    ("edema possible"), or must ("edema cannot be excluded").
    """

    kind: Literal["state", "side", "severity", "place", "free", "join", "or", "break", "filler"]
    value: str = ""
    follows: Follows = "never"


Phrase = tuple[str, ...]  # its words
Meaning = Noun | OtherNoun | Modifier
LONGEST = 6  # words of a phrase, no fewer than any has


def attribute_words(
    severity: Severity | None, side: Side | None, place: str, *, graded: bool
) -> str:
    """Severity, side and place: "small left upper zone"; `graded` writes "mild" for "small"."""
    degree = (DEGREES if graded else SIZES)[severity] if severity else ""
    return " ".join(word for word in (degree, side, place) if word)


def is_graded(finding: str) -> bool:
    """Whether a finding of the hierarchy has a degree rather than a size."""
    labels = labels_of(finding)
    return not GRADED.isdisjoint(labels) if labels else finding not in SIZED_FINDINGS


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
_OTHER_SYNONYMS: dict[str, tuple[str, ...]] = {
    "chronic obstructive pulmonary disease": ("copd",),
    "hiatal hernia": ("hernia", "hiatus hernia"),
    "hyperinflation": ("hyperexpansion", "hyperinflated lungs"),
    "pulmonary fibrosis": ("fibrosis", "lung fibrosis"),
}
_NEGATED_NORMAL: tuple[str, ...] = (
    *("finding", "findings", "abnormality", "abnormalities", "acute finding", "acute findings"),
    *("acute abnormality", "acute disease", "acute process", "acute cardiopulmonary findings"),
    *("acute cardiopulmonary abnormality", "acute cardiopulmonary disease"),
    "acute cardiopulmonary process",
)
_NORMAL = ("normal", "normal chest", "normal study", "unremarkable")
_ABSENT = ("no", "without", "no evidence of", "without evidence of", "negative for")
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


def _phrases() -> dict[Phrase, tuple[Meaning, ...]]:
    """The phrases of the 14 names and their attributes, with their meanings."""
    meanings: dict[str, tuple[Meaning, ...]] = {}
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
    meanings |= {text: (Modifier("state", "absent"),) for text in _ABSENT}
    for doubt in DOUBTS:
        for text in doubt.before:
            follows: Follows = "may" if text in doubt.after else "never"
            meanings[text] = (Modifier("state", doubt.state, follows),)
        for text in set(doubt.after) - set(doubt.before):
            meanings[text] = (Modifier("state", doubt.state, "must"),)
    for side, texts in _SIDES.items():
        meanings |= {text: (Modifier("side", side),) for text in (side, *texts)}
    for severity, texts in _SEVERITIES.items():
        meanings |= {text: (Modifier("severity", severity),) for text in (severity, *texts)}
    for place in PLACES:
        for text in (place, *_PLACE_SYNONYMS.get(place, ())):
            meanings[text] = (Modifier("place", place),)
    for place, texts in (("basal", ("bibasilar", "bibasal")), ("apical", ("biapical",))):
        both = (Modifier("side", "bilateral"), Modifier("place", place))
        meanings |= dict.fromkeys(texts, both)
    for kind, texts in _SEPARATORS.items():
        meanings |= {text: (Modifier(kind, text),) for text in texts}
    return {tuple(text.split()): meaning for text, meaning in meanings.items()}


@cache
def prompt_phrases() -> Mapping[Phrase, tuple[Meaning, ...]]:
    """Every phrase that is understood, with its meanings.

    A finding of the hierarchy that is made of phrases of the 14 names ("basal atelectasis") is read
    as these.
    """
    known = _phrases()
    others: dict[Phrase, tuple[Meaning, ...]] = {}
    for node in findings():
        for text in (node, *_OTHER_SYNONYMS.get(node, ())):
            for words in (text, _plural(text)):
                run = tuple(words.replace("-", " ").split())
                if not _is_made_of(run, known):
                    others[run] = (OtherNoun(node),)
    return others | known


def is_readable(text: str) -> bool:
    """Whether a text consists of phrases that are understood."""
    return _is_made_of(text.lower().split(), prompt_phrases())


def _is_made_of(words: Sequence[str], phrases: Mapping[Phrase, object]) -> bool:
    while words and (run := longest_phrase(words, phrases)):
        words = words[len(run) :]
    return not words


def longest_phrase(words: Sequence[str], phrases: Mapping[Phrase, object]) -> Phrase | None:
    """The longest phrase that the words begin with; None if there is none."""
    runs = (tuple(words[:length]) for length in range(min(len(words), LONGEST), 0, -1))
    return next((run for run in runs if run in phrases), None)
