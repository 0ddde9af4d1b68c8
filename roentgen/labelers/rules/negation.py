"""Negation and uncertainty: state, side, severity and place of each finding in a sentence.

After NegEx (Chapman et al. 2001): a cue acts on what follows ("no", "may represent") or on what
precedes ("is not seen", "cannot be excluded") until its scope ends: at a "but", or at a comma that
begins a new statement. A list extends it ("no consolidation, effusion or pneumothorax").
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from roentgen.labelers.rules.lexicon import Meaning, PhraseKind, PhraseMatch
from roentgen.record.radiograph import FindingName, Severity, Side, State

# The states that an adjective of a structure can imply for its finding: enlarged vessels are
# congestion, but normal ones do not exclude edema; "large lungs" are no opacity.
_GRADES: dict[FindingName, tuple[State, ...]] = {
    "Cardiomegaly": ("present", "uncertain", "absent"),
    "Enlarged Cardiomediastinum": ("present", "uncertain", "absent"),
    "Edema": ("present", "uncertain"),
    "Lung Opacity": ("absent",),
    "Pleural Effusion": ("absent",),
}
Grade = Literal["enlarged", "borderline", "normal", "clear"]
_NEVER_SIDED = ("Cardiomegaly", "Enlarged Cardiomediastinum", "No Finding")
_LOOK_AHEAD = 40  # phrases; no list of findings is longer
# Kinds that follow a comma or "and" only where a new statement begins.
_STARTS: frozenset[PhraseKind] = frozenset({"start", "severity", "subject", "doubt", "deny"})


@dataclass(slots=True)
class Mention:
    """A finding in a sentence; `trigger` is the phrase that names it, `cue` that of its state."""

    name: FindingName
    state: State
    trigger: str
    cue: str = ""
    detail: str | None = None
    side: Side | None = None
    severity: Severity | None = None
    place: str | None = None


@dataclass(slots=True)
class _Sentence:
    """A sentence while it is read from left to right."""

    words: list[str]
    phrases: Sequence[PhraseMatch]
    mentions: list[Mention] = field(default_factory=list)
    normal: bool = False  # something is called normal or clear
    scope: State | None = None  # the state that a cue gives to what follows
    cue: str = ""
    segment: int = 0  # the first mention that a later "is not seen" acts on
    subjects: list[PhraseMatch] = field(default_factory=list)  # waiting for their adjective
    graded: bool = False  # the waiting subjects have had one
    grade: Grade | None = None  # an adjective waiting for its subjects
    attributes: list[Meaning] = field(default_factory=list)  # waiting for their finding
    latest: list[Mention] = field(default_factory=list)  # those that attributes may still follow
    conjunction: Literal["", "or", "either"] = ""

    def end_scope(self) -> None:
        self.scope, self.cue = None, ""
        self.segment = len(self.mentions)
        self.conjunction = ""

    def text(self, phrase: PhraseMatch) -> str:
        return " ".join(self.words[phrase.start : phrase.end])


def read_sentence(words: list[str], phrases: Sequence[PhraseMatch]) -> tuple[list[Mention], bool]:
    """The findings that a sentence mentions, and whether it calls anything normal or clear."""
    sentence = _Sentence(words, phrases)
    for i, phrase in enumerate(phrases):
        _read(sentence, i, phrase)
    for mention in sentence.mentions[-1:]:  # "small effusions, right greater than left"
        _describe([mention], sentence.attributes)
    return sentence.mentions, sentence.normal


def _read(sentence: _Sentence, i: int, phrase: PhraseMatch) -> None:
    match phrase.meaning.kind:
        case "finding":
            before = sentence.phrases[i - 1].meaning.kind if i else None
            _add_finding(sentence, phrase, normal=before == "normal")
        case "subject":
            _add_subject(sentence, phrase)
        case "enlarged" | "borderline" | "normal" | "clear" as grade:
            preceding = [p.meaning.kind for p in sentence.phrases[max(i - 2, 0) : i]]
            if grade == "normal" and preceding == ["finding", "verb"]:
                _act_on_preceding(sentence, phrase, "absent")
            if preceding != ["finding", "verb"] or sentence.subjects:
                _apply_grade(sentence, grade)
        case "deny" | "doubt" as cue:
            _open_scope(sentence, phrase, "absent" if cue == "deny" else "uncertain")
        case "same":
            _open_scope(sentence, phrase, "present")
        case "denied":
            _act_on_preceding(sentence, phrase, "absent")
        case "doubted":
            _act_on_preceding(sentence, phrase, "uncertain")
        case "stop":
            sentence.end_scope()
            sentence.subjects, sentence.grade = [], None
            sentence.attributes, sentence.latest = [], []
        case "start":
            sentence.end_scope()
            sentence.latest = []
        case "comma" | "and":
            sentence.latest = []
            if _begins_statement(sentence, i):
                sentence.end_scope()
            sentence.conjunction = ""
        case "or" | "either" as join:
            sentence.latest = []
            sentence.conjunction = join
            if join == "either" and sentence.mentions:
                _set_state(sentence.mentions[-1], "uncertain", "versus")
        case "side" | "severity" | "place":
            if phrase.meaning.severity == "large" and _is_size_of_subject(sentence, i):
                _apply_grade(sentence, "enlarged")
            elif sentence.latest:
                _describe(sentence.latest, [phrase.meaning])
            else:
                sentence.attributes.append(phrase.meaning)
        case "verb":
            sentence.grade = None


def _add_finding(sentence: _Sentence, phrase: PhraseMatch, *, normal: bool) -> None:
    """Add the findings that a phrase names, in the state of the current scope.

    Alternatives ("atelectasis or scarring") are uncertain unless both are one finding.
    """
    meaning = phrase.meaning
    state, cue = sentence.scope or "present", sentence.cue
    if normal:  # "normal interstitial markings"
        state, cue = "absent", "normal"
    if sentence.conjunction and not sentence.scope and len(sentence.mentions) > sentence.segment:
        before = sentence.mentions[-1]
        if before.name not in meaning.names:
            _set_state(before, "uncertain", "or")
            state, cue = before.state, "or"
    trigger = sentence.text(phrase)
    new = [Mention(name, state, trigger, cue, meaning.detail) for name in meaning.names]
    _describe(new, sentence.attributes)
    sentence.mentions += new
    sentence.attributes, sentence.latest, sentence.conjunction = [], new, ""


def _add_subject(sentence: _Sentence, phrase: PhraseMatch) -> None:
    if sentence.graded:
        sentence.subjects, sentence.graded = [], False
    if sentence.grade:
        _add_graded(sentence, [phrase], sentence.grade)
    else:
        sentence.subjects.append(phrase)


def _apply_grade(sentence: _Sentence, grade: Grade) -> None:
    """Apply an adjective to the subjects before it, or else to those that follow."""
    if grade in ("normal", "clear") and sentence.scope != "absent":
        sentence.normal = True
    if sentence.subjects and not sentence.graded:
        _add_graded(sentence, sentence.subjects, grade)
        sentence.graded = True
    elif not sentence.subjects:
        sentence.grade = grade


def _add_graded(sentence: _Sentence, subjects: Sequence[PhraseMatch], grade: Grade) -> None:
    """Add the findings of subjects with their adjective: an enlarged heart, clear lungs."""
    state: State = {"enlarged": "present", "borderline": "uncertain"}.get(grade, "absent")  # type: ignore[assignment]
    if state == "present" and sentence.scope:
        state = sentence.scope
    elif state == "absent" and sentence.scope == "absent":
        return  # "not normal" does not specify how
    for subject in subjects:
        names = subject.meaning.names
        if state not in _GRADES[names[0]] or (grade == "clear" and names[0] in _NEVER_SIDED):
            continue
        if len(names) > 1 and state != "absent":
            names = names[:1]
        trigger = f"{sentence.text(subject)} {grade}"
        new = [Mention(name, state, trigger) for name in names]
        _describe(new, sentence.attributes)
        sentence.mentions += new
    sentence.attributes = []


def _open_scope(sentence: _Sentence, phrase: PhraseMatch, state: State) -> None:
    if not (sentence.scope == "absent" and state == "uncertain"):  # "no suspicious nodule"
        sentence.scope, sentence.cue = state, sentence.text(phrase)
    if state == "absent":
        sentence.segment = len(sentence.mentions)
    sentence.latest = []
    sentence.conjunction = ""


def _act_on_preceding(sentence: _Sentence, phrase: PhraseMatch, state: State) -> None:
    for mention in sentence.mentions[sentence.segment :]:
        _set_state(mention, state, sentence.text(phrase))
    sentence.end_scope()


def _set_state(mention: Mention, state: State, cue: str) -> None:
    """Make a mention less certain, never more certain."""
    order: tuple[State, ...] = ("present", "uncertain", "absent")
    if order.index(state) > order.index(mention.state):
        mention.state, mention.cue = state, cue


def _begins_statement(sentence: _Sentence, i: int) -> bool:
    """Whether a new statement begins after the comma or "and" at phrases[i]."""
    following = sentence.phrases[i + 1 : i + 1 + _LOOK_AHEAD]
    kinds = [phrase.meaning.kind for phrase in following]
    if not kinds or kinds[0] not in _STARTS:
        return False
    if kinds[0] in ("start", "subject", "deny"):
        return True
    for kind in kinds:  # "no nodule, large effusion or pneumothorax" is one list
        if kind == "or":
            return False
        if kind in ("stop", "start", "verb", "deny"):
            break
    return True


def _is_size_of_subject(sentence: _Sentence, i: int) -> bool:
    """Whether a "large" at phrases[i] describes a structure: "the heart is large"."""
    if not sentence.subjects or sentence.graded:
        return False
    while i and sentence.phrases[i - 1].meaning.kind == "severity":  # "slightly large"
        i -= 1
    return i > 0 and sentence.phrases[i - 1].meaning.kind in ("verb", "subject")


def _describe(mentions: Sequence[Mention], meanings: Sequence[Meaning]) -> None:
    """Add side, severity and place to mentions; the nearest word decides the severity."""
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
