"""How long texts are in a model's tokens, and how many of them its text encoder would cut."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from roentgen.record.radiograph import Report
from roentgen.record.views import VIEW_TOKENS

TokenCounter = Callable[[str], int]
LIMIT = 77  # positions of CLIP's text encoders, begin and end tokens among them
REPORT_SECTIONS = ("findings", "impression", "last_paragraph")


def token_counter(model: str | None = None) -> TokenCounter:
    """Counts the tokens of a text, begin and end tokens among them; a view token is one.

    `model`: a pipeline folder, a repository id or "tiny"; None: CLIP's tokenizer, which Stable
    Diffusion 1.x and 2.x share. Raises InputError for a model that is not found.
    """
    if model is None:
        from roentgen.diffusion.conditions.clip_tokenizer import clip_tokenizer

        tokenizer = clip_tokenizer()
    else:
        from roentgen.diffusion.backbones.stable_diffusion import load_tokenizer

        tokenizer = load_tokenizer(model)
    tokenizer.add_tokens(list(VIEW_TOKENS.values()))
    return lambda text: len(tokenizer(text, verbose=False).input_ids)


@dataclass
class Lengths:
    """A tally of token counts; tallies of parts add up to that of the whole, in any order."""

    limit: int = LIMIT
    counts: Counter[int] = field(default_factory=Counter)  # texts by their tokens

    def add(self, tokens: int) -> None:
        """Count one text."""
        self.counts[tokens] += 1

    def update(self, other: "Lengths") -> None:
        """Add the tally of another part."""
        self.counts.update(other.counts)

    @property
    def texts(self) -> int:
        """The number of texts."""
        return self.counts.total()

    @property
    def beyond(self) -> int:
        """The number of texts beyond the limit."""
        return sum(n for tokens, n in self.counts.items() if tokens > self.limit)

    @property
    def share_beyond(self) -> float:
        """The share of texts beyond the limit; 0 of none."""
        return self.beyond / self.texts if self.texts else 0.0

    def quantile(self, share: float) -> int:
        """The least count that this share of the texts does not exceed; 0 of none."""
        below = 0
        for tokens, n in sorted(self.counts.items()):
            below += n
            if below >= share * self.texts:
                return tokens
        return 0

    def summary(self) -> str:
        """In words: "median 22, longest 143 tokens; 12 of 340 (3.5 %) beyond 77"."""
        longest = max(self.counts, default=0)
        return (
            f"median {self.quantile(0.5)}, longest {longest} tokens; {self.beyond} of {self.texts} "
            f"({self.share_beyond:.1%}) beyond {self.limit}"
        )


def report_lengths(
    reports: Iterable[Report | None], count_tokens: TokenCounter
) -> dict[str, Lengths]:
    """The lengths of each section that has a text, by the section's name."""
    tallies: dict[str, Lengths] = {}
    for report in reports:
        for section in REPORT_SECTIONS:
            if text := getattr(report, section, None):
                tallies.setdefault(section, Lengths()).add(count_tokens(text))
    return tallies
