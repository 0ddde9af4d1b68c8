"""Sentences: where they end, in running text, in lists and in lines without stops."""

import importlib.util
import re
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest

from eval.labeling.cases import half_of
from roentgen.corpora.open_i.open_i import read_reports
from roentgen.reports.cleaning import clean_section
from roentgen.reports.sections import parse_report
from roentgen.reports.sentences import sentence_spans, sentences


@pytest.fixture(scope="module")
def open_i() -> list[str]:
    """Findings and impressions of the real Open-i reports, of the half that may be read."""
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("torchxrayvision, whose data folder holds the reports, is not installed")
    path = Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"
    reports = [item.report for item in read_reports(path) if half_of(item.id) == "development"]
    return [text for report in reports for text in (report.findings, report.impression) if text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Clear lungs. No edema.", ["Clear lungs.", "No edema."]),
        ("A 3.5 cm mass. Normal.", ["A 3.5 cm mass.", "Normal."]),
        ("A 5 mm. nodule is seen.", ["A 5 mm. nodule is seen."]),
        ("Seen by Dr. J. Smith today. Clear.", ["Seen by Dr. J. Smith today.", "Clear."]),
        ("Edema vs. pneumonia. Clear.", ["Edema vs. pneumonia.", "Clear."]),
        ("1. Clear. 2. No edema.", ["Clear.", "No edema."]),
        ("1. Clear\n2) No edema\n- Normal", ["Clear", "No edema", "Normal"]),
        ("The heart\nis large.\n\nClear", ["The heart is large.", "Clear"]),
        ("Clear.The heart is large.", ["Clear.", "The heart is large."]),
        ("Fracture of T12. No edema.", ["Fracture of T12.", "No edema."]),
        ("Opacity ? pneumonia. Clear.", ["Opacity ? pneumonia.", "Clear."]),
        (" . . ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentences_lose_no_word(open_i: list[str]) -> None:
    for text in open_i:
        words = re.findall(r"[A-Za-z]+", text)
        assert re.findall(r"[A-Za-z]+", " ".join(sentences(text))) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No pneumothorax\nSmall left effusion\nCardiomegaly", 3),
        ("No pneumothorax\r\nSmall left effusion\r\nCardiomegaly", 3),
        ("no effusion\nsmall left edema\ncardiomegaly", 3),
        ("NO EFFUSION ON THE LEFT\nNO PNEUMOTHORAX\nLARGE LEFT\nCONSOLIDATION", 3),
        ("Tube tip 4 cm above the carina, in a good position, line in the atrium\nNo edema", 2),
        ("Effusion: none\nEdema: mild\nHeart: large", 3),
        ("Lungs:\nClear\nHeart:\nLarge", 2),
        ("* Right PICC in the SVC * No pneumothorax", 2),
        ("Normal heart • No edema • No effusion", 3),
        ("1. Clear 2. No edema 3. Small effusion", 3),
        ("1) Clear 2) No edema", 2),
        ("1.Clear\n2.No edema", 2),
        ("There is a large left\npleural effusion", 1),
        ("Findings suggest possible\nPCP pneumonia", 1),
        ("Fracture of the left\n7th rib", 1),
        ("No effusion\nPICC in the SVC\nA small nodule", 3),
        ("The tip is in the\nSwan-Ganz sheath", 1),
        ("The heart is enlarged and this finding\nis seen again", 1),
        ("No consolidation,\neffusion,\nor pneumothorax.", 1),
        ("Seen by Dr.\nSmith", 1),
        ("A nodule of 3 - 4 cm", 1),
        ("心影增大。左侧少量胸腔积液；未见气胸", 3),
        ("1、双肺纹理增多\n2、心影增大\n3、左侧少量\n胸腔积液", 3),
        ("1.双肺纹理增多。2.心影增大", 2),
        ("两肺清晰.心影增大", 2),
        ("derrame pleural izquierdo . cardiomegalia .", 2),
        # In capitals or without any, a line of a template ends with a side or severity, too.
        ("EFFUSION: SMALL LEFT\nCONSOLIDATION: NONE", 2),
        ("edema: mild\neffusion: none", 2),
        ("NO EFFUSION ON THE LEFT\nRIGHT EFFUSION: SMALL", 2),
        ("THE RADIOGRAPH OF THE CHEST TODAY SHOWS THAT THERE IS A SMALL\nEFFUSION: UNCHANGED", 1),
    ],
)
def test_statements_without_stops_stay_apart_and_wrapped_ones_together(
    text: str, expected: int
) -> None:
    assert len(sentences(text)) == expected
    cleaned = clean_section(text)
    assert len(sentences(cleaned)) == expected
    assert clean_section(cleaned) == cleaned


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_line_ends_of_any_system_part_statements(mark: str) -> None:
    text = f"No pneumothorax{mark}Left effusion and a{mark}small nodule"
    spans = sentence_spans(text)
    assert [text[start:end].split() for start, end in spans] == [
        ["No", "pneumothorax"],
        ["Left", "effusion", "and", "a", "small", "nodule"],
    ]
    assert clean_section(text) == "No pneumothorax. Left effusion and a small nodule"
    report = parse_report(f"FINDINGS:{mark}{text}{mark}{mark}IMPRESSION:{mark}Effusion.")
    assert report == parse_report(f"FINDINGS:\n{text}\n\nIMPRESSION:\nEffusion.")
    assert report.impression == "Effusion."


def test_list_numbers_of_a_line_are_no_text() -> None:
    text = "1. Clear 2. No edema in 12 cm 3. Small effusion"
    assert sentences(text) == ["Clear", "No edema in 12 cm", "Small effusion"]


def test_spans_are_the_sentences(open_i: list[str]) -> None:
    for text in open_i:
        wrapped = textwrap.fill(text, 60).replace("\n", " \n\t ")
        for given in (text, wrapped):
            spans = sentence_spans(given)
            assert [" ".join(given[a:b].split()) for a, b in spans] == sentences(given)
            assert all(a < b <= c for (a, b), (c, _) in pairwise(spans))


@pytest.mark.parametrize("width", [60, 68, 80])
def test_wrapping_changes_nothing(open_i: list[str], width: int) -> None:
    changed = [
        text
        for text in (" ".join(text.split()) for text in open_i)
        if clean_section(textwrap.fill(text, width, break_on_hyphens=False)) != clean_section(text)
    ]
    assert len(changed) <= 0.002 * len(open_i)  # these lack a stop before a capital
