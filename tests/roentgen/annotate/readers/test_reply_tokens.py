"""Probabilities of choices from the tokens of replies, against a language model in a table."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from roentgen.annotate.readers.choices import Answer, ChoiceQuestion, TokenCount
from roentgen.annotate.readers.completions import answer_of, token_count
from roentgen.annotate.readers.config import ServerConfig

Listed = dict[str, float]


def answer(
    choices: Sequence[str],
    tokens: Sequence[tuple[str, Listed]],
    structure: Any = None,
    content: str | None = None,
) -> Answer:
    """The answer in a reply with these tokens, each with others in its place."""
    logprobs = [
        {
            "token": token,
            "logprob": math.log(listed[token]),
            "top_logprobs": [{"token": t, "logprob": math.log(p)} for t, p in listed.items()],
        }
        for token, listed in tokens
    ]
    text = "".join(token for token, _ in tokens) if content is None else content
    completed = {"message": {"content": text}, "finish_reason": "stop"}
    reply = {"choices": [completed | {"logprobs": {"content": logprobs}}]}
    question = ChoiceQuestion("Which?", tuple(choices))
    return answer_of(reply, question, ServerConfig(url="", structure=structure))


def probabilities(*args: Any, **settings: Any) -> Any:
    found = answer(*args, **settings)
    assert found.fault is None
    assert sum(found.probabilities) == pytest.approx(1)
    return pytest.approx(found.probabilities)


def test_whole_tokens() -> None:
    assert probabilities(["yes", "no"], [("yes", {"yes": 0.6, "no": 0.4})]) == (0.6, 0.4)


def test_tokens_that_lead_to_no_choice_are_ignored() -> None:
    listed = {"yes": 0.3, "no": 0.1, "The": 0.5, "y es": 0.1}
    assert probabilities(["yes", "no"], [("yes", listed)]) == (0.75, 0.25)


def test_capitals_blanks_and_periods_are_the_same_choice() -> None:
    listed = {" Yes": 0.3, "yes": 0.2, "YES": 0.1, " no": 0.4}
    assert probabilities(["yes", "no"], [(" Yes", listed), (".", {".": 1})]) == (0.6, 0.4)
    tokens = [("\n", {"\n": 1.0}), ("No", {"No": 0.9, "Yes": 0.1})]
    assert probabilities(["yes", "no"], tokens) == (0.1, 0.9)


def test_parts_of_words() -> None:
    tokens = [
        ("mod", {"mod": 0.5, "mild": 0.2, "mi": 0.05, "m": 0.1, "severe": 0.15}),
        ("erate", {"erate": 1.0}),
    ]
    found = probabilities(["mild", "moderate", "severe"], tokens)
    assert found == (0.25, 0.6, 0.15)  # "m" may still become the one that was named


def test_a_choice_that_others_begin_with() -> None:
    choices = ["left", "left and right", "right"]
    end = ("<|end|>", {"<|end|>": 0.75, " and": 0.25})
    assert probabilities(choices, [("left", {"left": 0.8, "right": 0.2}), end], content="left") == (
        0.6,
        0.2,
        0.2,
    )
    tokens = [("left", {"left": 0.8, "right": 0.2}), (" and", end[1]), (" right", {" right": 1.0})]
    assert probabilities(choices, tokens) == (0.6, 0.2, 0.2)
    # Without the end, nothing tells that the longer one was possible.
    assert probabilities(choices, [("left", {"left": 0.8, "right": 0.2})]) == (0.8, 0, 0.2)


def test_json_with_tokens_across_its_signs() -> None:
    tokens = [
        ('{"', {'{"': 1.0}),
        ("answer", {"answer": 1.0}),
        ('":"', {'":"': 0.9, '": "': 0.1}),
        ("no", {"no": 0.7, "not": 0.2, "yes": 0.1}),
        ('"}', {'"}': 0.5, "ne": 0.5}),
    ]
    choices = ["yes", "no", "none", "not mentioned"]
    assert probabilities(choices, tokens, structure="json_schema") == (0.1, 0.35, 0.35, 0.2)
    tokens = [('{ "answer" : "ye', {'{ "answer" : "ye': 0.8, '{ "answer" : "no"': 0.2})]
    tokens += [('s"}', {'s"}': 1.0})]
    assert probabilities(["yes", "no"], tokens, structure="json_schema") == (0.8, 0.2)


def test_choices_that_part_off_the_named_one_share() -> None:
    listed = {"right": 0.6, "left": 0.4}
    choices = ["left upper", "left lower", "right"]
    assert probabilities(choices, [("right", listed)]) == (0.2, 0.2, 0.6)


def test_a_choice_that_is_not_listed_has_its_bound() -> None:
    # 0.02 is left for two choices, but each is below the least listed one.
    listed = {"a": 0.9, "x": 0.075, "b": 0.005}
    total = 0.9 + 0.005 + 2 * 0.005
    found = probabilities(["a", "b", "c", "d"], [("a", listed)])
    assert found == (0.9 / total, *[0.005 / total] * 3)
    assert probabilities(["yes", "no"], [("yes", {"yes": 0.9})]) == (0.9, 0.1)
    assert probabilities(["yes", "no"], [("yes", {"yes": 1.0})]) == (1.0, 0.0)


def test_bytes_of_letters_in_parts() -> None:
    def entry(data: bytes, p: float) -> dict[str, Any]:
        text = data.decode(errors="replace")
        return {"token": text, "bytes": list(data), "logprob": math.log(p)}

    first, second = "右".encode()[:2], "右".encode()[2:]
    tokens = [entry(first, 0.7) | {"top_logprobs": [entry("左".encode(), 0.3)]}, entry(second, 1)]
    completed = {"message": {"content": "右"}, "finish_reason": "stop"}
    reply = {"choices": [completed | {"logprobs": {"content": tokens}}]}
    question = ChoiceQuestion("哪边？", ("左", "右"))
    found = answer_of(reply, question, ServerConfig(url="", structure=None))
    assert found.probabilities == pytest.approx((0.3, 0.7))


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        [],
        {},
        {"content": None},
        {"content": []},
        {"content": [{}]},
        {"content": [{"token": "yes"}]},
        {"content": [{"token": "yes", "logprob": "high"}]},
        {"content": [{"token": "yes", "logprob": math.nan}]},
        {"content": [{"token": "yes", "logprob": -math.inf}]},
        {"content": [{"token": "maybe", "logprob": -0.1}]},
        {"content": [{"token": "yes", "bytes": [999], "logprob": -0.1}]},
        {"content": 7},
    ],
)
def test_log_probabilities_that_do_not_fit_are_none(logprobs: Any) -> None:
    completed = {"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": logprobs}
    question = ChoiceQuestion("Which?", ("no", "yes"))
    found = answer_of({"choices": [completed]}, question, ServerConfig(url="", structure=None))
    assert found == Answer((0.0, 1.0), "no probabilities")
    assert found.best == 1


@pytest.mark.parametrize(
    "reply",
    [
        None,
        7,
        "yes",
        [],
        {},
        {"choices": []},
        {"choices": None},
        {"choices": ["yes"]},
        {"choices": [{"message": None, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]},
        {"error": {"message": "no"}},
    ],
)
@pytest.mark.parametrize("structure", ["json_schema", None])
def test_replies_in_another_form(reply: Any, structure: Any) -> None:
    question = ChoiceQuestion("Which?", ("no", "yes"))
    config = ServerConfig(url="", structure=structure)
    assert answer_of(reply, question, config) == Answer(fault="wrong form")
    assert token_count(reply) == TokenCount()


@pytest.mark.parametrize(
    "content",
    ["yes", "[]", "{}", '{"answer": null}', '{"answer": ["yes"]}', "7", "", '{"answer": "yes', "["],
)
def test_json_in_another_form(content: str) -> None:
    assert answer(["yes", "no"], [], "json_schema", content) == Answer(fault="wrong form")


@pytest.mark.parametrize("content", ["", "maybe", "yes or no", "yes, no", "Yes!"])
def test_text_that_is_no_choice(content: str) -> None:
    assert answer(["yes", "no"], [], None, content) == Answer(fault="other choice")


def test_choices_that_differ_in_capitals_have_no_probabilities() -> None:
    found = answer(["A", "a"], [("a", {"a": 0.6, "A": 0.4})])
    assert found == Answer((0.0, 1.0), "no probabilities")


def test_counts_of_tokens() -> None:
    usage = {"prompt_tokens": 90, "prompt_tokens_details": {"cached_tokens": 64}}
    assert token_count({"usage": usage}) == TokenCount(26, 90)
    assert token_count({"usage": {"prompt_tokens": 90}}) == TokenCount(90, 90)
    assert token_count({"usage": {"prompt_tokens": "many"}}) == TokenCount()


@pytest.mark.parametrize("seed", range(20))
def test_random_tokens_of_choices_that_part_at_once(seed: int) -> None:
    """Each choice in random tokens: the first one decides, and its listed prefixes count too."""
    rng = np.random.default_rng(seed)
    choices = [f"{letter}{'xyz'[: rng.integers(4)]}" for letter in "abcd"]
    odds = rng.dirichlet(np.ones(4))
    named = int(rng.integers(4))
    junk = float(rng.random())
    listed: Listed = {"junk": junk}
    for choice, p in zip(choices, odds, strict=True):
        cut = rng.integers(1, len(choice) + 1)
        parts = dict.fromkeys([choice, choice[:cut]])
        for part in parts:
            listed[part] = p * (1 - junk) / len(parts)
    first = next(text for text in listed if choices[named].startswith(text))
    tokens = [(first, listed)]
    if rest := choices[named].removeprefix(first):
        tokens.append((rest, {rest: 1.0}))
    assert probabilities(choices, tokens) == tuple(odds)
    quoted = [('{"answer": "', {'{"answer": "': 1.0}), *tokens, ('"}', {'"}': 1.0})]
    assert json.loads("".join(text for text, _ in quoted))["answer"] == choices[named]
    assert probabilities(choices, quoted, structure="json_schema") == tuple(odds)
