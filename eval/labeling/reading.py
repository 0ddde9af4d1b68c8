"""Reading: what a person or a labeler states of a report's findings, in one form for both."""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from roentgen.labelers.rules.rule_labeler import label_report, statements_of
from roentgen.labelers.rules.tokens import Language
from roentgen.record.finding import SEVERITIES, FindingName, Severity, Side, State, states
from roentgen.record.radiograph import Report
from roentgen.record.statement import Evidence, Extent, Statement
from roentgen.statements.hierarchy import labels_of

# Words of a place by the location word that they stand for: the lung's in MAPLEZ's vocabulary
# without "lateral" (Lanfredi et al. 2025). The lingula is a part of the left lung.
_LOCATIONS: dict[str, tuple[str, ...]] = {
    "right": ("right",),
    "left": ("left", "lingula"),
    "upper": ("upper",),
    "middle": ("middle", "mid"),
    "lower": ("lower",),
    "base": ("basal", "base", "bases", "basilar"),
    "apical": ("apical", "apex", "apices"),
    "retrocardiac": ("retrocardiac",),
    "perihilar": ("perihilar", "hilar", "hilum", "infrahilar", "suprahilar", "parahilar"),
}
_LOCATION_OF = {word: location for location, words in _LOCATIONS.items() for word in words}
LOCATIONS = tuple(_LOCATIONS)
_ORDER: tuple[State, ...] = ("absent", "uncertain", "present")
SIDES = frozenset(LOCATIONS[:2])
NOT_MENTIONED = "not mentioned"  # state of a finding that a reading does not have


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The state of each finding that is mentioned, and where and how large it is."""

    states: Mapping[FindingName, State]
    extents: Mapping[FindingName, tuple[Extent, ...]] = field(default_factory=dict)
    """Of findings that are present or uncertain."""
    phrases: Mapping[FindingName, tuple[tuple[State, str], ...]] = field(default_factory=dict)
    """The words of the lexicon that each finding was read by, with the state they give."""
    leaves_open: frozenset[FindingName] = frozenset()
    """Findings that it neither states nor denies."""
    unlocated: frozenset[FindingName] = frozenset()
    """Findings whose sides and places it leaves open."""
    located: frozenset[str] = frozenset()
    """The words of `LOCATIONS` over all findings, also those without one of the 14 names."""

    def positive(self, *, uncertain: bool = True) -> set[FindingName]:
        """The findings that are present or, unless not wanted, uncertain."""
        positive = ("present", "uncertain") if uncertain else ("present",)
        return {name for name, state in self.states.items() if state in positive}

    def locations(self, name: FindingName, side: str | None = None) -> frozenset[str]:
        """The words of `LOCATIONS` for a finding or one side of it; bilateral: right and left."""
        return located(self._extents(name, side))

    def severity(self, name: FindingName, side: str | None = None) -> Severity | None:
        """The highest severity of a finding, or of one side of it."""
        found = [e.severity for e in self._extents(name, side) if e.severity]
        return max(found, key=SEVERITIES.index, default=None)

    def _extents(self, name: FindingName, side: str | None) -> list[Extent]:
        return [e for e in self.extents.get(name, ()) if side in (None, e.side)]


def location_words(place: str) -> frozenset[str]:
    """The words of `LOCATIONS` in the name of a place: "left lower lobe" has left and lower."""
    words = re.findall(r"[a-z]+", place.lower())
    return frozenset(_LOCATION_OF[word] for word in words if word in _LOCATION_OF)


def located(extents: Iterable[Extent]) -> frozenset[str]:
    """The words of `LOCATIONS` for extents."""
    words: set[str] = set()
    for extent in extents:
        words.update((extent.side,) if extent.side else (), *map(location_words, extent.places))
    return frozenset(words)


def side_in_words(locations: AbstractSet[str]) -> str:
    """Left, right, bilateral or none."""
    sides = SIDES & locations
    return "bilateral" if sides == SIDES else next(iter(sides), "none")


def reading_of(statements: Iterable[Statement], report: Report | None = None) -> Reading:
    """Statements by label; present outweighs uncertain, uncertain absent, and stable is no state.

    Phrases are of the report that the statements' evidence is in.
    """
    found: dict[FindingName, State] = {}
    extents: dict[FindingName, tuple[Extent, ...]] = {}
    phrases: dict[FindingName, tuple[tuple[State, str], ...]] = {}
    everywhere: list[Extent] = []
    for statement in statements:
        state = statement.state
        if state == "stable":
            continue
        if state != "absent":
            everywhere += statement.extents
        for name in labels_of(statement.finding):
            found[name] = max(found.get(name, "absent"), state, key=_ORDER.index)
            if state != "absent":
                extents[name] = extents.get(name, ()) + statement.extents
            if report and statement.evidence:
                phrase = state, _phrase(statement.evidence, state, report)
                phrases[name] = (*phrases.get(name, ()), phrase)
    return Reading(states=found, extents=extents, phrases=phrases, located=located(everywhere))


def _phrase(evidence: Evidence, state: State, report: Report) -> str:
    """The words of the report that name a finding, its state, and the words that it comes from."""
    text = getattr(report, evidence.section)
    words: dict[str, str] = {}
    for span in evidence.words:
        word = " ".join(text[span.start : span.end].lower().split())
        words[span.role] = f"{words[span.role]} {word}" if span.role in words else word
    cue = f" by {words['cue']!r}" if "cue" in words else ""
    return f"{words.get('finding', '')!r} is {state}{cue}"


def extents_of(
    side: Side | None, severity: Severity | None, places: tuple[str, ...]
) -> tuple[Extent, ...]:
    """The extents of one side, of both or of none named, each with this severity and places."""
    if side == "bilateral":
        return Extent("left", severity, places), Extent("right", severity, places)
    return (Extent(side, severity, places),)


def read_report(report: Report, language: Language) -> Reading:
    """What the rule labeler reads."""
    read = reading_of(statements_of(report, language), report)
    return replace(read, states=states(label_report(report, language)))
