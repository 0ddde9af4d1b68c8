from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from eval.finding_probes import ProbeScores, folds_of, probe_findings
from eval.text_encoder.reports import reports_of_open_i, reports_of_radiographs
from eval.text_encoder.scores import compare, count_truncated, embed_texts
from roentgen.diffusion.backbones.stable_diffusion import load_text_encoder
from roentgen.errors import InputError
from roentgen.metrics.estimates import Estimate
from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import Radiograph, Report

FINDINGS: tuple[FindingName, ...] = ("Pneumothorax", "Edema")
LONG = "no pneumothorax and no effusion , " * 40


def test_an_embedding_is_the_mean_over_the_texts_own_tokens() -> None:
    encoder, tokenizer, chunks = load_text_encoder("tiny")
    texts = ["small left pneumothorax", "no acute cardiopulmonary abnormality is seen", LONG]
    found = embed_texts(encoder, tokenizer, chunks, texts)
    for text, row in zip(texts, found, strict=True):
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=77).input_ids
        with torch.inference_mode():  # without padding: what comes later changes nothing before
            expected = encoder(ids)[0][0, 1:].mean(dim=0)
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(embed_texts(encoder, tokenizer, chunks, texts[:1]), found[:1])
    assert count_truncated(tokenizer, 1, texts) == 1


def test_chunks_are_averaged_over_all_their_tokens() -> None:
    encoder, tokenizer, _ = load_text_encoder("tiny")
    words = tokenizer(LONG, add_special_tokens=False).input_ids
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    states = []
    for part in (words[:75], words[75:150]):
        with torch.inference_mode():
            states.append(encoder(torch.tensor([[begin, *part, end]]))[0][0, 1:])
    found = embed_texts(encoder, tokenizer, 2, [LONG, "edema"])
    torch.testing.assert_close(found[0], torch.cat(states).mean(dim=0), atol=1e-5, rtol=1e-5)
    once = embed_texts(encoder, tokenizer, 1, ["edema"])[0]
    torch.testing.assert_close(found[1], once, atol=1e-5, rtol=1e-5)  # an empty window counts not


