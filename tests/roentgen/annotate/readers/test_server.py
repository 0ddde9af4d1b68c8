"""A server as a reader: structures, probabilities, faults by name, privacy, servers that go."""

import logging
import time
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any, get_args
from urllib.parse import quote

import pytest

from roentgen.annotate.readers.choices import Answer, ChoiceQuestion, Fault, TokenCount
from roentgen.annotate.readers.config import ServerConfig
from roentgen.annotate.readers.language_model import open_reader
from roentgen.errors import InputError
from tests.roentgen.annotate.scripted_server import (
    MODEL,
    Asked,
    Misbehavior,
    ScriptedServer,
    named_questions,
)

pytest.importorskip("openai", reason="needs the extra llm")
REPORT = "Xanthous effusion on the left.\n\nNo pneumothorax."
QUESTIONS = [
    ChoiceQuestion("Is there an effusion?", ("yes", "no")),
    ChoiceQuestion("Where is it?", ("left", "left and right", "right", 'no "side"')),
    ChoiceQuestion("How severe is it?", ("mild", "moderate", "severe")),
]
GOLD: dict[str, dict[str, float]] = {
    QUESTIONS[0].text: {"yes": 0.8, "no": 0.2},
    QUESTIONS[1].text: {"left": 0.5, "left and right": 0.2, "right": 0.2, 'no "side"': 0.1},
    QUESTIONS[2].text: {"mild": 0.1, "moderate": 0.7, "severe": 0.2},
}
EXPECTED = [tuple(odds.values()) for odds in GOLD.values()]


def gold(asked: Asked) -> dict[str, float]:
    assert asked.report == REPORT
    return GOLD[asked.question]


def ask(server: ScriptedServer, **settings: Any) -> list[Answer]:
    reader = open_reader(ServerConfig(url=server.url, timeout=0.5, **settings))
    with reader.open(REPORT) as interview:
        return list(interview.ask(QUESTIONS))


@pytest.mark.parametrize("structure", ["json_schema", "vllm", "llama.cpp", None])
def test_probabilities_are_those_that_the_server_lists(structure: Any) -> None:
    with ScriptedServer(gold) as server:
        answers = ask(server, structure=structure, seed=7)
    for answer, expected in zip(answers, EXPECTED, strict=True):
        assert answer.fault is None
        assert answer.probabilities == pytest.approx(expected, abs=1e-6)
    assert len(server.asked) == 1 + len(QUESTIONS)
    assert all(body["seed"] == 7 and body["temperature"] == 0 for body in server.bodies)
    assert all(body["model"] == MODEL for body in server.bodies)


FAULTS: dict[Misbehavior, Fault] = {
    "slow": "timeout",
    "trickle": "timeout",
    "500": "server error",
    "429": "server error",
    "too long": "too long",
    "wrong schema": "wrong form",
    "no log-probabilities": "no probabilities",
    "cut off": "cut off",
    "other choice": "other choice",
    "dropped": "server error",
    "half a reply": "server error",
    "garbage": "server error",
    "redirect": "server error",
}
# How often a question with a fault is sent, of two attempts at most.
SENT: dict[Misbehavior, int] = dict.fromkeys(FAULTS, 2)
SENT |= {"slow": 1, "trickle": 1, "too long": 1, "no log-probabilities": 1, "redirect": 1}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roentgen.annotate.readers.server._FIRST_PAUSE", 0.01)


def test_all_faults_are_tried() -> None:
    assert {*FAULTS, "401"} == {*get_args(Misbehavior)}
    assert {*FAULTS.values()} == {*get_args(Fault)}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("misbehavior", FAULTS)
def test_a_fault_is_named_and_the_other_answers_stay(misbehavior: Misbehavior, place: int) -> None:
    bad = QUESTIONS[place].text
    with (
        ScriptedServer(gold) as elsewhere,
        ScriptedServer(
            gold,
            lambda asked: misbehavior if asked.question == bad else None,
            elsewhere=elsewhere.url,
        ) as server,
    ):
        answers = ask(server, attempts=2)
    assert answers[place].fault == FAULTS[misbehavior]
    if misbehavior == "no log-probabilities":
        assert answers[place].probabilities == ((1, 0), (1, 0, 0, 0))[place]
    else:
        assert answers[place].probabilities == ()
    for i in {0, 1, 2} - {place}:
        assert answers[i].fault is None
        assert answers[i].probabilities == pytest.approx(EXPECTED[i], abs=1e-6)
    assert named_questions(server.asked)[bad] == SENT[misbehavior]
    assert elsewhere.asked == []


@pytest.mark.parametrize("misbehavior", [name for name, sent in SENT.items() if sent == 2])
def test_a_fault_that_passes_costs_no_answer(misbehavior: Misbehavior) -> None:
    with ScriptedServer(gold, lambda asked: None if asked.before else misbehavior) as server:
        answers = ask(server, attempts=2)
    assert [answer.fault for answer in answers] == [None] * 3
    assert [a.probabilities for a in answers] == [pytest.approx(e, abs=1e-6) for e in EXPECTED]


def test_a_failing_server_is_tried_as_often_as_set() -> None:
    with ScriptedServer(gold, lambda asked: "500") as server:
        assert {answer.fault for answer in ask(server, attempts=4)} == {"server error"}
    assert set(named_questions(server.asked[1:]).values()) == {4}


