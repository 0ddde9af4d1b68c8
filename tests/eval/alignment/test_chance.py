"""Notes on the numbers of a reference classifier that is at chance."""

from dataclasses import replace
from typing import Any

from eval.alignment.scores import AT_CHANCE, mark_chance
from eval.report.section import cell_text
from roentgen.metrics.estimates import Estimate, NotMeasured


def scores(**auroc: Estimate) -> dict[str, Any]:
    value = Estimate(value=0.4, low=0.3, high=0.45, n=50)
    other = dict.fromkeys(auroc, value)
    mean = Estimate(value=0.7, low=0.6, high=0.8, n=100, note="2 of 3 findings")
    return {
        "view_accuracy": value,
        **{"auroc": auroc, "auprc": other, "f1": other},
        **{f"mean_{name}": mean for name in ("auroc", "auprc", "f1")},
        "laterality_accuracy": dict.fromkeys(("all findings", *auroc), mean),
    }


GOOD = Estimate(value=0.8, low=0.7, high=0.9, n=50)
CHANCE = Estimate(value=0.55, low=0.45, high=0.65, n=50)
WORSE = Estimate(value=0.3, low=0.2, high=0.4, n=50)
ABSENT = NotMeasured("no positives to evaluate on")


def test_only_findings_at_chance_on_real_radiographs_are_noted_in_every_set() -> None:
    marked = mark_chance(
        {
            "synthetic": scores(Edema=GOOD, Fracture=GOOD, Pneumonia=CHANCE, Pneumothorax=GOOD),
            "real": scores(Edema=GOOD, Fracture=CHANCE, Pneumonia=WORSE, Pneumothorax=ABSENT),
        },
        "real",
    )
    for own in marked.values():
        for metric in ("auroc", "auprc", "f1"):
            noted = {name for name, value in own[metric].items() if value.note == AT_CHANCE}
            assert noted == {"Fracture", "Pneumonia"}
        assert own["mean_auroc"].note == "2 of 3 findings"
        assert own["view_accuracy"].note is None
    synthetic = marked["synthetic"]
    assert synthetic["auroc"]["Fracture"] == replace(GOOD, note=AT_CHANCE)
    assert cell_text(synthetic["auroc"]["Fracture"]).endswith(AT_CHANCE)
    assert marked["real"]["auroc"]["Pneumothorax"] == ABSENT


def test_means_and_sides_are_noted_by_their_own_chance() -> None:
    real = scores(Edema=GOOD) | {"mean_auroc": CHANCE}
    real["laterality_accuracy"] = {"all findings": GOOD, "Edema": CHANCE}
    marked = mark_chance({"synthetic": scores(Edema=GOOD), "real": real}, "real")["synthetic"]
    for metric in ("auroc", "auprc", "f1"):
        assert marked[f"mean_{metric}"].note == f"2 of 3 findings; {AT_CHANCE}"
    assert marked["laterality_accuracy"]["Edema"].note == f"2 of 3 findings; {AT_CHANCE}"
    assert marked["laterality_accuracy"]["all findings"].note == "2 of 3 findings"
