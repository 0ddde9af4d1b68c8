"""Phantoms against their own truth: what is asked for is drawn, where and how much."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from roentgen.phantom import strands
from roentgen.phantom.lesions import Lesions, LungSide, draw_lesions
from roentgen.phantom.study import Film, draw_study, take_film
from roentgen.phantom.thorax import Thorax, draw_thorax
from roentgen.record.radiograph import View

SIZE = 96
Mask = npt.NDArray[np.bool_]


def _film(thorax: Thorax, lesions: Lesions, view: View = "PA", size: int = SIZE) -> Film:
    vessels = strands.vessels(np.random.default_rng(5))
    devices = strands.devices(np.random.default_rng(6), thorax, lesions)
    placing = np.random.default_rng(7)
    return take_film(placing, thorax, lesions, vessels, devices, view=view, size=size)


def _midline(film: Film) -> float:
    """The column halfway between the lungs' outer borders."""
    columns = np.flatnonzero(film.masks["lungs"].any(axis=0))
    return float(columns[0] + columns[-1]) / 2


@pytest.fixture(scope="module")
def thorax() -> Thorax:
    return draw_thorax(np.random.default_rng(3))


@pytest.fixture(scope="module")
def healthy(thorax: Thorax) -> Lesions:
    drawn = draw_lesions(np.random.default_rng(0), thorax, supine=False)
    return replace(
        drawn,
        heart_width=thorax.heart_width,
        fluid={},
        gap={},
        consolidations=(),
        nodules=(),
        congestion=0.0,
        plates=(),
        devices=(),
        findings=(),
    )


def _width(mask: Mask) -> int:
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[-1] - columns[0] + 1)


