"""Reader of a clause: gives modifiers to their nouns and states to the findings of their cues."""

from collections.abc import Sequence

from roentgen.labelers.rules.clause_state import ClauseState
from roentgen.labelers.rules.lexicon import MODIFIERS, Kind, Phrase
from roentgen.labelers.rules.mentions import (
    POSSIBLE,
    Mention,
    in_place_of,
    read_alternatives,
    severity_of,
)
from roentgen.labelers.rules.neighbors import (
    JOINS,
    LINKS,
    follows_preposition,
    is_complement,
    is_fronted,
    joins,
    locates,
    modifier_run,
    precedes_finding,
    precedes_noun,
)
from roentgen.labelers.rules.sentence_state import Scope
from roentgen.labelers.rules.structures import (
    ABNORMALITY,
    LUNGS,
    MARKINGS,
    Subject,
    implied_mentions,
    is_normal,
    stable_mentions,
    state_of_grade,
)
from roentgen.record.doubt import probability_of, state_of
from roentgen.record.finding import State
from roentgen.statements.hierarchy import ancestors, labels_of

_HEADS: frozenset[Kind] = frozenset(
    {"finding", "structure", "abnormality", "anatomy", "other", "one", "enlarged", "borderline"}
)
_GRADES: frozenset[Kind] = frozenset({"enlarged", "borderline", "normal", "clear", "not_large"})


_WHERE = (LUNGS, ("abnormality",))  # structures that findings are in


