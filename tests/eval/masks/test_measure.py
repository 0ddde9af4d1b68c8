"""Mask fidelity and segmentation utility, on drawn images whose structures are known exactly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.config import EvaluateConfig, MasksConfig, ReferenceSetConfig, SegmentationConfig
from eval.evaluation import domains_of, evaluate
from eval.masks.measure import Masks
from eval.masks.scores import image_scores, shuffled_within_views, structure_score
from eval.segmentation.measure import Segmentation
from eval.sets import read_sets
from roentgen.dataset.dataset import DatasetWriter
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.estimates import Estimate, NotMeasured
from roentgen.metrics.paired_scores import Measured
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Split
from roentgen.vision.network_settings import SegmenterConfig
from tests.conftest import SYNTHESIS

SIZE, WIDTH, SHIFT = 32, 12, 3
STRUCTURES = ("heart", "pneumothorax")
MEAN = "mean"
SMALL = SegmenterConfig(
    encoder="tu-mobilenetv3_small_050",
    widths=(16, 16, 8, 8, 8),
    steps=100,
    batch_size=16,
    learning_rate=6e-3,
)
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}

Drawn = tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]


def draw(seed: int, *, air: bool) -> Drawn:
    """A bright square, and a dark bar if `air`, on noise, with their masks."""
    generator = np.random.default_rng(seed)
    heart, bar = np.zeros((2, SIZE, SIZE), dtype=bool)
    y, x = generator.integers(1, SIZE - WIDTH - SHIFT, 2)
    heart[y : y + WIDTH, x : x + WIDTH] = True
    if air:
        top = generator.integers(1, SIZE - 7)
        bar[top : top + 6, 4:28] = True
    image = 110 + generator.normal(0, 8, (SIZE, SIZE)) + 90 * heart - 90 * (bar & ~heart)
    return image.clip(0, 255).astype(np.uint8), {"heart": heart, "pneumothorax": bar}


def radiograph(name: str, split: Split, i: int, picture: Drawn, asked: Drawn) -> Radiograph:
    """The picture of one with the masks of the other."""
    masks = asked[1]
    present = bool(masks["pneumothorax"].any())
    synthesis = SYNTHESIS(prompt="a square", seed=i, from_patient=f"{name}-train-{i}")
    finding = Finding(name="Pneumothorax", state="present" if present else "absent")
    return Radiograph(
        id=f"{name}-{split}-{i}",
        patient_id=f"{name}-{split}-{i}",
        study_id=f"{name}-{split}-{i}",
        split=split,
        image=encode_png(picture[0]),
        view=("PA", "AP")[i // 2 % 2],
        findings=(finding,),
        masks={s: encode_png((255 * m).astype(np.uint8)) for s, m in masks.items() if m.any()},
        source="drawn",
        license="CC0-1.0",
        synthesis=None if name in ("real", "few") else synthesis,
    )


def write(
    folder: Path, counts: dict[Split, int], pair: Callable[[int], tuple[Drawn, Drawn]]
) -> None:
    """A dataset of what `pair` gives: the picture drawn, and what was asked for."""
    preparation = {"size": SIZE, "fit": "pad"}
    with DatasetWriter(
        folder, licenses=[LICENSE], provenance={"program": "drawn"}, preparation=preparation
    ) as writer:
        for offset, (split, count) in enumerate(counts.items()):
            for i in range(count):
                picture, asked = pair(10_000 * offset + i)
                writer.add(radiograph(folder.name, split, i, picture, asked))


def right(i: int) -> tuple[Drawn, Drawn]:
    """Drawn as asked; every second one has a bar."""
    made = draw(i, air=i % 2 == 0)
    return made, made


def rarely(i: int) -> tuple[Drawn, Drawn]:
    """Drawn as asked; of those that are trained on, one in ten has a bar."""
    made = draw(i, air=i % (10 if i < 10_000 else 2) == 0)
    return made, made


def shifted(i: int) -> tuple[Drawn, Drawn]:
    """The masks asked for a little to the right."""
    made = draw(i + 50_000, air=i % 2 == 0)
    return made, (made[0], {name: np.roll(m, SHIFT, axis=1) for name, m in made[1].items()})


def strangers(i: int) -> tuple[Drawn, Drawn]:
    """Drawn whatever was asked for."""
    return draw(i + 60_000, air=i % 2 == 0), draw(i + 70_000, air=i % 2 == 0)


def uninvited(i: int) -> tuple[Drawn, Drawn]:
    """As asked, but a quarter has a bar that was not asked for."""
    picture = draw(i + 80_000, air=i % 4 == 0)
    return picture, draw(i + 80_000, air=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    write(folder / "real", {"train": 80, "test": 60}, right)
    write(folder / "few", {"train": 20, "test": 60}, rarely)
    made: dict[str, Any] = {
        "right": lambda i: right(i + 40_000),
        "shifted": shifted,
        "strangers": strangers,
        "uninvited": uninvited,
    }
    for name, pair in made.items():
        write(folder / name, {"train": 80}, pair)
    return folder


def config_of(place: Path, *names: str, **told: Any) -> EvaluateConfig:
    return EvaluateConfig(
        reference=ReferenceSetConfig.of(place / told.pop("reference", "real")),
        synthetic={name: place / name for name in names},
        allow_reference_images=True,  # some sets are drawn as the train split is
        findings=("Pneumothorax",),
        output=place / "out",
        caches=place / "caches",
        bootstrap=100,
        segmenter=SMALL,
        **told,
    )


@pytest.fixture(scope="module")
def masked(place: Path) -> Any:
    """What is measured of every set."""
    names = ("right", "shifted", "strangers", "uninvited")
    config = config_of(place, *names, masks=MasksConfig(structures=("heart",)))
    sets = read_sets(config)
    domains_of(config, sets)["masks"].check()
    return domains_of(config, sets)["masks"].measure()


def test_images_that_follow_their_masks_reach_the_ceiling(masked: Any) -> None:
    ceiling, found = masked.numbers["test"], masked.numbers["right"]
    for numbers in (ceiling, found):
        assert numbers.dice["heart"].value > 0.9
        assert numbers.dice["heart"].n == (60 if numbers is ceiling else 80)
        low, value, high = (getattr(numbers.dice["heart"], x) for x in ("low", "value", "high"))
        assert low < value < high
        # IoU = Dice / (2 - Dice) of each image, which is convex: of means it is a lower bound.
        assert value / (2 - value) <= numbers.iou["heart"].value <= value
    assert found.dice["heart"].value == pytest.approx(ceiling.dice["heart"].value, abs=0.03)


def test_shifted_masks_lose_what_they_must(masked: Any) -> None:
    expected = 1 - SHIFT / WIDTH
    assert masked.numbers["shifted"].dice["heart"].value == pytest.approx(expected, abs=0.04)


def test_images_that_ignore_their_masks_are_at_chance_level(masked: Any) -> None:
    strange = masked.numbers["strangers"].dice["heart"].value
    chance = masked.numbers["right"].shuffled_dice["heart"].value
    assert strange == pytest.approx(chance, abs=0.1)
    assert strange < 0.4


def test_a_structure_outside_the_masks_is_a_false_positive(place: Path) -> None:
    masks = MasksConfig(structures=STRUCTURES)
    config = config_of(place, "right", "uninvited", masks=masks)
    sets = read_sets(replace(config, synthetic={"right": place / "right"}))
    right = domains_of(config, sets)["masks"].measure().numbers["right"]
    assert right.false_positives["pneumothorax"].value < 0.1
    # The set without bars has no mask of one: it is refused, not measured as nothing.
    with pytest.raises(InputError, match="uninvited has no mask of 'pneumothorax'") as raised:
        domains_of(config, read_sets(config))["masks"].check()
    assert "\n" not in str(raised.value)
    segmenter = Masks(masks, config, sets).segmenter()
    found = image_scores(read_sets(config).synthetic["uninvited"], segmenter, 0)
    np.testing.assert_allclose(found.iou[:, 0], found.dice[:, 0] / (2 - found.dice[:, 0]))
    column = found.false_positives[:, 1]
    assert np.isnan(found.dice[:, 1]).all()
    assert column.mean() == pytest.approx(0.25, abs=0.06)


def test_others_are_of_the_same_view_and_never_the_same_image() -> None:
    views = np.array([0, 1, 0, 0, 1, 2, 0])
    chosen = shuffled_within_views(views, seed=3)
    assert (views[chosen] == views).all()
    assert (chosen != np.arange(7)).tolist() == [True, True, True, True, True, False, True]


def test_the_page_has_triples_in_colour(place: Path) -> None:
    parts = dict.fromkeys(("fidelity", "diversity", "alignment", "utility"))
    config = config_of(
        place, "right", masks=MasksConfig(structures=STRUCTURES), pictures=2, **parts
    )
    results, (part,) = evaluate(config)
    assert {"right", "test"} <= results["masks"].keys()
    sampled, extremes = part.pictures
    assert [len(group.strips) for group in (sampled, extremes)] == [4, 3]
    triple = extremes.strips[0].images
    assert triple is not None
    mask, picture, overlay = triple
    assert (mask.max(axis=(0, 1)) > 100).any()
    assert (picture[..., 0] == picture[..., 2]).all()
    assert (overlay[..., 0] != overlay[..., 2]).any()
    page = (config.output / "report.html").read_text()
    assert "Masks: are structures where the masks place them?" in page
    assert "heart orange" in page


def segmentation(place: Path, name: str, **told: Any) -> EvaluateConfig:
    return config_of(
        place,
        name,
        reference="few",
        segmentation=SegmentationConfig(**{"structures": STRUCTURES, "multiples": (1, 2), **told}),
    )


def gains_of(place: Path, name: str) -> Any:
    """What twice as many synthetic pairs add; the arithmetic of the parts is checked."""
    config = segmentation(place, name, multiples=(2,))
    sets = read_sets(config)
    domains_of(config, sets)["segmentation"].check()
    domains_of(config, sets)["segmentation"].precompute()
    part = domains_of(config, sets)["segmentation"].measure()
    trained, gains = part.numbers["trained"], part.numbers["gains"]
    assert trained["radiographs"]["real_images"] == 20
    assert trained["radiographs + 2x synthetic"]["synthetic_images"] == 40
    assert trained["all synthetic"]["real_images"] == 0
    one = gains["radiographs + 2x synthetic"][MEAN]
    assert one.p_corrected.value == pytest.approx(min(1, 2 * one.p.value))
    added, alone = (
        trained[r]["mean_dice_by_seed"] for r in ("radiographs + 2x synthetic", "radiographs")
    )
    assert one.estimate.value == pytest.approx(np.mean(added) - np.mean(alone))
    return gains


def test_right_pairs_help(place: Path) -> None:
    gains = gains_of(place, "right")
    assert gains["radiographs + 2x synthetic"]["pneumothorax"].estimate.low > 0


@pytest.mark.slow
def test_wrong_pairs_do_not_help(place: Path) -> None:
    gains = gains_of(place, "strangers")
    assert gains["radiographs + 2x synthetic"][MEAN].estimate.high < 0
    assert gains["all synthetic"][MEAN].estimate.high < 0


def test_images_of_too_few_patients_are_not_measured() -> None:
    values = np.array([0.9, 0.8, np.nan, 0.7, 0.6, np.nan])
    patients = ["a", "a", "b", "c", "c", "d"]
    weights = resamples(patients, 20, seed=0)
    few = structure_score([values], patients, weights, min_cases=3)
    assert isinstance(few, NotMeasured)
    assert few.reason == "images of only 2 patients to measure on (at least 3 patients needed)"
    assert (few.n, few.patients) == (4, 2)
    enough = structure_score([values], patients, weights, min_cases=2)
    assert isinstance(enough, Measured)
    assert enough.value == pytest.approx(0.75)
    none = structure_score([np.full(6, np.nan)], patients, weights, min_cases=2)
    assert isinstance(none, NotMeasured)
    assert none.reason == "no images to measure on (at least 2 patients needed)"


def test_too_few_synthetic_images_are_said(place: Path) -> None:
    config = segmentation(place, "right", multiples=(10,), synthetic_alone=False, seeds=(0,))
    part = domains_of(config, read_sets(config))["segmentation"].measure()
    why = "not measured: 200 synthetic images are needed, there are 80"
    assert part.numbers["trained"]["radiographs + 10x synthetic"]["note"] == why
    (table,) = (t for t in part.tables if t.name == "segmentation")
    assert any(Estimate(value=None, n=0, note=why) in row for row in table.rows)


def test_masks_of_held_out_patients_are_refused(place: Path, tmp_path: Path) -> None:
    config = segmentation(place, "right")
    sets = read_sets(config)
    made = sets.synthetic["right"]
    films = [
        replace(r, synthesis=replace(r.synthesis, from_patient="few-test-3"))
        for r in made.radiographs
        if r.synthesis
    ]
    vars(made)["radiographs"] = tuple(films)
    leaked = replace(sets, synthetic={"right": made})
    with pytest.raises(InputError, match=r"masks of 1 patients that are held out .*few-test-3"):
        domains_of(config, leaked)["segmentation"].check()


def test_segmenters_are_trained_on_the_number_of_radiographs_given(place: Path) -> None:
    few = segmentation(place, "right", radiographs=7, multiples=(2,))
    domain = domains_of(few, read_sets(few))["segmentation"]
    assert isinstance(domain, Segmentation)
    plan = domain.plan
    sizes = {t.regime.name: (len(t.real), len(t.synthetic)) for t in plan.trainings}
    assert sizes["7 radiographs"] == (7, 0)
    assert sizes["7 radiographs + 2x synthetic"] == (7, 14)
    many = segmentation(place, "right", radiographs=21)
    message = r"segmentation\.radiographs is 21, but 20 of the train split have masks"
    with pytest.raises(InputError, match=message):
        domains_of(many, read_sets(many))["segmentation"].check()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (lambda: MasksConfig(structures=()), "masks.structures is"),
        (
            lambda: SegmentationConfig(structures=("heart",), seeds=(1, 1)),
            "segmentation.seeds has 1 twice",
        ),
        (
            lambda: SegmentationConfig(structures=("heart",), multiples=(0,)),
            "segmentation.multiples is",
        ),
        (
            lambda: SegmentationConfig(structures=("heart",), multiples=(), synthetic_alone=False),
            "segmentation compares nothing",
        ),
    ],
)
def test_bad_settings_are_refused(section: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        section()
