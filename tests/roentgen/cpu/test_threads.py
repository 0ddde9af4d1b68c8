import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from roentgen.cpu import threads
from roentgen.cpu.threads import VARIABLES, choose_threads, fastest

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four threads, which no environment variable sets, on a machine without a GPU."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def clock(seconds: dict[int, float], calls: list[int]) -> Callable[[int], float]:
    """A measurement of so many seconds by the number of threads, ten times that at first."""

    def measure(number: int) -> float:
        calls.append(number)
        return seconds[number] * (1 if calls.count(number) > 1 else 10)

    return measure


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 0.016, 2: 0.008, 4: 0.004}, 4),  # a quiet machine
        ({1: 0.016, 2: 0.010, 4: 0.030}, 2),
        ({1: 0.016, 2: 0.024, 4: 0.030}, 1),  # beside busy cores
        ({1: 0.016, 2: 0.0155, 4: 0.015}, 1),  # not worth the cores
    ],
)
def test_the_fastest_number_is_taken(seconds: dict[int, float], best: int) -> None:
    assert fastest([1, 2, 4], clock(seconds, [])) == best


def test_slow_measurements_are_few() -> None:
    calls: list[int] = []
    assert fastest([1, 2], clock({1: 0.1, 2: 2.0}, calls)) == 1
    assert calls == [1, 2, 1, 2]


def test_candidates_are_all_cores_half_and_one(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(threads, "convolution_seconds", clock({1: 3.0, 2: 1.0, 4: 2.0}, calls))
    assert choose_threads() == 2 == torch.get_num_threads()
    assert set(calls) == {1, 2, 4}


def test_a_resumed_run_takes_the_number_that_it_began_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "convolution_seconds", None)  # not called
    assert choose_threads(3) == 3 == torch.get_num_threads()


@pytest.mark.parametrize("name", [*VARIABLES, "WORLD_SIZE"])
def test_what_the_environment_sets_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(threads, "convolution_seconds", None)  # not called
    monkeypatch.setenv(name, "4")
    assert choose_threads(3) == 4 == torch.get_num_threads()


CHOOSE = """
import torch
from roentgen.cpu.threads import choose_threads
torch.set_num_threads(2)
print(choose_threads())
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core"
)
def test_beside_a_busy_core_of_two_it_is_one() -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]

    def confined() -> None:
        os.sched_setaffinity(0, cores)

    busy = [sys.executable, "-c", "while True: pass"]
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    with subprocess.Popen(busy, preexec_fn=lambda: os.sched_setaffinity(0, cores[:1])) as spinning:
        try:
            done = subprocess.run(
                [sys.executable, "-c", CHOOSE],
                capture_output=True,
                text=True,
                check=True,
                cwd=ROOT,
                env=environment | {"PYTHONPATH": str(ROOT)},
                preexec_fn=confined,
            )
        finally:
            spinning.kill()
    assert done.stdout == "1\n"
