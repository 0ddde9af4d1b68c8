"""State of a clause while it is read: its findings, what waits for its noun, the open scope."""

from collections.abc import Sequence

from roentgen.labelers.rules.clauses import Clause
from roentgen.labelers.rules.lexicon import MODIFIERS, Kind, Phrase
from roentgen.labelers.rules.mentions import Mention, in_place_of
from roentgen.labelers.rules.mentions import preceding as last_of
from roentgen.labelers.rules.neighbors import follows_preposition, is_fronted, joins, locates
from roentgen.labelers.rules.sentence_state import Scope, Sentence
from roentgen.record.finding import State

_PREDICATES: frozenset[Kind] = frozenset(
    {"verb", "past", "shows", "denied", "unseen", "doubted", "same"}
)


class ClauseState:
    """What is known of a clause, and what it can speak about."""

    def __init__(self, sentence: Sentence, clause: Clause, following: Kind | None) -> None:
        self.sentence = sentence
        self.clause = clause
        self.phrases = clause.phrases
        self.follow = not sentence.modifiers_precede  # modifiers the noun that they describe
        self.following = following
        self.scope: Scope | None = None
        self.pending: list[Phrase] = []  # modifiers that wait for their noun
        self.heads: list[Mention] = []  # findings of this clause
        self.group: list[Mention] = []  # joined findings that modifiers may still follow
        self.around: list[Phrase] = []
        self.owner: bool = False  # a noun that is no finding takes the modifiers
        self.join: Kind | None = "comma" if clause.opening == "comma" else None
        self.listed = False  # by words that do nothing else
        self.link: Mention | None = None
        self.grade: Phrase | None = None
        self.graded = False
        self.limited = False
        self.differential = False
        self.attached = False  # modifiers to the findings of the clause before
        self.prior = self.past = False  # "on the prior study there was"
        kinds = {phrase.kind for phrase in self.phrases}
        self.judges = bool(kinds & {"normal", "clear", "not_large", "enlarged"})  # a structure
        self.headless = not kinds & {"finding", "structure", "abnormality", "other", "one"}

    def take(self) -> list[Phrase]:
        """The modifiers that wait for a noun, which now has come."""
        taken, self.pending = self.pending, []
        return taken

    def attach(self, run: list[Phrase], *, in_place: bool) -> None:
        """Give modifiers to the findings before: those that follow a noun to the last one alone.

        `in_place`: a preposition precedes them, as in "atelectasis or pneumonia in the left lung".
        """
        last = self.group[-1].head
        for mention in self.group:
            if in_place or not self.follow or mention.head is last:
                mention.after += run
        if self.follow and any(phrase.kind == "beside" for phrase in run):
            before = [m for m in self.heads if m not in self.group] or self.sentence.last
            for mention in self.group:
                other = in_place_of(mention, before, run, None, listed=False)
                mention.located_by = mention.located_by or other

    def preceding(self) -> list[Mention]:
        """The findings that a cue behind them acts on."""
        return self.antecedents() if self.headless else last_of(self.heads)

    def antecedents(self) -> list[Mention]:
        """The findings that a clause without a noun speaks about."""
        if self.sentence.subjects or self.sentence.unknown & {self.clause.start}:
            return []
        return self.sentence.last

    def is_topic(self, i: int) -> bool:
        """Whether the clause says where the next one is: "on the right, there is an effusion"."""
        return self.following in ("start", "due") and follows_preposition(self.phrases, i)

    def without_foreign(self, run: list[Phrase], i: int) -> list[Phrase]:
        """Those of a run that no unknown noun behind them owns: "effusion, mild scoliosis"."""
        last = run[-1]
        foreign = not self.follow and last.end in self.sentence.unknown
        if last.kind == "size" or not foreign:
            return run
        first = len(run) - 1
        while first and run[first - 1].end == run[first].start:
            first -= 1
        return run if first == 0 and follows_preposition(self.phrases, i) else run[:first]

    def scope_state(self) -> tuple[State, float | None, Phrase | None]:
        """The state of a finding here, with its probability and cue."""
        if self.scope is None or self.scope.state is None:
            return "present", None, None
        return self.scope.state, self.scope.probability, self.scope.cue

    def nearest_to_noun(self, run: list[Phrase], i: int) -> list[Phrase]:
        """Those of a run that the noun behind owns: "opacity in both lobes, small effusion"."""
        fronted = is_fronted(self.phrases, i)
        ends = [k for k, phrase in enumerate(run) if joins(phrase)]
        behind = i > 0 and self.phrases[i - 1].kind == "finding"  # "effusion small, left"
        in_place = behind or self.follow or follows_preposition(self.phrases, i)
        before = self.group if in_place else []
        if (
            i and self.phrases[i - 1].kind in ("verb", "past") and not self.heads
        ):  # "which is small, and a"
            before = self.sentence.last
        if not ends or not before or fronted:
            return run
        end = ends[-1 if self.follow else 0]
        for mention in before:
            mention.after += run[:end]
        return run[end + 1 :]

    def is_size_of_subject(self, run: Sequence[Phrase], i: int) -> bool:
        """Whether a "large" at phrases[i] describes a structure: "the heart is large"."""
        if run[-1].kind != "severity" or "large" not in run[-1].names:
            return False
        if not self.sentence.subjects or self.graded or self.heads:
            return False
        return i > 0 and self.phrases[i - 1].kind in ("verb", "past", "structure")

    def is_elliptic(self, run: Sequence[Phrase], following: Kind | None, *, in_place: bool) -> bool:
        """Whether a side stands for a finding before: "... and the left is small"."""
        if not (self.headless and self.sentence.last) or self.heads or self.judges:
            return False
        if all(phrase.kind != "side" for phrase in run):
            return False
        denied = self.sentence.last[-1].state == "absent"
        if in_place:  # "have cleared on the right but persist on the left"
            return denied and self.phrases[0].kind == "verb"
        changed = any(phrase.kind == "change" for phrase in run)
        return following in _PREDICATES or (changed and denied)

    def only_modifiers_follow(self, cue: Phrase) -> bool:
        """Whether no other noun follows a cue in the clause."""
        behind = [phrase.kind for phrase in self.phrases if phrase.start >= cue.end]
        unknown = self.sentence.unknown & set(range(cue.end, self.clause.end))
        return not unknown and MODIFIERS.issuperset(behind)

    def affirm_other_side(self, phrase: Phrase, own: list[Phrase]) -> list[Phrase]:
        """The modifiers of a denied finding, without those of the other side, which is present.

        As in "large right and no left effusion", "no right and small left effusion".
        """
        before = [p for p in self.around if p.start < self.clause.start]
        ends = [k for k, p in enumerate(own) if p.kind == "and"]
        if any(map(locates, before)) and any(map(locates, own)):
            present, self.around = before, []
        elif ends and any(p.kind == "severity" for p in own[ends[0] :]) and locates(own[0]):
            present, own = own[ends[0] + 1 :], own[: ends[0]]
        else:
            return own
        new = [Mention(node, phrase, "present", before=list(present)) for node in phrase.names]
        self.sentence.reading.mentions += new
        return own

    def settle_cue(self) -> None:
        """A doubt in front of the modifiers of a finding before: "edema: possible mild"."""
        scope = self.scope
        if scope and not scope.used and scope.state == "uncertain":
            for mention in self.sentence.last:
                mention.weaken(scope.state, scope.probability, scope.cue)
        if scope:
            scope.used = scope.used or scope.state != "absent"

    def ends_in_cue(self) -> bool:
        """As in "effusion no", "small effusion probably", but not in "effusions have not"."""
        before, last = [phrase.kind for phrase in self.phrases[-2:]]
        ends = self.following not in ("start", "due")
        return ends and last in ("deny", "doubt") and before in ("finding", *MODIFIERS)
