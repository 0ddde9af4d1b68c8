"""Addresses: what is this machine, what only looks like it, and licenses that let reports leave."""

import socket
from typing import Any

import pytest

from roentgen.annotate.readers.address import Address, address_of
from roentgen.annotate.readers.config import ServerConfig
from roentgen.errors import InputError

MIMIC = ("PhysioNet Credentialed Health Data License 1.5.0",)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "http://127.8.9.10/v1/",
        "https://127.0.0.1",
        "http://[::1]:11434/v1",
        "http://localhost:8080/v1",
        "http://LocalHost:8080/v1",
    ],
)
def test_loopback_is_this_machine(url: str) -> None:
    assert address_of(ServerConfig(url=url), MIMIC) == Address(url)


def test_a_socket_is_this_machine() -> None:
    config = ServerConfig(url="http+unix://%2Frun%2Fmy%20llm.sock/v1")
    assert address_of(config, MIMIC) == Address("http://localhost/v1", "/run/my llm.sock")


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "10.0.0.7:8000",
        "192.168.1.2",
        "127.0.0.1.example.com",
        "127.0.0.1.nip.io",
        "localhost.example.com",
        "localhost.",
        "0.0.0.0",
        "0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.256",
        "[::]",
        "[::2]",
        "[::ffff:8.8.8.8]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "[2001:db8::1]",
    ],
)
def test_what_is_not_loopback_is_refused(host: str) -> None:
    with pytest.raises(InputError) as caught:
        address_of(ServerConfig(url=f"http://{host}/v1"), MIMIC)
    message = str(caught.value)
    assert "is not this machine" in message
    assert f"Their license is {MIMIC[0]};" in message
    assert "server.may_leave_this_machine: true" in message


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000/v1",
        "ftp://127.0.0.1/v1",
        "file:///v1",
        "http:/127.0.0.1/v1",
        "http:///v1",
        "http://",
        "",
        "http://127.0.0.1\\.example.com/v1",
        "http://127.0.0.1 .example.com/v1",
        "http://127.0.0.1%2eexample.com/v1",
        "http://127.0.0.1#.example.com/v1",
        "http://127.0.0.1?.example.com/v1",
        "http://127.0.0.1:80:90/v1",
        "http://127.0.0.1:port/v1",
        "http://[::1%25eth0]/v1",
        "http://[127.0.0.1]:80.example.com/v1",
        "http://127。0。0。1/v1",
        "http://１27.0.0.1/v1",
        "http://127.0.0.1\n/v1",
        "http://127.0.0.1/v1\n",
        "http+unix://example.com/v1",
        "http+unix:///run/llm.sock/v1",
        "http://127.0.0.1/v1?to=http://example.com",
    ],
)
def test_other_forms_are_refused_even_with_permission(url: str) -> None:
    config = ServerConfig(url=url, may_leave_this_machine=True, licenses=MIMIC)
    with pytest.raises(InputError, match="give a plain address") as caught:
        address_of(config, MIMIC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://me:secret@127.0.0.1/v1", "http://127.0.0.1@example.com/v1", "http://a@b@c/v1"]
)
def test_users_and_passwords_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError, match="a user or a password") as caught:
        address_of(ServerConfig(url=url), MIMIC)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("others", [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["::1", "fe80::1%lo"]])
def test_localhost_that_leads_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    def found(*_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, 0)) for name in others]

    monkeypatch.setattr("roentgen.annotate.readers.address.getaddrinfo", found)
    with pytest.raises(InputError, match="is not this machine"):
        address_of(ServerConfig(url="http://localhost:80/v1"), MIMIC)


def test_licenses_let_reports_leave() -> None:
    url = "https://llm.example.org/v1"
    both = (*MIMIC, "CC0-1.0")
    config = ServerConfig(url=url, may_leave_this_machine=True, licenses=both)
    assert address_of(config, MIMIC) == Address(url)
    assert address_of(config, both[::-1]) == Address(url)
    only = ServerConfig(url=url, may_leave_this_machine=True, licenses=("CC0-1.0",))
    with pytest.raises(InputError, match=r"names CC0-1\.0, but .* is PhysioNet Credentialed"):
        address_of(only, both)
    with pytest.raises(InputError, match="Their license is not stated"):
        address_of(ServerConfig(url=url), ())
    with pytest.raises(InputError, match=r"server\.licenses is empty"):
        ServerConfig(url=url, may_leave_this_machine=True)
