"""Prompts and choices in the tokens of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from roentgen.annotate.readers.choices import ChoiceQuestion
from roentgen.annotate.readers.prompt import plain_prompt, user_message
from roentgen.errors import require


@dataclass(frozen=True)
class TokenPaths:
    """A question's prompt and its choices in tokens."""

    prompt: list[int]
    choices: list[list[int]]  # the tokens after the prompt, distinct, none empty

    @property
    def must_end(self) -> bool:
        """Whether one choice begins as another does ("mild", "mild to moderate")."""
        pairs = ((a, b) for a in self.choices for b in self.choices if a is not b)
        return any(b[: len(a)] == a for a, b in pairs)

    @property
    def length(self) -> int:
        """The tokens of the prompt with its longest choice."""
        return len(self.prompt) + max(map(len, self.choices))


def shared_length(a: Sequence[int], b: Sequence[int]) -> int:
    """The number of tokens that two sequences begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


class PromptTokenizer:
    """Tokens of prompts, in a tokenizer's chat template or as plain text."""

    def __init__(self, tokenizer: Any, *, plain: bool) -> None:
        self._tokenizer, self._plain = tokenizer, plain
        self._special = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)

    def paths(self, report: str, question: ChoiceQuestion) -> TokenPaths:
        """A question about a report. Raises InputError if two of its choices have the same tokens.

        The tokenizer may join the prompt's last characters with a choice's first ones: all choices
        begin after the tokens that each of them shares with the prompt. Special tokens in the
        report are blanks: it cannot end the user's turn.
        """
        for token in self._special:
            report = report.replace(token, " ")
        text = self._text(report, question)
        space = " " if self._plain else ""
        prompt = self._encode(text)
        whole = [self._encode(f"{text}{space}{choice}") for choice in question.choices]
        shared = min(shared_length(prompt, tokens) for tokens in whole)
        choices = [tokens[shared:] for tokens in whole]
        require(
            len(set(map(tuple, choices))) == len(choices) and all(choices),
            f"the model's tokenizer does not distinguish the choices of {question.text!r}: "
            f"{', '.join(question.choices)}",
        )
        return TokenPaths(prompt[:shared], choices)

    def start(self, report: str) -> list[int]:
        """The tokens that all prompts about a report begin with."""
        a, b = (self.paths(report, ChoiceQuestion(text, ("yes", "no"))).prompt for text in "A1")
        return a[: shared_length(a, b)]

    def _text(self, report: str, question: ChoiceQuestion) -> str:
        if self._plain:
            return (self._tokenizer.bos_token or "") + plain_prompt(report, question)
        message = {"role": "user", "content": user_message(report, question)}
        text: str = self._tokenizer.apply_chat_template(
            [message], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens
