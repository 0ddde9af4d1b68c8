"""Ctrl-C while a program still imports: one line in place of a traceback.

Afterwards `roentgen.errors.run_program` reports it. Python then ends the process by SIGINT.
"""

import sys
from types import TracebackType


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)  # noqa: T201
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # `python -m program`, until its own module runs
    sys.excepthook = _report
