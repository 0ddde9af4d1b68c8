"""Findings that go with the view or the source: prevalences and what these predict alone."""

from typing import Any

import numpy as np
import pytest

from eval.alignment.confounding import confounding, likely_reason
from roentgen.metrics.estimates import wilson_interval
from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import Radiograph, View

FINDINGS: tuple[FindingName, ...] = ("Edema",)


class Images:
    """What is read of an `ImageSet`."""

    findings = FINDINGS

    def __init__(self, cells: dict[tuple[View, str], tuple[int, int]]) -> None:
        """Positives and negatives by view and source."""
        self.radiographs: list[Radiograph] = []
        labels: list[list[float]] = []
        for (view, source), counts in cells.items():
            for state, count in zip(("present", "absent"), counts, strict=True):
                for _ in range(count):
                    name = f"{len(labels)}"
                    self.radiographs.append(
                        Radiograph(
                            id=name,
                            patient_id=name,
                            study_id=name,
                            split="test",
                            image=b"",
                            view=view,
                            findings=(Finding(name="Edema", state=state),),  # type: ignore[arg-type]
                            source=source,
                            license="CC0-1.0",
                        )
                    )
                    labels.append([float(state == "present")])
        self.labels = np.array(labels, dtype=np.float32)
        self.patients = [r.patient_id for r in self.radiographs]


def measured(cells: Any) -> Any:
    images: Any = Images(cells)
    return confounding(images)


def test_the_auroc_of_the_group_alone_is_that_of_two_shares() -> None:
    # Of the positives a = 80 % are AP, of the negatives b = 25 %: AUROC 1/2 + (a - b) / 2.
    found = measured({("AP", "one"): (40, 15), ("PA", "one"): (10, 45)})["Edema"]
    assert found["view"].auroc == pytest.approx(0.5 + (0.8 - 0.25) / 2)
    ap = found["view"].prevalence["AP"]
    assert (ap.value, ap.n, ap.low, ap.high) == (40 / 55, 55, *wilson_interval(40, 55))
    assert found["source"].auroc == 0.5
    assert found["source"].prevalence["one"].value == 50 / 110


def test_the_likely_reason_is_what_predicts_better_than_in_held_out_radiographs() -> None:
    held_out = measured({("AP", "one"): (20, 30), ("PA", "one"): (20, 30)})
    by_view = measured({("AP", "one"): (40, 5), ("PA", "one"): (5, 40)})
    assert likely_reason(by_view, held_out).startswith(
        "labels go with the view: it alone predicts Edema with AUROC 0.89 (in held-out"
    )
    by_source = measured({("AP", "one"): (40, 5), ("AP", "two"): (5, 40)})
    assert "labels go with the source" in likely_reason(by_source, held_out)
    assert likely_reason(held_out, held_out).startswith("not view or source")


def test_a_finding_of_one_state_has_no_auroc() -> None:
    found = measured({("AP", "one"): (9, 0), ("PA", "one"): (9, 0)})["Edema"]["view"]
    assert found.auroc is None
    assert found.prevalence["PA"].value == 1
