"""The page: what it says and how it lies on a phone, on results made to be hard to show."""

import base64
import io
import re
from collections import Counter
from dataclasses import asdict, replace
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from eval.fidelity.display import REFERENCES
from eval.report.citation import Citation, citation
from eval.report.pictures import data_uri, extremes, losses, ranks, side_for
from eval.report.plots import COLORS, dots, histogram, lines
from eval.report.render import render
from eval.report.section import PageSection, Pictures, Strip, SummaryLine, Table, cell_text, number
from eval.report.verdict import Verdict, in_order
from eval.sets import read_set
from roentgen.dataset.dataset import open_dataset
from roentgen.metrics.estimates import Estimate, NotMeasured
from roentgen.record.finding import FINDING_NAMES

LONG = "Enlarged Cardiomediastinum with-a-word-that-is-longer-than-any-telephone-is-wide"
SETS = ("before fine-tuning", "after", "a_third_set_with_a_long_name")
WEIGHTS = "c06e88c6c8640490"


def value(x: float) -> Estimate:
    return Estimate(value=x, low=x - 0.1, high=x + 0.1, n=1234)


def part() -> PageSection:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (3, 64, 64), dtype=np.uint8)
    by_finding: dict[str, dict[str, Estimate]] = {
        name: {f: value(0.5 + i / 50) for i, f in enumerate(FINDING_NAMES)} for name in SETS
    }
    curve = ([10.0, 100.0, 1000.0], [value(3.0), value(2.0), value(1.0)])
    plots = (
        dots(by_finding, "AUROC by finding.", chance=0.5),
        lines(dict.fromkeys(SETS, curve), "FID by n.", x_label="n", y_label="FID", log_x=True),
        histogram(
            {name: generator.normal(k, 1, 200) for k, name in enumerate(SETS)},
            "Similarity.",
            x_label="similarity",
            mark=1.0,
            mark_label="threshold",
        ),
    )
    strips = (
        Strip(caption="one " * 30, alt="one image", images=images[:1]),
        Strip(caption="three", alt="three images", images=images),
        Strip(caption="none of 0", alt="no image", images=None),
    )
    return PageSection(
        name="fidelity",
        title="Fidelity: how close?",
        methods=(f"Extractor roentgen, weights {WEIGHTS}, " + "f" * 200, "<b>not bold</b>"),
        references=REFERENCES,
        numbers={"fid": {"after": value(8.8)}, "cmmd": {"after": NotMeasured("no CLIP", 3)}},
        summary=(
            SummaryLine(
                measure="FID", sets={n: value(8.8) for n in SETS}, real=value(2.0), better="lower"
            ),
            SummaryLine(measure=LONG, sets={SETS[1]: NotMeasured(f"no positives of {LONG}", 3)}),
        ),
        verdicts=(Verdict(topic="fidelity", status="fails", sentence="<i>Far</i> from real."),),
        headline=plots[0],
        tables=(
            Table(
                name="fidelity",
                caption="A caption that is long enough to need more than one line on a telephone",
                columns=("Finding", *SETS, *(f"column {i}" for i in range(12))),
                rows=tuple(
                    (f, *(value(0.9) for _ in SETS), *range(12)) for f in (*FINDING_NAMES, LONG)
                ),
            ),
        ),
        plots=tuple(plot for plot in plots if plot),
        pictures=(Pictures(title="Pairs", strips=strips),),
    )


def described(models: list[str]) -> dict[str, Any]:
    return {
        "kind": "synthetic" if models else "real",
        "folder": f"runs/{'a-very-long-folder-name/' * 8}dataset",
        "split": "test",
        "n": 1234,
        "patients": 567,
        "fingerprint": "0123456789abcdef",
        "sources": [{"source": "synthetic", "license": "CC0-1.0"}],
        "licenses": [],
        "origin": "sample.generate, commit 0123, size 64",
        "made_from": {"model": {"kind": "model", "fingerprint": "feed", "path": "runs/x/model"}},
        "models": models,
        "sampling": ["PNDM, 75 steps, guidance 4"],
        "notes": ["it does not know <view-pa>"],
    }


