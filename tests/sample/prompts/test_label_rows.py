"""Label plans: counts that are exact, lots that are fair, prompts that read back."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import chi2_contingency, chisquare

from roentgen.config import load_config
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.prompt_rows import PromptRow
from roentgen.imaging.images import encode_png
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.prompts.parser import parse_prompt
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FINDING_NAMES, SEVERITIES, SIDES, STATES, Finding
from roentgen.record.radiograph import Radiograph, Report
from sample.config import GenerateConfig
from sample.plan import plan_images
from sample.prompts.apportion import apportion, draw_evenly, draw_rarest_first, shuffle
from sample.prompts.config import (
    BalancedLabels,
    DatasetLabels,
    DatasetPrompts,
    LabelPrompts,
    PromptsConfig,
    SingleFindings,
)
from sample.prompts.label_findings import PATHOLOGIES, read_labels
from sample.prompts.label_rows import label_rows
from sample.prompts.sources import rows_from_dataset

ROOT = Path(__file__).parents[3]
STYLE = PromptStyle(demographics=True, race=True)
BARE = PromptStyle()


def rows_of(labels: LabelPrompts, style: PromptStyle = STYLE, seed: int = 0) -> list[PromptRow]:
    return list(label_rows(labels, style, seed))


def present(row: PromptRow) -> set[str]:
    return {finding.name for finding in row.findings if finding.state == "present"}


def tally(rows: list[PromptRow]) -> Counter[str]:
    return Counter(name for row in rows for name in present(row))


def write_dataset(folder: Path, radiographs: Iterator[Radiograph]) -> Path:
    license_ = {"name": "CC0-1.0", "data_use": None, "may_share": True}
    with DatasetWriter(folder, licenses=[license_], provenance={}, shard_rows=40) as writer:
        for radiograph in radiographs:
            writer.add(radiograph)
    return folder


def radiograph(number: int, findings: tuple[Finding, ...], **message: Any) -> Radiograph:
    return Radiograph(
        id=f"r{number}",
        patient_id=f"p{number // 2}",
        study_id=f"s{number}",
        split="train",
        image=encode_png(np.zeros((8, 8), dtype=np.uint8)),
        findings=findings,
        report=Report(impression="Edema."),
        source="made",
        license="CC0-1.0",
        **message,
    )


def random_findings(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Some findings in states of their own, with a side, a size or a detail now and then."""
    names = rng.choice([n for n in FINDING_NAMES if n != "No Finding"], rng.integers(0, 5), False)
    return tuple(
        Finding(
            name=name,
            state=STATES[rng.integers(3)],
            side=(None, None, *SIDES)[rng.integers(5)],
            severity=(None, None, *SEVERITIES)[rng.integers(5)],
            detail="odd one" if rng.random() < 0.1 else None,
        )
        for name in sorted(names)
    ) or (Finding(name="No Finding"),)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 radiographs in three shards; some tell no view, age, sex or race."""
    rng = numpy_generator(0, "radiographs")
    return write_dataset(
        tmp_path_factory.mktemp("data") / "set",
        (
            radiograph(
                number,
                random_findings(rng),
                view=("PA", "AP", "LATERAL", None)[number % 4],
                age=None if number % 5 == 0 else float(rng.integers(0, 95)),
                sex=("F", "M", None)[number % 3],
                race=("white", "asian", None)[number % 7 % 3],
            )
            for number in range(100)
        ),
    )


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 with edema, 5 with pneumonia, 1 with both and devices, 1 with fracture, 5 normal."""
    message = [
        *[("Edema",)] * 8,
        *[("Pneumonia",)] * 5,
        ("Edema", "Pneumonia", "Support Devices"),
        ("Fracture",),
        *[("No Finding",)] * 5,
    ]
    return write_dataset(
        tmp_path_factory.mktemp("data") / "set",
        (
            radiograph(
                number,
                (*(Finding(name=n) for n in names), Finding(name="Lung Lesion", state="absent")),  # type: ignore[arg-type]
            )
            for number, names in enumerate(message)
        ),
    )


