"""Errors in user input, the checks of settings that raise them, and how a program reports them.

A section of a configuration applies the checks as soon as it is read. A key is written as the user
writes it ("ema.decay"); its last word is the attribute.
"""

import errno
import operator
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from types import FrameType, TracebackType
from typing import Any, TextIO

import roentgen.name_conflict  # noqa: F401

FIRST_PROCESS_SECONDS = 10
_INTERRUPTED = 130
_BROKEN_PIPE = 141  # as of a process that SIGPIPE ends


class InputError(ValueError):
    """An input that cannot be used; the message names it, its value and the remedy."""


class UnwantedError(InputError):
    """The configuration excludes an item: a filter, not damage."""


def require(condition: bool, message: str) -> None:
    """Raises InputError with this message unless the condition holds."""
    if not condition:
        raise InputError(message)


def require_range(
    settings: object,
    *keys: str,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    note: str = "",
) -> None:
    """Raises InputError naming the first setting out of these bounds.

    Of a tuple every number is checked; None is not. `note` ends the message.
    """
    given = {
        "at least": (operator.ge, at_least),
        "above": (operator.gt, above),
        "at most": (operator.le, at_most),
        "below": (operator.lt, below),
    }
    bounds = {words: (holds, b) for words, (holds, b) in given.items() if b is not None}
    for key in keys:
        value = getattr(settings, key.rpartition(".")[2])
        numbers = value if isinstance(value, tuple) else (value,)
        inside = (holds(n, b) for n in numbers if n is not None for holds, b in bounds.values())
        if not all(inside):
            allowed = " and ".join(f"{words} {bound}" for words, (_, bound) in bounds.items())
            written = f"{list(value)}: each" if isinstance(value, tuple) else f"{value}: it"
            raise InputError(f"{key} is {written} must be {allowed}{note and f', {note}'}")


def require_distinct(settings: object, *keys: str, note: str = "") -> None:
    """Raises InputError naming the first tuple that is empty or repeats a value; None is not one.

    `note` ends the message about an empty one.
    """
    for key in keys:
        values = getattr(settings, key.rpartition(".")[2])
        if values is None:
            continue
        require(len(values) > 0, f"{key} is empty: give at least one{note and f', {note}'}")
        repeated = [value for value in values if values.count(value) > 1]
        if repeated:
            raise InputError(f"{key} has {repeated[0]!r} twice: give each once")


def require_choice(what: str, value: object, choices: Iterable[object]) -> None:
    """Raises InputError, which lists the choices, unless the value is one of them."""
    allowed = tuple(choices)
    if value not in allowed:
        names = ", ".join(map(str, allowed))
        raise InputError(f"unknown {what} {value!r}; choose one of: {names}")


def run_program(main: Callable[[], None]) -> None:
    """Run a program's main; an InputError or a full disk ends it with one line and exit code 2.

    Ctrl-C and SIGTERM end it with one line and exit code 130, a reader of its output that has gone
    with 141. Any other exception is a bug and keeps its traceback.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    if sys.stdout is None:  # it is closed (`program >&-`)
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        with redirect_stdout(_StandardOutput(sys.stdout)):
            try:
                main()
            except SystemExit:
                sys.stdout.flush()
                raise
            sys.stdout.flush()
    except _OutputError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is buffered
        if error.cause.errno == errno.EPIPE:  # `program | head` has enough
            raise SystemExit(_BROKEN_PIPE) from None
        _end(f"error: standard output cannot be written: {error.cause.strerror}", 2)
    except InputError as error:
        # From a worker process the message comes after a traceback.
        line = (
            str(error)
            .strip()
            .splitlines()[-1]
            .removeprefix(f"{InputError.__module__}.InputError: ")
        )
        _end(f"error: {line}", 2)
    except KeyboardInterrupt as interrupt:
        _end(str(interrupt) or "interrupted", _INTERRUPTED)
    except Exception as error:
        full = next((e for e in _causes(error) if is_full_disk(e)), None)
        if full is None:
            raise
        where = getattr(full, "filename", None) or "the output folder"
        _end(f"error: no space left on the disk that holds {where}: free some", 2)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM, by which schedulers and launchers end a process, is an interrupt; a second kills."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt("terminated")


class _OutputError(Exception):
    """Standard output cannot be written: no disk of ours is full."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


class _StandardOutput:
    """Standard output whose errors are kept apart from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise _OutputError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise _OutputError(error) from error


def _end(line: str, code: int) -> None:
    if os.environ.get("RANK", "0") != "0" and code != _INTERRUPTED:
        # Most errors occur in all of torchrun's processes: the first one reports them, and its end
        # ends this one, unless the error is this one's alone.
        time.sleep(FIRST_PROCESS_SECONDS)
    print(line, file=sys.stderr)  # noqa: T201
    raise SystemExit(code) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_full_disk(error: BaseException) -> bool:
    """Whether the disk or quota is full; safetensors reports it only in its message."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error) or "quota exceeded" in str(error)


def _report_early_interrupt(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """One line for Ctrl-C while a program still imports; Python then ends it by SIGINT."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)  # noqa: T201
    else:
        sys.__excepthook__(kind, error, trace)


def _terminate_early(number: int, frame: FrameType | None) -> None:
    """SIGTERM while a program still imports ends it as it does later."""
    _end("terminated", _INTERRUPTED)


if sys.argv[:1] == ["-m"]:  # `python -m program`, until its own module runs
    signal.signal(signal.SIGTERM, _terminate_early)
    sys.excepthook = _report_early_interrupt
