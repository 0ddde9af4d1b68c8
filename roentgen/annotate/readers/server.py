"""A server that speaks OpenAI's API as a reader; no text of a report is in its errors and logs."""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

from roentgen.annotate.readers.address import Address
from roentgen.annotate.readers.choices import Answer, ChoiceQuestion, Fault, TokenCount
from roentgen.annotate.readers.completions import answer_of, completion_request, token_count
from roentgen.annotate.readers.config import ServerConfig
from roentgen.annotate.readers.prompt import TRIAL_REPORT
from roentgen.errors import InputError

_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
_TRIAL = ChoiceQuestion("Is there a pleural effusion?", ("yes", "no"))
_UNFORMED = ("wrong form", "cut off", "other choice")  # faults of which one retry may be free
_LARGEST_REPLY = 1 << 20  # bytes
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0  # seconds between attempts
_BUSY = (408, 409, 429)  # status codes after which the server may succeed, beside 500 and more
_REFUSED = (401, 403, 404)  # those of every other request too: no key, no model
_TOO_LONG = re.compile(r"context|too long|exceed", re.IGNORECASE)
_Call = Callable[[], Any]  # begins a request, and gives the response as a context


@dataclass(frozen=True)
class _Failure:
    """A request without a reply."""

    fault: Fault
    what: str  # a status code or the kind of error: nothing of the request
    status: int | None = None
    detail: str = ""  # what the server says, which may repeat the request

    @property
    def may_succeed(self) -> bool:
        """Whether another attempt is worth it; a slow answer would be as slow again."""
        lost = self.status is None and self.fault != "timeout"
        return lost or self.status in _BUSY or (self.status or 0) >= 500


class ServerReader:
    """A model on a server."""

    def __init__(self, config: ServerConfig, address: Address) -> None:
        """Raises InputError if the server cannot be used, or does not answer a trial question."""
        for name in _LOGGERS:  # some versions log requests
            logging.getLogger(name).setLevel(logging.WARNING)
        self._config = config
        self._client = _client(config, address)
        self._model = self._find_model()
        self.identity = f"{self._model} at {config.url}"
        self._pool = ThreadPoolExecutor(config.parallel)
        self._check_trial()

    @contextmanager
    def open(self, report: str) -> Iterator["ServerInterview"]:
        """Begin with a report."""
        yield ServerInterview(self, report)

    def answers(
        self, report: str, questions: Sequence[ChoiceQuestion]
    ) -> Iterator[tuple[Answer, TokenCount]]:
        """An answer to each question, in order. Raises InputError if the server has gone.

        The first one is sent alone: then the server's cache has the report for the others.
        """
        waiting = []
        try:
            for i, question in enumerate(questions):
                waiting.append(self._pool.submit(self._answer, report, question))
                if i == 0:
                    waiting[0].result()
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()

    def _answer(self, report: str, question: ChoiceQuestion) -> tuple[Answer, TokenCount]:
        tokens, answer = TokenCount(), Answer(fault="wrong form")
        for retry in (0, 1):
            reply = self._exchange(report, question, retry)
            if isinstance(reply, _Failure):
                self._stop_if_gone(reply)
                return Answer(fault=reply.fault), tokens
            answer = answer_of(reply, question, self._config)
            tokens += token_count(reply)
            if answer.fault not in _UNFORMED:
                break
        return answer, tokens

    def _exchange(self, report: str, question: ChoiceQuestion, retry: int = 0) -> Any:
        """The reply to a question, any JSON value, or the failure of the last attempt."""
        body = completion_request(self._config, self._model, report, question, retry=retry)
        needed = {key: body.pop(key) for key in ("model", "messages")}
        completions = self._client.chat.completions.with_streaming_response
        pause = _FIRST_PAUSE
        for attempt in range(self._config.attempts):
            if attempt:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            reply = self._send(lambda: completions.create(**needed, extra_body=body))
            if not (isinstance(reply, _Failure) and reply.may_succeed):
                break
        return reply

    def _send(self, call: _Call) -> Any:
        """The reply to one request, None if it is no JSON, or a failure; errors end here.

        They hold the request: one that is raised on would take the report along.
        """
        ends, data = time.monotonic() + self._config.timeout, b""
        try:
            with call() as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if time.monotonic() > ends:
                        return _Failure("timeout", "it is too slow")
                    if len(data) > _LARGEST_REPLY:
                        return None
        except (openai.APITimeoutError, httpx2.TimeoutException):
            return _Failure("timeout", "no reply in time")
        except openai.APIStatusError as error:
            return _status_failure(error)
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            kind = type(error.__cause__ or error).__name__
            return _Failure("server error", f"no connection: {kind}")
        try:
            return json.loads(data)
        except (RecursionError, ValueError):
            return None

    def _find_model(self) -> str:
        """The name of the model, as the server lists it."""
        reply = self._send(self._client.models.with_streaming_response.list)
        if isinstance(reply, _Failure):
            raise InputError(
                f"the server at {self._config.url} does not list its models ({reply.what}): start "
                "it, or correct server.url, which ends with /v1 as a rule, or the key"
            )
        names = _model_names(reply)
        if names is None:
            raise InputError(
                f"the server at {self._config.url} does not speak OpenAI's API: its list of models "
                "is in another form"
            )
        model = self._config.model
        if model in names or (model is None and len(names) == 1):
            return model or names[0]
        given = "is null" if model is None else f"is {model!r}"
        raise InputError(
            f"server.model {given}, but the server has {', '.join(names[:10]) or 'none'}: give one"
        )

    def _check_trial(self) -> None:
        reply = self._exchange(TRIAL_REPORT, _TRIAL)
        if isinstance(reply, _Failure):
            reason: str | None = f"{reply.what}: {reply.detail}" if reply.detail else reply.what
        else:
            fault = answer_of(reply, _TRIAL, self._config).fault
            reason = fault if fault in ("wrong form", "cut off") else None
        if reason:
            raise InputError(
                f"the server at {self._config.url} does not answer a trial question ({reason}): "
                "check server.structure and the server"
            )

    def _stop_if_gone(self, failure: _Failure) -> None:
        """Raises InputError if other requests would fail too."""
        gone = failure.status in _REFUSED
        if not gone and (failure.status is None or failure.status >= 500):
            gone = isinstance(
                self._send(self._client.models.with_streaming_response.list), _Failure
            )
        if gone:
            raise InputError(
                f"the server at {self._config.url} does not answer any more ({failure.what}): start"
                " it again, then run this again, which continues"
            )


