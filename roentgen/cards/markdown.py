"""Cards in Markdown with a YAML header, which the Hugging Face hub reads and shows."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from roentgen.errors import InputError

PLACE = "path/to/this/folder"  # the folder in the code of its card, until it has a repository
_HEADER = re.compile(r"---[ \t]*\n(.*?\n)??---[ \t]*(?:\n(.*)|\Z)", re.DOTALL)


def card_text(header: Mapping[str, Any], lines: Iterable[str]) -> str:
    """A card of a header and the lines of its body."""
    values = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{values}---\n\n" + "\n".join(lines).strip() + "\n"


def parse_card(text: str) -> tuple[dict[str, Any], list[str]]:
    """Header and lines of a card; of one without a header {}. Raises InputError if unreadable."""
    found = _HEADER.match(text)
    try:
        header = (yaml.safe_load(found[1] or "") or {}) if found else {}
    except (yaml.YAMLError, ValueError) as error:  # such as of a date that is none
        reason = str(error).splitlines()[0]
        raise InputError(f"the header of the card is not YAML ({reason}): mend it") from None
    if not isinstance(header, dict):
        raise InputError("the header of the card has no keys: write `key: value`, or remove it")
    return header, (found[2] or "" if found else text).strip().splitlines()


def with_title(lines: Sequence[str], title: str) -> list[str]:
    """The lines with this title, their first heading, in place of their own."""
    rest = lines[1:] if lines and lines[0].startswith("# ") else ["", *lines]
    return [f"# {plain(title)}", *rest]


def with_section(lines: Sequence[str], title: str, section: Sequence[str]) -> list[str]:
    """The lines with this section in place of that of the same title, or at the end."""
    heading = f"## {title}"
    if heading not in lines:
        return [*lines, "", heading, "", *section]
    start = lines.index(heading)
    later = (i for i in range(start + 1, len(lines)) if lines[i].startswith("## "))
    return [*lines[:start], heading, "", *section, "", *lines[next(later, len(lines)) :]]


def bullets(items: Iterable[str]) -> list[str]:
    """The lines of a list."""
    return [f"- {item}" for item in items]


def code(language: str, *lines: str) -> list[str]:
    """The lines of a block of code; its fence is longer than any in them."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a table of foreign texts; all columns but the first are of numbers."""
    cells = [[plain(str(cell)).replace("|", "/") for cell in row] for row in (columns, *rows)]
    head, *body = (f"| {' | '.join(row)} |" for row in cells)
    return [head, f"|---|{'---:|' * (len(columns) - 1)}", *body]


def plain(text: str) -> str:
    """A foreign text on one line of Markdown, without HTML, links or code."""
    line = " ".join(text.split())
    return re.sub(r"[`\[\]<>&]", lambda sign: f"&#{ord(sign[0])};", line)
