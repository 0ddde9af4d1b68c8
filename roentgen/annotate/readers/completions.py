"""Requests of OpenAI's chat completions for a question, and answers from replies to them."""

import json
import re
from collections.abc import Sequence
from typing import Any

from roentgen.annotate.readers.choices import Answer, ChoiceQuestion, TokenCount
from roentgen.annotate.readers.config import ServerConfig
from roentgen.annotate.readers.prompt import user_message
from roentgen.annotate.readers.reply_tokens import (
    choice_probabilities,
    reply_tokens,
    tokens_behind,
    without_blanks,
)

_KEY = "answer"  # of the JSON object that is required
_START = re.compile(rf'\s*{{\s*"{_KEY}"\s*:\s*"')  # of that object, before the answer
_TOP = 20  # most probable tokens that servers list at each place
_MOST_TOKENS = 24  # of a reply beyond one for each byte of its choice


def completion_request(
    config: ServerConfig, model: str, report: str, question: ChoiceQuestion, *, retry: int = 0
) -> dict[str, Any]:
    """The body of a request; `retry` counts those of the same question before it."""
    longest = max(len(choice.encode()) for choice in question.choices)
    content = user_message(report, question)
    body: dict[str, Any] = {}
    match config.structure:
        case "json_schema":
            content += f'\nThe form of the answer is {{"{_KEY}": "..."}}'
            body["response_format"] = _schema(question.choices)
        case "vllm":
            body["structured_outputs"] = {"choice": list(question.choices)}
        case "llama.cpp":
            body["grammar"] = f"root ::= {' | '.join(map(_gbnf, question.choices))}"
    if config.structure in ("vllm", "llama.cpp"):
        body["chat_template_kwargs"] = {"enable_thinking": False}
    return body | {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "seed": config.seed + retry,
        "max_tokens": _MOST_TOKENS + longest,
        "logprobs": True,
        "top_logprobs": _TOP,
    }


def _schema(choices: Sequence[str]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {_KEY: {"type": "string", "enum": list(choices)}},
        "required": [_KEY],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": _KEY, "strict": True, "schema": schema}}


def _gbnf(choice: str) -> str:
    """A choice as a literal of llama.cpp's grammars."""
    escaped = choice.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def answer_of(reply: Any, question: ChoiceQuestion, config: ServerConfig) -> Answer:
    """The answer in a reply, any JSON value; with probabilities where the reply has them."""
    try:
        completed = reply["choices"][0]
        content, reason = completed["message"]["content"], completed["finish_reason"]
    except (LookupError, TypeError):
        return Answer(fault="wrong form")
    if reason == "length":
        return Answer(fault="cut off")
    in_json = config.structure == "json_schema"
    named = (_json_choice if in_json else _plain_choice)(content, question.choices)
    if named is None:
        return Answer(fault="wrong form")
    if named not in question.choices:
        return Answer(fault="other choice")
    best = question.choices.index(named)
    logprobs = completed.get("logprobs")
    tokens = reply_tokens(logprobs.get("content") if isinstance(logprobs, dict) else None)
    if in_json:
        spelled = [f"{json.dumps(choice, ensure_ascii=False)[1:]}" for choice in question.choices]
        start = _START.match(content)
        tokens = tokens_behind(tokens, len(start[0].encode())) if start else []
    else:
        spelled, tokens = list(question.choices), without_blanks(tokens)
    small = [choice.encode().lower() for choice in spelled]
    found = choice_probabilities(tokens, small, best) if len(set(small)) == len(small) else ()
    if found:
        return Answer(found)
    return Answer(tuple(float(i == best) for i in range(len(small))), "no probabilities")


def _json_choice(content: Any, choices: Sequence[str]) -> str | None:
    """The answer in the JSON object that is required; None for anything else."""
    try:
        answer = json.loads(content)[_KEY]
    except (LookupError, RecursionError, TypeError, ValueError):
        return None
    return answer if isinstance(answer, str) else None


def _plain_choice(content: Any, choices: Sequence[str]) -> str | None:
    """The answer in plain text, which may have other capitals and a period."""
    if not isinstance(content, str):
        return None
    named = content.strip().removesuffix(".")
    same = [choice for choice in choices if choice.casefold() == named.casefold()]
    return same[0] if len(same) == 1 else named


def token_count(reply: Any) -> TokenCount:
    """The prompt tokens in a reply's `usage`; none where it has no such numbers."""
    try:
        prompt = int(reply["usage"]["prompt_tokens"])
        details = reply["usage"].get("prompt_tokens_details") or {}
        return TokenCount(prompt - int(details.get("cached_tokens") or 0), prompt)
    except (AttributeError, LookupError, TypeError, ValueError):
        return TokenCount()
