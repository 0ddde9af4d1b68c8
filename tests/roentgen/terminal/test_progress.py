"""Progress in log files and on terminals."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers.utils import logging

from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.components import Components
from roentgen.terminal.progress import Progress, without_library_bars

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the time on by so many seconds."""
    now = [1000.0]
    monkeypatch.setattr("roentgen.terminal.progress.time.monotonic", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    written = capsys.readouterr().err
    assert "\r" not in written
    return written.splitlines()


def test_a_log_file_gets_a_line_a_minute(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(200, "train", "step", done=20) as progress:
        for _ in range(180):
            clock(1.25)  # 225 s
            progress.update()
            progress.note("loss 0.5")
    first, second, third, last = lines(capsys)
    # 60 s are 48 steps of 1.25 s; 132 remain, which take 165 s.
    assert first == "train: 68 of 200 steps, 01:00 elapsed, 1.2 s/step, 02:45 left, loss 0.5"
    assert second.startswith("train: 116 of 200 steps, 02:00 elapsed")
    assert third.startswith("train: 164 of 200 steps, 03:00 elapsed")
    assert last == "train: 200 of 200 steps, 03:45 elapsed, 1.2 s/step, loss 0.5"


def test_short_or_hidden_work_writes_nothing(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(3, "train", "step") as progress:
        clock(50)
        progress.update(3)
    with Progress(3, "train", "step", shown=False) as progress:
        clock(500)
        progress.update(3)
    assert lines(capsys) == []


def test_bytes_and_fast_work_have_their_units(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(10_000_000_000, "verify", "B") as progress:
        clock(100)
        progress.update(2_000_000_000)
    with Progress(1000, "draw", "image") as progress:
        clock(100)
        progress.update(500)
    first, third = lines(capsys)  # and no last line that repeats it
    assert first == "verify: 2.0 of 10.0 GB, 01:40 elapsed, 20.0 MB/s, 06:40 left"
    assert third == "draw: 500 of 1000 images, 01:40 elapsed, 5.0 images/s, 01:40 left"


def test_nothing_done_yet_has_no_rate(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(10, "draw", "image", done=4) as progress:
        clock(61)
        progress.update(0)
    assert lines(capsys)[0] == "draw: 4 of 10 images, 01:01 elapsed"


def test_items_are_units(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in Progress(2, "train", "network").over("ab"):
        clock(90)
    assert lines(capsys)[0] == "train: 1 of 2 networks, 01:30 elapsed, 90.0 s/network, 01:30 left"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(3, "train", "step") as progress:
        progress.update(3)
    assert "train: 100%" in terminal.getvalue()
    assert "\r" in terminal.getvalue()


@pytest.mark.parametrize("shown", [True, False])
def test_bars_of_a_library_are_as_before_afterwards(shown: bool) -> None:
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
    try:
        with without_library_bars():
            assert not logging.is_progress_bar_enabled()
        assert logging.is_progress_bar_enabled() == shown
    finally:
        logging.enable_progress_bar()


def test_reading_and_writing_a_model_shows_no_bar(
    make_small_components: Callable[..., Components],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    save_model(tmp_path / "model", make_small_components(), licenses=[LICENSE], provenance={})
    load_components(str(tmp_path / "model"))
    assert capfd.readouterr().err == ""