def test_requests_are_bounded_and_their_order_is_kept() -> None:
    questions = [ChoiceQuestion(f"Question {i}?", ("yes", "no")) for i in range(40)]

    lock, at_once, most = Lock(), 0, 0

    def by_number(asked: Asked) -> dict[str, float]:
        nonlocal at_once, most
        number = int(asked.question.split()[1].strip("?"))
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02 * (number % 3))
        with lock:
            at_once -= 1
        return {"yes": (number + 1) / 50, "no": 1 - (number + 1) / 50}

    with ScriptedServer(by_number) as server:
        reader = open_reader(ServerConfig(url=server.url, parallel=3))
        with reader.open(REPORT) as interview:
            answers = interview.ask(questions)
            words = sum(len(body["messages"][0]["content"].split()) for body in server.bodies[1:])
            assert interview.tokens == TokenCount(words, words)
    found = [answer.probabilities[0] for answer in answers]
    assert found == pytest.approx([(i + 1) / 50 for i in range(40)])
    assert most == 3
    assert server.asked[1].question == "Question 0?"


def failure_of(call: Callable[[], object]) -> str:
    """The one line of an InputError that holds nothing of another error or the report."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.__context__ is None
    message = str(caught.value)
    assert "\n" not in message
    assert "Xanthous" not in message
    return message


def test_a_server_that_goes_stops_the_program() -> None:
    def go(asked: Asked) -> Misbehavior | None:
        if asked.question == QUESTIONS[1].text:
            Thread(target=server.stop).start()
            time.sleep(0.2)
            return "dropped"
        return None

    with ScriptedServer(gold, go) as server:
        message = failure_of(lambda: ask(server, attempts=2))
    assert "does not answer any more (no connection: " in message
    assert "run this again" in message


def test_a_key_that_is_refused_stops_the_program() -> None:
    with ScriptedServer(gold, lambda asked: "401") as server:
        assert "any more (status 401)" in failure_of(lambda: ask(server))
    assert len(server.asked) == 2


def test_a_server_that_hangs_stops_the_program() -> None:
    """It takes connections and never replies, not even with its models."""
    with ScriptedServer(gold) as server:
        reader = open_reader(ServerConfig(url=server.url, timeout=0.2))
        server.silent = True
        with reader.open(REPORT) as interview:
            message = failure_of(lambda: interview.ask(QUESTIONS))
    assert "any more (no reply in time)" in message


def test_servers_that_cannot_be_used_are_refused_at_the_start() -> None:
    with ScriptedServer(gold) as server:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"model": "other"}, "server.model is 'other', but the server has scripted"),
            ({"url": server.url.removesuffix("/v1")}, "is in another form"),
        ]
        for settings, words in cases:
            config = ServerConfig(**{"url": server.url, **settings})
            assert words in failure_of(partial(open_reader, config))
        server.models = ["a", "b"]
        config = ServerConfig(url=server.url)
        assert "server.model is null, but the server has a, b" in failure_of(
            lambda: open_reader(config)
        )
    assert "does not list its models (no connection: ConnectError)" in failure_of(
        lambda: open_reader(config)
    )


def test_a_structure_that_the_server_does_not_have_is_refused_at_the_start() -> None:
    with ScriptedServer(gold, trial="too long") as server:
        message = failure_of(lambda: ask(server))
    assert "trial question (status 400: " in message
    assert "server.structure" in message
    with ScriptedServer(gold, trial="wrong schema") as server:
        assert "trial question (wrong form)" in failure_of(lambda: ask(server))


def test_the_key_goes_to_the_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_KEY", "secret-7")
    monkeypatch.setenv("OPENAI_API_KEY", "of-another-server")
    with ScriptedServer(gold) as server:
        reader = open_reader(ServerConfig(url=server.url, api_key_variable="READER_KEY"))
        assert server.headers[0]["authorization"] == "Bearer secret-7"
        assert reader.identity == f"{MODEL} at {server.url}"
        open_reader(ServerConfig(url=server.url))
        assert "of-another-server" not in str(server.headers)
        message = failure_of(
            lambda: open_reader(ServerConfig(url=server.url, api_key_variable="NO_KEY"))
        )
    assert "NO_KEY" in message
    with pytest.raises(InputError, match="no name of an environment variable") as caught:
        ServerConfig(url=server.url, api_key_variable="sk-secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with ScriptedServer(gold) as server, ScriptedServer(gold) as proxy:
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "")
        assert [answer.fault for answer in ask(server)] == [None] * 3
    assert proxy.asked == []


def test_no_word_of_a_report_is_in_logs_or_output(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    logging.getLogger("openai").setLevel(logging.DEBUG)  # as OPENAI_LOG=debug does
    caplog.set_level(logging.DEBUG)
    for misbehavior in FAULTS:
        with ScriptedServer(gold, partial(lambda name, asked: name, misbehavior)) as server:
            ask(server, attempts=2)
    written = "".join(capfd.readouterr())
    assert "Xanthous" not in caplog.text
    assert "Xanthous" not in written
    assert "Bearer" not in caplog.text


def test_a_unix_socket_is_this_machine() -> None:
    with TemporaryDirectory() as folder:  # its path is short enough for a socket
        path = f"{folder}/llm.sock"
        with ScriptedServer(gold, unix=path) as server:
            assert server.url == f"http+unix://{quote(path, safe='')}/v1"
            answers = ask(server)
    assert [a.probabilities for a in answers] == [pytest.approx(e, abs=1e-6) for e in EXPECTED]
