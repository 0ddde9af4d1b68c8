"""Exchange of left and right in text and findings, for mirrored images.

Chambers of the heart keep their names: a mirrored left ventricle is still the left one. So do
the verb ("left in place") and bilateral findings. A mirrored middle lobe is where the lingula is,
and is named so.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from roentgen.record.finding import Finding, Side

_OTHER_SIDE: dict[Side, Side] = {"left": "right", "right": "left"}
_OTHER_PLACE = {"middle lobe": "lingula", "lingula": "middle lobe"}
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l", "dextro": "levo", "levo": "dextro"}

_TERMS = re.compile(
    r"""
      (?P<verb> (?<! the [ ] ) (?<! on [ ] ) \b left (?= [ ] (?: in [ ] (?:place|situ) ) \b ) )
    | (?P<lingula> \b (?i: (?:left [ ])? lingula (?:r (?:[ ] lobe)?)? ) \b )
    | (?P<middle_lobe> \b (?: (?i: (?:right [ ])? mid(?:dle)? [ ] lobe ) | RML ) \b )
    | \b (?P<word> (?i: left|right ) ) (?= (?:wards?|most)? \b )
        (?! [ -] (?:sided? [ ])? (?i: ventric | atri | heart [ ] (?:failure|strain) ) )
    | \b (?P<short> [LRlr] ) (?= t \b )
    | \b (?P<initial> [LR] ) (?= (?: [LU]L | [LMU]Z | IJ | SC ) \b )
    | \b (?P<letter> [LR] ) (?= -sided \b | [ ]? [<>=] [ ]? [LR] \b | \) | [ ] (?:
          lungs? | upper | mid | middle | lower | base | basal | basilar | apex | apical
        | pleural | effusions? | pneumothorax | ptx | chest | hemithorax | hemidiaphragm
        | hilum | hilar | ribs? | clavicle | subclavian | internal [ ] jugular | IJ | PICC
        | costophrenic | cp [ ] angle ) \b )
    | (?<= [LR] [<>=] ) (?P<compared> [LR] ) \b
    | (?<= [LR] [ ] [<>=] [ ] ) (?P<compared_apart> [LR] ) \b
    | \b (?P<turn> (?i: dextro|levo ) ) (?= (?: roto)? scoliosis | convex | cardia | position )
    """,
    re.VERBOSE,
)


def swap_sides_in_text(text: str) -> str:
    """English text with left and right exchanged, in words and radiologists' abbreviations.

    Swapping twice restores the text, except for names of the lingula and the middle lobe.
    """
    return _TERMS.sub(_swapped, text)


def swap_sides_of_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings with sides exchanged; those that are bilateral or have no side are unchanged."""
    return tuple(
        replace(
            finding,
            side=_OTHER_SIDE.get(finding.side, finding.side) if finding.side else None,
            detail=_OTHER_PLACE.get(finding.detail) or swap_sides_in_text(finding.detail)
            if finding.detail
            else finding.detail,
        )
        for finding in findings
    )


def _swapped(term: re.Match[str]) -> str:
    found = term.group()
    match term.lastgroup:
        case "verb":
            return found
        case "lingula":
            return "Right middle lobe" if found[0].isupper() else "right middle lobe"
        case "middle_lobe":
            return "Lingula" if found[0].isupper() and found != "RML" else "lingula"
        case _:
            return _in_case_of(found, _OTHER[found.lower()])


def _in_case_of(model: str, word: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word
