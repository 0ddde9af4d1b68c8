"""Structures whose adjective implies a finding: "the heart is enlarged", "the lungs are clear"."""

from collections.abc import Iterator, Sequence

from roentgen.labelers.rules.lexicon import Kind, Phrase
from roentgen.labelers.rules.mentions import Mention
from roentgen.labelers.rules.neighbors import locates
from roentgen.record.finding import State

Subject = tuple[Phrase, list[Phrase]]  # a structure and the modifiers in front of it
ABNORMALITY = "abnormality"  # of the chest: normal, it denies all findings
LUNGS = ("lung opacity",)
MARKINGS = ("interstitial opacity",)  # increased ones are present

# The states that an adjective can imply: enlarged vessels are congestion, but normal ones do not
# exclude edema; "large lungs" are no opacity.
_IMPLIED: dict[str, tuple[State, ...]] = {
    "cardiomegaly": ("present", "uncertain", "absent"),
    "enlarged cardiomediastinum": ("present", "uncertain", "absent"),
    "vascular congestion": ("present", "uncertain"),
    "interstitial opacity": ("present", "uncertain", "absent"),
    "lung opacity": ("absent",),
    "pleural effusion": ("absent",),
    "pleural thickening": ("present", "absent"),
}
_NEVER_CLEAR = ("cardiomegaly", "enlarged cardiomediastinum")
_STATES: dict[Kind, State] = {"enlarged": "present", "borderline": "uncertain"}


def state_of_grade(grade: Phrase) -> State:
    """The state that an adjective gives to the findings of a structure."""
    return _STATES.get(grade.kind, "absent")


def is_normal(subject: Subject, grade: Phrase) -> bool:
    """Whether the adjective calls the whole chest normal, or the lungs normal or clear."""
    structure, own = subject
    part = any(locates(phrase) and phrase.names != ("bilateral",) for phrase in own)
    everything = ABNORMALITY in structure.names or (structure.names == LUNGS and not part)
    return everything and state_of_grade(grade) == "absent"


def implied_mentions(
    subjects: Sequence[Subject], grade: Phrase, severity: Sequence[Phrase]
) -> list[Mention]:
    """The findings of structures with their adjective and the words of its severity."""
    state = state_of_grade(grade)
    probability = {"present": None, "uncertain": 0.5, "absent": 0.0}[state]
    return [
        Mention(node, subject, state, probability, grade, [*own, *severity], implied=True)
        for subject, own in subjects
        for node in _implied(subject.names, grade)
    ]


def stable_mentions(subjects: Sequence[Subject], cue: Phrase) -> list[Mention]:
    """The findings of structures that are unchanged, with a state that is not known."""
    return [
        Mention(node, subject, "present", None, cue, list(own), implied=True, stable=True)
        for subject, own in subjects
        for node in subject.names
        if node != ABNORMALITY
    ]


def _implied(names: Sequence[str], grade: Phrase) -> Iterator[str]:
    """The findings of a structure that an adjective decides.

    An enlarged cardiomediastinal silhouette is an enlarged cardiomediastinum, a normal one neither
    that nor cardiomegaly.
    """
    state = state_of_grade(grade)
    for node in names if state == "absent" else names[:1]:
        if state in _IMPLIED.get(node, ()) and not (grade.kind == "clear" and node in _NEVER_CLEAR):
            yield node
