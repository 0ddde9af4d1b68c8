"""Views that a classifier has never seen, or does not tell from others, are not measured."""

from typing import Any

import numpy as np
import pytest

from eval.alignment.reference_limits import not_told
from eval.alignment.scores import alignment
from eval.alignment.view_scores import (
    rows_of_seen_views,
    view_aurocs,
    view_scores,
    views_not_learnable,
)
from roentgen.dataset.label_arrays import UNKNOWN_VIEW
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.estimates import wilson_interval
from roentgen.record.finding import FindingName
from roentgen.vision.classifier import Prediction

PA, AP, LATERAL = 0, 1, 2  # of VIEWS
FINDINGS: tuple[FindingName, ...] = ("Edema",)


def ids(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def test_views_of_too_few_patients_are_not_learned() -> None:
    views = np.array([PA] * 50 + [AP] * 20 + [UNKNOWN_VIEW] * 30)
    assert list(views_not_learnable(views, ids(100), 5)) == ["LATERAL"]
    missing = views_not_learnable(views, ids(60) + ["one"] * 40, 15)
    assert missing["LATERAL"].reason == (
        "no patient with the view LATERAL to train on (at least 15 needed)"
    )
    assert missing["AP"].reason == (
        "only 11 patients with the view AP to train on (at least 15 needed)"
    )


def test_a_view_that_was_never_seen_counts_neither_for_nor_against_a_set() -> None:
    # 20 PA rightly, 20 AP of which 5 wrongly, 16 requested laterals drawn as frontal ones.
    views = np.array([PA] * 20 + [AP] * 20 + [LATERAL] * 16)
    read = np.array([PA] * 20 + [AP] * 15 + [PA] * 5 + [PA] * 16)
    never = views_not_learnable(np.array([PA] * 40 + [AP] * 40), ids(80), 5)
    found = view_scores(np.eye(3)[read], views, ids(56), never, {})
    assert found["view_accuracy"].value == 35 / 40
    assert found["view_accuracy"].note == "of PA, AP alone"
    low, high = wilson_interval(35, 40)
    assert (found["view_accuracy"].low, found["view_accuracy"].high) == (low, high)
    by_view = found["view_accuracy_by_view"]
    assert (by_view["PA"].value, by_view["AP"].value) == (1.0, 0.75)
    assert by_view["LATERAL"].n == 16
    assert by_view["LATERAL"].note.startswith("not measured: no patient with the view LATERAL")
    # A classifier that has seen laterals reads all of them as wrong.
    all_seen = view_scores(np.eye(3)[read], views, ids(56), {}, {})
    assert all_seen["view_accuracy"].value == 35 / 56
    assert all_seen["view_accuracy"].note is None
    # What was never seen is never the most probable.
    odd = np.eye(3)[read] * 0.4 + np.eye(3)[[LATERAL] * 56] * 0.6
    assert view_scores(odd, views, ids(56), never, {})["view_accuracy"].value == 35 / 40


def test_views_that_are_not_told_apart_on_held_out_radiographs_are_not_measured() -> None:
    draws = np.random.default_rng(0)
    views = np.repeat([PA, AP, LATERAL], 100)
    blind = np.where(views == LATERAL, LATERAL, draws.integers(2, size=300))
    probabilities = 0.8 * np.eye(3)[blind] + 0.2 * draws.dirichlet(np.ones(3), 300)
    weights = resamples(ids(300), 200, seed=0)
    found = view_aurocs(probabilities, views, ids(300), weights, {}, 5)
    assert found["LATERAL"].value == pytest.approx(1, abs=0.01)
    # A lateral view is told from both: AUROC of PA is 0.75 over all others, not chance.
    frontal = np.flatnonzero(views != LATERAL)
    never = views_not_learnable(views[frontal], ids(200), 5)
    told = view_aurocs(probabilities, views, ids(300), weights, never, 5)
    limits = not_told(told, "AUROC")
    assert set(limits) == {"PA", "AP"}
    assert "at chance on held-out radiographs: AUROC" in limits["PA"].reason
    scores = view_scores(probabilities, views, ids(300), never, limits)
    assert scores["view_accuracy"].note == "not measured: no image has a view that is measured"
    assert scores["view_accuracy_by_view"]["AP"].value is None


def test_findings_are_scored_on_views_that_were_seen() -> None:
    # On frontal images the scores are right, on laterals they are inverted.
    draws = np.random.default_rng(1)
    labels = (draws.random((200, 1)) < 0.5).astype(np.float32)
    views = np.repeat([PA, LATERAL], 100)
    scores = np.where((views == PA)[:, None], labels, 1 - labels).astype(float)

    class Images:
        findings = FINDINGS

    images: Any = Images()
    images.labels, images.views, images.patients = labels, views, ids(200)
    never = views_not_learnable(views[:100], ids(100), 5)
    prediction = Prediction(scores, np.eye(3)[views])
    options: dict[str, Any] = {"min_cases": 5, "samples": 20, "seed": 0}
    found = alignment(prediction, images, {}, never_seen=never, **options)
    assert found["auroc"]["Edema"].value == 1
    assert (found["auroc"]["Edema"].n, found["excluded_views"]) == (100, 100)
    all_seen = alignment(prediction, images, {}, **options)
    assert all_seen["auroc"]["Edema"].value == pytest.approx(0.5, abs=0.1)
    images.views = np.full(200, LATERAL)
    nothing = alignment(prediction, images, {}, never_seen=never, **options)
    assert nothing["auroc"]["Edema"].value is None
    assert len(rows_of_seen_views(np.array([PA, UNKNOWN_VIEW, LATERAL]), never)) == 2
