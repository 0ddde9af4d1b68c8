import importlib.util
import json
from pathlib import Path

import pytest

from eval.labeler import LabelerConfig, measure
from eval.labeling.cases import SIDED, half_of
from roentgen.corpora.open_i.mesh import COVERED
from roentgen.errors import InputError
from roentgen.manifest import read_manifest

PACKAGE = importlib.util.find_spec("torchxrayvision")
# Of the held-out half, measured once the rules were written.
GOLDEN = {"presence": 0.943, "place": 0.938, "side": 0.924, "severity given": 0.947}


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
    strict = results["present"]["all"]
    assert (strict["n"], strict["precision"], strict["recall"], strict["f1"]) == (
        *(3, 1 / 2, 1 / 3, 2 / 5),
    )
    assert strict["low"] <= strict["f1"] <= strict["high"]
    lenient = results["present_or_uncertain"]["Pleural Effusion"]
    assert (lenient["n"], lenient["precision"], lenient["f1"]) == (3, 2 / 3, 2 / 3)
    assert results["present"]["Pneumothorax"]["n"] == 0
    assert results["open_pairs"] == {"Pleural Effusion, predicted": 1}
    assert results["no_finding"]["normal, predicted"] == 1
    # Of two pairs both call the finding present or uncertain.
    assert (results["side"]["all"]["n"], results["side"]["all"]["share"]) == (2, 1 / 2)
    assert results["side_where_given"]["all"]["share"] == 0
    assert results["place"]["all"]["recall"] == 0
    assert results["severity"]["Pleural Effusion"]["share"] == 1
    errors = results["errors"]
    assert errors["side"] == [
        {"finding": "Pleural Effusion", "error": "left is read as none", "count": 1}
    ]
    assert {
        "finding": "Pleural Effusion",
        "error": "false negative: 'effusion' is absent by 'no'",
        "count": 1,
    } in errors["present"]
    written = (config.output / "labeler.json").read_text()
    assert json.loads(written) == results
    printed = capsys.readouterr().out
    assert "held out half" in printed
    assert "secretword" not in printed + written
    manifest = read_manifest(config.output, "results")
    assert manifest["licenses"][0]["name"] == "CC-BY-NC-ND-4.0"
    with pytest.raises(InputError, match="is not empty"):
        measure(config)


def test_failing_sentences_are_given_but_not_of_the_held_out_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sentences.csv"
    lines = [f"Effusion number{n}.,Pleural Effusion,absent" for n in range(20)]
    file.write_text("\n".join(["sentence,finding,state", *lines]))
    for half in ("development", "held_out", None):
        output = tmp_path / str(half)
        results = measure(LabelerConfig(reports=file, half=half, output=output))
        shown = capsys.readouterr().out + (output / "labeler.json").read_text()
        assert results["sentence"]["all"]["share"] == 0
        assert len(results["failing"]) == (0 if half == "held_out" else results["n"])
        assert ("Effusion number" in shown) == (half != "held_out")


def test_predictions_of_sentences_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "sentences.csv"
    file.write_text("sentence,finding,state\nA.,Edema,absent\n")
    config = LabelerConfig(
        reports=file, half=None, output=tmp_path / "results", predictions=tmp_path / "x.csv"
    )
    with pytest.raises(InputError, match="sentences have no ids"):
        measure(config)


def test_texts_in_another_language_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spanish = "Derrame pleural izquierdo sin neumotórax."
    (tmp_path / "sentences.csv").write_text(
        f"sentence,finding,state\n{spanish},Edema,-\n双肺未见异常。,Edema,-\nEdema.,Edema,present\n"
    )
    (tmp_path / "reports.csv").write_text(f"id,text,Edema\na,{spanish},\nb,No edema is seen.,0\n")
    for name, found, line in (
        (
            "sentences.csv",
            {"Spanish": 1, "Chinese": 1},
            "of 3 texts 1 are in Spanish and 1 are in Chinese: they are read as English",
        ),
        ("reports.csv", {"Spanish": 1}, "of 2 texts 1 are in Spanish: they are read as English"),
    ):
        config = LabelerConfig(reports=tmp_path / name, half=None, output=tmp_path / f"of {name}")
        assert measure(config)["other_languages"] == found
        assert line in capsys.readouterr().out


def test_a_table_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(
        "id,text,Pleural Effusion,Pleural Effusion side\n"
        "a,Left pleural effusion.,1,left\nb,No pleural effusion.,0,\nc,,1,\n"
    )
    config = LabelerConfig(reports=file, half=None, output=tmp_path / "results")
    results = measure(config)
    assert results["source"] == "own.csv"
    assert results["excluded"] == {"no text": 1}
    assert results["present"]["all"]["f1"] == 1
    assert results["state"]["all"]["share"] == 1
    assert results["side"]["Pleural Effusion"]["n"] == 1
    assert "severity" not in results
    assert read_manifest(config.output, "results")["licenses"][0]["name"] == "as of own.csv"


def test_a_source_without_reports_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "none.csv").write_text("sentence,finding,state\n")
    for name, expected in (
        (".", "holds no Open-i reports"),
        ("x", "no such"),
        ("x.csv", "no such"),
        ("other.csv", "has no column of a finding"),
        ("none.csv", "has no sentence to measure"),
    ):
        reports = tmp_path / name
        config = LabelerConfig(reports=reports, half="development", output=tmp_path / "results")
        with pytest.raises(InputError, match=expected):
            measure(config)


@pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision, which holds the reports, is absent")
def test_the_held_out_half_of_open_i(tmp_path: Path) -> None:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    source = Path(PACKAGE.origin).parent / "data" / "NLMCXR_reports.tgz"
    config = LabelerConfig(reports=source, half="held_out", output=tmp_path / "results")
    results = measure(config)
    assert set(results["present"]) == {"all", *COVERED}
    assert set(results["place"]) == {"all", *SIDED}
    found = {
        "presence": results["present"]["all"]["f1"],
        "place": results["place"]["all"]["f1"],
        "side": results["side"]["all"]["share"],
        "severity given": results["severity_given"]["all"]["f1"],
    }
    assert found == pytest.approx(GOLDEN, abs=0.01)
    assert results["severity"]["all"]["share"] == pytest.approx(1, abs=0.01)