def test_counts_are_met_in_the_grammars_words() -> None:
    counts = {
        "Pneumothorax": 50,
        "No Finding": 30,
        "cardiomegaly, small left effusion, possible edema, no pneumothorax": 20,
        "Fracture": 0,
    }
    rows = rows_of(LabelPrompts(counts=counts), PromptStyle(mention_absent=False))
    assert Counter(row.prompt for row in rows) == {
        "pneumothorax": 50,
        "no acute findings": 30,
        "cardiomegaly, small left pleural effusion, possible edema, no pneumothorax": 20,
    }
    assert {row.count for row in rows} == {1}
    assert Counter(row.prompt for row in rows[:50]) != {"pneumothorax": 50}  # not in blocks


def test_a_plan_is_a_function_of_its_seed(dataset: Path) -> None:
    mixes: dict[str, Any] = {"views": {"PA": 2, "AP": 1}, "ages": {"20-40": 1, "41-90": 1}}
    for labels in (
        LabelPrompts(single=SingleFindings(), images=200, sides={"left": 1, "right": 1}, **mixes),
        LabelPrompts(balanced=BalancedLabels(folder=dataset), images=200, **mixes),
        LabelPrompts(prevalence=DatasetLabels(folder=dataset), images=200, **mixes),
    ):
        assert rows_of(labels) == rows_of(labels)
        assert rows_of(labels) != rows_of(labels, seed=1)


def test_one_finding_an_image_in_equal_shares() -> None:
    rows = rows_of(LabelPrompts(single=SingleFindings(), images=1000, no_finding=0.25))
    assert all(len(row.findings) == 1 for row in rows)
    counts = tally(rows)
    assert counts.pop("No Finding") == 250
    assert set(counts) == set(PATHOLOGIES)
    assert sorted(counts.values()) == [62] * 6 + [63] * 6  # 750 = 12 * 62 + 6
    named = SingleFindings(findings=("Support Devices", "Edema"))
    assert tally(rows_of(LabelPrompts(single=named, images=9))) == {
        "Support Devices": 5,
        "Edema": 4,
    }


def test_shares_are_met_by_the_largest_remainder() -> None:
    shares = {"edema": 0.1, "left pneumothorax, chest tube": 0.2, "no edema": 0.7}
    rows = rows_of(LabelPrompts(shares=shares, images=1001))
    # 100.1, 200.2 and 700.7: the last has the largest remainder
    assert sorted(Counter(row.prompt for row in rows).values()) == [100, 200, 701]


def test_apportion_has_the_properties_of_the_method() -> None:
    assert apportion([1, 1, 1], 10).tolist() == [4, 3, 3]
    assert apportion([0.1, 0.2, 0.7], 10).tolist() == [1, 2, 7]
    assert apportion([5, 0, 5], 3).tolist() == [2, 0, 1]
    # The example of Hamilton's method in textbooks: 100 000 votes, 10 seats.
    assert apportion([47000, 16000, 15900, 12000, 6000, 3100], 10).tolist() == [5, 2, 1, 1, 1, 0]
    rng = numpy_generator(0, "shares")
    for _ in range(200):
        shares, total = rng.random(rng.integers(1, 20)), int(rng.integers(0, 10**7))
        counts = apportion(shares.tolist(), total)
        assert counts.sum() == total
        assert np.abs(counts - shares / shares.sum() * total).max() < 1 + 1e-6


