import pytest
import yaml

from roentgen.cards.markdown import (
    card_text,
    code,
    parse_card,
    plain,
    table,
    with_section,
    with_title,
)
from roentgen.errors import InputError

HEADER = {"license": "mit", "tags": ["a", "b"], "name": "---\n# no heading"}
BODY = ["# One", "", "Words.", "", "## First", "", "a", "", "## Second", "", "b"]


def test_a_card_is_read_as_it_was_written() -> None:
    text = card_text(HEADER, BODY)
    assert parse_card(text) == (HEADER, BODY)
    assert parse_card("\n".join(BODY)) == ({}, BODY)
    assert "\n# no heading" not in text


@pytest.mark.parametrize("header", ["a: [", "- a", "words", "a: 2024-13-40"])
def test_a_header_that_cannot_be_read_is_refused(header: str) -> None:
    with pytest.raises(InputError, match="the header of the card"):
        parse_card(f"---\n{header}\n---\n# One\n")


def test_a_section_is_replaced_or_added() -> None:
    replaced = with_section(BODY, "First", ["new"])
    assert replaced == [*BODY[:4], "## First", "", "new", "", "## Second", "", "b"]
    assert with_section(BODY, "Second", ["new"])[:-2] == [*BODY[:8], "## Second", ""]
    assert with_section(BODY, "Third", ["new"]) == [*BODY, "", "## Third", "", "new"]


def test_the_title_is_replaced_or_added() -> None:
    assert with_title(BODY, "Two") == ["# Two", *BODY[1:]]
    assert with_title(["Words."], "Two") == ["# Two", "", "Words."]


def test_foreign_texts_are_plain_lines() -> None:
    assert plain("<img src=x onerror=alert(1)>\n## [a](javascript:b) `c`") == (
        "&#60;img src=x onerror=alert(1)&#62; ## &#91;a&#93;(javascript:b) &#96;c&#96;"
    )
    assert table(("", "n"), [("a|<b>", 1)]) == ["|  | n |", "|---|---:|", "| a/&#60;b&#62; | 1 |"]


@pytest.mark.parametrize(
    "text", ["---\n---\n# One\n", "---\n\n---  \n# One", "---\n# none\n---\n\n# One\n", "# One"]
)
def test_a_header_may_be_empty(text: str) -> None:
    assert parse_card(text) == ({}, ["# One"])


def test_a_card_may_be_its_header_alone() -> None:
    assert parse_card("---\nlicense: mit\n---") == ({"license": "mit"}, [])


def test_code_ends_where_it_ends() -> None:
    """Also a prompt with the sign of a block in it."""
    assert code("text", "a") == ["```text", "a", "```"]
    assert code("text", "a ``` b", "````") == ["`````text", "a ``` b", "````", "`````"]


@pytest.mark.parametrize(
    "value",
    ["a: b", "#", "- x", "&a", "*a", "!tag", "yes", "null", "1e3", "2024-01-01", "'", '"', "é🙂"],
)
def test_every_text_comes_back_from_a_header(value: str) -> None:
    header = {"pretty_name": value, "tags": [value], "widget": [{"text": value}]}
    assert parse_card(card_text(header, ["# One"])) == (header, ["# One"])
    assert yaml.safe_load(card_text(header, []).split("---\n")[1]) == header
