"""Location phrases such as "left lower lobe" and "bibasilar" as sides and places, and back.

The readings of single words follow MAPLEZ's list of location labels (Lanfredi et al. 2025).
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Literal

from roentgen.record.statement import Extent
from roentgen.statements.hierarchy import places
from roentgen.statements.merged_extents import located_extents

_Side = Literal["left", "right"]
_SIDES: tuple[_Side, ...] = ("left", "right")
# Sides and places, and the words that name them beside their own names and plurals.
_WORDS: dict[str, str] = {
    "left": "leftward|left-sided|left-side",
    "right": "rightward|right-sided|right-side",
    "left, right": "bilateral|bilaterally|both|lungs",
    "upper zone": "upper|upper lung|upper lungs|upper field|upper fields",
    "mid zone": "mid|mid lung|mid lungs|mid field|middle|middle lung|middle lungs|middle zone",
    "lower zone": "lower|lower lung|lower lungs|lower field|lower fields",
    "apical": "apex|apically",
    "left, right, apical": "apices|apexes|biapical",
    "basal": "base|basilar",
    "left, right, basal": "bases|bibasilar|bibasal",
    "left, retrocardiac": "retrocardiac",
    "left, lingula": "lingula|lingular",
    "central": "medial|medially",
    "hilar": "hilum|hila",
    "perihilar": "parahilar",
    "diffuse": "diffusely",
    "peripheral": "peripherally",
    "lateral": "laterally",
    "posterior, lateral": "posterolateral",
    "anterior, lateral": "anterolateral",
    "pleura": "pleural",
    "fissure": "fissural",
    "costophrenic angle": "costophrenic|costophrenic sulcus",
    "mediastinum": "mediastinal",
    "heart": "cardiac",
    "atrium": "atria|atrial",
    "ventricle": "ventricular",
    "aorta": "aortic",
    "trachea": "tracheal|above the carina",
    "bronchi": "bronchus|bronchial",
    "esophagus": "esophageal",
    "superior vena cava": "svc|vena cava",
    "cavoatrial junction": "cavoatrial|caval atrial|atriocaval",
    "jugular vein": "jugular|ij|internal jugular",
    "subclavian vein": "subclavian",
    "brachiocephalic vein": "brachiocephalic",
    "left, right, chest wall": "chest walls",
    "axilla": "axillary",
    "subdiaphragmatic": "below the diaphragm|below the diaphragms",
    "stomach": "gastric",
    "clavicle": "clavicular",
    "left, right, clavicle": "clavicles",
    "scapula": "scapular",
    "sternum": "sternal",
    "humerus": "humeral",
    "spine": "vertebra|vertebrae|vertebral|spinal",
    "paravertebral": "paraspinal",
    "third rib": "third|3rd|3|three",
    "fourth rib": "fourth|4th|4|four",
    "fifth rib": "fifth|5th|5|five",
    "sixth rib": "sixth|6th|6|six",
    "seventh rib": "seventh|7th|7|seven",
    "eighth rib": "eighth|8th|8|eight",
    "ninth rib": "ninth|9th|9|nine",
}
_LONGEST = 4  # words


def read_phrases(phrases: Sequence[str]) -> tuple[tuple[Extent, ...], tuple[str, ...]]:
    """The extents that phrases describe together, and the phrases without a side or a place.

    A place without a side ("base", "lower lobe") is of every side that another phrase names.
    """
    read = {phrase: [name for names in _meanings(phrase) for name in names] for phrase in phrases}
    extents = located_extents(
        ([side for side in _SIDES if side in names], [name for name in names if name in places()])
        for names in read.values()
    )
    return extents, tuple(phrase for phrase, names in read.items() if not names)


def write_phrases(extents: Iterable[Extent]) -> tuple[str, ...]:
    """A phrase for each side with each of its places: "left lower lobe", "right", "basal"."""
    phrases = (
        " ".join(word for word in (extent.side, place) if word)
        for extent in extents
        for place in extent.places or (None,)
    )
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase))


def _meanings(phrase: str) -> Iterator[tuple[str, ...]]:
    """The sides and places of a phrase's words, the longest first at each word."""
    words = phrase.lower().replace(",", " ").split()
    i = 0
    while i < len(words):
        for length in range(_LONGEST, 0, -1):
            meaning = _table().get(" ".join(words[i : i + length]))
            if meaning:
                yield meaning
                i += length - 1
                break
        i += 1


@cache
def _table() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for name in (*_SIDES, *places()):
        table |= dict.fromkeys((name, f"{name}s"), (name,))
    for names, words in _WORDS.items():
        table |= dict.fromkeys(words.split("|"), tuple(names.split(", ")))
    return table
