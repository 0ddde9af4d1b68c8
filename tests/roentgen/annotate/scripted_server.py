"""A server that speaks OpenAI's API and answers from gold, with faults, for tests.

It takes the place of vLLM, llama.cpp and Ollama: `with ScriptedServer(gold) as server`, then
`ServerConfig(url=server.url)`. Its tokens are letters, of which it lists the probabilities.
"""

import json
import math
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from roentgen.annotate.readers.prompt import TRIAL_REPORT

MODEL = "scripted"
Misbehavior = Literal[
    "slow",
    "trickle",
    "500",
    "429",
    "too long",
    "wrong schema",
    "no log-probabilities",
    "cut off",
    "other choice",
    "dropped",
    "half a reply",
    "garbage",
    "redirect",
    "401",
]


class Asked(NamedTuple):
    """A question that came to the server."""

    report: str
    question: str
    choices: tuple[str, ...]
    before: int  # how often the same question about the same report came before


# The right choice of a question, or the probability of each.
Gold = Callable[[Asked], str | Mapping[str, float]]


class ScriptedServer:
    """A server on a free port of this machine; within a `with` it runs."""

    def __init__(
        self,
        gold: Gold,
        misbehave: Callable[[Asked], Misbehavior | None] = lambda asked: None,
        *,
        seconds: float = 1.0,
        elsewhere: str = "http://127.0.0.1:9/v1",
        trial: Misbehavior | None = None,
        unix: str | None = None,
    ) -> None:
        """`seconds` is how long a slow reply takes, `elsewhere` where a redirect leads.

        `trial` is the fault of the reply to the question by which a reader is tried out, and `unix`
        the path of a socket in place of a port.
        """
        self.gold, self.misbehave, self.trial = gold, misbehave, trial
        self.seconds, self.elsewhere = seconds, elsewhere
        self.models, self.silent = [MODEL], False
        self.asked: list[Asked] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = Lock()
        self._server: ThreadingHTTPServer
        if unix is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
            self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        else:
            self._server = _UnixServer(unix, _handler(self))  # type: ignore[arg-type]
            self.url = f"http+unix://{quote(unix, safe='')}/v1"

    def __enter__(self) -> "ScriptedServer":
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients go
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it: its port refuses connections from now on."""
        self.silent = False
        self._server.shutdown()
        self._server.server_close()

    def record(self, body: dict[str, Any], headers: dict[str, str]) -> Asked:
        """What a request asks, counted."""
        content = body["messages"][0]["content"]
        before, _, after = content.rpartition("\nAnswer with one of these and nothing else: ")
        report, _, question = before.partition(":\n\n")[2].rpartition("\n\n")
        asked = Asked(report, question, tuple(_choices(body, after)), 0)
        with self.lock:
            asked = asked._replace(before=Counter(a[:3] for a in self.asked)[asked[:3]])
            self.asked.append(asked)
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in headers.items()})
        return asked


class _UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


def _choices(body: dict[str, Any], listed: str) -> list[str]:
    """The choices of a request: in its schema, vLLM's list, llama.cpp's grammar, or its text."""
    if "response_format" in body:
        schema = body["response_format"]["json_schema"]["schema"]
        return list(schema["properties"]["answer"]["enum"])
    if "structured_outputs" in body:
        return list(body["structured_outputs"]["choice"])
    if "grammar" in body:
        literals = body["grammar"].removeprefix("root ::= ").split(" | ")
        return [json.loads(literal) for literal in literals]
    return listed.split(", ")


def completion(body: dict[str, Any], gold: str | Mapping[str, float]) -> Any:
    """The reply to a question, with the probabilities of letters."""
    odds = {gold: 1.0} if isinstance(gold, str) else dict(gold)
    named = max(odds, key=odds.__getitem__)
    in_json = "response_format" in body
    end = '"' if in_json else "\0"
    paths = {choice: f"{choice}{end}" for choice in odds}
    content = json.dumps({"answer": named}, ensure_ascii=False) if in_json else named
    tokens = [_entry('{"answer": "', {'{"answer": "': 1.0})] if in_json else []
    for i, letter in enumerate(paths[named]):
        following: Counter[str] = Counter()
        for choice, path in paths.items():
            if path.startswith(paths[named][:i]):
                following[path[i]] += odds[choice]  # type: ignore[assignment]
        tokens.append(_entry(letter, following))
    tokens += [_entry("}", {"}": 1.0})] if in_json else []
    message = {"role": "assistant", "content": content}
    logprobs = {"content": tokens} if body.get("logprobs") else None
    completed = {"message": message, "finish_reason": "stop", "logprobs": logprobs}
    words = len(body["messages"][0]["content"].split())
    return {
        "id": "1",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [completed],
        "usage": {"prompt_tokens": words, "prompt_tokens_details": {"cached_tokens": 0}},
    }


def _entry(letter: str, following: Mapping[str, float]) -> dict[str, Any]:
    """A token with those listed in its place; the end of a text has no letters."""
    total = sum(following.values())
    listed = [
        {"token": "<|end|>" if text == "\0" else text, "logprob": math.log(p / total)}
        for text, p in following.items()
        if p > 0
    ]
    own = "<|end|>" if letter == "\0" else letter
    found = [entry for entry in listed if entry["token"] == own]
    return {**found[0], "top_logprobs": listed}


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            while server.silent:
                time.sleep(0.01)
            models = [{"id": name, "object": "model"} for name in server.models]
            found = self.path == "/v1/models"
            self.reply(200, {"object": "list", "data": models} if found else {"page": "welcome"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self.answer(body)
            except OSError:
                self.close_connection = True  # the client has gone

        def answer(self, body: dict[str, Any]) -> None:
            while server.silent:
                time.sleep(0.01)
            asked = server.record(body, dict(self.headers))
            is_trial = asked.report == TRIAL_REPORT
            fault = server.trial if is_trial else server.misbehave(asked)
            reply = completion(body, asked.choices[0] if is_trial else server.gold(asked))
            match fault:
                case None:
                    self.reply(200, reply)
                case "slow":
                    time.sleep(server.seconds)
                    self.reply(200, reply)
                case "trickle":
                    self.trickle(json.dumps(reply).encode())
                case "500" | "401" | "429":
                    self.reply(int(fault), {"error": {"message": f"about: {asked.report}"}})
                case "too long":
                    what = f"This model's maximum context length is 8. You sent {asked.report}"
                    self.reply(400, {"error": {"message": what, "code": 400}})
                case "redirect":
                    self.send_response(307)
                    self.send_header("Location", f"{server.elsewhere}/chat/completions")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                case "dropped" | "half a reply":
                    if fault == "half a reply":
                        self.send_response(200)
                        self.send_header("Content-Length", "1000")
                        self.end_headers()
                        self.wfile.write(b'{"choices": [')
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                case "garbage":
                    self.wfile.write(bytes(range(256)) * 4)
                    self.close_connection = True
                case _:
                    self.reply(200, _spoiled(reply, fault, asked))

        def trickle(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for i in range(len(data)):
                self.wfile.write(data[i : i + 1])
                time.sleep(server.seconds / len(data))

        def reply(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _spoiled(reply: Any, fault: Misbehavior, asked: Asked) -> Any:
    """A reply with a fault in its content."""
    completed = reply["choices"][0]
    match fault:
        case "wrong schema":
            completed["message"]["content"] = f"I think that {asked.report} means yes."
        case "no log-probabilities":
            del completed["logprobs"]
        case "cut off":
            completed["message"]["content"] = completed["message"]["content"][:5]
            completed["finish_reason"] = "length"
        case "other choice":
            completed["message"]["content"] = '{"answer": "perhaps"}'
    return reply


def named_questions(asked: Sequence[Asked]) -> Counter[str]:
    """How often each question came."""
    return Counter(each.question for each in asked)
