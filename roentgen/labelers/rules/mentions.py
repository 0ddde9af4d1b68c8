"""Mentions of findings in a sentence, and how they belong together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from roentgen.labelers.rules.lexicon import Kind, Phrase
from roentgen.labelers.rules.neighbors import JOINS, LINKS, locates
from roentgen.record.doubt import probability_of
from roentgen.record.finding import FindingName, State
from roentgen.statements.hierarchy import ancestors, labels_of

# "assessed" and "unclear" findings may be neither present nor absent: "evaluation for", "unclear
# if"; historical ones are those of an earlier study.
Mark = Literal["historical", "assessed", "unclear"]

POSSIBLE = probability_of("possible")
_CERTAINTY: tuple[State, ...] = ("present", "uncertain", "absent")
# Findings whose interpretation is in the same place, and those that share a place when joined.
_EXPLAINED: frozenset[FindingName] = frozenset({"Lung Opacity", "Lung Lesion", "Consolidation"})
_LOCAL: frozenset[FindingName] = _EXPLAINED | {"Atelectasis", "Pneumonia", "Pleural Effusion"}
_SIDED: frozenset[FindingName] = _LOCAL | {"Pneumothorax", "Pleural Other"}


@dataclass(slots=True)
class Mention:
    """A finding in a sentence, as it is read."""

    node: str
    head: Phrase
    state: State
    probability: float | None = None
    cue: Phrase | None = None
    before: list[Phrase] = field(default_factory=list)  # modifiers in front of the noun
    after: list[Phrase] = field(default_factory=list)
    around: list[Phrase] = field(default_factory=list)  # where the clause is: "the left lung has"
    join: Kind | None = None  # how it is joined with the finding before
    complement: bool = False  # behind a preposition: "changes of emphysema"
    explains: Self | None = None  # the finding that it is an interpretation of
    located_by: Self | None = None  # another finding that is in the same place
    mark: Mark | None = None
    dropped: bool = False
    implied: bool = False  # by a structure's adjective
    stable: bool = False  # the structure is unchanged, its state not known

    def weaken(self, state: State, probability: float | None, cue: Phrase | None) -> None:
        """Make it less certain, never more certain."""
        if _CERTAINTY.index(state) > _CERTAINTY.index(self.state):
            self.state, self.probability, self.cue = state, probability, cue

    def settle(self, *, limited: bool, historical: bool) -> None:
        """End its clause: `limited` in what can be seen, `historical` by its tense."""
        if limited and self.mark == "assessed":
            self.dropped = True
        if historical:
            self.mark = "historical"
        if self.mark == "unclear" and any(phrase.kind == "change" for phrase in self.after):
            self.state, self.probability, self.cue = "present", None, None

    def is_a(self, *names: FindingName) -> bool:
        """Whether one of its labels is among the names."""
        return not set(names).isdisjoint(labels_of(self.node))

    def locate(self) -> None:
        """Take the place of the finding that it belongs to, if it has none of its own.

        An interpretation is where what it explains is: "left basilar opacity, likely atelectasis".
        """
        explained = self.explains if self.explains and is_explained(self.explains.node) else None
        other = self.located_by or explained
        if other and not any(map(locates, (*self.before, *self.after, *self.around))):
            theirs = (*other.before, *other.after, *other.around)
            self.around = [p for p in theirs if locates(p) or p.kind in JOINS]


def is_explained(node: str) -> bool:
    """Whether an interpretation of a finding is in the finding's place."""
    return node == "costophrenic angle blunting" or not _EXPLAINED.isdisjoint(labels_of(node))


def severity_of(mention: Mention, own: Sequence[Phrase]) -> list[Phrase]:
    """The severity in front of a mention, for another one that has no modifiers of its own."""
    return [] if own else [phrase for phrase in mention.before if phrase.kind == "severity"]


def preceding(mentions: Sequence[Mention]) -> list[Mention]:
    """The findings of a clause that a cue behind them acts on: the last one and its list.

    Behind "changes of emphysema" it acts on the changes, and a comma only continues a list that an
    "or" or "and" ends.
    """
    last = len(mentions)
    while last > 1 and mentions[last - 1].complement:
        last -= 1
    listed = list(mentions[:last])
    chain = listed[-1:]
    in_list = bool(chain) and chain[0].join in LINKS
    for mention, before in zip(listed[::-1], listed[-2::-1], strict=False):
        joined = mention.join in LINKS or (mention.join == "comma" and in_list)
        if not joined and mention.head is not before.head:
            break
        in_list = in_list or mention.join in LINKS
        chain.append(before)
    return chain


def _may_be(opacity: Mention, new: Mention) -> bool:
    """Whether one is a description of an opacity, and the other a finding that it may be."""
    described = labels_of(opacity.node) == ("Lung Opacity",) and not opacity.implied
    return described and new.is_a("Pneumonia")


def in_place_of(
    new: Mention,
    before: Sequence[Mention],
    own: Sequence[Phrase],
    join: Kind | None,
    *,
    listed: bool,
) -> Mention | None:
    """The last finding before, if a new one with its own modifiers is in the same place.

    So are "effusion with adjacent atelectasis", "atelectasis/pneumonia", "effusion and
    atelectasis" and "opacity, atelectasis". `listed`: the words that join them do nothing else.
    """
    if not before or before[-1].state == "absent":
        return None
    last = before[-1]
    beside = any(phrase.kind == "beside" for phrase in own) or join == "slash"
    beside |= new.node == "air bronchogram"  # it is in an opacity
    joined = join == "and" and not own and new.is_a(*_LOCAL) and last.is_a(*_LOCAL)
    joined |= listed and not any(map(locates, own)) and new.is_a(*_SIDED) and last.is_a(*_SIDED)
    named = join == "comma" and (last.node in ancestors(new.node) or _may_be(last, new))
    joined |= last.head.end == new.head.start and not own  # "bibasilar atelectatic opacities"
    return last if beside or joined or named else None


def _common_kind(one: str, other: str) -> str | None:
    """The nearest finding with a label that two are kinds of; None if there is none."""
    above = (other, *ancestors(other))
    return next((n for n in (one, *ancestors(one)) if n in above and labels_of(n)), None)


def read_alternatives(mentions: Sequence[Mention], new: Sequence[Mention]) -> list[Mention]:
    """Make the last finding and a new one behind an "or" uncertain, and locate them alike.

    Returns what both are kinds of, which is present: "atelectasis or scarring" is an opacity.
    """
    before = mentions[-1]
    if before.is_a(*labels_of(new[0].node)):
        return []
    for mention in (before, *new):
        mention.weaken("uncertain", POSSIBLE, None)
    if before.explains is None and before.join == "comma" and len(mentions) > 1:
        before.explains = mentions[-2]  # "opacity, atelectasis or scarring"
    for mention in new:
        mention.explains = mention.explains or before.explains
        mention.located_by = before.located_by
        mention.before = [*severity_of(before, mention.before), *mention.before]
        if not any(map(locates, mention.before)):
            mention.around = [p for p in before.before if locates(p) or p.kind in JOINS]
    common = _common_kind(new[0].node, before.node)
    if before.probability != POSSIBLE or common is None:
        return []
    modifiers = [*before.before, *new[0].before]
    return [Mention(common, new[0].head, "present", before=modifiers, located_by=before.located_by)]
