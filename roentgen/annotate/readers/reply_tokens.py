"""Probabilities of choices from a reply's tokens and the other tokens that the server lists.

Where choices part, each listed token counts for the choices that it may become. Tokens that lead to
none are ignored: a server that is held to the choices would not take them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_ENDS = b' \t\r\n."}'  # what may follow a choice


class ReplyToken(NamedTuple):
    """A token of a reply, with the probabilities of the tokens in its place, its own among them."""

    text: bytes
    listed: Mapping[bytes, float]


def reply_tokens(content: Any) -> list[ReplyToken]:
    """The tokens in `logprobs.content` of a reply, any JSON value; none where it is no such list.

    Their letters are small ones.
    """
    try:
        return [_token(entry) for entry in content]
    except (AttributeError, LookupError, TypeError, ValueError):
        return []


def _token(entry: Mapping[str, Any]) -> ReplyToken:
    listed = {_bytes(e): _probability(e) for e in (*(entry.get("top_logprobs") or ()), entry)}
    return ReplyToken(_bytes(entry).lower(), _sums((t.lower(), p) for t, p in listed.items()))


def _bytes(entry: Mapping[str, Any]) -> bytes:
    """The bytes of a token; half of a letter has no text."""
    return bytes(entry["bytes"]) if entry.get("bytes") else str(entry["token"]).encode()


def _probability(entry: Mapping[str, Any]) -> float:
    probability = math.exp(min(float(entry["logprob"]), 0))
    if math.isnan(probability):
        raise ValueError("no probability")
    return probability


def _sums(pairs: Iterable[tuple[bytes, float]]) -> dict[bytes, float]:
    sums: dict[bytes, float] = defaultdict(float)
    for text, probability in pairs:
        sums[text] += probability
    return dict(sums)


def tokens_behind(tokens: Sequence[ReplyToken], start: int) -> list[ReplyToken]:
    """The tokens from a byte of the reply on; of one across it and those in its place, the rest."""
    result, position = [], 0
    for text, listed in tokens:
        lead, position = max(0, start - position), position + len(text)
        if position > start or lead == 0:
            same = ((t[lead:], p) for t, p in listed.items() if t.startswith(text[:lead]))
            result.append(ReplyToken(text[lead:], _sums(same)))
    return result


def without_blanks(tokens: Sequence[ReplyToken]) -> list[ReplyToken]:
    """The tokens from the first letter on; blanks before it and those in its place are removed."""
    first = next((i for i, token in enumerate(tokens) if token.text.strip()), len(tokens))
    begin = [
        ReplyToken(text.lstrip(), _sums((t.lstrip(), p) for t, p in listed.items()))
        for text, listed in tokens[first : first + 1]
    ]
    return [*begin, *tokens[first + 1 :]]


def choice_probabilities(
    tokens: Sequence[ReplyToken], choices: Sequence[bytes], named: int
) -> tuple[float, ...]:
    """The probability of each choice, of which a reply's tokens spell the one that is `named`.

    Choices that a listed token may all become share its probability; one that no listed token leads
    to gets its part of what the listed ones leave, at most the least of them. Returns () where the
    tokens do not spell the named choice.
    """
    shares, done, reach = [0.0] * len(choices), b"", 1.0
    alive = set(range(len(choices)))
    for token in tokens:
        if len(alive) == 1:
            break
        on = _possible(choices, alive, done, token.text)
        if named not in on:
            return ()
        stay, leave = 0.0, [0.0] * len(choices)
        unseen = alive - on
        for text, probability in token.listed.items():
            possible = _possible(choices, alive, done, text)
            unseen -= possible
            if named in possible:
                stay += probability
            for i in possible if named not in possible else ():
                leave[i] += probability / len(possible)
        rest = max(0.0, 1 - sum(token.listed.values()))
        for i in unseen:
            leave[i] = min(rest / len(unseen), *token.listed.values())
        if stay <= 0:
            return ()
        total = stay + sum(leave)
        shares = [share + reach * left / total for share, left in zip(shares, leave, strict=True)]
        reach, alive, done = reach * stay / total, on, done + token.text
    if len(alive) > 1 and done != choices[named]:
        return ()
    shares[named] += reach
    return tuple(shares)


def _possible(choices: Sequence[bytes], alive: set[int], done: bytes, text: bytes) -> set[int]:
    """The choices that a token behind what is `done` may become; one that is done may end there."""
    whole = done + text
    ended = {i for i in alive if choices[i] == done}
    if ended and not text:  # a token that ends texts
        return ended
    following = {i for i in alive if choices[i].startswith(whole)}
    starts = {i for i in alive if whole.startswith(choices[i])}
    finished = {i for i in starts if not whole[len(choices[i]) :].strip(_ENDS)}
    return following or finished or ended
