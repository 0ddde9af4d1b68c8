"""Reports say what the truth says."""

import numpy as np

from roentgen.data.findings import Finding
from roentgen.phantom.lesions import draw_lesions
from roentgen.phantom.reports import plain_caption, write_report
from roentgen.phantom.thorax import draw_thorax

RADIOLOGY = ("cardiomegaly", "effusion", "pneumothorax", "consolidation", "edema", "atelectasis")


def _findings(seed: int) -> tuple[Finding, ...]:
    rng = np.random.default_rng(seed)
    return draw_lesions(rng, draw_thorax(rng), supine=False).findings


def test_present_findings_are_told_with_their_side() -> None:
    for seed in range(60):
        findings = _findings(seed)
        impression = write_report(np.random.default_rng(seed), findings, ["PA"]).impression
        assert impression
        text = impression.lower()
        for finding in findings:
            if finding.name == "Pneumothorax" and finding.state == "present":
                assert "pneumothorax" in text
                assert str(finding.side) in text
        if all(f.state == "absent" or f.name == "No Finding" for f in findings):
            assert "no acute cardiopulmonary process" in text


def test_uncertain_findings_are_hedged() -> None:
    hedges = ("possible", "questionable", "borderline", "probable", "may", "not excluded")
    seen = 0
    for seed in range(200):
        for finding in _findings(seed):
            if finding.state == "uncertain":
                report = write_report(np.random.default_rng(seed), [finding], ["PA"])
                assert any(hedge in (report.impression or "").lower() for hedge in hedges)
                seen += 1
    assert seen > 10


def test_sentences_have_no_holes() -> None:
    for seed in range(200):
        findings = _findings(seed)
        report = write_report(np.random.default_rng(seed), findings, ["PA", "LATERAL"])
        for text in (report.findings, report.impression, plain_caption(findings, "PA")):
            assert text
            assert "{" not in text
            assert "  " not in text
            assert "None" not in text


def test_plain_captions_know_no_radiology() -> None:
    for seed in range(100):
        caption = plain_caption(_findings(seed), "LATERAL").lower()
        assert not any(word in caption for word in RADIOLOGY)
