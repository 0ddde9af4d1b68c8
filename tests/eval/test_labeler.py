import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)

from eval.labeler import ErrorCounts, LabelerConfig, half_of, measure
from roentgen.corpora.open_i.mesh import COVERED, gold
from roentgen.errors import InputError
from roentgen.manifest import read_manifest
from roentgen.record.radiograph import FindingName

GOLDEN = 0.926  # micro F1, measured once the rules were written
PACKAGE = importlib.util.find_spec("torchxrayvision")


def write(folder: Path, number: int, impression: str, *terms: str) -> str:
    """An Open-i report; returns its half."""
    folder.mkdir(exist_ok=True)
    majors = "".join(f"<major>{term}</major>" for term in terms)
    sections = f'<AbstractText Label="IMPRESSION">{impression}</AbstractText>' if impression else ""
    (folder / f"{number}.xml").write_text(
        f'<eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>{sections}'
        f"</Abstract></Article></MedlineCitation><MeSH>{majors}</MeSH></eCitation>"
    )
    return half_of(f"CXR{number}")


@pytest.mark.parametrize(
    ("term", "present", "leaves_open"),
    [
        ("normal", set(), set()),
        ("Cardiomegaly/mild", {"Cardiomegaly"}, set()),
        ("Cardiomegaly/borderline", set(), {"Cardiomegaly"}),
        ("Cardiac Shadow/enlarged", {"Cardiomegaly"}, {"Enlarged Cardiomediastinum"}),
        ("Opacity/lung/base/left", {"Lung Opacity"}, set()),
        ("Opacity/lung/right/round", {"Lung Opacity", "Lung Lesion"}, set()),
        ("Density/lung/right/round", {"Lung Lesion"}, {"Lung Opacity"}),
        ("Opacity/ribs/anterior", set(), {"Lung Opacity"}),
        ("Opacity/pleura/right", set(), {"Lung Opacity", "Pleural Other"}),
        ("Cicatrix/pleura/apex", {"Pleural Other"}, {"Lung Opacity"}),
        ("Thickening/pleura", {"Pleural Other"}, {"Lung Opacity"}),
        ("Thickening/bronchovascular", set(), {"Lung Opacity"}),
        ("Calcinosis/aorta", set(), set()),
        ("Calcinosis/pleura/base", set(), {"Lung Opacity", "Pleural Other"}),
        ("Calcified Granuloma/lung/right", set(), {"Lung Lesion", "Lung Opacity"}),
        ("Mediastinum/paratracheal/enlarged ", set(), {"Enlarged Cardiomediastinum"}),
        ("Mediastinum/prominent", {"Enlarged Cardiomediastinum"}, set()),
        ("Hydropneumothorax/right", {"Pleural Effusion", "Pneumothorax"}, set()),
        ("Catheters, Indwelling/right", {"Support Devices"}, set()),
        ("Surgical Instruments", set(), {"Support Devices"}),
        ("Scoliosis/mild", set(), set()),
    ],
)
def test_what_a_term_stands_for(
    term: str, present: set[FindingName], leaves_open: set[FindingName]
) -> None:
    assert gold([term]) == (frozenset(present), frozenset(leaves_open))


def test_a_term_that_says_so_closes_what_another_leaves_open() -> None:
    present, leaves_open = gold(["Costophrenic Angle/blunted", "Pleural Effusion/left"])
    assert present == {"Pleural Effusion"}
    assert not leaves_open


def test_scores_come_out_as_counted_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "reports"
    held_out = [n for n in range(60) if half_of(f"CXR{n}") == "held_out"]
    others = [n for n in range(60) if half_of(f"CXR{n}") == "development"]
    assert len(held_out) > 15
    assert len(others) > 15
    cases = [
        ("Small secretword effusion.", ["Pleural Effusion/small"]),  # right
        ("Effusion.", ["normal"]),  # false positive
        ("No effusion.", ["Pleural Effusion/left"]),  # false negative
        ("Possible effusion.", ["Pleural Effusion/left"]),  # right only with the uncertain
        ("Effusion.", ["Costophrenic Angle/blunted"]),  # open
        ("No acute findings.", ["normal"]),
        ("Nothing.", ["No Indexing"]),
        ("", ["normal"]),
    ]
    for number, (text, terms) in zip(held_out, cases, strict=False):
        write(folder, number, text, *terms)
    write(folder, others[0], "Pneumothorax.", "normal")
    config = LabelerConfig(reports=folder, half="held_out", output=tmp_path / "results")
    results = measure(config)
    assert results["n"] == 6
    assert results["excluded"] == {"not annotated": 1, "no findings and no impression": 1}
    strict = results["present"]["micro"]
    assert strict == {"n": 3, "precision": 1 / 2, "recall": 1 / 3, "f1": 2 / 5}
    lenient = results["present_or_uncertain"]["findings"]["Pleural Effusion"]
    assert lenient == {"n": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    assert results["present"]["findings"]["Pneumothorax"]["n"] == 0
    assert results["open_pairs"] == {"Pleural Effusion, predicted": 1}
    assert results["no_finding"]["normal, predicted"] == 1
    assert {
        "finding": "Pleural Effusion",
        "error": "false negative",
        "pattern": "'effusion' is absent by 'no'",
        "count": 1,
    } in results["error_patterns"]
    written = (config.output / "labeler.json").read_text()
    assert json.loads(written) == results
    printed = capsys.readouterr().out
    assert "held out half" in printed
    assert "secretword" not in printed + written
    manifest = read_manifest(config.output, "results")
    assert manifest["licenses"][0]["name"] == "CC-BY-NC-ND-4.0"
    with pytest.raises(InputError, match="is not empty"):
        measure(config)


def test_scores_agree_with_torchmetrics() -> None:
    draws = np.random.default_rng(0)
    predicted, present = draws.random((2, 40, len(COVERED))) < 0.3
    counts = ErrorCounts()
    for said, true in zip(predicted, present, strict=True):
        names = [{n for n, yes in zip(COVERED, row, strict=True) if yes} for row in (said, true)]
        counts.add(names[0], frozenset(names[1]))
    pair = torch.from_numpy(predicted).int(), torch.from_numpy(present).int()
    scores = counts.scores()
    for key, theirs in (
        ("precision", multilabel_precision),
        ("recall", multilabel_recall),
        ("f1", multilabel_f1_score),
    ):
        each = theirs(*pair, num_labels=len(COVERED), average="none")
        ours = [scores["findings"][name][key] for name in COVERED]
        np.testing.assert_allclose(ours, each.numpy(), rtol=1e-6)
        micro = theirs(*pair, num_labels=len(COVERED), average="micro")
        assert scores["micro"][key] == pytest.approx(float(micro), rel=1e-6)


def test_a_folder_without_reports_is_refused(tmp_path: Path) -> None:
    for folder, told in ((tmp_path, "holds no Open-i reports"), (tmp_path / "x", "no such")):
        config = LabelerConfig(reports=folder, half="development", output=tmp_path / "results")
        with pytest.raises(InputError, match=told):
            measure(config)


@pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision, which holds the reports, is absent")
def test_the_held_out_half_of_open_i(tmp_path: Path) -> None:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    source = Path(PACKAGE.origin).parent / "data" / "NLMCXR_reports.tgz"
    config = LabelerConfig(reports=source, half="held_out", output=tmp_path / "results")
    results = measure(config)
    assert len(results["present"]["findings"]) == len(COVERED)
    assert results["present"]["micro"]["f1"] == pytest.approx(GOLDEN, abs=0.01)
