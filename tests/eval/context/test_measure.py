"""Context that images show, hide or are asked for, with answers known from how they were drawn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.config import ContextConfig, EvaluateConfig, ReferenceSetConfig
from eval.context.measure import Context
from eval.evaluation import domains_of
from eval.report.section import PageSection
from eval.sets import read_sets
from roentgen.dataset.dataset import DatasetWriter
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.prompts.context_words import ContextRule
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import Radiograph, Split
from tests.conftest import SYNTHESIS

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
FINDINGS: tuple[FindingName, ...] = ("Consolidation", "Pneumothorax")
SIDE = 32
RULES = (
    ContextRule(word="febrile", name="temperature", at_least=38, unit="C", otherwise="afebrile"),
    ContextRule(word="intubated", name="intubated"),
)
FEVER = {True: 0.9, False: 0.1}  # the share with fever, by whether Consolidation is present


def radiograph(split: Split, i: int, *, shows: bool = True, synthetic: bool = False) -> Radiograph:
    """A disc where there is fever, unless it does not show; fever goes with Consolidation alone."""
    draws = np.random.default_rng([i, synthetic, split == "train"])
    consolidated, pneumothorax, tube = (bool(x) for x in draws.random(3) < 0.5)
    febrile = bool(draws.random() < FEVER[consolidated])
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    image = 100 + 8 * draws.standard_normal((SIDE, SIDE))
    disc = febrile if shows else draws.random() < 0.5
    image += 60 * disc * (np.hypot(x - 0.5, y - 0.5) < 0.2)
    if synthetic:
        context = [ContextValue(name="febrile", value=febrile)]
        context += [ContextValue(name="intubated", value=1)] * tube
    else:
        degrees = draws.uniform(38.2, 40) if febrile else draws.uniform(36.2, 37.4)
        context = [ContextValue(name="temperature", value=degrees, unit="C", minutes_before=20)]
        context += [ContextValue(name="temperature", value=99, unit="C", minutes_before=40)]
        context += [ContextValue(name="intubated", value=tube)]
    found = zip(FINDINGS, (consolidated, pneumothorax), strict=True)
    return Radiograph(
        id=f"{split}-{i}",
        patient_id=f"{'made' if synthetic else split}-{i}",
        study_id=f"{split}-{i}",
        split=split,
        image=encode_png(image.clip(0, 255).astype(np.uint8)),
        view="AP",
        findings=tuple(Finding(name=n, state="present" if yes else "absent") for n, yes in found),
        context=tuple(context),
        source="synthetic" if synthetic else "drawn",
        license="CC0-1.0",
        synthesis=SYNTHESIS(prompt=f"{i}", seed=i) if synthetic else None,
    )


Change = Callable[[Radiograph], Radiograph]


def write(
    folder: Path, counts: dict[Split, int], change: Change = lambda r: r, **how: bool
) -> Path:
    with DatasetWriter(
        folder,
        licenses=[LICENSE],
        provenance={"program": "drawn", "made_from": {}},
        preparation={"size": SIDE, "fit": "pad"},
    ) as writer:
        for split, count in counts.items():
            for i in range(count):
                writer.add(change(radiograph(split, i, **how)))
    return folder


def without_context(one: Radiograph) -> Radiograph:
    return replace(one, context=())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real radiographs, sets that show what is asked for or do not, and one without a request."""
    folder = tmp_path_factory.mktemp("context")
    write(folder / "real", {"train": 300, "test": 300})
    write(folder / "shown", {"train": 120}, synthetic=True)
    write(folder / "hidden", {"train": 400}, synthetic=True, shows=False)
    write(folder / "plain", {"train": 120}, without_context, synthetic=True)
    return folder


def config_of(place: Path, *sets: str, **changes: Any) -> EvaluateConfig:
    values: dict[str, Any] = {
        "reference": ReferenceSetConfig.of(place / "real"),
        "synthetic": {name: place / name for name in sets},
        "findings": FINDINGS,
        "output": place / "results",
        "bootstrap": 200,
        "context": ContextConfig(),
        "context_rules": RULES,
    }
    return EvaluateConfig(**values | changes)


def section(config: EvaluateConfig) -> PageSection:
    context = domains_of(config, read_sets(config))["context"]
    context.check()
    context.precompute()
    return context.measure()


@pytest.fixture(scope="module")
def measured(place: Path) -> PageSection:
    return section(config_of(place, "hidden", "plain", "shown"))


def test_context_tells_the_finding_that_it_goes_with(measured: PageSection) -> None:
    # Of fever alone: pairs in the right order are those where the patients differ in fever, and
    # half of those where they do not.
    exact = (1 + FEVER[True] - FEVER[False]) / 2
    alone = measured.numbers["alone"]
    for found in (alone.cross_validated, alone.held_out):
        assert found["Consolidation"].low < exact < found["Consolidation"].high
        assert found["Consolidation"].high - found["Consolidation"].low < 0.12
        assert found["Pneumothorax"].low < 0.5 < found["Pneumothorax"].high
    assert alone.values == ("intubated", "temperature (C)")