def test_random_draws_are_fair() -> None:
    places, drawn = np.zeros((3, 6)), np.zeros(50)
    for seed in range(2000):
        rng = numpy_generator(seed, "lots")
        dealt = shuffle(np.array([1, 2, 3]), rng)
        assert np.bincount(dealt).tolist() == [1, 2, 3]
        places[dealt, np.arange(6)] += 1
        drawn[draw_evenly(np.arange(50), 20, rng)] += 1
    for share, row in zip((1, 2, 3), places, strict=True):
        assert row.sum() == 2000 * share
        assert chisquare(row).pvalue > 1e-3
    assert chisquare(drawn).pvalue > 1e-3
    thrice = draw_evenly(np.arange(50), 150, numpy_generator(0, "lots"))
    assert all(len(set(thrice[i : i + 50].tolist())) == 50 for i in (0, 50, 100))


def test_mixes_are_met_exactly_and_are_independent() -> None:
    labels = LabelPrompts(
        single=SingleFindings(findings=("Edema", "Pneumonia", "Fracture")),
        images=6000,
        views={"PA": 0.5, "AP": 0.3, "LATERAL": 0.2},
        sexes={"F": 1, "M": 3},
        ages={"18-39": 1, "40-64": 2, "65-90": 1},
        races={"white": 2, "black": 1},
    )
    rows = rows_of(labels)
    assert Counter(row.view for row in rows) == {"PA": 3000, "AP": 1800, "LATERAL": 1200}
    assert Counter(row.sex for row in rows) == {"F": 1500, "M": 4500}
    assert Counter(row.race for row in rows) == {"white": 4000, "black": 2000}
    bands = {"18-39": (18, 39, 1500), "40-64": (40, 64, 3000), "65-90": (65, 90, 1500)}
    for low, high, count in bands.values():
        years = np.array([r.age for r in rows if r.age is not None and low <= r.age <= high])
        assert len(years) == count
        assert chisquare(np.bincount(years.astype(int) - low, minlength=high - low + 1)).pvalue > (
            1e-3
        )
    message: list[list[Any]] = [
        [row.findings[0].name for row in rows],
        [row.view for row in rows],
        [row.sex for row in rows],
        [row.race for row in rows],
        [str((row.age or 0) // 25) for row in rows],
    ]
    for i, first in enumerate(message):
        for second in message[:i]:
            pairs: Counter[Any] = Counter(zip(first, second, strict=True))
            table = [[pairs[a, b] for b in sorted(set(second))] for a in sorted(set(first))]
            assert chi2_contingency(table).pvalue > 1e-3


def test_sides_and_severities_are_met_in_each_finding() -> None:
    counts = {"effusion, cardiomegaly": 300, "pneumothorax": 100, "left pneumothorax": 50}
    labels = LabelPrompts(
        counts=counts | {"no consolidation": 40, "vertebral fracture": 10, "No Finding": 5},
        sides={"left": 2, "right": 2, "bilateral": 1},
        severities={"small": 1, "large": 3},
    )
    rows = rows_of(labels)
    sides = Counter((f.name, f.side) for row in rows for f in row.findings)
    assert sides == {
        ("Pleural Effusion", "left"): 120,
        ("Pleural Effusion", "right"): 120,
        ("Pleural Effusion", "bilateral"): 60,
        ("Cardiomegaly", None): 300,
        ("Pneumothorax", "left"): 40 + 50,
        ("Pneumothorax", "right"): 40,
        ("Pneumothorax", "bilateral"): 20,
        ("Consolidation", None): 40,
        ("Fracture", None): 10,
        ("No Finding", None): 5,
    }
    sizes = Counter((f.name, f.severity) for row in rows for f in row.findings if f.severity)
    assert sizes == {
        ("Pleural Effusion", "small"): 75,
        ("Pleural Effusion", "large"): 225,
        ("Cardiomegaly", "small"): 75,
        ("Cardiomegaly", "large"): 225,
        ("Pneumothorax", "small"): 38,
        ("Pneumothorax", "large"): 112,
    }


def test_the_labels_of_a_dataset_are_read_as_its_radiographs_are(dataset: Path) -> None:
    split = open_dataset(dataset).split("train")
    table = read_labels(split)
    radiographs = list(split.without_images())
    assert len(split.column("id").chunks) > 1  # rows are found across shards
    for name, message in (
        ("findings", [r.findings for r in radiographs]),
        ("view", [r.view for r in radiographs]),
        ("age", [r.age for r in radiographs]),
        ("sex", [r.sex for r in radiographs]),
        ("race", [r.race for r in radiographs]),
    ):
        column = getattr(table, name)
        assert [column.values[code] for code in column.codes] == message
    assert table.id.to_pylist() == split.ids() == [r.id for r in radiographs]
    assert table.patient.to_pylist() == [r.patient_id for r in radiographs]


@pytest.mark.parametrize("style", [STYLE, PromptStyle(mention_uncertain=False), BARE])
def test_prevalence_is_the_datasets(dataset: Path, style: PromptStyle) -> None:
    labels = LabelPrompts(prevalence=DatasetLabels(folder=dataset), images=300)
    source = DatasetPrompts(folder=dataset, split="train")
    radiographs_rows = rows_from_dataset(source, style, 0)
    once = Counter((r.prompt, r.findings, r.from_radiograph) for r in radiographs_rows)
    rows = rows_of(labels, style)
    assert Counter((r.prompt, r.findings, r.from_radiograph) for r in rows) == {
        row: 3 * count for row, count in once.items()
    }
    of = {r.id: r for r in open_dataset(dataset).split("train").without_images()}
    for row in rows:
        assert row.from_radiograph is not None
        drawn = of[row.from_radiograph]
        assert (row.prompt, row.from_patient) == (prompt_of(drawn, style), drawn.patient_id)
        assert row.view == drawn.view
        assert (row.age, row.sex) == ((drawn.age, drawn.sex) if style.demographics else (None,) * 2)
    some = rows_of(LabelPrompts(prevalence=DatasetLabels(folder=dataset), images=60), style)
    assert len({row.from_radiograph for row in some}) == 60


def test_a_mix_takes_the_place_of_the_radiographs_own(dataset: Path) -> None:
    source = DatasetLabels(folder=dataset)
    labels = LabelPrompts(prevalence=source, images=100, views={"AP": 1, "PA": 4}, sexes={"F": 1})
    rows = rows_of(labels)
    assert Counter(row.view for row in rows) == {"AP": 20, "PA": 80}
    assert {row.sex for row in rows} == {"F"}
    own = rows_of(LabelPrompts(prevalence=source, images=100))
    assert [(r.findings, r.age, r.race) for r in rows] == [(r.findings, r.age, r.race) for r in own]


def test_each_draw_has_the_finding_rarest_so_far() -> None:
    rng = numpy_generator(0, "combinations")
    has = rng.random((40, 5)) < 0.3
    combinations = rng.integers(0, 40, 500).astype(np.int32)
    start = np.array([9, 0, 4, 4, 7])
    drawn = draw_rarest_first(has, combinations, start, 400, numpy_generator(1, "draw"))
    now = start.copy()
    for radiograph in drawn:
        own = has[combinations[radiograph]]
        assert now[own].min() == now.min()
        now += own
    # Any of those that have the only finding is as likely as any other.
    often = np.zeros(12)
    for seed in range(600):
        of_one = draw_rarest_first(
            np.ones((1, 1), bool), np.zeros(12, np.int32), np.zeros(1, np.int64), 5,
            numpy_generator(seed, "draw"),
        )  # fmt: skip
        assert len(set(of_one.tolist())) == 5
        often[of_one] += 1
    assert chisquare(often).pvalue > 1e-3


def test_a_finding_that_comes_with_most_others_is_no_more_frequent() -> None:
    """As lung opacity in label tables: 60 % of the radiographs with any other finding have it."""
    rng = numpy_generator(0, "opacity")
    has = rng.random((20_000, 10)) < np.geomspace(0.3, 0.01, 10)
    has[:, 0] = rng.random(20_000) < 0.6
    rows, zero = np.arange(20_000, dtype=np.int32), np.zeros(10, dtype=np.int64)
    drawn = draw_rarest_first(has, rows, zero, 20_000, numpy_generator(1, "draw"))
    counts = has[drawn].sum(axis=0)
    assert len(drawn) == 20_000
    assert np.ptp(counts) <= 0.02 * counts.min()
    # Topping up ends where the most frequent one was, with nothing added to it until then.
    before = has.sum(axis=0)
    added = has[draw_rarest_first(has, rows, before, None, numpy_generator(1, "draw"))].sum(axis=0)
    assert (before + added).min() == before.max()
    assert np.ptp(before + added) <= 0.02 * before.max()


def test_balanced_findings_are_equally_frequent(unequal: Path) -> None:
    labels = LabelPrompts(balanced=BalancedLabels(folder=unequal), images=400, no_finding=0.25)
    rows = rows_of(labels, BARE)
    counts = tally(rows)
    assert counts["No Finding"] == 100
    three = [counts[name] for name in ("Edema", "Pneumonia", "Fracture")]
    assert max(three) - min(three) <= 1
    # The combinations are the dataset's, and both findings come with their devices.
    both = sum({"Edema", "Pneumonia"} <= present(row) for row in rows)
    assert both == counts["Support Devices"] > 0
    assert sum(three) == 300 + both
    assert all(Finding(name="Lung Lesion", state="absent") in row.findings for row in rows)


def test_topping_up_balances_dataset_and_synthetic_images_together(unequal: Path) -> None:
    names = ("Edema", "Pneumonia", "Fracture", "Support Devices", "No Finding")
    source = BalancedLabels(folder=unequal, findings=names[1:3], top_up=True)
    # Pneumonia 6 and fracture 1: five fractures.
    assert tally(rows_of(LabelPrompts(balanced=source), BARE)) == {"Fracture": 5}
    assert tally(rows_of(LabelPrompts(balanced=source, images=3), BARE)) == {"Fracture": 3}
    # Beyond that both grow: 7 more are 3 and 4.
    more = tally(rows_of(LabelPrompts(balanced=source, images=12), BARE))
    assert sorted([more["Pneumonia"], more["Fracture"] - 5]) == [3, 4]
    whole = BalancedLabels(folder=unequal, findings=names[:3] + names[4:], top_up=True)
    before = {"Edema": 9, "Pneumonia": 6, "Fracture": 1, "No Finding": 5}
    made = tally(rows_of(LabelPrompts(balanced=whole, images=60), BARE))
    after = [made[name] + count for name, count in before.items()]
    assert max(after) - min(after) <= 1
    alone = BalancedLabels(folder=unequal, findings=("Edema",), top_up=True)
    with pytest.raises(InputError, match="is balanced already: nothing to top up"):
        rows_of(LabelPrompts(balanced=alone), BARE)


@pytest.mark.parametrize("form", ["list", "sentence"])
def test_written_prompts_are_read_back(dataset: Path, form: Any) -> None:
    rng = numpy_generator(0, "plans")
    every = {
        "views": {"PA": 1, "AP": 1, "LATERAL": 1},
        "sexes": {"F": 1, "M": 1},
        "ages": {"0-17": 1, "18-90": 3},
        "races": {"white": 1, "native hawaiian or other pacific islander": 1, "other": 1},
        "sides": {"left": 1, "right": 2, "bilateral": 1},
        "severities": {"small": 1, "moderate": 1, "large": 1},
    }
    kinds: tuple[dict[str, Any], ...] = (
        {"single": SingleFindings()},
        {"shares": {"nodule, possible pneumonia": 1, "devices, no edema": 2}, "no_finding": 0.2},
        {"balanced": BalancedLabels(folder=dataset)},
        {"prevalence": DatasetLabels(folder=dataset)},
    )
    style = PromptStyle(demographics=True, race=True, form=form)
    for number in range(24):
        mixes: dict[str, Any] = {name: mix for name, mix in every.items() if rng.random() < 0.6}
        if number % 4 == 1:
            mixes.pop("sides", None)
        rows = rows_of(LabelPrompts(images=60, **kinds[number % 4], **mixes), style, number)
        assert len(rows) == 60
        for row in rows:
            content = parse_prompt(row.prompt)
            assert set(content.findings) == set(row.findings)
            assert len(content.findings) == len(row.findings)
            assert (content.view, content.age, content.sex, content.race) == (
                row.view,
                row.age,
                row.sex,
                row.race,
            )


def test_equal_prompts_are_one_text() -> None:
    labels = LabelPrompts(
        counts={"Edema": 50, "Pneumonia": 50}, views={"PA": 1, "AP": 1}, sexes={"F": 1, "M": 1}
    )
    rows = rows_of(labels)
    assert len({id(row.prompt) for row in rows}) == len({row.prompt for row in rows}) == 8
    assert len({id(row.findings) for row in rows}) == 2


def test_a_label_plan_has_one_image_per_row() -> None:
    prompts = PromptsConfig(labels=LabelPrompts(counts={"Edema": 30, "left pneumothorax": 20}))
    plan = list(plan_images(prompts, BARE, SamplerSettings(), 0))
    assert len({image.id for image in plan}) == len({image.seed for image in plan}) == 50
    assert len({image.patient_id for image in plan}) == 50
    fewer = PromptsConfig(labels=LabelPrompts(counts={"Edema": 10}))
    seeds = {image.seed for image in plan}
    assert {image.seed for image in plan_images(fewer, BARE, SamplerSettings(), 0)} <= seeds


COUNTS = {"Edema": 2}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelPrompts(), "exactly one of counts, shares, .*; given: none"),
        (lambda: LabelPrompts(counts=COUNTS, single=SingleFindings()), "given: counts, single"),
        (lambda: LabelPrompts(counts={}), "prompts.labels.counts add up to 0"),
        (lambda: LabelPrompts(counts={"Edema": 0}), "prompts.labels.counts add up to 0"),
        (lambda: LabelPrompts(counts={"Edema": -1}), "prompts.labels.counts of 'Edema' is -1"),
        (lambda: LabelPrompts(counts=COUNTS, images=4), "images does not go with counts"),
        (lambda: LabelPrompts(shares={"edema": 1}), "prompts.labels.images is missing"),
        (
            lambda: LabelPrompts(single=SingleFindings(), images=0),
            "labels.images is 0: it must be at least 1",
        ),
        (lambda: LabelPrompts(counts=COUNTS, no_finding=0.1), "no_finding goes with shares"),
        (lambda: LabelPrompts(single=SingleFindings(), images=5, no_finding=1.0), "no_finding is"),
        (
            lambda: LabelPrompts(
                balanced=BalancedLabels(folder=Path("x"), top_up=True), no_finding=0.1
            ),
            "no_finding is a share of images: set images",
        ),
        (lambda: LabelPrompts(counts=COUNTS, views={"PA": 0}), "labels.views add up to 0"),
        (lambda: LabelPrompts(counts=COUNTS, views={"pa": 1}), "name 'pa'; did you mean 'PA'"),
        (lambda: LabelPrompts(counts=COUNTS, sexes={"X": 1}), "name 'X'; known: F, M"),
        (
            lambda: LabelPrompts(counts=COUNTS, sides={"left": 1, "rigth": 1}),
            "prompts.labels.sides has the unknown name 'rigth'; did you mean 'right'",
        ),
        (
            lambda: LabelPrompts(counts=COUNTS, severities={"small": float("nan")}),
            "severities of 'small' is nan",
        ),
        (lambda: LabelPrompts(counts=COUNTS, races={"asain": 1}), "did you mean 'asian'"),
        (lambda: LabelPrompts(counts=COUNTS, ages={"old": 1}), "has the band 'old'"),
        (lambda: LabelPrompts(counts=COUNTS, ages={"60-40": 1}), "has the band '60-40'"),
        (lambda: LabelPrompts(counts=COUNTS, ages={"60-400": 1}), "up to 120"),
        (
            lambda: LabelPrompts(counts=COUNTS, ages={"40-60": 1, "18-40": 1}),
            "ages: 18-40 and 40-60 overlap",
        ),
        (
            lambda: SingleFindings(findings=("Pnuemothorax",)),
            "single.findings has the unknown name 'Pnuemothorax'; did you mean 'Pneumothorax'",
        ),
        (lambda: SingleFindings(findings=()), "single.findings is empty"),
        (lambda: SingleFindings(findings=("Edema", "Edema")), "names 'Edema' twice"),
        (
            lambda: BalancedLabels(folder=Path("x"), findings=("fracture",)),
            "balanced.findings has the unknown name 'fracture'; did you mean 'Fracture'",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"Pnuemothorax": 1})),
            "prompts.labels.counts: unknown word 'pnuemothorax'.*nearest known: 'pneumothorax'",
        ),
        (lambda: rows_of(LabelPrompts(shares={"": 1}, images=1)), "shares: '' names no finding"),
        (
            lambda: rows_of(LabelPrompts(counts={"<view-pa> edema": 1})),
            "'<view-pa> edema' gives a view or patient",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"60 year old man, edema": 1})),
            "gives a view or patient",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"edema, emphysema": 1})),
            "counts: 'edema, emphysema' names 'emphysema', but labels plan the 14 names alone",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"edema, no acute findings": 1})),
            "contradicts itself: no finding, but Edema",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"No Finding, possible edema": 1})),
            "contradicts itself: no finding, but Edema",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"edema, no edema": 1})),
            "'edema, no edema' has Edema both present and absent",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"Cardiomegaly": 1}, sides={"left": 1})),
            "prompts.labels.sides is set, but no planned finding lacks a side",
        ),
        (
            lambda: rows_of(LabelPrompts(counts={"Fracture": 1}, severities={"small": 1})),
            "prompts.labels.severities is set, but no planned finding lacks a severity",
        ),
    ],
)
def test_bad_plans_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_devices_are_no_contradiction() -> None:
    (row,) = rows_of(LabelPrompts(counts={"no acute findings, pacemaker, no edema": 1}))
    assert present(row) == {"No Finding", "Support Devices"}


