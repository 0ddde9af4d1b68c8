"""Licenses as the Hugging Face hub knows them, and whether they allow to share."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from roentgen.cards.markdown import bullets, plain

LICENSE_FILE = "LICENSE.md"  # beside a card whose license the hub does not know
# The hub's names of licenses by ours (SPDX identifiers); others are "other" to it.
HUB_NAMES = {
    name: name.lower()
    for name in (
        *("Apache-2.0", "MIT", "CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0"),
        *("CC-BY-ND-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "CreativeML-OpenRAIL-M"),
        *("OpenRAIL", "OpenRAIL++", "BSD-3-Clause", "GPL-3.0"),
    )
}


def license_header(licenses: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Entries of a card's header: the hub's license where it knows it and there is no other."""
    names = list(dict.fromkeys(str(terms["name"]) for terms in licenses))
    if len(names) == 1 and names[0] in HUB_NAMES:
        return {"license": HUB_NAMES[names[0]]}
    words = "-".join(re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") for name in names)
    return {"license": "other", "license_name": words[:96].strip("-") or "own-terms"}


def license_lines(licenses: Sequence[Mapping[str, Any]]) -> list[str]:
    """The terms, a line each."""
    lines = (f"{each['name']}: {sharing([each])}. {each['data_use'] or ''}" for each in licenses)
    return bullets(plain(line) for line in lines)


def sharing(licenses: Iterable[Mapping[str, Any]]) -> str:
    """Whether what these licenses cover may be passed on, in words."""
    if all(terms["may_share"] for terms in licenses):
        return "may be passed on"
    return "must not be passed on"