def planted(n: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Embeddings in which pneumothorax moves one of eight normal numbers by `shift`."""
    draws = np.random.default_rng(seed)
    labels = (draws.random((n, 2)) < 0.4).astype(np.float32)
    x = draws.standard_normal((n, 8))
    x[:, 3] += shift * labels[:, 0]
    return x, labels, [str(i) for i in range(n)]


def known(x: np.ndarray, labels: np.ndarray, patients: list[str], **options: int) -> ProbeScores:
    settings = {"folds": 5, "min_cases": 5, "samples": 200, "seed": 0, **options}
    return probe_findings(x, labels, patients, FINDINGS, **settings)


def interval(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_what_was_planted_is_found_as_much_as_theory_allows() -> None:
    # A shift s between unit normals: AUROC is the normal distribution's value at s / sqrt(2), and
    # the best threshold, midway, is right with that at s / 2.
    nothing, labels, patients = planted(3000, 0.0)
    much, _, _ = planted(3000, 1.5)
    found = compare(known(nothing, labels, patients), known(much, labels, patients), FINDINGS)
    auroc, accuracy = found["auroc"]["Pneumothorax"], found["balanced_accuracy"]["Pneumothorax"]
    theory = {"auroc": norm.cdf(1.5 / 2**0.5), "balanced_accuracy": norm.cdf(0.75)}
    assert auroc["after"].value == pytest.approx(theory["auroc"], abs=0.015)
    assert accuracy["after"].value == pytest.approx(theory["balanced_accuracy"], abs=0.02)
    low, high = interval(auroc["before"])
    assert low < 0.5 < high
    low, high = interval(auroc["difference"])
    assert low < theory["auroc"] - 0.5 < high
    low, high = interval(auroc["relative_gain"])
    assert low < theory["auroc"] / 0.5 - 1 < high
    low, high = interval(found["auroc"]["Edema"]["difference"])
    assert low <= 0 <= high


def test_the_same_embeddings_differ_by_nothing() -> None:
    x, labels, patients = planted(300, 1.0)
    same = compare(known(x, labels, patients), known(x.copy(), labels, patients), FINDINGS)
    for metric in ("auroc", "balanced_accuracy"):
        difference = same[metric]["mean"]["difference"]
        assert (difference.value, *interval(difference)) == (0, 0, 0)


def test_chance_is_not_missed_by_folds_of_different_shares() -> None:
    # Over all pairs, odds of probes of different folds would rank below chance: a fold with many
    # positives was judged by probes that saw few.
    values = []
    for seed in range(30):
        draws = np.random.default_rng(seed)
        labels = np.zeros((60, 2), np.float32)
        labels[draws.permutation(60)[:12]] = 1
        x = draws.standard_normal((60, 4))
        found = known(x, labels, [str(i) for i in range(60)], samples=20, seed=seed)
        score = found.findings["auroc"]["Pneumothorax"]
        values.append(getattr(score, "value", np.nan))
    error = np.std(values, ddof=1) / len(values) ** 0.5
    assert abs(np.mean(values) - 0.5) < 3 * error
    assert error < 0.03


def test_a_patient_is_in_one_fold_and_shortages_are_told() -> None:
    patients = [str(i // 3) for i in range(90)]
    fold = folds_of(patients, 5, seed=0)
    assert all(len(set(fold[3 * k : 3 * k + 3])) == 1 for k in range(30))
    assert np.bincount(fold).tolist() == [18] * 5
    x, labels, _ = planted(90, 1.0)
    labels[:, 1] = np.nan
    labels[:3, 1] = 1
    labels[3:20, 1] = 0
    found = compare(known(x, labels, patients), known(x, labels, patients), FINDINGS)
    edema = found["auroc"]["Edema"]["difference"]
    assert edema.note == (
        "not measured: positives of only 1 patient to probe by (at least 5 patients needed)"
    )
    assert (edema.n, edema.patients) == (20, 7)
    assert found["auroc"]["mean"]["before"].note == "over 1 of 2 findings"


XML = """<eCitation><uId id="{id}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{terms}</MeSH></eCitation>"""


def test_open_i_reports_have_the_findings_that_people_annotated(tmp_path: Path) -> None:
    rows = [
        ("CXR1", "Clear  lungs.", ["normal"]),
        ("CXR2", "Pneumothorax.", ["Pneumothorax/left/small"]),
        ("CXR3", "Blunted angle.", ["Costophrenic Angle/left/blunted"]),
        ("CXR4", "", ["normal"]),
        ("CXR5", "Unknown.", ["No Indexing"]),
    ]
    for name, impression, terms in rows:
        major = "".join(f"<major>{term}</major>" for term in terms)
        text = XML.format(id=name, findings="-", impression=impression, terms=major)
        (tmp_path / f"{name}.xml").write_text(text)
    names: tuple[FindingName, ...] = ("Pneumothorax", "Pleural Effusion", "No Finding")
    found = reports_of_open_i(tmp_path, names, "impression")
    assert found.texts == ("Clear lungs.", "Pneumothorax.", "Blunted angle.")
    assert found.patients == ("CXR1", "CXR2", "CXR3")
    expected = [[0, 0, 1], [1, 0, 0], [0, np.nan, np.nan]]
    np.testing.assert_array_equal(found.labels, np.array(expected, np.float32))
    assert found.excluded == {"no impression": 1, "not annotated": 1}
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no annotated Open-i report"):
        reports_of_open_i(tmp_path / "none", names, "impression")


def test_a_study_counts_once() -> None:
    def film(name: str, study: str, impression: str | None) -> Radiograph:
        return Radiograph(
            id=name,
            patient_id="p",
            study_id=study,
            split="test",
            image=b"",
            findings=(Finding(name="Edema"),),
            report=None if impression is None else Report(impression=impression),
            source="drawn",
            license="CC0-1.0",
        )

    films = [film("1", "a", "Edema."), film("2", "a", "Edema."), film("3", "b", None)]
    found = reports_of_radiographs(films, FINDINGS, "impression", "ignore", "test")
    assert found.texts == ("Edema.",)
    assert found.excluded == {"another radiograph of the study": 1, "no impression": 1}
    np.testing.assert_array_equal(found.labels, np.array([[np.nan, 1]], np.float32))
