import pytest

from roentgen.labelers.rules.rule_labeler import label_report
from roentgen.phantom.lesions import draw_lesions
from roentgen.phantom.reports import write_report
from roentgen.phantom.thorax import draw_thorax
from roentgen.prompts.grammar import PromptStyle, findings_text
from roentgen.prompts.parser import parse_prompt
from roentgen.randomness import numpy_generator
from roentgen.record.finding import Finding, Side
from roentgen.record.radiograph import Report
from sample.masks.mirroring import swap_sides_in_text, swap_sides_of_findings

SWAPPED = [
    ("small left pleural effusion", "small right pleural effusion"),
    ("Right-sided chest tube", "Left-sided chest tube"),
    ("LEFT LOWER LOBE COLLAPSE", "RIGHT LOWER LOBE COLLAPSE"),
    ("mediastinum shifted leftward, left greater than right", None),
    ("the rightmost rib and leftwards", "the leftmost rib and rightwards"),
    ("LLL and RUL opacities", "RLL and LUL opacities"),
    ("RIJ line, LSC line, RMZ nodule", "LIJ line, RSC line, LMZ nodule"),
    ("Lt effusion, rt base", "Rt effusion, lt base"),
    ("L pleural effusion, R-sided PICC", "R pleural effusion, L-sided PICC"),
    ("effusions, R>L", "effusions, L>R"),
    ("effusions, L > R", "effusions, R > L"),
    ("nodule (L)", "nodule (R)"),
    ("mild dextroscoliosis", "mild levoscoliosis"),
    ("Levoconvex curve", "Dextroconvex curve"),
    ("left and right", "right and left"),
    ("effusion on the left unchanged", "effusion on the right unchanged"),
    ("chest tube on the left in place", "chest tube on the right in place"),
]
UNTOUCHED = [
    "bilateral effusions, bibasilar atelectasis",
    "upright film, bright copyright mark",
    "the tube was left in place",
    "left ventricular enlargement, tip in the right atrium",
    "right heart failure and left-sided heart failure",
    "R/O pneumonia",
    "L1 compression, L-spine, L spine films",
    "levofloxacin",
    "contralateral, ipsilateral",
    "RESOLVED. ALL CLEAR",
]


@pytest.mark.parametrize(("text", "other"), SWAPPED)
def test_sides_are_swapped_and_swapped_back(text: str, other: str | None) -> None:
    assert swap_sides_in_text(text) == (
        other or text.replace("left", "\0").replace("right", "left").replace("\0", "right")
    )
    assert swap_sides_in_text(swap_sides_in_text(text)) == text


@pytest.mark.parametrize("text", UNTOUCHED)
def test_words_that_are_no_side_are_unchanged(text: str) -> None:
    assert swap_sides_in_text(text) == text


def test_a_mirrored_middle_lobe_is_where_the_lingula_is() -> None:
    assert swap_sides_in_text("right middle lobe pneumonia") == "lingula pneumonia"
    assert swap_sides_in_text("RML collapse") == "lingula collapse"
    assert swap_sides_in_text("Lingular opacity") == "Right middle lobe opacity"
    assert swap_sides_in_text("in the left lingula") == "in the right middle lobe"


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left"), (None, None)])
def test_findings_change_sides(side: Side | None, other: Side | None) -> None:
    message = Finding(name="Consolidation", state="uncertain", side=side, severity="small")
    (swapped,) = swap_sides_of_findings([message])
    assert swapped == Finding(name="Consolidation", state="uncertain", side=other, severity="small")


def test_details_change_sides_and_both_sides_stay() -> None:
    message = (
        Finding(name="Pleural Effusion", side="bilateral"),
        Finding(name="Pneumonia", side="right", detail="middle lobe"),
        Finding(name="Support Devices", detail="right chest tube"),
    )
    assert swap_sides_of_findings(message) == (
        Finding(name="Pleural Effusion", side="bilateral"),
        Finding(name="Pneumonia", side="left", detail="lingula"),
        Finding(name="Support Devices", detail="left chest tube"),
    )
    assert swap_sides_of_findings(swap_sides_of_findings(message)) == message


def test_sides_with_their_own_severities_change_places() -> None:
    text = "moderate right and small left pleural effusion"
    swapped = swap_sides_of_findings(parse_prompt(text).findings)
    assert findings_text(swapped, PromptStyle()) == "small right and moderate left pleural effusion"
    assert set(parse_prompt(swap_sides_in_text(text)).findings) == set(swapped)


def test_the_labeler_reads_swapped_sides_from_swapped_reports() -> None:
    sides = 0
    for number in range(150):
        rng = numpy_generator(0, "laterality", number)
        truth = draw_lesions(rng, draw_thorax(rng), supine=False).findings
        report = write_report(rng, truth, ["PA"])
        swapped = Report(
            findings=swap_sides_in_text(report.findings or ""),
            impression=swap_sides_in_text(report.impression or ""),
        )
        read, expected = label_report(swapped), swap_sides_of_findings(label_report(report))
        assert read == expected
        sides += sum(finding.side in ("left", "right") for finding in read)
    assert sides > 100
