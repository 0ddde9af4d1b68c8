"""Lexicon of the rule labeler: every phrase it knows, with its meaning, and their lookup.

The terms for findings are in `terms`; here are the cues of negation and uncertainty, what ends a
cue's scope, and sides, severities and places. The templates are written as in `terms`. At each word
of a sentence the longest phrase is taken, by dictionary lookup: the time is linear in the length of
any text.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from roentgen.labelers.rules.terms import FINDING_TERMS, STRUCTURE_TERMS
from roentgen.record.radiograph import FindingName, Severity, Side

PhraseKind = Literal[
    "finding",  # names a finding: "effusion"
    "subject",  # a structure whose adjective decides: "heart size"
    "enlarged",
    "borderline",
    "normal",
    "clear",  # of a structure: without findings
    "deny",  # what follows is absent: "no"
    "denied",  # what precedes is absent: "is not seen"
    "doubt",  # what follows is uncertain: "may represent"
    "doubted",  # what precedes is uncertain: "cannot be excluded"
    "same",  # what follows is present as before: "no change in"
    "either",  # what it joins is uncertain: "versus"
    "or",
    "and",
    "comma",
    "stop",  # ends every scope: "but"
    "start",  # begins a new statement: "there is"
    "verb",
    "side",
    "severity",
    "place",
    "other",  # resembles a finding or a cue but is neither: "pericardial effusion"
]


@dataclass(frozen=True)
class Meaning:
    """The meaning of a phrase: its kind, the findings it names and the attributes it gives them."""

    kind: PhraseKind
    names: tuple[FindingName, ...] = ()
    detail: str | None = None  # a noun of roentgen.prompts.vocabulary.DETAIL_NOUNS
    side: Side | None = None
    severity: Severity | None = None
    place: str | None = None  # one of roentgen.prompts.vocabulary.PLACES


_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:\.\d+)?|[,;:()/&]")
_CUES: dict[PhraseKind, tuple[str, ...]] = {
    "enlarged": (
        "enlarged|enlargement|widened|prominent|increased|wide|big|globular|engorged|congested",
    ),
    "borderline": (
        "borderline",
        "borderline enlarged|enlargement|prominent|large|size|in size",
        "upper limit|limits of? normal",
        "upper normal",
        "top normal",
        "top limits? of normal",
        "high normal",
    ),
    "normal": (
        "normal",
        "normal limits",
        "limit|limits of normal",
        "within normal limits",
        "unremarkable",
        "not enlarged|prominent|widened|large",
    ),
    "clear": ("clear",),
    "deny": (
        "no|not|without|absent|nor|negative|neither",
        "no evidence|sign|signs|suggestion|indication|findings|features of|for",
        "no radiographic|convincing|definite|obvious|xxxx evidence of",
        "without radiographic? evidence of",
        "negative for",
        "free of",
        "clear of",
        "absence of",
        "lack of",
        "resolution|clearing of",
        "resolved",
        "interval resolution|clearing of",
        "removal of",
        "interval removal of",
        "rather than",
        "no longer",
        "fail|fails|failed to demonstrate|show|reveal",
    ),
    "denied": (
        "no? longer|not seen|identified|present|visualized|demonstrated|evident|apparent"
        "|appreciated|noted|detected|visible|observed|found|suspected",
        "is|are|was|were|been not definitely|clearly? seen|identified|present|visualized",
        "is|are|has|have|been resolved|cleared|absent|excluded",
        "has|have been removed|excluded",
        "been? removed",
        "is|are absent",
        "has|have resolved|cleared",
        "ruled out",
    ),
    "doubt": (
        "possible|possibly|question|questionable|questioned|potential|potentially|suspect",
        "suspected|suspicious|suspicion|concern|concerning|worrisome for|of?",
        "may|might|could",
        "may|might|could represent|be|reflect|indicate|suggest|relate",
        "cannot|can't exclude|rule",
        "can not exclude|rule",
        "not exclude|excluding",
        "difficult to exclude",
        "rule out",
        "to|and exclude|assess|evaluate for?",
        "differential diagnosis?",
        "considerations|consider|considered",
        "versus|vs",
        "perhaps|equivocal",
        "if|any concern for",
        "evaluate|evaluation|correlate|correlation for",
        "correlate|correlation clinically for",
        "risk of",
    ),
    "doubted": (
        "cannot|can't entirely|completely? be entirely|completely? excluded",
        "can not entirely|completely? be entirely|completely? excluded",
        "not entirely|completely? be? entirely|completely? excluded",
        "is|are difficult to exclude",
        "is|are|also possible|suspected|questioned|considered",
        "is|are|be|another a? possibility|consideration|concern",
        "in the differential",
        "would be difficult to exclude",
        "not ruled out",
        "should be considered",
        "unlikely",
    ),
    "same": (
        "no|without significant|appreciable|substantial|definite|xxxx? interval? change|changes"
        " in|of|from?",
        "no significant|interval? increase|decrease|progression|improvement in|of",
    ),
    "either": ("versus|vs", "and / or"),
    "or": ("or",),
    "and": ("and", "&", "/"),
    "comma": (",",),
    "stop": (
        ";",
        "(",
        ")",
        ":",
        "but|however|although|though|except|aside|apart|which|while|whereas|despite",
        "with the exception of",
        "other than",
        "because|since",
    ),
    "start": (
        "there is|are|has|have|was|were",
        "with",
        "and with",
        "again",
        "stable|unchanged",
        "otherwise",
    ),
    "verb": ("is|are|was|were|has|have|appears|appear|remains|remain|shows|demonstrates",),
    "other": (
        "compatible|consistent|keeping|associated|along with",
        "is|are|was|were? not seen|identified|visualized|evident|demonstrated on"
        "|in the? lateral|frontal|pa|ap view"
        "|projection|image|film|radiograph|exam?",
        "granulomatous|histoplasmosis|fungal|mycobacterial|tuberculous? infection|infections",
        "prior|previous|old|remote|past infection|infections|pneumonia",
        "line|catheter|lead|wire|screw|device|hardware fracture|fractured",
        "fractured screw|lead|wire|catheter|sternotomy",
        "lung lines",
        "pericardial effusion|effusions|fluid",
        "joint effusion|effusions",
        "not significantly|substantially? changed",
        "not only",
        "soft tissue edema|mass|density|opacity|infiltration",
        "breast mass|masses|density|opacity|shadow|shadows",
        "air fluid level|levels",
        "line of|up",
        "midline|mid line",
        "in line with",
        "left|right? heart border",
        "mass effect",
        "bone|bony|osseous|rib density|densities|lesion|lesions|opacity",
        "acute|significant osseous|bony|skeletal|bone abnormality|abnormalities|findings",
        "osseous|bony|skeletal abnormality|abnormalities",
        "chest port|view|radiograph",
        "paratracheal line|stripe",
        "no doubt",
        "large airway|airways",
        "wall of",
        "large hiatal? hernia",
    ),
}

_SIDES: dict[Side, str] = {
    "left": "left|leftward|lingula|lingular",
    "right": "right|rightward",
    "bilateral": "bilateral|bilaterally|both",
}
_SEVERITIES: dict[Severity, str] = {
    "small": "small|mild|mildly|minimal|minimally|slight|slightly|tiny|trace|minor|subtle|minute",
    "moderate": "moderate|moderately|medium",
    "large": "large|severe|severely|massive|marked|markedly|extensive|huge",
}
_PLACES: dict[str, str] = {
    "upper zone": "upper lung|lungs|zone|zones",
    "mid zone": "mid|middle lung|lungs|zone|zones",
    "lower zone": "lower lung|lungs|zone|zones",
    "upper lobe": "upper lobe|lobes",
    "middle lobe": "middle|mid lobe",
    "lower lobe": "lower lobe|lobes",
    "apical": "apical|apex|apices",
    "basal": "basal|basilar|base|bases",
    "perihilar": "perihilar|infrahilar|suprahilar|parahilar",
    "retrocardiac": "retrocardiac",
}


def _expand(template: str) -> Iterator[tuple[str, ...]]:
    """Every phrase that a template generates."""
    slots: list[tuple[str, ...]] = []
    for slot in template.split():
        words = tuple(slot.removesuffix("?").split("|"))
        slots.append((*words, "") if slot.endswith("?") else words)
    for choice in product(*slots):
        if words := tuple(word for word in choice if word):
            yield words


def _lexicon() -> dict[tuple[str, ...], Meaning]:
    """Every phrase with its meaning; of two meanings of a phrase the later one below holds."""
    rows: list[tuple[Meaning, Sequence[str]]] = [
        (Meaning("subject", names), templates) for names, templates in STRUCTURE_TERMS.items()
    ]
    rows += [(Meaning(kind), templates) for kind, templates in _CUES.items()]
    rows += [(Meaning("side", side=side), (words,)) for side, words in _SIDES.items()]
    rows += [(Meaning("severity", severity=s), (words,)) for s, words in _SEVERITIES.items()]
    rows += [(Meaning("place", place=place), (words,)) for place, words in _PLACES.items()]
    rows += [
        (Meaning("place", side="bilateral", place="basal"), ("bibasilar|bibasal",)),
        (Meaning("place", side="bilateral", place="apical"), ("biapical",)),
        (Meaning("place", side="right", place="mid zone"), ("right midlung",)),
        (Meaning("place", side="left", place="mid zone"), ("left midlung",)),
        (Meaning("place", place="mid zone"), ("midlung|midzone",)),
    ]
    rows += [
        (Meaning("finding", names, detail), templates)
        for (names, detail), templates in FINDING_TERMS.items()
    ]
    rows += [(Meaning("other"), _CUES["other"])]
    return {phrase: meaning for meaning, texts in rows for t in texts for phrase in _expand(t)}


LEXICON: dict[tuple[str, ...], Meaning] = _lexicon()


@dataclass(frozen=True, slots=True)
class PhraseMatch:
    """A phrase of the lexicon at words[start:end] of a sentence."""

    meaning: Meaning
    start: int
    end: int


def _lengths() -> dict[str, tuple[int, ...]]:
    """The numbers of words of the phrases that begin with a word, the longest first."""
    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for phrase in LEXICON:
        lengths[phrase[0]].add(len(phrase))
    return {word: tuple(sorted(counts, reverse=True)) for word, counts in lengths.items()}


_LENGTHS = _lengths()


def words_of(sentence: str) -> list[str]:
    """The words, numbers and separators in lower case; a hyphen separates words."""
    return _WORD.findall(sentence.lower())


def find_phrases(words: list[str]) -> list[PhraseMatch]:
    """The phrases of the lexicon in a sentence, in order, without overlap."""
    matches: list[PhraseMatch] = []
    i = 0
    while i < len(words):
        for length in _LENGTHS.get(words[i], ()):
            meaning = LEXICON.get(tuple(words[i : i + length]))
            if meaning:
                matches.append(PhraseMatch(meaning, i, i + length))
                i += length
                break
        else:
            i += 1
    return matches