def results() -> dict[str, Any]:
    sets = {name: described([]) for name in ("train", "test")}
    sets |= {name: described(["feed"]) for name in SETS}
    return {
        "main": SETS[1],
        "synthetic": list(SETS),
        "seed": 7,
        "sets": sets,
        "licenses": [{"name": "PhysioNet", "data_use": "credentialed " * 9, "may_share": False}],
        "checks": [{"check": "train and test share no patient", "result": "holds " * 20}],
        "seconds": 12.3,
        "provenance": {
            "program": "eval.evaluate",
            "commit": "fedcba9876543210" * 2,
            "config": {"seed": 7, "utility": {"seeds": [0, 1]}, "long": "x" * 300},
            "versions": {"roentgen-cxr": "0.1.0", "torch": "2.11"},
        },
    }


@pytest.fixture(scope="module")
def html() -> str:
    one = part()
    sampled = [replace(group, title="Effusion, PA") for group in one.pictures]
    made = results() | {"verdicts": [asdict(v) for v in in_order([*one.verdicts] * 2)]}
    pictures = {"front": sampled, "ranked": list(one.pictures), "sampled": sampled}
    return render(made, [one, replace(one, name="utility")], pictures, citation(made, [one]))


class Outline(HTMLParser):
    """Tags with their attributes in order; raises on one that is not closed."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def test_whoever_cannot_see_it_can_read_it(html: str) -> None:
    page = Outline()
    page.feed(html)
    assert not page.open
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("main")) == len(page.of("h1")) == len(page.of("title")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert len(page.of("img")) == 4 * 2 + 2 * 5
    assert all(image["alt"] for image in page.of("img"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.of("th"))
    regions = [x for x in page.of("div") if x.get("class") == "scroll"]
    assert len(regions) == len(page.of("table"))
    assert all(x["aria-label"] and x["tabindex"] == "0" for x in regions)
    places = Counter(x["id"] for _, x in page.tags if x.get("id"))
    assert max(places.values()) == 1
    assert {str(link["href"]).removeprefix("#") for link in page.of("a")} == set(places)


def test_words_are_escaped_and_nothing_is_fetched(html: str) -> None:
    assert "&lt;b&gt;not bold" in html
    assert "it does not know &lt;view-pa&gt;" in html
    assert not re.search(r"(src|href)=\"(?!data:|#)|url\(|@import|<script|<link", html)


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio of two #rrggbb colors."""
    lights = []
    for color in (one, other):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_colors_of_plots_can_be_told_from_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WCAG's own example
    assert all(contrast(color, "#ffffff") >= 4.5 for color in COLORS)


LOOK = """(() => {
  const found = {innerWidth, scroll: document.documentElement.scrollWidth, wide: [], faint: []};
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
    .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  for (const e of document.querySelectorAll("body *")) {
    const inside = e.parentElement.closest(".scroll, pre");
    if (!inside && e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
      found.wide.push(e.outerHTML.slice(0, 80));
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    let back = e;
    while (back && getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)")
      back = back.parentElement;
    const pair = [getComputedStyle(e).color,
      back ? getComputedStyle(back).backgroundColor : "rgb(255, 255, 255)"].map(light);
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) found.faint.push(ratio + e.outerHTML.slice(0, 80));
  }
  found.images = document.images.length;
  found.broken = [...document.images].filter(i => !(i.complete && i.naturalWidth)).length;
  return found;
})()"""


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_a_telephone_and_a_desk(html: str, width: int, browser: Any) -> None:
    unfolded = html.replace("<details", "<details open")
    found = browser.look(unfolded, width, LOOK)
    assert found["innerWidth"] == width
    assert found["wide"] == []
    assert found["scroll"] <= width
    assert found["faint"] == []
    assert found["images"] == 18
    assert found["broken"] == 0


def test_chromium_tells_a_page_that_does_not_fit(browser: Any) -> None:
    bad = (
        "<!DOCTYPE html><body><p style='color: #888'>faint</p><div style='width: 500px'>wide</div>"
        "<img src='data:image/png;base64,AAAA' alt='broken'>"
    )
    found = browser.look(bad, 390, LOOK)
    assert len(found["faint"]) == len(found["wide"]) == found["broken"] == 1


def test_a_page_of_many_pictures_stays_small() -> None:
    def group(count: int) -> Pictures:
        image = np.zeros((count, 512, 512), np.uint8)
        return Pictures(title="", strips=(Strip(caption="", alt="", images=image),))

    assert side_for([group(1)]) == 256
    assert side_for([]) == 256
    assert side_for([group(300)] * 2) == 100
    assert side_for([group(500)] * 8) == 64
    noise = np.random.default_rng(0).integers(0, 256, (2, 512, 512), dtype=np.uint8)
    _, _, content = data_uri(noise, 100).partition("base64,")
    assert Image.open(io.BytesIO(base64.b64decode(content))).height == 100


