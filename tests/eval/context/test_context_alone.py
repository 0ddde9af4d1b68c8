"""The leakage audit of phantom patients, whose context has a documented exact AUROC."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from eval.config import EvaluateConfig, ReferenceSetConfig
from eval.context.context_alone import context_alone
from roentgen.dataset.image_set import ImageSet
from roentgen.phantom.context import FEVER, draw_context
from roentgen.phantom.lesions import draw_lesions
from roentgen.phantom.thorax import draw_thorax
from roentgen.prompts.context_words import shipped_rules
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph, Split

COUNTS: dict[Split, int] = {"train": 1000, "test": 1500}
EXACT: dict[str, dict[FindingName, float]] = {  # as documented in roentgen.phantom.context
    "temperature": {"Consolidation": 0.928, "Edema": 0.523},
    "oxygen_saturation": {"Pneumothorax": 0.883, "Edema": 0.674},
    "glucose": {"Consolidation": 0.5, "Edema": 0.5},
}


@cache
def patient(split: Split, i: int) -> Radiograph:
    rng = np.random.default_rng([i, split == "train"])
    findings = draw_lesions(rng, draw_thorax(rng), supine=True).findings
    return Radiograph(
        id=f"{split}-{i}",
        patient_id=f"{split}-{i}",
        study_id=f"{split}-{i}",
        split=split,
        image=b"",
        findings=findings,
        context=draw_context(rng, findings),
        source="phantom",
        license="Apache-2.0",
    )


def patients(split: Split, value: str) -> ImageSet:
    """Patients of whom one value is known, without images."""
    records = tuple(patient(split, i) for i in range(COUNTS[split]))
    images = ImageSet(splits=(), rows=np.arange(len(records)), findings=tuple(EXACT[value]))
    vars(images)["patients"] = [one.patient_id for one in records]
    vars(images)["radiographs"] = tuple(
        replace(one, context=tuple(each for each in one.context if each.name == value))
        for one in records
    )
    return images


@pytest.mark.parametrize("value", EXACT)
def test_the_audit_is_right(value: str) -> None:
    config = EvaluateConfig(
        reference=ReferenceSetConfig.of(Path("real")),
        synthetic={"made": Path("made")},
        findings=tuple(EXACT[value]),
        output=Path("results"),
        bootstrap=300,
    )
    train, test = (patients(split, value) for split in COUNTS)
    alone = context_alone(train, test, shipped_rules(), config, folds=5)
    for finding, exact in EXACT[value].items():
        for found in (alone.cross_validated[finding], alone.held_out[finding]):
            assert found.value is not None
            assert found.low is not None
            assert found.high is not None
            error = (found.high - found.low) / (2 * 1.96)
            assert error < 0.03
            assert abs(found.value - exact) < 3 * error + 0.01, (finding, found)
    if value == "temperature":  # within its ranges it is noise, so that the word has all of it
        febrile = np.array([one.context[0].value >= FEVER for one in test.radiographs])
        present = test.labels[:, 0]
        shares = [febrile[present == state].mean() for state in (1, 0)]
        counted = (1 + shares[0] - shares[1]) / 2
        assert alone.held_out["Consolidation"].value == pytest.approx(counted, abs=0.01)
