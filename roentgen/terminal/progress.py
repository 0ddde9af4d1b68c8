"""Progress of long work: a bar on a terminal, a line a minute in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, Self, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_SECONDS = 60.0  # between lines of a log file


@contextmanager
def without_library_bars() -> Iterator[None]:
    """Without transformers' bars, a line for each file, whose carriage returns a log file keeps."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class Progress:
    """Progress of `total` units of work, of which an earlier run has `done` some.

    On a terminal it is a bar; otherwise each minute a line states time, rate and time left. Work
    that takes less than a minute writes no line. `shown` is false in all processes but one, and
    `leave` whether a finished bar stays. Bytes have the unit "B".
    """

    def __init__(
        self,
        total: int,
        label: str,
        unit: str,
        *,
        done: int = 0,
        shown: bool = True,
        leave: bool = True,
    ) -> None:
        self.total, self.n = total, done
        self._label, self._unit, self._done, self._note = label, unit, done, ""
        self._in_lines = shown and not sys.stderr.isatty()
        self._began, self._printed = time.monotonic(), -1  # at the last line
        self._due = self._began + _SECONDS
        self._bar: tqdm[NoReturn] = tqdm(
            total=total,
            initial=done,
            desc=label,
            unit=unit,
            unit_scale=unit == "B",
            leave=leave,
            disable=not shown or self._in_lines,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each of which is a unit of work."""
        with self:
            for item in items:
                yield item
                self.update()

    def update(self, units: int = 1) -> None:
        """So many units more are finished."""
        self.n += units
        self._bar.update(units)
        if self._in_lines and time.monotonic() >= self._due:
            self._print()

    def note(self, note: str) -> None:
        """A short text beside the numbers, in place of the last one."""
        self._note = note
        self._bar.set_postfix_str(note)

    def write(self, line: str) -> None:
        """Print a line on standard output, above the bar, if there is one."""
        tqdm.write(line)
        sys.stdout.flush()

    def close(self) -> None:
        """End the bar; of work that took a minute or more, write a last line."""
        self._bar.close()
        took = time.monotonic() - self._began
        if self._in_lines and took >= _SECONDS and self._printed != self.n:
            self._print()
        self._in_lines = False

    def _print(self) -> None:
        self._due, self._printed = time.monotonic() + _SECONDS, self.n
        print(self._line(), file=sys.stderr, flush=True)  # noqa: T201

    def _line(self) -> str:
        """Such as "train: 120 of 2000 steps, 02:00 elapsed, 1.0 steps/s, 31:20 left"."""
        seconds, units = time.monotonic() - self._began, self.n - self._done
        parts = [f"{self._label}: {self._count()}", f"{tqdm.format_interval(seconds)} elapsed"]
        if units > 0:
            parts.append(self._rate(units / seconds))
        if units > 0 and self.n < self.total:
            left = (self.total - self.n) * seconds / units
            parts.append(f"{tqdm.format_interval(left)} left")
        return ", ".join(part for part in (*parts, self._note) if part)

    def _count(self) -> str:
        if self._unit == "B":
            return f"{self.n / 1e9:.1f} of {self.total / 1e9:.1f} GB"
        return f"{self.n} of {self.total} {self._unit}s"

    def _rate(self, rate: float) -> str:
        """Units per second, or seconds per unit where there is less than one a second."""
        if self._unit == "B":
            return f"{rate / 1e6:.1f} MB/s"
        return f"{rate:.1f} {self._unit}s/s" if rate >= 1 else f"{1 / rate:.1f} s/{self._unit}"
