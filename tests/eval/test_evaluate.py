"""The program end to end on drawn images, with answers known from how they were made."""

import base64
import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from eval.config import EvaluateConfig
from eval.evaluation import evaluate
from eval.leakage import checks
from eval.report.output import File, check_results, write_results
from eval.report.section import rounded
from eval.sets import read_set, read_sets, without_patients
from roentgen.config import load_config
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.errors import InputError
from roentgen.manifest import write_manifest
from roentgen.metrics.estimates import Estimate
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import train_classifier
from roentgen.vision.network_settings import ClassifierConfig

FINDINGS: tuple[FindingName, ...] = ("Pleural Effusion", "Pneumothorax")
LABELED: dict[str, Any] = {"findings": FINDINGS, "not_mentioned": "ignore"}
SMALL = {"steps": 120, "widths": [8, 16, 32]}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, write_drawn: Any) -> Path:
    """A real set, two synthetic ones (before: half is wrong and flat; after: nearly right)."""
    folder = tmp_path_factory.mktemp("drawn")
    write_drawn(folder / "real", {"train": 240, "test": 120}, 1)
    write_drawn(folder / "before", {"train": 90}, 2, wrong=1.0, blur=0.5, synthetic=True)
    write_drawn(folder / "after", {"train": 90}, 3, wrong=0.05, synthetic=True)
    split = open_dataset(folder / "real").split("train")
    records = list(split.without_images())
    classifier = train_classifier(
        np.stack(split.images(range(len(split)))),
        label_matrix(records, FINDINGS),
        view_indices(records),
        findings=FINDINGS,
        config=ClassifierConfig(steps=40, widths=(8, 16, 32)),
        seed=0,
    )
    classifier.save(folder / "extractor")
    return folder


def reference(folder: Path, test: str = "test") -> dict[str, dict[str, str]]:
    """Two splits of a dataset."""
    return {
        "train": {"folder": str(folder), "split": "train"},
        "test": {"folder": str(folder), "split": test},
    }


def config_of(place: Path, output: Path, **changes: Any) -> EvaluateConfig:
    values: dict[str, Any] = {
        "reference": reference(place / "real"),
        "synthetic": {"before": str(place / "before"), "after": str(place / "after")},
        "findings": list(FINDINGS),
        "extractors": [{"weights": str(place / "extractor")}],
        "fidelity": {"bootstrap": 20},
        "classifier": SMALL,
        "utility": {"seeds": [0, 1]},
        "bootstrap": 100,
        "output": str(output),
    }
    file = output.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(values | changes, sort_keys=False))
    return load_config(EvaluateConfig, [str(file)])


@pytest.fixture(scope="session")
def output(place: Path) -> Path:
    folder = place / "results"
    evaluate(config_of(place, folder))
    return folder