def test_words_are_read_from_images_that_show_them_alone(measured: PageSection) -> None:
    scores = measured.numbers["images"]
    for name in ("ceiling", "shown"):
        assert scores[name].auroc["febrile"].value > 0.98
        assert scores[name].ece["febrile"].value < 0.1
    for name in ("hidden", "chance"):  # within 3 standard errors
        assert scores[name].auroc["febrile"].value == pytest.approx(0.5, abs=0.1)
    # The probes know nothing of intubation, which is not in the image: it has no part in means.
    assert scores["shown"].auroc["intubated"].low < 0.5 < scores["shown"].auroc["intubated"].high
    assert scores["shown"].mean_auroc.value == scores["shown"].auroc["febrile"].value
    assert scores["shown"].mean_auroc.note == "over 1 of 2 words"
    assert scores["hidden"].ece["febrile"].value > 0.3
    plain = scores["plain"].auroc["febrile"]
    assert plain.note == "not measured: no positives to evaluate on (at least 5 patients needed)"


def test_the_page_says_it(measured: PageSection) -> None:
    (verdict,) = measured.verdicts
    assert verdict.status == "works"
    assert verdict.sentence.startswith("Context words are as requested: mean AUROC 1.0")
    (line,) = measured.summary
    assert set(line.sets) == {"hidden", "plain", "shown"}
    counts = measured.numbers["counts"]
    assert sum(counts["shown"]["febrile"].values()) == 120
    assert set(counts["shown"]["intubated"]) == {"yes", "no"}
    assert counts["plain"]["febrile"] == {"not known": 120}
    assert "febrile (temperature at least 38 C)" in measured.methods[0]


def test_context_that_gives_a_finding_away_is_named(place: Path, tmp_path: Path) -> None:
    def tells(one: Radiograph) -> Radiograph:
        yes = one.findings[1].state == "present"
        return replace(one, context=(*one.context, ContextValue(name="drain", value=yes)))

    write(tmp_path / "real", {"train": 100, "test": 100}, tells)
    config = config_of(place, "shown", reference=ReferenceSetConfig.of(tmp_path / "real"))
    (leak,) = [v for v in section(config).verdicts if v.status == "fails"]
    assert "Context tells Pneumothorax without an image" in leak.sentence


def test_missing_values_are_told_from_low_ones(place: Path, tmp_path: Path) -> None:
    # Whether a temperature was taken at all goes with the finding; its value does not.
    def sparse(one: Radiograph) -> Radiograph:
        tens, ones = divmod(int(one.id.split("-")[1]), 10)
        known = (one.findings[1].state == "present") == (ones > 0)
        degrees = ContextValue(name="temperature", value=37 + tens % 10 / 5, unit="C")
        values = (degrees, ContextValue(name="intubated", value=0))
        return replace(one, context=values if known else ())

    write(tmp_path / "real", {"train": 200, "test": 200}, sparse)
    config = config_of(place, "shown", reference=ReferenceSetConfig.of(tmp_path / "real"))
    alone = section(config).numbers["alone"]
    assert alone.held_out["Pneumothorax"].low < 0.9 < alone.held_out["Pneumothorax"].high


def checked(config: EvaluateConfig) -> None:
    domains_of(config, read_sets(config))["context"].check()


def test_what_cannot_be_measured_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no image of the synthetic sets \(plain\) was requested"):
        checked(config_of(place, "plain"))
    lost = (*RULES, ContextRule(word="hot", name="temprature", at_least=38, unit="C"))
    with pytest.raises(InputError, match="'temprature'; did you mean 'temperature'"):
        checked(config_of(place, "shown", context_rules=lost))
    write(tmp_path / "bare", {"train": 60, "test": 60}, without_context)
    bare = ReferenceSetConfig.of(tmp_path / "bare")
    with pytest.raises(InputError, match="bare, split 'train', has clinical context"):
        checked(config_of(place, "shown", reference=bare))
    other = (replace(RULES[0], unit="F"),)
    with pytest.raises(InputError, match="'temperature' is in C, but the rule of 'febrile' in F"):
        checked(config_of(place, "shown", context_rules=other))


def test_a_word_that_all_have_is_not_measured(place: Path, tmp_path: Path) -> None:
    def tube(one: Radiograph) -> Radiograph:
        return replace(one, context=(*one.context[:-1], ContextValue(name="intubated", value=1)))

    write(tmp_path / "real", {"train": 60, "test": 60}, tube)
    config = config_of(place, "shown", reference=ReferenceSetConfig.of(tmp_path / "real"))
    found = section(config).numbers["images"]["ceiling"].auroc["intubated"]
    assert found.note == "not measured: no negatives to train on (at least 5 patients needed)"


def test_the_domain_is_off_unless_set(place: Path) -> None:
    config = config_of(place, "shown", context=None)
    assert not any(isinstance(d, Context) for d in domains_of(config, read_sets(config)).values())
