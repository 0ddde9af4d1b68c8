"""Killed at any file-system event, a program leaves no half output and ends in the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kill.programs import PROGRAMS

RUN = Path(__file__).with_name("run.py")


def kill(folder: Path, *options: str) -> list[dict[str, object]]:
    """Run the harness, in a process that has done nothing before; its counts by program."""
    ended = subprocess.run(
        [sys.executable, str(RUN), str(folder), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    print(ended.stdout)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_some_kills_of_each_program(tmp_path: Path) -> None:
    counts = kill(tmp_path, "--sample=1")
    assert [count["program"] for count in counts] == list(PROGRAMS)
    assert all(count["kills"] == 1 for count in counts)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["new", "overwrite"])
def test_every_kill_of_each_program(tmp_path: Path, way: str) -> None:
    counts = kill(tmp_path, *(["--overwrite"] if way == "overwrite" else []))
    assert all(int(str(count["kills"])) > 3 for count in counts)  # a sheet is one file
