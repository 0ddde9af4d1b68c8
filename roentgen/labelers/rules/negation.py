"""What a sentence says of each finding it names: present, absent or uncertain, where, how much.

After NegEx (Chapman et al. 2001): a cue reaches forward ("no", "may represent") or back ("is not
seen", "cannot be excluded") until something ends its scope: a "but", or a comma behind which a
statement of its own begins. A list goes on ("no consolidation, effusion or pneumothorax").
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from roentgen.labelers.rules.lexicon import Kind, Meaning
from roentgen.labelers.rules.mentions import Unit
from roentgen.record.findings import FindingName, Severity, Side, State

# What an adjective can tell of the structure that stands for a finding: enlarged vessels are
# congestion, but normal ones do not exclude edema; "large lungs" are no opacity.
_GRADES: dict[FindingName, tuple[State, ...]] = {
    "Cardiomegaly": ("present", "uncertain", "absent"),
    "Enlarged Cardiomediastinum": ("present", "uncertain", "absent"),
    "Edema": ("present", "uncertain"),
    "Lung Opacity": ("absent",),
    "Pleural Effusion": ("absent",),
}
_NEVER_SIDED = ("Cardiomegaly", "Enlarged Cardiomediastinum", "No Finding")
_LOOK_AHEAD = 40  # phrases; no list of findings is longer
# What may follow a comma or "and" only if a new statement begins there.
_BEGINNINGS: frozenset[Kind] = frozenset({"start", "severity", "subject", "doubt", "deny"})


@dataclass(slots=True)
class Mention:
    """One finding in one sentence; `trigger` is the lexicon's phrase, `cue` what set the state."""

    name: FindingName
    state: State
    trigger: str
    cue: str = ""
    detail: str | None = None
    side: Side | None = None
    severity: Severity | None = None
    place: str | None = None


@dataclass(slots=True)
class _Reading:
    """A sentence while it is read from left to right."""

    words: list[str]
    units: Sequence[Unit]
    mentions: list[Mention] = field(default_factory=list)
    healthy: bool = False  # something is called normal or clear
    scope: State | None = None  # what a cue says of what follows
    cue: str = ""
    segment: int = 0  # mentions from here on are what a later "is not seen" reaches
    subjects: list[Unit] = field(default_factory=list)  # waiting for their adjective
    told: bool = False  # the waiting subjects have had one
    ahead: Literal["enlarged", "borderline", "normal", "clear"] | None = None
    near: list[Meaning] = field(default_factory=list)  # side, severity, place before a finding
    latest: list[Mention] = field(default_factory=list)  # to which what follows still belongs
    joined: Literal["", "or", "either"] = ""

    def end_scope(self) -> None:
        self.scope, self.cue = None, ""
        self.segment = len(self.mentions)
        self.joined = ""

    def text(self, unit: Unit) -> str:
        return " ".join(self.words[unit.start : unit.end])


def read_sentence(words: list[str], units: Sequence[Unit]) -> tuple[list[Mention], bool]:
    """The findings a sentence speaks of, and whether it calls anything normal or clear."""
    reading = _Reading(words, units)
    for i, unit in enumerate(units):
        _read(reading, i, unit)
    for mention in reading.mentions[-1:]:  # "small effusions, right greater than left"
        _describe([mention], reading.near)
    return reading.mentions, reading.healthy


def _read(reading: _Reading, i: int, unit: Unit) -> None:
    match unit.meaning.kind:
        case "finding":
            before = reading.units[i - 1].meaning.kind if i else None
            _name(reading, unit, normal=before == "normal")
        case "subject":
            _subject(reading, unit)
        case "enlarged" | "borderline" | "normal" | "clear" as grade:
            said_of_mention = [u.meaning.kind for u in reading.units[max(i - 2, 0) : i]]
            if grade == "normal" and said_of_mention == ["finding", "verb"]:
                _look_back(reading, unit, "absent")
            if said_of_mention != ["finding", "verb"] or reading.subjects:
                _grade(reading, unit, grade)
        case "deny" | "doubt" as cue:
            _open_scope(reading, unit, "absent" if cue == "deny" else "uncertain")
        case "same":
            _open_scope(reading, unit, "present")
        case "denied":
            _look_back(reading, unit, "absent")
        case "doubted":
            _look_back(reading, unit, "uncertain")
        case "stop":
            reading.end_scope()
            reading.subjects, reading.ahead, reading.near, reading.latest = [], None, [], []
        case "start":
            reading.end_scope()
            reading.latest = []
        case "comma" | "and":
            reading.latest = []
            if _begins_anew(reading, i):
                reading.end_scope()
            reading.joined = ""
        case "or" | "either" as join:
            reading.latest = []
            reading.joined = join
            if join == "either" and reading.mentions:
                _set_state(reading.mentions[-1], "uncertain", "versus")
        case "side" | "severity" | "place":
            if unit.meaning.severity == "large" and _is_size_of_subject(reading, i):
                _grade(reading, unit, "enlarged")
            elif reading.latest:
                _describe(reading.latest, [unit.meaning])
            else:
                reading.near.append(unit.meaning)
        case "verb":
            reading.ahead = None