@pytest.fixture(scope="session")
def results(output: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((output / "results.json").read_text())
    return loaded


def test_the_set_that_is_right_is_told_from_the_one_that_is_wrong(results: dict[str, Any]) -> None:
    alignment = results["alignment"]
    assert alignment["ceiling"]["mean_auroc"]["value"] > 0.95
    assert alignment["after"]["mean_auroc"]["value"] > 0.9
    assert alignment["before"]["mean_auroc"]["high"] < alignment["after"]["mean_auroc"]["low"]
    assert alignment["after"]["view_accuracy"]["value"] > 0.9
    assert alignment["before"]["view_accuracy"]["high"] < 0.6
    assert alignment["after"]["mean_auroc"]["n"] == 90
    fidelity = results["fidelity"]["roentgen"]
    assert fidelity["n"] == 90
    assert fidelity["excess"]["before"]["value"] > 0
    # Of 90 images the excess is not certain, so neither is any share of it.
    assert fidelity["excess"]["before"]["low"] < 0
    assert "none beyond its interval" in fidelity["gap_closed"]["after"]["note"]
    diversity = results["diversity"]["within_view_and_findings"]
    # Images that ignore what was asked differ more among those asked for alike.
    assert diversity["before"]["value"] < diversity["after"]["value"]
    assert diversity["after"]["value"] == pytest.approx(diversity["test"]["value"], abs=0.1)
    utility = results["utility"]
    assert utility["trained"]["all synthetic"]["mean_auroc"]["value"] > 0.8
    assert utility["counts"] == {"trained_on": 192, "validation": 48, "held_out": 120}


def test_what_it_is_and_where_it_came_from_is_said(output: Path, results: dict[str, Any]) -> None:
    manifest = json.loads((output / "roentgen.json").read_text())
    assert manifest["kind"] == "results"
    assert results["sets"]["after"]["licenses"] == manifest["licenses"]
    page = html.unescape((output / "report.html").read_text())
    assert {"views", "findings"} <= {verdict["topic"] for verdict in results["verdicts"]}
    assert all(verdict["sentence"] in page for verdict in results["verdicts"])
    assert results["provenance"]["program"] == "eval.evaluate"
    made_from = results["provenance"]["made_from"]
    assert set(made_from) == {"train", "test", "before", "after"}
    assert results["fidelity"]["roentgen"]["extractor"]["name"] == "roentgen"
    assert results["fidelity"]["roentgen"]["extractor"]["dimension"] == 32
    assert not list(output.glob("*.partial"))


def test_results_are_replaced_only_if_told(place: Path, output: Path) -> None:
    before = (output / "results.json").read_bytes()
    with pytest.raises(InputError, match="is not empty: choose another, or set overwrite=true"):
        evaluate(config_of(place, output))
    with pytest.raises(InputError, match="a dataset folder, but a results folder"):
        evaluate(config_of(place, place / "real", overwrite=True))
    assert (output / "results.json").read_bytes() == before


LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
INPUTS: dict[str, dict[str, Any]] = {"reference": {"licenses": [LICENSE]}}


def test_results_are_replaced_whole_and_by_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    files: dict[str, File] = {"a.json": {"old": 1}, "tables/old.csv": "old"}
    write_results(folder, files, 1, INPUTS, {"program": "test"}, overwrite=False)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_results(folder, {"a.json": {"new": float("nan")}}, 2, INPUTS, {}, overwrite=True)
    assert json.loads((folder / "a.json").read_text()) == {"old": 1}
    (folder / "set").mkdir()
    (folder / "set" / "roentgen.json").write_text("{}")
    with pytest.raises(InputError, match=r"would be replaced, but holds .*set: choose another"):
        check_results(folder, overwrite=True)
    shutil.rmtree(folder / "set")
    write_results(folder, {"a.json": {"new": 2}}, 2, INPUTS, {}, overwrite=True)
    names = {path.name for path in folder.rglob("*")}
    assert names == {"a.json", "checksums.json", "roentgen.json"}
    with pytest.raises(InputError, match="is not empty"):
        check_results(folder, overwrite=False)
    write_manifest(tmp_path / "out", "model", "0", INPUTS["reference"]["licenses"], {})
    with pytest.raises(InputError, match="is a model folder, but a results folder"):
        check_results(folder, overwrite=True)


class Page(HTMLParser):
    """The page's text and pictures; raises on a tag that is not closed."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture(scope="session")
def page(output: Path) -> Page:
    page = Page()
    page.feed((output / "report.html").read_text())
    assert not page.open
    return page


def estimates(value: Any) -> list[Estimate]:
    """All measured estimates of the results, however deep."""
    if isinstance(value, dict):
        if value.keys() >= {"value", "low", "high", "n"}:
            return [Estimate(**value)] if value["value"] is not None else []
        return [x for item in value.values() for x in estimates(item)]
    return [x for item in value for x in estimates(item)] if isinstance(value, list) else []


def test_every_number_is_on_the_page(page: Page, results: dict[str, Any]) -> None:
    text = " ".join(" ".join(page.words).split())
    parts = [results[key] for key in ("alignment", "fidelity", "diversity", "utility")]
    found = [x for part in parts for x in estimates(part)]
    assert len(found) > 100
    for each in found:
        number, interval = rounded(each)
        shown = f"{number} ({interval})" if interval else number
        assert re.search(rf"(?<![\d.]){re.escape(shown)}(?!\d)", text), each
        assert re.search(rf"(?<![\d.]){each.n}(?![\d.])", text), each
    for name, item in results["sets"].items():
        assert name in text
        assert item["fingerprint"] in text


def test_each_quantity_has_one_value(results: dict[str, Any]) -> None:
    found = results["fidelity"]["roentgen"]
    for name, curve in found["fid_by_n"].items():
        assert curve[0] == {"n": found["n"], "fid": found["fid"][name]["value"]}


def test_the_summary_has_the_values_of_the_domains(results: dict[str, Any]) -> None:
    lines = {line["measure"]: line["values"] for line in results["summary"]}
    (fid,) = (values for measure, values in lines.items() if measure.startswith("FID"))
    for name in ("before", "after"):
        assert fid[name]["value"] == results["fidelity"]["roentgen"]["fid"][name]["value"]
        shown = float(fid[name]["text"].split()[0])
        assert abs(shown - fid[name]["value"]) < fid[name]["high"] - fid[name]["low"]
    assert all("text" in value for values in lines.values() for value in values.values())


def test_the_page_needs_nothing_else_and_names_its_pictures(page: Page, output: Path) -> None:
    content = (output / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", content)
    assert len(page.images) > 10
    for image in page.images:
        assert image["alt"]
        header, _, body = str(image["src"]).partition(",")
        assert header in ("data:image/jpeg;base64", "data:image/svg+xml;base64")
        assert base64.b64decode(body, validate=True)
    assert len(content) < 3_000_000


def test_the_page_is_read_to_its_end(output: Path, browser: Any) -> None:
    """At most 8 screens of 1280 x 800 pixels, also with its sections unfolded; 10 sheets."""
    page = (output / "report.html").read_text()
    unfolded = page.replace('<details class="part"', '<details open class="part"')
    look = """({
      height: document.documentElement.scrollHeight,
      contents: document.querySelector("nav").getBoundingClientRect().top,
      width: document.documentElement.scrollWidth,
    })"""
    desk, whole = (browser.look(html, 1280, look) for html in (page, unfolded))
    assert desk["contents"] <= 800  # verdict, pictures and plots are on the first screen
    assert desk["height"] < whole["height"] <= 8 * 800
    assert browser.look(unfolded, 390, look)["width"] <= 390
    assert browser.printed_pages(page) <= 10


def test_nothing_impossible_or_missing_is_in_a_table(output: Path, results: dict[str, Any]) -> None:
    page = (output / "report.html").read_text()
    cells = re.findall("<td>(.*?)</td>", page)
    assert len(cells) > 100
    assert not any("not measured" in cell for cell in cells)
    shares = {"view_accuracy", "precision", "recall", "coverage", "near_duplicates", "below"}
    distances = {"fid", "kid", "fid_extrapolated", "spectrum_distance"}

    def check(value: Any, key: str) -> None:
        if isinstance(value, dict) and value.keys() >= {"value", "low", "high", "n"}:
            ends = [value[end] for end in ("value", "low", "high") if value[end] is not None]
            assert ends == [] or value["low"] is None or ends[1] <= ends[0] <= ends[2], key
            if key in shares:
                assert all(0 <= end <= 1 for end in ends), key
            if key in distances:
                assert all(end >= 0 for end in ends), key
        elif isinstance(value, dict):
            for name, item in value.items():
                check(item, name if name in shares | distances else key)

    check(results, "")


def test_radiographs_that_show_no_patient_are_called_simulated(
    place: Path, write_drawn: Any
) -> None:
    write_drawn(place / "phantoms", {"train": 60, "test": 60}, 4, source="phantom")
    config = config_of(
        place,
        place / "simulated",
        reference=reference(place / "phantoms"),
        synthetic={"after": str(place / "after")},
        classifier={"steps": 1},
        utility={"seeds": [0]},
    )
    results, _ = evaluate(config)
    page = Page()
    page.feed((place / "simulated" / "report.html").read_text())
    text = " ".join(page.words)
    assert results["sets"]["test"]["kind"] == "simulated"
    assert "60 held-out simulated radiographs of 30 patients" in text
    assert "radiographs of patients" not in text
    assert re.findall(r"\b[Rr]eal\b", text) == []


def test_a_page_can_do_without_pictures_of_patients(place: Path) -> None:
    made = list(open_dataset(place / "after").split("train"))
    real = list(open_dataset(place / "real").split("test"))
    keys = ("licenses", "provenance", "preparation")
    manifest = open_dataset(place / "after").manifest
    with DatasetWriter(place / "some real", **{k: manifest[k] for k in keys}) as writer:
        for row in [*made, *(replace(row, split="train") for row in real[:40])]:
            writer.add(row)
    options: dict[str, Any] = {
        "synthetic": {"mixed": str(place / "some real")},
        "privacy": {"membership_images": None},
        "classifier": {"steps": 1},
        "utility": None,
    }
    seen = {}
    for shows in (True, False):
        output = place / f"pictures {shows}"
        evaluate(config_of(place, output, real_pictures=shows, **options))
        page = Page()
        page.feed((output / "report.html").read_text())
        seen[shows] = page
    texts = {shows: " ".join(page.words) for shows, page in seen.items()}
    assert "This page shows radiographs of patients (train, test, mixed)" in texts[True]
    assert "This page shows no radiograph of a patient" in texts[False]
    assert "partly real" in texts[False]
    alts = {shows: " ".join(str(i["alt"]) for i in page.images) for shows, page in seen.items()}
    assert "held-out: labeled" in alts[True]
    assert "beside training image" in alts[True]
    assert not re.search("held-out: labeled|images of held-out|beside training", alts[False])
    ids = [radiograph.id for radiograph in real]
    assert any(name in texts[True] for name in ids)
    assert not any(name in texts[False] + alts[False] for name in ids)
    mixed = read_set("mixed", open_dataset(place / "some real"), ["train"], **LABELED)
    assert len(mixed) == len(made) + 40
    assert [r.id for r in without_patients(mixed).radiographs] == [r.id for r in made]


def test_the_same_seed_gives_the_same_numbers(place: Path, results: dict[str, Any]) -> None:
    again, _ = evaluate(config_of(place, place / "again", utility=None))
    for key in ("alignment", "fidelity", "diversity"):
        assert json.loads(json.dumps(again[key])) == results[key]
    assert again["utility"] is None


def test_a_set_equal_to_the_held_out_films(place: Path, write_drawn: Any) -> None:
    write_drawn(place / "equal", {"test": 120}, 1, synthetic=True)
    config = config_of(
        place,
        place / "equal results",
        synthetic={"equal": str(place / "equal")},
        utility=None,
        allow_reference_images=True,
    )
    results, _ = evaluate(config)
    fid = results["fidelity"]["roentgen"]["fid"]
    assert fid["equal"]["value"] == pytest.approx(0, abs=1e-6)
    assert fid["floor"]["value"] > 0
    alignment = results["alignment"]
    assert alignment["equal"]["mean_auroc"] == alignment["ceiling"]["mean_auroc"]


def refused(place: Path, message: str, **changes: Any) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(config_of(place, place / "refused", **changes))
    assert not (place / "refused" / "results.json").exists()


def test_mistakes_are_told_in_a_line(place: Path, write_drawn: Any) -> None:
    refused(place, "no such folder", synthetic={"after": str(place / "nowhere")})
    refused(place, "no split 'held'", reference=reference(place / "real", "held"))
    refused(place, "is in both .*train", reference=reference(place / "real", "train"))
    refused(place, r"main is 'best'.*before, after", main="best")
    refused(place, "name is resnet, but must be one of", extractors=[{"name": "resnet"}])
    refused(place, "hf download microsoft/rad-dino", extractors=[{"name": "rad-dino"}])
    refused(place, "min_cases is 0", min_cases=0)
    refused(place, "the report uses this name", synthetic={"reference": str(place / "after")})
    refused(
        place,
        "same .*360 of 360 images are radiographs of the reference itself.*allow_reference_images",
        synthetic={"same": str(place / "real")},
    )
    few = write_drawn(place / "few", {"train": 7}, 5, synthetic=True)
    refused(
        place,
        "set 'few'.*has 7 images; evaluation needs at least 20",
        synthetic={"few": str(few)},
    )
    large = write_drawn(place / "large", {"train": 30}, 6, synthetic=True, size=64)
    refused(place, "prepared with size 64.*with size 32", synthetic={"large": str(large)})
    cut = write_drawn(place / "cut", {"train": 30}, 7, synthetic=True, fit="crop")
    refused(place, "prepared with fit crop.*or set allow_other_fit", synthetic={"cut": str(cut)})


def test_radiographs_of_the_reference_are_no_synthetic_set(place: Path) -> None:
    real = [row for name in ("train", "test") for row in open_dataset(place / "real").split(name)]
    made = list(open_dataset(place / "after").split("train"))

    def write(name: str, rows: list[Radiograph]) -> dict[str, str]:
        keys = ("licenses", "provenance", "preparation")
        manifest = open_dataset(place / "real").manifest
        with DatasetWriter(place / name, **{key: manifest[key] for key in keys}) as writer:
            for row in rows:
                writer.add(row)
        return {name: str(place / name)}

    reordered = write("reordered", real[::-1])
    refused(place, "360 of 360 images are radiographs of the reference", synthetic=reordered)
    config = config_of(place, place / "mixed page", synthetic=write("mixed", [*real[-7:], *made]))
    found = checks(read_sets(config), None)
    n = 7 + len(made)
    for check, line in (
        ("no image is a radiograph of the reference", f"no: 7 of {n} are"),
        (
            "all images are synthetic",
            f"no: 7 of {n} have no record of a synthesis; the set is partly real",
        ),
    ):
        assert {"check": f"mixed: {check}", "result": line} in found
    assert not any("after: all images" in check["check"] for check in found)


def test_what_is_odd_about_a_set_is_said(place: Path, write_drawn: Any) -> None:
    made_by = {"program": "drawn", "made_from": {}, "notes": ["it does not know <view-pa>"]}
    write_drawn(place / "odd", {"train": 40}, 8, synthetic=True, fit="crop", provenance=made_by)
    options: dict[str, Any] = {
        "allow_other_fit": True,
        "utility": None,
        "classifier": {"steps": 1},
    }
    config = config_of(place, place / "odd page", synthetic={"odd": str(place / "odd")}, **options)
    results, _ = evaluate(config)
    assert results["sets"]["odd"]["notes"] == made_by["notes"]
    assert {
        "check": "odd: images fitted as the reference's",
        "result": "no: crop, the reference pad",
    } in results["checks"]
    page = (place / "odd page" / "report.html").read_text()
    assert "it does not know &lt;view-pa&gt;" in page
    assert "no: crop, the reference pad" in page


def test_a_finding_without_cases_is_stated(place: Path) -> None:
    config = config_of(
        place,
        place / "rare",
        findings=["Pleural Effusion", "Edema"],
        synthetic={"after": str(place / "after")},
        utility=None,
        max_images=60,
    )
    results, _ = evaluate(config)
    edema = results["alignment"]["after"]["auroc"]["Edema"]
    assert edema["value"] is None
    assert edema["note"].startswith("not measured: no positives to train on")
    assert results["alignment"]["after"]["mean_auroc"]["note"] == "over 1 of 2 findings"
    assert results["sets"]["test"]["n"] == 60
    page = (place / "rare/report.html").read_text()
    assert "Not measured: Edema: no positives to train on" in page
    assert not re.search("<td[^>]*>[^<]*not measured", page)