def test_losses_are_cross_entropies_over_what_is_known() -> None:
    generator = np.random.default_rng(0)
    said = generator.random((20, 3))
    labels = generator.integers(0, 2, (20, 3)).astype(np.float32)
    expected = functional.binary_cross_entropy(
        torch.from_numpy(said), torch.from_numpy(labels).double(), reduction="none"
    ).numpy()
    assert losses(said, labels) == pytest.approx(expected.mean(axis=1))
    labels[3] = np.nan
    labels[4, 1] = np.nan
    loss = losses(said, labels)
    assert np.isnan(loss[3])
    assert loss[4] == pytest.approx(expected[4, [0, 2]].mean())
    assert np.isfinite(losses(np.array([[0.0]]), np.array([[1.0]], np.float32))).all()


def test_ranks_leave_out_what_is_not_known() -> None:
    found = ranks(np.array([0.5, np.nan, 0.1, 0.9, 0.3, 0.7]), 1)
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "Best": [2],
        "Median": [0],
        "Worst": [3],
    }
    two = ranks(np.array([0.4, 0.1]), 3)
    assert [rows.tolist() for rows in two.values()] == [[1, 0], [1, 0], [0, 1]]


def test_best_and_worst_say_what_was_asked_and_what_was_read(
    tmp_path: Path, write_drawn: Any
) -> None:
    folder = write_drawn(tmp_path / "set", {"train": 40}, 1, synthetic=True)
    images = read_set(
        "made",
        open_dataset(folder),
        ["train"],
        findings=("Pleural Effusion", "Pneumothorax"),
        not_mentioned="ignore",
        max_images=None,
        seed=0,
    )
    said = np.where(images.labels == 1, 0.9, 0.1)
    said[5] = 1 - said[5]
    said[5, 1] = 0.95 if images.labels[5, 1] == 0 else 0.05
    best, _, worst = extremes({"made": (images, said)}, ("Pleural Effusion", "Pneumothorax"), 1)
    (strip,) = worst.strips
    assert strip.images is not None
    assert np.array_equal(strip.images, images.images[np.array([5])])
    assert "Pneumothorax (" in strip.detail
    assert number(float(said[5, 1])) in strip.detail
    asked = {0: "Pleural Effusion", 1: "Pneumothorax"}
    names = ", ".join(asked[j] for j in range(2) if images.labels[5, j] == 1)
    assert strip.caption.endswith(f"requested {names or 'none of the findings'}")
    assert best.strips[0].alt.startswith("Best: made")


def test_a_citation_has_what_numbers_mean_nothing_without(html: str) -> None:
    made = results()
    found = citation(made, [part()])
    assert isinstance(found, Citation)
    commit = made["provenance"]["commit"]
    wanted = [f"Roentgen 0.1.0 (commit {commit})", "0123456789abcdef", "model feed", "seed 7"]
    assert all(words in found.paragraph for words in (*wanted, "1234 held-out real radiographs"))
    assert "FID: before fine-tuning 8.80 (8.70 to 8.90), n = 1234" in found.paragraph
    everything = " ".join(x for sentences in found.definitions.values() for x in sentences)
    assert all(words in everything for words in (WEIGHTS, "torch 2.11", "utility [0, 1]"))
    assert any("(FID)" in source for source in found.methods)
    assert not any("CMMD" in source for source in found.methods)  # it was not measured
    assert LONG not in found.paragraph
    assert found.bibtex.count("{") == found.bibtex.count("}")
    assert all(escape(words) in html for words in (found.paragraph, WEIGHTS, f"commit {commit}"))


def test_cells_in_words() -> None:
    assert cell_text(value(0.5)) == "0.50 (0.40 to 0.60)"
    assert cell_text(Estimate(value=-0.00012, n=3, note="of few")) == "\u22120.00012, of few"
    assert cell_text(NotMeasured("no case", 3)) == "not measured: no case"
    assert [cell_text(None), cell_text("a"), cell_text(3), cell_text(123.456)] == [
        "",
        "a",
        "3",
        "123.5",
    ]
