"""Values of a JSON file, read one at a time."""

import codecs
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from roentgen.errors import InputError
from roentgen.untrusted_files import open_regular

LARGEST_VALUE = 1 << 25  # characters; reports of RadGraph have some thousand
_CHUNK = 1 << 20  # bytes read at once of a file that is read from its start
_FEW = 1 << 14  # of one value
_BLANKS = " \t\n\r"
_MARK = b"\xef\xbb\xbf"  # of UTF-8, at the start of files from Windows


@contextmanager
def open_values(path: Path, byte: int | None = None) -> Iterator["JsonValues"]:
    """The values of a file from its start, or from a byte of it on.

    Reading raises InputError for a file that cannot be read or is no JSON.
    """
    try:
        with open_regular(path) as file:
            if byte is None and file.read(len(_MARK)) != _MARK:
                file.seek(0)
            elif byte is not None:
                file.seek(byte)
            yield JsonValues(path, file, _CHUNK if byte is None else _FEW)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: save it so") from None


class RepeatingObject(dict[str, Any]):
    """An object with the keys that its JSON has more than once; the last value counts."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    result = RepeatingObject(found)
    result.repeated = tuple(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
    return result


_OBJECTS = json.JSONDecoder(object_pairs_hook=_object)
_PLAIN = json.JSONDecoder()


class JsonValues:
    """The values of a file's object or list, with no more in memory than one needs."""

    def __init__(self, path: Path, file: BinaryIO, chunk: int) -> None:
        self._path = path
        self._file = file
        self._chunk = chunk
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text = ""
        self._at = 0
        self._before = 0  # characters before the text
        self._ended = False
        self.keyed = True  # whether it is an object, known once its first key is read
        self._counted = (0, file.tell())  # a place in the text, and its byte in the file

    def __iter__(self) -> Iterator[str]:
        """The key of each value, or its position in a list; `value` reads it before the next."""
        self.keyed = self.take("{[", "an object or a list of graphs") == "{"
        end = "}" if self.keyed else "]"
        going = self.peek() != end or self.take(end, "") != end
        number = 0
        while going:
            yield self.key() if self.keyed else str(number)
            number += 1
            going = self.take(f",{end}", f"',' or '{end}'") == ","
        if self.peek():
            raise self.error("the end of the file")

    def byte(self) -> int:
        """The byte of the file where the next value begins."""
        self.peek()
        self._counted = (self._at, self._byte())
        return self._counted[1]

    def _byte(self) -> int:
        place, byte = self._counted
        return byte + len(self._text[place : self._at].encode())

    def peek(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            while self._text[self._at : self._at + 1] in _BLANKS and self._at < len(self._text):
                self._at += 1
            if self._at < len(self._text) or not self._more(self._chunk):
                return self._text[self._at : self._at + 1]

    def take(self, allowed: str, expected: str) -> str:
        """The next character, which must be one of those allowed."""
        found = self.peek()
        if not found or found not in allowed:
            raise self.error(expected)
        self._at += 1
        return found

    def key(self) -> str:
        """The next key of an object."""
        if self.peek() != '"':
            raise self.error("a key in quotes")
        key: str = self.value()
        self.take(":", "':'")
        return key

    def value(self) -> Any:
        """The next value. Raises InputError where there is none."""
        return self._next(_OBJECTS)

    def skip(self) -> None:
        """Read the next value faster, without its repeated keys."""
        self._next(_PLAIN)

    def _next(self, decoder: json.JSONDecoder) -> Any:
        self.peek()
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more(self._chunk):
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                unread = len(self._text) - self._at
                if unread > LARGEST_VALUE or not self._more(max(self._chunk, unread)):
                    self._at = error.pos
                    raise self.error("JSON", error.msg) from None
            except RecursionError:
                raise self.error("JSON", "it is nested too deeply") from None
            except ValueError:
                raise self.error("JSON", "a number has too many digits") from None

    def error(self, expected: str, why: str = "") -> InputError:
        """That something else was expected at this place."""
        place = self._before + self._at
        if not why:
            found = self._text[self._at : self._at + 1]
            why = f"{found!r} in place of" if found else "the file ends before"
            why = f"{why} {expected}"
        return InputError(f"{self._path} is not a file of graphs: character {place + 1}: {why}")

    def _more(self, size: int) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        data = self._file.read(size)
        self._ended = not data
        self._counted = (0, self._byte())
        self._before += self._at
        self._text = self._text[self._at :] + self._decode(data, self._ended)
        self._at = 0
        return True