@pytest.mark.parametrize(
    ("mix", "style", "message"),
    [
        ({"views": {"PA": 1}}, PromptStyle(view_token=False), "views .* style.view_token=true"),
        ({"ages": {"20-30": 1}}, BARE, "ages .* style.demographics=true"),
        ({"sexes": {"F": 1}}, BARE, "sexes .* style.demographics=true"),
        ({"races": {"white": 1}}, PromptStyle(demographics=True), "races .* style.race=true"),
        ({}, PromptStyle(text="none"), "prompts have no text.* style.text=findings"),
    ],
)
def test_what_prompts_do_not_tell_is_refused(mix: Any, style: PromptStyle, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows_of(LabelPrompts(counts=COUNTS, **mix), style)


def test_findings_that_a_dataset_lacks_are_reported(unequal: Path, tmp_path: Path) -> None:
    def plan(source: BalancedLabels, **more: Any) -> None:
        rows_of(LabelPrompts(balanced=source, images=10, **more), BARE)

    with pytest.raises(InputError, match="no radiograph with Lung Lesion present: remove it"):
        plan(BalancedLabels(folder=unequal, findings=("Edema", "Lung Lesion")))
    with pytest.raises(InputError, match="no split 'test'; it has: train"):
        plan(BalancedLabels(folder=unequal, split="test"))
    with pytest.raises(InputError, match="no such folder"):
        plan(BalancedLabels(folder=tmp_path / "none"))
    edema = radiograph(0, (Finding(name="Edema"),))
    alone = write_dataset(tmp_path / "alone", iter([edema]))
    with pytest.raises(InputError, match=r"no normal radiograph for prompts.labels.no_finding"):
        plan(BalancedLabels(folder=alone), no_finding=0.5)
    devices = radiograph(0, (Finding(name="Support Devices"),))
    bare = write_dataset(tmp_path / "bare", iter([devices]))
    with pytest.raises(InputError, match="no radiograph with a pathology"):
        plan(BalancedLabels(folder=bare))


def test_the_recipe_plans_what_its_comments_say(tmp_path: Path) -> None:
    recipe = ROOT / "configs/sample/augment.yaml"
    labels = load_config(GenerateConfig, [str(recipe)]).prompts.labels
    assert labels is not None
    assert len(rows_of(labels)) == (labels.images or sum((labels.counts or {}).values()))
    text = recipe.read_text()
    others = [line.split("# ", 1)[1] for line in text.splitlines() if line.startswith("    # {")]
    assert len(others) == 4
    for number, line in enumerate(others):
        values = yaml.safe_load(text)
        values["prompts"]["labels"] = yaml.safe_load(line)
        (tmp_path / f"{number}.yaml").write_text(yaml.dump(values))
        load_config(GenerateConfig, [str(tmp_path / f"{number}.yaml")])


_MILLION = """
import re, sys, time
from pathlib import Path
from roentgen.prompts.grammar import PromptStyle
from sample.prompts.config import BalancedLabels, LabelPrompts
from sample.prompts.label_rows import label_rows

labels = LabelPrompts(
    balanced=BalancedLabels(folder=Path(sys.argv[1])), images=1_000_000, no_finding=0.1,
    views={"PA": 2, "AP": 1}, sexes={"F": 1, "M": 1}, ages={"18-90": 1},
    sides={"left": 1, "right": 1, "bilateral": 1}, severities={"small": 1, "large": 1},
)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
memory, start = peak(), time.process_time()
rows = sum(row.count for row in label_rows(labels, PromptStyle(demographics=True), 0))
print(rows, time.process_time() - start, peak() - memory)
"""


@pytest.mark.slow
def test_a_million_rows_take_seconds_and_little_memory(dataset: Path) -> None:
    """Alone they take a third of the 30 s that a plan may; the table's writing takes the rest."""
    run = subprocess.run(
        [sys.executable, "-c", _MILLION, str(dataset)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows, seconds, megabytes = map(float, run.stdout.split())
    print(f"{rows:.0f} rows: {seconds:.1f} s, {megabytes:.0f} MB")
    assert rows == 1_000_000
    assert seconds < 20
    assert megabytes < 250


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("no effusion, small left effusion", "absent and present"),
        ("moderate right and small left effusion, no effusion", "present and absent"),
        ("bilateral effusion, no left effusion", "present and absent"),
        ("bilateral effusion, possible left effusion", "present and uncertain"),
        ("no fracture, left rib fracture", "absent and present"),
        ("left effusion, possible left effusion", "present and uncertain"),
    ],
)
def test_sides_that_contradict_each_other_are_refused(text: str, states: str) -> None:
    with pytest.raises(InputError, match=f"both {states}"):
        rows_of(LabelPrompts(counts={text: 1}))


@pytest.mark.parametrize(
    "text",
    [
        "moderate right and small left pleural effusion",
        "moderate right pleural effusion, no left pleural effusion",
        "moderate right pleural effusion, possible left pleural effusion",
        "small left pleural effusion, no large pleural effusion",
        "rib fracture, no clavicle fracture",
        "left pleural effusion, possible bilateral pleural effusion",
    ],
)
def test_sides_that_agree_are_planned(text: str) -> None:
    (row,) = rows_of(LabelPrompts(counts={text: 1}))
    assert row.prompt.endswith(text)
