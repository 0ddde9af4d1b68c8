"""Range checks of settings, which a section of a configuration applies as soon as it is read.

A key is written as the user writes it ("ema.decay"); its last word is the attribute.
"""

import operator
from collections.abc import Iterable

from roentgen.errors import InputError


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
