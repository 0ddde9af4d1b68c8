"""Statements of reports in prepared radiographs, with evidence in the report that is stored."""

from dataclasses import replace

import pytest

from roentgen.labelers.rules.rule_labeler import VERSION, statements_of
from roentgen.preparation.postprocess import Postprocessing, ReportRules
from roentgen.preparation.report_statements import with_evidence_of
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report
from roentgen.record.statement import Evidence, Statement

FINDINGS = """ 1. There is a small left pleural
 effusion, 3.5 cm, unchanged since ___.
 2. Stable heart size.  No pneumothorax."""


def prepared(
    report: Report | None, findings: tuple[Finding, ...] = (), **rules: bool | str
) -> Radiograph:
    radiograph = Radiograph(
        id="r",
        patient_id="p",
        study_id="s",
        split="train",
        image=b"",
        findings=findings,
        report=report,
        source="x",
        license="y",
    )
    own = ReportRules(**{"label_findings": True, **rules})  # type: ignore[arg-type]
    (done,) = (d for d in Postprocessing(reports=own)(radiograph) if isinstance(d, Radiograph))
    return done


def words(radiograph: Radiograph) -> list[tuple[str, str, str]]:
    """The finding, its section, and the characters that name it, of statements with evidence."""
    return [
        (s.finding, s.evidence.section, getattr(radiograph.report, s.evidence.section)[a:b])
        for s in radiograph.statements
        if s.evidence is not None
        for a, b in [(w.start, w.end) for w in s.evidence.words if w.role == "finding"]
    ]


@pytest.mark.parametrize("clean", [False, True])
def test_evidence_is_of_the_report_that_is_stored(clean: bool) -> None:
    radiograph = prepared(Report(findings=FINDINGS, impression=" 1.  Effusion."), clean=clean)
    assert radiograph.report is not None
    assert ("\n" in (radiograph.report.findings or "")) == (not clean)
    found = [(name, section, " ".join(text.split())) for name, section, text in words(radiograph)]
    assert found == [
        ("pleural effusion", "findings", "pleural effusion"),
        ("pneumothorax", "findings", "pneumothorax"),
        ("pleural effusion", "impression", "Effusion"),
    ]
    assert radiograph.statements[0].size_mm == 35
    assert {one.source for one in radiograph.statements} == {f"{VERSION} (en)"}


def test_what_an_edited_report_no_longer_states_has_no_evidence() -> None:
    given = Report(findings=FINDINGS, impression="Effusion.")
    whole, edited = prepared(given), prepared(given, drop_prior=True)
    assert edited.report is not None
    text = "There is a small left pleural effusion, 3.5 cm. No pneumothorax."
    assert edited.report.findings == text
    bare = [[replace(one, evidence=None) for one in film.statements] for film in (whole, edited)]
    assert bare[0] == bare[1]
    assert edited.findings == whole.findings
    assert words(edited) == [
        ("pneumothorax", "findings", "pneumothorax"),
        ("pleural effusion", "impression", "Effusion"),
    ]


def test_a_report_is_read_as_it_is_written() -> None:
    """A blank stands for words that cleaning does not know: those behind it are others."""
    report = Report(findings="Left basal opacities XXXX scarring or atelectasis. No edema.")
    radiograph = prepared(report)
    edited = radiograph.report
    assert edited == Report(findings="Left basal opacities scarring or atelectasis. No edema.")
    bare = [[replace(s, evidence=None) for s in statements_of(r)] for r in (report, edited)]
    assert bare[0] != bare[1]
    assert [replace(one, evidence=None) for one in radiograph.statements] == bare[0]
    assert words(radiograph)[-1] == ("edema", "findings", "edema")


def test_the_corpuss_own_findings_stay_beside_the_statements() -> None:
    own = (Finding(name="Fracture"),)
    report = Report(impression="Edema.")
    radiograph = prepared(report, own)
    assert radiograph.findings == own
    assert [one.finding for one in radiograph.statements] == ["edema"]
    assert prepared(report, own, label_findings=False).statements == ()


@pytest.mark.parametrize("report", [None, Report(), Report(indication="Edema.")])
def test_without_a_text_nothing_is_stated(report: Report | None) -> None:
    assert prepared(report).statements == ()


def test_a_report_in_another_language_states_nothing() -> None:
    spanish = "Derrame pleural izquierdo. No se observa neumotórax en la radiografía."
    assert prepared(Report(findings=spanish)).statements == ()
    read = prepared(Report(findings=spanish), language="auto")
    assert [one.source for one in read.statements] == [f"{VERSION} (es)"] * 2


def test_evidence_is_that_of_the_same_statements_in_the_same_order() -> None:
    def stated(text: str, *, evidence: bool) -> tuple[Statement, ...]:
        return tuple(
            Statement(finding=name, evidence=Evidence("findings", n, n + 1) if evidence else None)
            for n, name in enumerate(text)
        )

    def evidence_of(given: str, others: str) -> list[int | None]:
        found = with_evidence_of(stated(given, evidence=False), stated(others, evidence=True))
        assert [one.finding for one in found] == [*given]
        return [one.evidence.start if one.evidence else None for one in found]

    assert evidence_of("abca", "abca") == [0, 1, 2, 3]
    assert evidence_of("abca", "bca") == [None, 0, 1, 2]
    assert evidence_of("abcd", "ad") == [0, None, None, 1]
    assert evidence_of("ab", "") == [None, None]
    assert evidence_of("", "ab") == []
