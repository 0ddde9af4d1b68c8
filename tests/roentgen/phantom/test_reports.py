"""Reports say what the truth says."""

import numpy as np

from roentgen.phantom.lesions import draw_lesions
from roentgen.phantom.reports import plain_caption, write_report
from roentgen.phantom.thorax import draw_thorax
from roentgen.record.finding import Finding

RADIOLOGY = ("cardiomegaly", "effusion", "pneumothorax", "consolidation", "edema", "atelectasis")


def _findings(seed: int) -> tuple[Finding, ...]:
    rng = np.random.default_rng(seed)
    return draw_lesions(rng, draw_thorax(rng), supine=False).findings


WORDS = {
    "Cardiomegaly": ("cardiomegaly", "heart is enlarged"),
    "Pleural Effusion": ("pleural effusion",),
    "Pneumothorax": ("pneumothorax",),
    "Consolidation": ("consolidation",),
    "Edema": ("pulmonary edema",),
    "Atelectasis": ("atelectasis",),
    "Lung Lesion": ("nodule",),
}


def test_present_findings_are_told_with_their_side() -> None:
    for seed in range(200):
        for finding in _findings(seed):
            if finding.state == "present" and finding.name in WORDS:
                report = write_report(np.random.default_rng(seed), [finding], ["PA"])
                text = (report.impression or "").lower()
                assert any(word in text for word in WORDS[finding.name]), (finding, text)
                if finding.name != "Edema":
                    assert (finding.side or "") in text, (finding, text)
                assert "no acute" not in text


def test_a_clean_film_is_told_clean() -> None:
    clean = [finding for seed in range(60) for finding in [_findings(seed)] if _is_clean(finding)]
    assert clean
    for findings in clean:
        report = write_report(np.random.default_rng(0), findings, ["PA"])
        assert "No acute cardiopulmonary process" in (report.impression or "")


def _is_clean(findings: tuple[Finding, ...]) -> bool:
    return all(f.state == "absent" or f.name in ("No Finding", "Support Devices") for f in findings)


def test_both_sides_read_as_english() -> None:
    finding = Finding(name="Pleural Effusion", side="bilateral", severity="large")
    told = {
        write_report(np.random.default_rng(seed), [finding], ["AP"]).impression
        for seed in range(20)
    }
    assert told == {
        "Large bilateral pleural effusion.",
        "There is large bilateral pleural effusion.",
    }


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


def test_plain_captions_have_the_order_of_prompts() -> None:
    findings = (
        Finding(name="Consolidation", side="left", severity="moderate", detail="upper zone"),
        Finding(name="Pleural Effusion", side="bilateral", severity="small"),
        Finding(name="Pneumothorax", state="uncertain", side="right"),
    )
    assert plain_caption(findings, "AP") == (
        "picture from the front, lying, moderate left upper zone white cloud, "
        "small two-sided white water level at the bottom, faint right black empty gap"
    )


def test_plain_captions_know_no_radiology() -> None:
    for seed in range(100):
        caption = plain_caption(_findings(seed), "LATERAL").lower()
        assert not any(word in caption for word in RADIOLOGY)
