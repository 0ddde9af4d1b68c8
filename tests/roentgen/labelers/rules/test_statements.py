"""Statements of reports: sides with their severities and places, size, change and evidence."""

import pytest

from roentgen.labelers.rules.rule_labeler import statements_of
from roentgen.record.radiograph import Report
from roentgen.record.statement import Extent, Statement

RIGHT, LEFT = "right", "left"


def statement(text: str, finding: str) -> Statement:
    (found,) = [s for s in statements_of(Report(findings=text)) if s.finding == finding]
    return found


@pytest.mark.parametrize(
    ("text", "extents"),
    [
        (
            "Moderate right and small left pleural effusions.",
            (Extent("right", "moderate"), Extent("left", "small")),
        ),
        (
            "Bilateral pleural effusions, moderate on the right and small on the left.",
            (Extent("right", "moderate"), Extent("left", "small")),
        ),
        ("Small right and left effusions.", (Extent("right", "small"), Extent("left", "small"))),
        ("Trace bilateral effusions.", (Extent("right", "small"), Extent("left", "small"))),
        ("Effusions, right greater than left.", (Extent("right"), Extent("left"))),
        ("A large right effusion is now small.", (Extent("right", "small"),)),
        ("The left effusion is not large.", (Extent("left"),)),
        ("Large effusion.", (Extent(None, "large"),)),
        ("The right lung is clear with a small left effusion.", (Extent("left", "small"),)),
        ("Left thoracotomy, right effusion.", (Extent("right"),)),
    ],
)
def test_each_side_has_its_own_severity(text: str, extents: tuple[Extent, ...]) -> None:
    assert statement(text, "pleural effusion").extents == extents


@pytest.mark.parametrize(
    ("text", "extents"),
    [
        (
            "Right upper lobe and left lower lobe opacities.",
            (Extent("right", None, ("upper lobe",)), Extent("left", None, ("lower lobe",))),
        ),
        (
            "Right upper and lower lobe opacity.",
            (Extent("right", None, ("upper lobe", "lower lobe")),),
        ),
        (
            "Bibasilar opacities.",
            (Extent("right", None, ("basal",)), Extent("left", None, ("basal",))),
        ),
        ("RLL opacity.", (Extent("right", None, ("lower lobe",)),)),
        ("Lingular opacity.", (Extent("left", None, ("lingula",)),)),
        ("Retrocardiac opacity.", (Extent(None, None, ("retrocardiac",)),)),
    ],
)
def test_each_side_has_its_own_places(text: str, extents: tuple[Extent, ...]) -> None:
    assert statement(text, "lung opacity").extents == extents


def test_an_interpretation_is_where_the_finding_is_that_it_explains() -> None:
    here = (Extent("left", None, ("basal",)),)
    for text in (
        "Left basilar opacity, likely atelectasis.",
        "Left basilar opacity may represent atelectasis.",
        "There is a left basilar opacity. This likely represents atelectasis.",
    ):
        assert statement(text, "atelectasis").extents == here, text
    assert statement("Left effusion. This is unlikely pneumonia.", "pneumonia").extents == (
        Extent(),
    )


@pytest.mark.parametrize(
    ("text", "state", "probability"),
    [
        ("Pneumonia.", "present", None),
        ("Likely pneumonia.", "present", 0.8),
        ("Possible pneumonia.", "uncertain", 0.5),
        ("Pneumonia is less likely.", "uncertain", 0.2),
        ("Pneumonia cannot be excluded.", "uncertain", 0.3),
        ("This may be compatible with pneumonia.", "uncertain", 0.5),
        ("No pneumonia.", "absent", 0.0),
    ],
)
def test_words_of_doubt_give_a_probability(
    text: str, state: str, probability: float | None
) -> None:
    found = statement(text, "pneumonia")
    assert (found.state, found.probability) == (state, probability)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("New left effusion.", "new"),
        ("The left effusion has increased.", "increased"),
        ("Decreased left effusion.", "decreased"),
        ("Unchanged left effusion.", "unchanged"),
        ("Left effusion.", None),
    ],
)
def test_changes(text: str, change: str | None) -> None:
    assert statement(text, "pleural effusion").change == change


def test_the_state_of_a_structure_that_is_only_unchanged_is_not_known() -> None:
    assert statement("The heart size is unchanged.", "cardiomegaly").state == "stable"
    assert statement("Stable mildly enlarged heart.", "cardiomegaly").state == "present"


def test_the_largest_diameter_is_the_size() -> None:
    assert statement("A 9 x 12 mm nodule.", "nodule").size_mm == 12
    assert statement("A 1.4 cm nodule.", "nodule").size_mm == 14


def test_what_both_alternatives_are_kinds_of_is_present() -> None:
    found = {s.finding: s.state for s in statements_of(Report(findings="Scarring or atelectasis."))}
    assert found == {"scarring": "uncertain", "atelectasis": "uncertain", "lung opacity": "present"}


def test_evidence_points_at_the_words_in_their_section() -> None:
    report = Report(
        findings="Clear lungs. Small left pleural effusion.",
        impression="1. No pneumothorax.\n2. RLL opacity, likely pneumonia.",
    )
    words = {}
    for one in statements_of(report):
        assert one.evidence
        text = getattr(report, one.evidence.section)
        assert 0 <= one.evidence.start < one.evidence.end <= len(text)
        words[one.finding] = {(w.role, text[w.start : w.end]) for w in one.evidence.words}
    assert words["pleural effusion"] == {
        ("severity", "Small"),
        ("side", "left"),
        ("finding", "pleural effusion"),
    }
    assert {("cue", "No"), ("finding", "pneumothorax")} <= words["pneumothorax"]
    assert {("cue", "likely"), ("explained", "opacity")} <= words["pneumonia"]


def test_findings_beyond_the_14_names_are_stated() -> None:
    text = "Emphysema. Small hiatal hernia. Hyperinflated lungs. No pulmonary fibrosis."
    found = {s.finding: s.state for s in statements_of(Report(findings=text))}
    assert found == {
        "emphysema": "present",
        "hiatal hernia": "present",
        "hyperinflation": "present",
        "pulmonary fibrosis": "absent",
    }