class ServerInterview:
    """A report before a server, which is sent it with each question."""

    def __init__(self, reader: ServerReader, report: str) -> None:
        self._reader, self._report = reader, report
        self._tokens = TokenCount()

    @property
    def tokens(self) -> TokenCount:
        """What the server says that its questions have taken."""
        return self._tokens

    def ask(self, questions: Sequence[ChoiceQuestion]) -> list[Answer]:
        """Probabilities from the server's log-probabilities, or the choice that it names."""
        answers = []
        for answer, tokens in self._reader.answers(self._report, questions):
            answers.append(answer)
            self._tokens += tokens
        return answers


def _client(config: ServerConfig, address: Address) -> openai.OpenAI:
    """A client that follows no redirect and no proxy, and reads nothing of the environment."""
    key = "unused"
    if config.api_key_variable is not None:
        key = os.environ.get(config.api_key_variable, "").strip()
        if not key or not key.isascii():
            raise InputError(
                f"the environment variable {config.api_key_variable} of server.api_key_variable "
                "holds no key: set it"
            )
    transport = httpx2.HTTPTransport(
        uds=address.socket,
        trust_env=False,
        limits=httpx2.Limits(max_keepalive_connections=0),
    )
    http = httpx2.Client(
        transport=transport, trust_env=False, follow_redirects=False, timeout=config.timeout
    )
    return openai.OpenAI(api_key=key, base_url=address.url, max_retries=0, http_client=http)


def _model_names(reply: Any) -> list[str] | None:
    """The names in a list of models; None for any other JSON value."""
    try:
        return [str(model["id"]) for model in reply["data"]]
    except (LookupError, TypeError):
        return None


def _status_failure(error: openai.APIStatusError) -> _Failure:
    status, detail = error.status_code, " ".join(str(error.message).split())
    too_long = status in (400, 413, 422) and _TOO_LONG.search(detail)
    return _Failure(
        "too long" if too_long else "server error", f"status {status}", status, detail[:200]
    )