def test_the_same_generator_draws_the_same_study() -> None:
    first, again = (draw_study(np.random.default_rng(9), ("PA", "LATERAL"), 64) for _ in range(2))
    for a, b in zip(first.films, again.films, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.masks.keys() == b.masks.keys()


def test_cardiothoracic_ratio_tells_cardiomegaly() -> None:
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        drawn = draw_thorax(rng)
        lesions = draw_lesions(rng, drawn, supine=False)
        present = any(f.name == "Cardiomegaly" and f.state == "present" for f in lesions.findings)
        plain = replace(lesions, fluid={}, gap={}, consolidations=(), congestion=0.0, devices=())
        masks = _film(drawn, plain).masks
        ratios[present].append(_width(masks["heart"]) / _width(masks["lungs"] | masks["heart"]))
    assert min(ratios[True]) > max(ratios[False])
    assert max(ratios[False]) < 0.52  # half is the clinical limit, measured to a pixel


def test_a_film_in_bed_enlarges_the_heart(thorax: Thorax, healthy: Lesions) -> None:
    standing, lying = (_film(thorax, healthy, view) for view in ("PA", "AP"))
    assert _width(lying.masks["heart"]) > 1.04 * _width(standing.masks["heart"])


@pytest.mark.parametrize("side", ["left", "right"])
def test_fluid_is_white_and_low_on_its_side(
    thorax: Thorax, healthy: Lesions, side: LungSide
) -> None:
    sick = replace(healthy, fluid={side: 90.0})
    film, clean = _film(thorax, sick), _film(thorax, healthy)
    mask = film.masks["pleural effusion"]
    rows, columns = np.nonzero(mask)
    assert rows.mean() > 0.6 * SIZE
    assert ((columns > _midline(clean)) == (side == "left")).mean() > 0.98
    assert film.image[mask].mean() > clean.image[mask].mean() + 15


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_leak_is_black_and_high(thorax: Thorax, healthy: Lesions, side: LungSide) -> None:
    sick = replace(healthy, gap={side: 0.45})
    film, clean = _film(thorax, sick), _film(thorax, healthy)
    mask = film.masks["pneumothorax"]
    rows, columns = np.nonzero(mask)
    assert ((columns > _midline(clean)) == (side == "left")).mean() > 0.98
    assert rows.min() < 0.3 * SIZE
    assert film.image[mask].mean() < clean.image[mask].mean() - 4


def test_a_leak_is_outlined_beyond_the_fallen_lung_and_above_fluid(
    thorax: Thorax, healthy: Lesions
) -> None:
    areas = []
    for gap in (0.2, 0.4):
        masks = _film(thorax, replace(healthy, gap={"left": gap})).masks
        leak, lungs = masks["pneumothorax"], masks["lungs"]
        assert (leak <= lungs).all()
        left = lungs.copy()
        left[:, : int(_midline(_film(thorax, healthy)))] = False
        areas.append(leak.sum() / left.sum())
    small, large = areas
    assert 0.05 < small < 0.8 * large
    assert large < 0.8  # the fallen lung is left out
    sick = replace(healthy, gap={"left": 0.4}, fluid={"left": 90.0})
    both = _film(thorax, sick).masks
    assert both["pneumothorax"].any()
    assert not (both["pneumothorax"] & both["pleural effusion"]).any()


def test_every_drawn_finding_has_its_mask_and_every_absent_one_none() -> None:
    structure = {
        "Pleural Effusion": "pleural effusion",
        "Pneumothorax": "pneumothorax",
        "Consolidation": "consolidation",
        "Edema": "edema",
        "Atelectasis": "atelectasis",
        "Lung Lesion": "nodule",
        "Support Devices": "support devices",
    }
    for seed in range(40):
        study = draw_study(np.random.default_rng(seed), ("PA",), SIZE)
        masks = study.films[0].masks
        for finding in study.lesions.findings:
            if finding.name in structure:
                assert (structure[finding.name] in masks) == (finding.state != "absent")
                if finding.state == "present" and finding.name != "Edema":
                    assert masks[structure[finding.name]].any(), (seed, finding)


@pytest.mark.parametrize("size", [256, 512])
def test_a_finer_film_shows_the_same_patient_in_the_same_place(
    thorax: Thorax, healthy: Lesions, size: int
) -> None:
    # Beyond FINEST_RAYS, fields are interpolated: a shift of half a coarse pixel would show;
    # less than half of that is the threshold on an interpolated path.
    sick = replace(healthy, fluid={"left": 90.0})
    fine, coarse = (_film(thorax, sick, size=n).masks for n in (size, 128))
    for name in ("heart", "pleural effusion"):
        rows, columns = (np.mean(places) for places in np.nonzero(fine[name]))
        expected = [np.mean(places) for places in np.nonzero(coarse[name])]
        scale = size / 128  # of pixel areas: the center of pixel k lies at k + 0.5
        assert (rows + 0.5) / scale == pytest.approx(expected[0] + 0.5, abs=0.25), name
        assert (columns + 0.5) / scale == pytest.approx(expected[1] + 0.5, abs=0.25), name


def test_missing_bones_change_nothing_else() -> None:
    """Without a share of their bones, phantoms are the same patients, darker where bones were."""
    whole, some, none = (
        draw_study(np.random.default_rng(4), ("PA", "LATERAL"), SIZE, missing_bones=share)
        for share in (0.0, 0.25, 1.0)
    )
    plain = draw_study(np.random.default_rng(4), ("PA", "LATERAL"), SIZE)
    for k in range(2):
        np.testing.assert_array_equal(whole.films[k].image, plain.films[k].image)
        lungs = whole.films[k].masks["lungs"]
        for study in (some, none):
            assert study.lesions == whole.lesions
            for name, mask in whole.films[k].masks.items():
                np.testing.assert_array_equal(study.films[k].masks[name], mask)
        changed = [
            np.abs(study.films[k].image.astype(float) - whole.films[k].image)[lungs].mean()
            for study in (some, none)
        ]
        assert 0 < changed[0] < changed[1]
    # Ribs cross the lungs: without them the lungs' detail from row to row is less.
    rows = [np.abs(np.diff(s.films[0].image.astype(float), axis=0)).mean() for s in (whole, none)]
    assert rows[1] < 0.9 * rows[0]
