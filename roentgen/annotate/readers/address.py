"""Addresses of servers: reports stay on this machine unless their licenses are named."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, ip_address
from socket import getaddrinfo
from typing import NamedTuple
from urllib.parse import unquote

from roentgen.annotate.readers.config import ServerConfig
from roentgen.errors import InputError

# Forms that all parsers of URLs read alike: no user, query or escape that one may read otherwise.
_PLAIN = re.compile(
    r"(https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?"
)
_UNIX = re.compile(r"http\+unix://(?P<socket>%2[Ff][A-Za-z0-9._~%-]+)(?P<path>/[A-Za-z0-9._~/-]*)?")
_LOOPBACK = IPv4Network("127.0.0.0/8")


class Address(NamedTuple):
    """Where a server is."""

    url: str  # http or https
    socket: str | None = None  # path of the UNIX socket that leads to it


def address_of(config: ServerConfig, licenses: Sequence[str]) -> Address:
    """The address of a server that reports with these licenses may be sent to.

    Raises InputError for a URL that is none, and for one of another machine unless the settings
    allow it by naming all of the licenses.
    """
    if unix := _UNIX.fullmatch(config.url):
        return Address(f"http://localhost{unix['path'] or ''}", unquote(unix["socket"]))
    if "@" in config.url:  # not repeated: it may hold a password
        raise InputError(
            "server.url has a user or a password before its host: remove them, and name the "
            "environment variable of a key in server.api_key_variable"
        )
    found = _PLAIN.fullmatch(config.url)
    if not found:
        raise InputError(
            f"server.url is {config.url!r}: give a plain address such as http://127.0.0.1:8000/v1, "
            "or http+unix://%2Frun%2Fllm.sock/v1"
        )
    if not _is_loopback(found["host"]):
        _require_permission(config, found["host"], licenses)
    return Address(config.url)


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine: 127.0.0.0/8, ::1, or localhost that leads to nothing else."""
    if host.lower() == "localhost":
        try:
            found = {info[4][0] for info in getaddrinfo(host, None)}
        except OSError:
            return False
        return all(_is_loopback(f"[{name}]" if ":" in str(name) else str(name)) for name in found)
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        return address == IPv6Address("::1")
    return address in _LOOPBACK


def _require_permission(config: ServerConfig, host: str, licenses: Sequence[str]) -> None:
    named = ", ".join(licenses) or "not stated"
    if not config.may_leave_this_machine:
        raise InputError(
            f"server.url leads to {host}, which is not this machine (127.0.0.0/8, ::1, localhost): "
            f"reports would leave it. Their license is {named}; if it allows that, set "
            "server.may_leave_this_machine: true and name it in server.licenses"
        )
    missing = [name for name in licenses if name not in config.licenses]
    if missing:
        raise InputError(
            f"server.licenses names {', '.join(config.licenses)}, but the license of the reports is"
            f" {', '.join(missing)}: they leave this machine only if all of theirs are named"
        )
