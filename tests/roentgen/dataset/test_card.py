"""Dataset cards: whose images they hold, and foreign texts as plain lines."""

from pathlib import Path

import numpy as np

from roentgen.dataset.card import patients_notice, plain
from roentgen.dataset.dataset import DatasetWriter
from roentgen.imaging.images import encode_png
from roentgen.record.radiograph import Radiograph

OPEN = {"name": "CC0", "data_use": None, "may_share": True}
CLOSED = {"name": "DUA", "data_use": None, "may_share": False}


def counts(source: str, reports: bool) -> dict[str, dict[str, object]]:
    sources = [{"source": source, "license": "x", "radiographs": 3}]
    return {"train": {"sources": sources, "reports": {"impression": 2} if reports else {}}}


def test_a_card_says_that_it_holds_patients() -> None:
    assert patients_notice(counts("phantom", True), [OPEN]) is None
    assert patients_notice(counts("synthetic", False), [CLOSED]) is None
    assert patients_notice(counts("MIMIC-CXR", True), [OPEN, CLOSED]) == (
        "This holds 3 radiographs of patients and words of their reports: it must not be passed on."
    )
    assert patients_notice(counts("NIH", False), [OPEN]) == (
        "This holds 3 radiographs of patients: it may be passed on."
    )


def test_foreign_texts_are_plain_lines() -> None:
    assert plain("<img src=x onerror=alert(1)>\n## [a](javascript:b) `c`") == (
        "&#60;img src=x onerror=alert(1)&#62; ## &#91;a&#93;(javascript:b) &#96;c&#96;"
    )


def test_no_html_of_licenses_and_sources_reaches_a_card(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\n# x"
    terms = {"name": bad, "data_use": bad, "may_share": True}
    with DatasetWriter(tmp_path / "set", licenses=[terms], provenance={}) as writer:
        writer.add(
            Radiograph(
                id="a",
                patient_id="a",
                study_id="a",
                split="train",
                image=encode_png(np.zeros((8, 8), np.uint8)),
                source=bad,
                license=bad,
            )
        )
        writer.exclude("x", bad)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "<script" not in card
    assert "\n# x" not in card
    assert card.count("&#60;script&#62;") == 5
