import errno
import subprocess
import sys

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
