"""Sections, sentences, cleaning and what leans on an earlier study."""

import importlib.util
import random
import re
from pathlib import Path

import pytest

from eval.labeling.cases import half_of
from roentgen.corpora.open_i.open_i import read_reports
from roentgen.record.radiograph import Report
from roentgen.reports.cleaning import clean_section
from roentgen.reports.prior_studies import without_prior_comparisons
from roentgen.reports.sections import parse_report
from roentgen.reports.sentences import sentences

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 ~
 INDICATION:  ___F with new onset ascites  // eval for infection
 ~
 TECHNIQUE:  Chest PA and lateral
 ~
 COMPARISON:  None.
 ~
 FINDINGS: ~
 ~
 There is no focal consolidation, pleural effusion or pneumothorax.  Bilateral
 nodular opacities that most likely represent nipple shadows.
 ~
 IMPRESSION: ~
 ~
 1. No acute cardiopulmonary process
 2. Small effusion.  Findings were discussed with Dr. ___ by
 telephone at 3:45 pm on ___.
""".replace("~", "")


@pytest.fixture(scope="module")
def open_i() -> list[str]:
    """Findings and impressions of the real Open-i reports, of the half that may be read."""
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("torchxrayvision, whose data folder holds the reports, is not installed")
    path = Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"
    reports = [item.report for item in read_reports(path) if half_of(item.id) == "development"]
    return [text for report in reports for text in (report.findings, report.impression) if text]


def test_a_report_as_mimic_writes_it() -> None:
    assert parse_report(MIMIC) == Report(
        findings="There is no focal consolidation, pleural effusion or pneumothorax. Bilateral "
        "nodular opacities that most likely represent nipple shadows.",
        impression="No acute cardiopulmonary process. Small effusion.",
        indication="F with new onset ascites; eval for infection",
        comparison="None.",
    )


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_endings_do_not_matter(ending: str) -> None:
    assert parse_report(MIMIC.replace("\n", ending)) == parse_report(MIMIC)


@pytest.mark.parametrize(
    ("title", "section"),
    [
        ("IMPRESSION", "impression"),
        ("CONCLUSION", "impression"),
        ("CONCLUSIONS", "impression"),
        ("FINDINGS AND IMPRESSION", "impression"),
        ("FINDINGS/ IMPRESSION", "impression"),
        ("IMOPRESSION", "impression"),
        ("IMPRESSON", "impression"),
        ("Impression", "impression"),
        ("FINDINGS", "findings"),
        ("FINDNGS", "findings"),
        ("CHEST, TWO VIEWS", "findings"),
        ("PA AND LATERAL CHEST RADIOGRAPHS", "findings"),
        ("INDICATION", "indication"),
        ("REASON FOR EXAM", "indication"),
        ("REASON FOR EXAMINATION", "indication"),
        ("CLINICAL HISTORY", "indication"),
        ("HISTORY", "indication"),
        ("COMPARISON", "comparison"),
        ("COMPARISION", "comparison"),
        ("REFERENCE EXAM", "comparison"),
    ],
)
def test_spellings_of_titles(title: str, section: str) -> None:
    report = parse_report(f" FINAL REPORT\n {title}:  Told here.\n \n TECHNIQUE:  Portable.\n")
    assert getattr(report, section) == "Told here."


def test_of_a_title_that_repeats_the_last_text_counts() -> None:
    text = "IMPRESSION: First.\nNOTIFICATION: by phone\nIMPRESSION: Second.\nIMPRESSION:\n"
    assert parse_report(text).impression == "Second."


def test_a_wet_read_before_the_final_report_does_not_count() -> None:
    text = " WET READ: ___ 8:06 PM\n  IMPRESSION: Pneumothorax.\n" + "_" * 70 + "\n"
    final = "                FINAL REPORT\n FINDINGS:  No pneumothorax.\n"
    assert parse_report(text + final) == Report(findings="No pneumothorax.")
    assert parse_report(text + "    FINAL REPORT\n").impression == "Pneumothorax."


def test_an_addendum_is_not_part_of_the_impression() -> None:
    text = "FINAL REPORT\nIMPRESSION:  Edema.\n\nADDENDUM:  Paged to Dr. ___.\n"
    assert parse_report(text) == Report(impression="Edema.")


def test_without_the_usual_titles_the_last_paragraphs_remain() -> None:
    text = "FINAL REPORT\n PA CHEST, ___\n \n HISTORY:  Cough.\n \n Normal heart.\n \n No edema.\n"
    report = parse_report(text)
    assert report == Report(indication="Cough.", last_paragraph="Normal heart. No edema.")
    assert parse_report("Normal heart.\nNo edema.").last_paragraph == "Normal heart. No edema."


def test_parts_of_the_body_are_no_titles() -> None:
    report = parse_report("FINDINGS:\nLUNGS: Clear.\nHEART: Normal.\nIMPRESSION: Normal.")
    assert report.findings == "LUNGS: Clear. HEART: Normal."


@pytest.mark.parametrize("text", ["", "\x00\xff", "IMPRESSION:", "::::\n:\n", "FINAL REPORT"])
def test_a_report_that_says_nothing_has_no_impression(text: str) -> None:
    assert parse_report(text).impression is None


def test_mutated_reports_never_crash() -> None:
    draw = random.Random(0)
    for _ in range(400):
        text = list(MIMIC)
        for _ in range(30):
            text[draw.randrange(len(text))] = draw.choice("\n\t :._AX1)(\x00é")
        report = parse_report("".join(text))
        without_prior_comparisons(report.impression or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The heart is\n large.", "The heart is large."),
        ("1. Edema\n2. Effusion", "Edema. Effusion"),
        ("Compared to ___, edema.", "Edema."),
        ("Nodule seen on CT dated ___.", "Nodule seen on CT."),
        ("XXXX opacity in the left base.", "Opacity in the left base."),
        ("XXXX are normal.", ""),
        ("XXXX are coarse lung markings.", "Coarse lung markings."),
        ("Normal chest x-XXXX.", "Normal chest x-ray."),
        ("___ year old woman with cough.", "Woman with cough."),
        ("Dr. ___ was paged at 3:45 pm. Edema.", "Edema."),
        ("Pneumothorax was discussed with Dr. ___ by phone.", "Pneumothorax."),
        ("Tube placed at 8:06 PM.", "Tube placed."),
        ("No acute abnormality..", "No acute abnormality."),
        ("Ratio 1.5 cm, no change.", "Ratio 1.5 cm, no change."),
    ],
)
def test_cleaning(text: str, expected: str) -> None:
    assert clean_section(text) == expected


def test_cleaning_keeps_what_has_nothing_to_clean(open_i: list[str]) -> None:
    kept = 0
    for text in open_i:
        cleaned = clean_section(text)
        assert "XXXX" not in cleaned
        assert clean_section(cleaned) == cleaned or len(clean_section(cleaned)) < len(cleaned)
        for sentence in sentences(text):
            plain = re.fullmatch(r"[A-Z][a-z]+(?:,? [a-z]+)+\.", sentence)
            if plain and not re.search("discussed|obtained", sentence):
                assert sentence in cleaned
                kept += 1
    assert kept > 2000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Stable cardiomegaly.", "Cardiomegaly."),
        ("Left effusion, unchanged from prior.", "Left effusion."),
        ("The heart is enlarged but unchanged.", "The heart is enlarged."),
        (
            "Cardiac silhouette is stable and within normal limits.",
            "Cardiac silhouette is within normal limits.",
        ),
        ("Compared to the prior study, there is a left effusion.", "There is a left effusion."),
        ("Interval development of a right effusion.", "Right effusion."),
        ("Calcified granuloma is again noted.", "Calcified granuloma is noted."),
        ("Lung volumes remain low.", "Lung volumes are low."),
        ("Cardiomegaly without new infiltrate.", "Cardiomegaly."),
        ("New left lower lobe opacity.", "Left lower lobe opacity."),
        ("The heart is unchanged.", ""),
        ("No interval change.", ""),
        ("No new infiltrate.", ""),
        ("Stable mediastinal contours.", ""),
        ("Interval removal of left PICC line.", ""),
        ("Previously seen effusion has resolved.", ""),
        ("There has been extubation.", ""),
        ("Compared to prior, there has been removal of the tube.", ""),
        ("Compared to the previous radiographic study, the heart is large.", "The heart is large."),
        ("Changes of prior granulomatous disease.",) * 2,
        ("Degenerative changes of the spine.",) * 2,
        ("Status post prior median sternotomy.",) * 2,
        ("Increased interstitial markings.",) * 2,
        ("Edema. No change. No fracture.", "Edema. No fracture."),
        ("", ""),
    ],
)
def test_what_leans_on_an_earlier_study(text: str, expected: str) -> None:
    assert without_prior_comparisons(text) == expected


def test_real_reports_lose_their_comparisons_and_nothing_else(open_i: list[str]) -> None:
    leans = re.compile(r"\b(?:unchanged|interval|redemonstrat\w*|compared|stable)\b", re.I)
    hints = re.compile(
        r"chang|stab|simil|interv|prior|previ|earlier|preced|compar|new|again|since|persist|resid"
        r"|remain|resol|improv|wors|creas|progr|contin|demonstr|longer|interim|clear|develop|larg"
        r"|than|relat|remov|before|same|recent|comparison|correl",
        re.I,
    )
    plain = 0
    for text in open_i:
        cleaned = clean_section(text)
        message = without_prior_comparisons(cleaned)
        assert not leans.search(message), message
        for sentence in sentences(cleaned):
            if not hints.search(sentence):
                assert sentence in message
                plain += 1
    assert plain > 3000
