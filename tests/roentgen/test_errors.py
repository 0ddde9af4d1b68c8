import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from roentgen.errors import InputError, run_program


def outcome(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as exit_:
        run_program(main)
    return exit_.value.code, capsys.readouterr().err


def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(InputError("x is 3"), capsys) == (2, "error: x is 3\n")


def test_a_mistake_found_in_a_worker_process_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = 'Caught InputError in worker.\n  File "a"\nroentgen.errors.InputError: x is 3\n'
    assert outcome(InputError(message), capsys) == (2, "error: x is 3\n")


def test_a_later_process_leaves_it_to_the_first_to_tell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setenv("RANK", "0")
    assert outcome(InputError("x is 3"), capsys) == (2, "error: x is 3\n")
    assert waits == []
    monkeypatch.setenv("RANK", "1")
    assert outcome(InputError("x is 3"), capsys) == (2, "error: x is 3\n")
    assert waits == [10]


def test_ctrl_c_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(KeyboardInterrupt(), capsys) == (130, "interrupted\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = outcome(OSError(number, "full", "runs/a.png"), capsys)
    assert code == 2
    assert "runs/a.png" in text
    assert text.count("\n") == 1


def test_a_full_disk_behind_another_error_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    error = RuntimeError("saving failed")
    error.__cause__ = OSError(errno.ENOSPC, "full")
    code, text = outcome(error, capsys)
    assert (code, "no space left" in text) == (2, True)


def test_a_full_disk_under_safetensors_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    # What safetensors 0.8 raised on a full file system of 1 MB: no errno, only the message.
    message = "Error while serializing: I/O error: No space left on device (os error 28)"
    code, text = outcome(SafetensorError(message), capsys)
    assert (code, "no space left" in text) == (2, True)


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError("x"), RuntimeError("x")])
def test_a_defect_of_ours_keeps_its_traceback(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(type(error)):
        run_program(main)


def test_importing_roentgen_is_light() -> None:
    code = (
        "import sys, roentgen; print([m for m in ('torch', 'numpy', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PROGRAM = """
import os, signal, sys, time
from roentgen.errors import run_program

def main():
    print("begun", file=sys.stderr, flush=True)
    {body}

run_program(main)
"""


def started(body: str, **options: Any) -> subprocess.Popen[str]:
    code = PROGRAM.format(body=body)
    return subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, **options
    )


unbuffered_or_not = pytest.mark.parametrize("unbuffered", ["", "1"])


@unbuffered_or_not
@pytest.mark.parametrize("body", ["print('x' * 100_000)", "print('x'); raise SystemExit(0)"])
def test_a_reader_that_has_gone_ends_a_program_without_a_word(body: str, unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = started(body, stdout=writing, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    os.close(writing)
    assert program.communicate()[1] == "begun\n"
    assert program.returncode == 141


@unbuffered_or_not
@pytest.mark.parametrize("body", ["print('x' * 100_000)", "print('x')"])
def test_a_full_standard_output_is_not_taken_for_the_output_folder(
    body: str, unbuffered: str
) -> None:
    with Path("/dev/full").open("w") as full:
        program = started(body, stdout=full, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
        text = program.communicate()[1].removeprefix("begun\n")
    assert text == "error: standard output cannot be written: No space left on device\n"
    assert program.returncode == 2


@pytest.mark.parametrize(
    ("number", "line"), [(signal.SIGTERM, "terminated\n"), (signal.SIGINT, "interrupted\n")]
)
def test_a_signal_ends_a_program_with_one_line(number: int, line: str) -> None:
    program = started("time.sleep(60)")
    assert program.stderr is not None
    assert program.stderr.readline() == "begun\n"
    program.send_signal(number)
    assert program.communicate()[1] == line
    assert program.returncode == 130


@pytest.mark.parametrize("body", ["print('x')", "print('x', flush=True); raise SystemExit(0)"])
def test_a_closed_standard_output_is_no_error(body: str) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, PROGRAM.format(body=body)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "begun\n")


@pytest.mark.parametrize(
    ("number", "line", "code"),
    [
        (signal.SIGTERM, "terminated\n", 130),
        (signal.SIGINT, "interrupted\n", -signal.SIGINT),  # a shell sees 130
    ],
)
def test_a_signal_while_a_program_imports_is_no_traceback(
    number: int, line: str, code: int, tmp_path: Path
) -> None:
    # The package of a program is imported first, as train, sample, eval and roentgen are.
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "__init__.py").write_text("import roentgen.errors\n")
    slow = "import sys, time\nprint('begun', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    (tmp_path / "stage" / "program.py").write_text(slow)
    places = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    program = subprocess.Popen(
        [sys.executable, "-m", "stage.program"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": places},
    )
    assert program.stderr is not None
    assert program.stderr.readline() == "begun\n"
    program.send_signal(number)
    assert program.communicate()[1] == line
    assert program.returncode == code