def _name(reading: _Reading, unit: Unit, *, normal: bool) -> None:
    """A finding is named: it has the state of the scope it stands in.

    Alternatives ("atelectasis or scarring") are uncertain unless both are one finding.
    """
    meaning = unit.meaning
    state, cue = reading.scope or "present", reading.cue
    if normal:  # "normal interstitial markings"
        state, cue = "absent", "normal"
    if reading.joined and not reading.scope and len(reading.mentions) > reading.segment:
        before = reading.mentions[-1]
        if before.name not in meaning.names:
            _set_state(before, "uncertain", "or")
            state, cue = before.state, "or"
    trigger = reading.text(unit)
    new = [Mention(name, state, trigger, cue, meaning.detail) for name in meaning.names]
    _describe(new, reading.near)
    reading.mentions += new
    reading.near, reading.latest, reading.joined = [], new, ""


def _subject(reading: _Reading, unit: Unit) -> None:
    if reading.told:
        reading.subjects, reading.told = [], False
    if reading.ahead:
        _tell(reading, [unit], reading.ahead)
    else:
        reading.subjects.append(unit)


def _grade(
    reading: _Reading, unit: Unit, grade: Literal["enlarged", "borderline", "normal", "clear"]
) -> None:
    """An adjective: of the subjects before it, or else of those that follow."""
    if grade in ("normal", "clear") and reading.scope != "absent":
        reading.healthy = True
    if reading.subjects and not reading.told:
        _tell(reading, reading.subjects, grade)
        reading.told = True
    elif not reading.subjects:
        reading.ahead = grade


def _tell(
    reading: _Reading,
    subjects: Sequence[Unit],
    grade: Literal["enlarged", "borderline", "normal", "clear"],
) -> None:
    """Subjects with their adjective are findings: an enlarged heart, clear lungs."""
    state: State = {"enlarged": "present", "borderline": "uncertain"}.get(grade, "absent")  # type: ignore[assignment]
    if state == "present" and reading.scope:
        state = reading.scope
    elif state == "absent" and reading.scope == "absent":
        return  # "not normal": of what kind is not said
    for subject in subjects:
        names = subject.meaning.names
        if state not in _GRADES[names[0]] or (grade == "clear" and names[0] in _NEVER_SIDED):
            continue
        if len(names) > 1 and state != "absent":
            names = names[:1]
        trigger = f"{reading.text(subject)} {grade}"
        new = [Mention(name, state, trigger) for name in names]
        _describe(new, reading.near)
        reading.mentions += new
    reading.near = []


def _open_scope(reading: _Reading, unit: Unit, state: State) -> None:
    if not (reading.scope == "absent" and state == "uncertain"):  # "no suspicious nodule"
        reading.scope, reading.cue = state, reading.text(unit)
    if state == "absent":
        reading.segment = len(reading.mentions)
    reading.latest = []
    reading.joined = ""


def _look_back(reading: _Reading, unit: Unit, state: State) -> None:
    for mention in reading.mentions[reading.segment :]:
        _set_state(mention, state, reading.text(unit))
    reading.end_scope()


def _set_state(mention: Mention, state: State, cue: str) -> None:
    """Make a mention less certain, never more."""
    order: tuple[State, ...] = ("present", "uncertain", "absent")
    if order.index(state) > order.index(mention.state):
        mention.state, mention.cue = state, cue


def _begins_anew(reading: _Reading, i: int) -> bool:
    """Whether a statement of its own begins behind the comma or "and" at units[i]."""
    following = reading.units[i + 1 : i + 1 + _LOOK_AHEAD]
    kinds = [unit.meaning.kind for unit in following]
    if not kinds or kinds[0] not in _BEGINNINGS:
        return False
    if kinds[0] in ("start", "subject", "deny"):
        return True
    for kind in kinds:  # "no nodule, large effusion or pneumothorax": the list goes on
        if kind == "or":
            return False
        if kind in ("stop", "start", "verb", "deny"):
            break
    return True


def _is_size_of_subject(reading: _Reading, i: int) -> bool:
    """Whether a "large" at units[i] is said of a structure: "the heart is large"."""
    if not reading.subjects or reading.told:
        return False
    while i and reading.units[i - 1].meaning.kind == "severity":  # "slightly large"
        i -= 1
    return i > 0 and reading.units[i - 1].meaning.kind in ("verb", "subject")


def _describe(mentions: Sequence[Mention], meanings: Sequence[Meaning]) -> None:
    """Add side, severity and place; the words nearest to a finding tell its severity."""
    sides = {meaning.side for meaning in meanings if meaning.side}
    severities = [meaning.severity for meaning in meanings if meaning.severity]
    places = [meaning.place for meaning in meanings if meaning.place]
    for mention in mentions:
        if mention.name not in _NEVER_SIDED:
            every = sides | ({mention.side} if mention.side else set())
            mention.side = "bilateral" if len(every) > 1 else next(iter(every), None)
        if severities and mention.severity is None:
            mention.severity = severities[-1]
        if places and mention.place is None:
            mention.place = places[-1]
