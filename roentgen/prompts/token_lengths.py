"""How long texts are in a model's tokens, and how many of them its text encoder would cut."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

TokenCounter = Callable[[str], int]
LIMIT = 77  # positions of CLIP's text encoders, begin and end tokens among them
REPORT_SECTIONS = ("findings", "impression", "last_paragraph")


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
