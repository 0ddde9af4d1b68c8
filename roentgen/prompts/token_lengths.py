"""Token counts of texts, and how many exceed a text encoder's limit."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

TokenCounter = Callable[[str], int]
TooLong = Literal["refuse", "truncate"]  # prompts beyond the limit
CLIP_TOKENS = 77  # positions of CLIP's text encoders, including the begin and end tokens
REPORT_SECTIONS = ("findings", "impression", "last_paragraph")


@dataclass
class TokenLengths:
    """The number of texts by their token count; those of disjoint sets can be added up."""

    limit: int = CLIP_TOKENS
    counts: Counter[int] = field(default_factory=Counter)  # texts by their tokens

    def add(self, tokens: int) -> None:
        """Count one text."""
        self.counts[tokens] += 1

    def update(self, other: "TokenLengths") -> None:
        """Add the counts of other texts."""
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
        """The share of texts beyond the limit; 0 without texts."""
        return self.beyond / self.texts if self.texts else 0.0

    def quantile(self, share: float) -> int:
        """The least token count that this share of the texts does not exceed; 0 without texts."""
        below = 0
        for tokens, n in sorted(self.counts.items()):
            below += n
            if below >= share * self.texts:
                return tokens
        return 0

    def summary(self) -> str:
        """As text: "median 22, longest 143 tokens; 12 of 340 (3.5 %) beyond 77"."""
        longest = max(self.counts, default=0)
        return (
            f"median {self.quantile(0.5)}, longest {longest} tokens; {self.beyond} of {self.texts} "
            f"({self.share_beyond:.1%}) beyond {self.limit}"
        )
