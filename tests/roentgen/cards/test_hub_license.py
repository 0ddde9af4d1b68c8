import re

import pytest

from roentgen.cards.hub_license import license_header, license_lines

OPEN = {"name": "CC-BY-4.0", "data_use": None, "may_share": True}
OTHER = {"name": "NIH terms: (unrestricted) use", "data_use": "Name them.", "may_share": True}
CLOSED = {"name": "DUA 1.5", "data_use": "No sharing.", "may_share": False}

FOREIGN = {"name": "利用規約", "data_use": None, "may_share": True}


def test_the_hub_is_given_its_own_name_of_a_license() -> None:
    assert license_header([OPEN, OPEN]) == {"license": "cc-by-4.0"}


@pytest.mark.parametrize("licenses", [[OTHER], [OPEN, OTHER], [CLOSED], [FOREIGN]])
def test_other_licenses_have_a_name_that_the_hub_accepts(licenses: list[dict[str, object]]) -> None:
    header = license_header(licenses)
    assert header["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", header["license_name"])


def test_terms_are_a_line_each() -> None:
    assert license_lines([OPEN, CLOSED]) == [
        "- CC-BY-4.0: may be passed on.",
        "- DUA 1.5: must not be passed on. No sharing.",
    ]
