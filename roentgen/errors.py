"""Errors in user input, and how a program reports them in one line."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator

import roentgen.name_conflict  # noqa: F401

FIRST_PROCESS_SECONDS = 10
_INTERRUPTED = 130


class InputError(ValueError):
    """An input that cannot be used; the message names it, its value and the remedy."""


def run_program(main: Callable[[], None]) -> None:
    """Run a program's main; an InputError or a full disk ends it with one line and exit code 2.

    Ctrl-C ends it with exit code 130. Any other exception is a bug and keeps its traceback.
    """
    try:
        main()
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