class ClauseReader(ClauseState):
    """Reads one clause."""

    def read(self) -> None:
        """Read the clause and add its findings to the sentence's."""
        sentence = self.sentence
        if sentence.topic:
            self.around, sentence.topic = sentence.topic, []
        if self.clause.opening == "due" and sentence.last:
            self.link = sentence.last[-1]
        if self.clause.opening not in ("colon", "dash", "open") and not self.headless:
            sentence.subjects = []
        i = 0
        while i < len(self.phrases):
            i = self._read(i)
        self._end()

    def _read(self, i: int) -> int:
        """Read the phrase at `i`; returns the index of the next one."""
        phrase = self.phrases[i]
        kind = phrase.kind
        if kind in MODIFIERS:
            return self._read_modifiers(i)
        match kind:
            case "finding":
                self._add_finding(phrase, i)
            case "one":
                self._repeat(self.heads[-1:] or self.sentence.last, "present", phrase, keep=True)
            case "structure" if precedes_finding(self.phrases, i) and phrase.names == LUNGS:
                pass  # "a small lung nodule"
            case "structure" if self.heads and self._locates_heads(phrase, i):
                self.around, self.pending = [*self.around, *self.take()], []
            case "structure":
                self._add_subject(phrase)
            case "abnormality":
                if self.scope and self.scope.state == "absent":
                    self._deny_abnormality(phrase, i)
                self.pending, self.owner = [], True
                self.group = []
            case "anatomy" if precedes_finding(self.phrases, i):  # "a small lung nodule"
                pass
            case "anatomy":
                if self.pending:
                    self.around, self.pending = self.pending, []
            case "other":
                if self.link:  # "nodule, thought to be a nipple shadow"
                    cue = self.scope.cue if self.scope else None
                    self.link.weaken("uncertain", POSSIBLE, cue)
                self.pending, self.group, self.owner = [], [], True
                if self.scope:
                    self.scope.used = True
            case "not_large" if not self.sentence.subjects:
                pass
            case kind if kind in _GRADES:
                self._apply_grade(phrase, i)
            case "deny" | "gone":
                self._open_scope(phrase, "absent", 0.0)
            case "doubt":
                self._open_doubt(phrase)
            case "assess" | "unclear":
                if not (self.scope and self.scope.state == "absent"):
                    self._open_scope(phrase, "uncertain", POSSIBLE)
            case "differential":
                self.differential = True
                self._open_scope(phrase, None, None)
            case "over":
                if self.scope and self.scope.kind == "doubt":  # "favor atelectasis over pneumonia"
                    self._open_scope(phrase, "uncertain", probability_of("less likely"))
            case "historical" | "same":
                self._open_scope(phrase, None, None)
            case "denied" | "unseen":
                self._act_backward(phrase, "absent", 0.0)
            case "doubted" if precedes_noun(self.phrases, i):  # "is likely atelectasis"
                self._open_doubt(phrase)
            case "doubted":
                probability = probability_of(phrase.names[0])
                self._act_backward(phrase, state_of(probability), probability)
            case "historical_before":
                for mention in self.preceding():
                    mention.mark = "historical"
            case "none":
                self._read_none(phrase, i)
            case "limited" | "obscured":
                self._limit(phrase)
            case "either" | "preferred":
                self._read_either(phrase)
            case "or" | "slash" | "and" | "comma":
                self.join = kind if self.join in (None, "comma") else self.join
                self.listed = "list" in phrase.names
                self.owner = False
            case "prior":
                self.prior = True
            case "verb" | "past" | "shows":
                self.past |= kind == "past"
                self._read_verb()
                if self.differential:
                    self._open_scope(phrase, "uncertain", POSSIBLE)
        if kind not in (*JOINS, "finding", "the"):
            self.join, self.listed = None, False
        return i + 1

    def _read_modifiers(self, i: int) -> int:
        """Give a run of sides, severities and places to the noun it belongs to."""
        phrases = self.phrases
        in_place = follows_preposition(self.phrases, i)
        run, end = modifier_run(phrases, i)
        kinds = [phrase.kind for phrase in phrases[end : end + 2]]
        if kinds == ["comma", "finding"] and not self.heads:  # "small, nodular opacity"
            end += 1
        if kinds == ["the", "finding"] and phrases[end].start == run[-1].end:
            end += 1  # "moderate areas of atelectasis"
        following = phrases[end].kind if end < len(phrases) else None
        first = phrases[i]
        if following == "verb" and in_place and self.group and is_fronted(self.phrases, i):
            self.group = []
        if following in _HEADS and not (
            (
                following in ("anatomy", "structure")
                and self.group
                and (in_place or self.join is None)
            )
            or (self.follow and self.group and not self.join and not any(map(joins, run)))
        ):
            if self.is_size_of_subject(run, i) and following != "enlarged":
                self._enlarge(run, i)
            else:
                self.pending = [*self.pending, *self.nearest_to_noun(run, i)]
        elif self.owner or not (run := self.without_foreign(run, i)):
            pass
        elif self.group:
            self.attach(run, in_place=in_place)
        elif self.is_size_of_subject(run, i):
            self._enlarge(run, i)
        elif self.sentence.subjects and not any(map(locates, run)):
            changes = [p.names[0] for p in run if p.kind == "change"]
            if "unchanged" in changes:
                self._call_stable(first)
            elif "increased" in changes and (
                self.sentence.subjects[-1][0].names == MARKINGS
                or any("enlarged" in p.names for p in run)
            ):
                self._apply_grade(first, i, enlarged=True)
        elif self.is_elliptic(run, following, in_place=in_place):
            self.pending = [*run]  # "the right effusion is large and the left is small"
            self._repeat(self.sentence.last, "present", first, keep=False)
            self.headless = False
        elif self.headless and not in_place and following in ("verb", "past", "shows"):
            self.around = [*self.around, *run]  # "the left base is clear"
        elif self.scope and not self.scope.used and self.scope.state == "absent" and self.headless:
            self.around = [*self.around, *run]  # "not on the right"
        elif self.headless and self.sentence.last and self.clause.opening == "except":
            self.pending = [*run]
            self._repeat(self.sentence.last, "present", first, keep=False)
        elif self.headless and self.judges and any(map(locates, run)):
            pass  # "right effusion, left clear"
        elif (
            self.headless
            and self.sentence.last
            and not (any(map(locates, run)) and self.is_topic(i))
        ):
            mark = [] if self.attached else [Phrase("comma", (), first.start, first.start)]
            self.attached = True
            for mention in self.sentence.last:
                mention.after += [*mark, *run]
            self.settle_cue()
        else:
            self.around = [*self.around, *run]
        self.join = None
        return end

    def _add_finding(self, phrase: Phrase, i: int) -> None:
        state, probability, cue = self.scope_state()
        mark = self.scope.mark if self.scope else None
        if i and self.phrases[i - 1].kind == "normal":  # "normal interstitial markings"
            state, probability, cue = "absent", 0.0, self.phrases[i - 1]
        if ABNORMALITY in phrase.names and state == "absent":
            self._deny_abnormality(phrase, i)
        own = self.take()
        if state == "absent":
            own = self.affirm_other_side(phrase, own)
        if "Support Devices" in labels_of(phrase.names[0]):
            own = [p for p in own if p.kind != "severity"]
        shared = self.join == "slash" and self.heads  # "mild infiltrate/atelectasis"
        before = [*own, *(severity_of(self.heads[-1], own) if shared else ())]
        new = [
            Mention(node, phrase, state, probability, cue, list(before), join=self.join, mark=mark)
            for node in phrase.names
            if node != ABNORMALITY
        ]
        described = any(mention.after for mention in self.group)  # "on the left and"
        choice = self.scope.kind if self.scope and not self.scope.used else None
        either = choice == "either"
        linked = self.join in LINKS or choice in ("either", "preferred")
        joined = linked and not own and self.group and not described
        if self.heads and ((self.join == "or" and not self.scope) or either):
            new += read_alternatives(self.heads, new)
        before = self.heads or self.sentence.last
        located_by = in_place_of(new[0], before, own, self.join, listed=self.listed)
        for mention in new:
            mention.located_by = located_by or mention.located_by
            mention.around = mention.around or self.around
            mention.explains = mention.explains or self.link
            mention.complement = bool(self.heads) and (
                is_complement(self.phrases, i) or (self.join in LINKS and self.heads[-1].complement)
            )
        if self.link and state != "absent":  # "nodule, consistent with a nipple shadow"
            replacing = self.sentence.replaced_by.get(self.link.node, ())
            kinds = (phrase.names[0], *ancestors(phrase.names[0]))
            self.link.dropped |= not set(replacing).isdisjoint(kinds)
        self.heads += new
        self.group = [*self.group, *new] if joined else new
        self.owner = False
        if self.scope:
            self.scope.used = True
        self.sentence.reading.mentions += new
        self.join = None

    def _repeat(
        self, mentions: Sequence[Mention], state: State, cue: Phrase, *, keep: bool
    ) -> list[Mention]:
        """Speak of the findings before again: "a moderate one", "none on the left"."""
        own = self.take()
        new = [
            Mention(m.node, cue if keep else m.head, state, None, cue, list(own)) for m in mentions
        ]
        for mention in new:
            mention.around = self.around
        self.sentence.reading.mentions += new
        self.heads += new
        self.group = list(new)
        return new

    def _add_subject(self, phrase: Phrase) -> None:
        own = self.take()
        if self.graded:
            self.sentence.subjects, self.graded = [], False
        if any(map(locates, own)):
            self.around = [p for p in own if locates(p) or p.kind in JOINS]
        self.group, self.owner = [], False
        if self.scope:
            self.scope.used = True
        if self.grade is not None:
            self._imply([(phrase, own)], self.grade)
        else:
            self.sentence.subjects.append((phrase, own))

    def _apply_grade(self, phrase: Phrase, i: int, *, enlarged: bool = False) -> None:
        """Apply an adjective to the structures before it, or else to those that follow."""
        value = self.headless and self.clause.opening in ("colon", "dash", "open")
        if value and phrase.kind in ("normal", "clear"):  # "pneumothorax: clear"
            for mention in self.antecedents():
                mention.weaken("absent", 0.0, phrase)
        before = [p.kind for p in self.phrases[max(i - 2, 0) : i]]
        ends = before[-1:] == ["finding"] and i == len(self.phrases) - 1  # "effusion: normal"
        ends = ends or before in (["finding", "verb"], ["finding", "past"])
        device = ends and self.heads[-1].is_a("Support Devices")  # "the leads are intact"
        if phrase.kind == "normal" and ends and not device:
            self._act_backward(phrase, "absent", 0.0)
        if enlarged:
            phrase = Phrase("enlarged", phrase.names, phrase.start, phrase.end)
        if self.sentence.subjects and not self.graded:
            self._imply(self.sentence.subjects, phrase)
            self.graded = True
        elif phrase.kind == "enlarged" and self.group and not self.join:  # "effusion enlarged"
            change = Phrase("change", ("increased",), phrase.start, phrase.end)
            for mention in self.group:
                mention.after.append(change)
        elif not self.sentence.subjects:
            self.grade = phrase
            if phrase.kind == "clear" or phrase.kind == "normal":
                self.pending = []

    def _locates_heads(self, phrase: Phrase, i: int) -> bool:
        """Whether a structure is where the findings before are: "opacity in the left lung"."""
        adjoins = self.follow and not self.join
        graded = any(behind.kind in _GRADES for behind in self.phrases[i:])
        return (adjoins and not graded) or is_complement(self.phrases, i)

    def _imply(self, subjects: Sequence[Subject], grade: Phrase) -> None:
        """Add the findings of structures with their adjective."""
        severity = [p for p in self.take() if p.kind in ("severity", "change")]
        scope = self.scope if self.scope and self.scope.state else None
        if scope and scope.state == "absent" and state_of_grade(grade) == "absent":
            return  # "not normal" does not specify how
        new = implied_mentions(subjects, grade, severity)
        for mention in new:
            if scope and scope.state and mention.state == "present":
                mention.weaken(scope.state, scope.probability, scope.cue)
            mention.mark = self.scope.mark if self.scope else None
        reading = self.sentence.reading
        reading.normal |= any(is_normal(subject, grade) for subject in subjects)
        reading.mentions += new
        self.heads += new
        self.group = [
            mention for mention in self.heads if mention.implied and mention.state != "absent"
        ]

    def _deny_abnormality(self, phrase: Phrase, i: int) -> None:
        """What is before is normal ("heart: no abnormality"); without a structure, the chest is."""
        if self.sentence.subjects and not self.graded:
            self.scope = None
            self._apply_grade(Phrase("normal", (), phrase.start, phrase.end), i)
            return
        assert self.scope
        self.scope.used = True
        part = any(locates(p) and p.names != ("bilateral",) for p in self.around)
        if not part and not any(before.kind == "anatomy" for before in self.phrases[:i]):
            self.sentence.reading.normal = True

    def _call_stable(self, cue: Phrase) -> None:
        """As in "the heart size is unchanged": the state is not known."""
        if not self.graded:
            self.sentence.reading.mentions += stable_mentions(self.sentence.subjects, cue)

    def _enlarge(self, run: Sequence[Phrase], i: int) -> None:
        """A structure that is large is enlarged: "the heart is slightly large"."""
        self.pending = [*self.pending, *run[:-1]]
        self._apply_grade(run[-1], i, enlarged=True)

    def _open_scope(self, cue: Phrase, state: State | None, probability: float | None) -> None:
        self.scope = Scope(cue.kind, state, probability, cue)
        self.group = []
        self.link = None

    def _open_doubt(self, cue: Phrase) -> None:
        if self.scope and self.scope.state == "absent":  # "no suspicious nodule"
            return
        probability = probability_of(cue.names[0])
        if self.scope and self.scope.kind == "doubt" and not self.scope.used:
            # "may be compatible with": the less certain counts
            probability = min(probability, self.scope.probability or 0.0)
        before = self.heads or (self.sentence.last if self.clause.opening != "start" else [])
        link = before[-1] if before and before[-1].state != "absent" else None
        self._open_scope(cue, state_of(probability), probability)
        self.link = link

    def _act_backward(self, cue: Phrase, state: State, probability: float) -> None:
        if self.scope and not self.scope.used and cue.kind == "doubted":
            self.scope = None
        preceding = self.preceding()
        for mention in preceding:
            if cue.kind == "unseen" and mention.is_a("Support Devices"):
                continue
            mention.weaken(state, probability, cue)
            if mention.mark == "historical":  # "showed an effusion, which is gone"
                mention.mark = None
        self.scope, self.group = None, preceding

    def _read_none(self, cue: Phrase, i: int) -> None:
        """As in "Pneumothorax: none", "right effusion, none on the left", "today none is seen"."""
        before = self.heads or self.sentence.last
        if not before:  # "(-) pneumothorax"
            self._open_scope(cue, "absent", 0.0)
        if any(map(locates, self.phrases[i + 1 :])):
            self._repeat(before, "absent", cue, keep=False)
            return
        for mention in before:
            mention.state, mention.probability, mention.cue = "absent", 0.0, cue
            if mention.mark == "historical":
                mention.mark = None

    def _limit(self, cue: Phrase) -> None:
        """Nothing follows for a structure that is obscured or not well seen."""
        self.limited = True
        self.group, self.pending = [], []
        if cue.kind == "obscured":
            self.scope = None

    def _read_either(self, cue: Phrase) -> None:
        """As in "Atelectasis versus pneumonia": both are uncertain."""
        before = self.preceding()
        preferred = cue.kind == "preferred"
        for mention in before[:1] if not preferred else ():
            mention.weaken("uncertain", POSSIBLE, cue)
        if not (self.scope and self.scope.state == "absent"):
            probability = probability_of("less likely") if preferred else POSSIBLE
            self._open_scope(cue, "uncertain", probability)
        self.group = self.heads[-1:]

    def _read_verb(self) -> None:
        self.grade = None
        if self.pending:
            self.around, self.pending = self.pending, []
        self.owner = False

    def _end(self) -> None:
        sentence = self.sentence
        if self.pending and not self.owner:
            target = self.group or (sentence.last if self.headless else [])
            for mention in target:
                mention.after += self.take()
            self.around = [*self.around, *self.take()]
        if self.scope and not self.scope.used and self.scope.state:
            self._act_on_antecedents(self.scope)
        for mention in self.heads:
            mention.settle(limited=self.limited, historical=self.prior and self.past)
        if not self.headless and self.clause.opening == "colon" and self.heads:
            for mention in sentence.title:
                mention.dropped = True
        if self.clause.title:
            sentence.title = list(self.heads)
        elif self.clause.opening == "colon":
            sentence.title = []
        if self.graded:
            sentence.subjects = []
        if any(not mention.implied for mention in self.heads):  # "the lungs have an opacity"
            sentence.subjects = [s for s in sentence.subjects if s[0].names not in _WHERE]
        if self.heads:
            sentence.last = self.heads
        elif self.judges:
            pass  # "the right base is clear"
        elif self.around and (self.following in ("start", "due") or not sentence.last):
            fronted = self.phrases[0].kind == "in"  # "in the right lung, there is"
            if self.headless or self.limited or fronted or self.clause.title:
                sentence.topic = self.around

    def _act_on_antecedents(self, scope: Scope) -> None:
        """A cue with no noun of its own: "Effusion: no", "not on the right", "edema: possible"."""
        before = self.heads or self.antecedents()
        assert scope.state is not None
        known = self.around or [p for m in before for p in m.after]
        own = [p for p in known if p.start > scope.cue.start]
        if self.headless and any(locates(p) and p.start >= self.clause.start for p in known):
            own = [p for p in known if p.start >= self.clause.start]  # "on the left no"
        if own and scope.state == "absent":
            self.pending = list(own)
            for mention in before:
                mention.after = [p for p in mention.after if p not in own]
            self._repeat(before, "absent", scope.cue, keep=False)
        elif (self.headless or self.ends_in_cue()) and self.only_modifiers_follow(scope.cue):
            for mention in self.preceding():
                mention.weaken(scope.state, scope.probability, scope.cue)
