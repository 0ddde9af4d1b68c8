"""A set drawn for held-out patients' prompts is reported, though its images are no patient's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eval.leakage import checks, held_out_prompts
from eval.sets import Sets, read_set
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.diffusion.sampling.settings import SamplerSettings
from sample.config import GenerateConfig
from sample.generation import generate
from sample.prompts.config import DatasetPrompts, PromptsConfig
from tests.conftest import SYNTHESIS


def read(folder: Path, split: str) -> ImageSet:
    return read_set(
        split,
        open_dataset(folder),
        [split],
        findings=("Cardiomegaly",),
        not_mentioned="ignore",
        max_images=None,
        seed=0,
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_held_out_prompts_are_reported(
    tmp_path: Path, small_model: Path, make_small_dataset: Callable[..., Path]
) -> None:
    real = make_small_dataset(tmp_path / "real", train=24, validate=20)
    train, test = read(real, "train"), read(real, "validate")
    results: dict[str, dict[str, str]] = {}
    for split in ("validate", "train"):
        prompts = PromptsConfig(dataset=DatasetPrompts(folder=real, split=split, limit=10), count=2)
        config = GenerateConfig(
            model=str(small_model),
            prompts=prompts,
            sampler=SamplerSettings(steps=2, batch_size=20, device="cpu"),
            output=tmp_path / split,
        )
        made = read(generate(config), "train")
        assert not set(made.patients) & set(test.patients)
        sets = Sets(train=train, test=test, synthetic={split: made}, main=split)
        results[split] = {check["check"]: check["result"] for check in checks(sets, split)}
        assert len(held_out_prompts(made, test)) == (10 if split == "validate" else 0)
    used = "patients of the test split whose prompts were used"
    assert results["validate"][f"validate: {used}"].startswith("10 of the 10 patients")
    use = results["validate"]["validate: utility trains on it"]
    assert "held-out prompts, of 10 patients" in use
    assert results["train"][f"train: {used}"] == "none of the 10 patients whose prompts were used"
    assert results["train"]["train: utility trains on it"] == "it uses no held-out prompt"


@pytest.mark.parametrize(("scale", "used"), [(None, "labels"), (1.0, "labels and masks")])
def test_what_was_used_of_held_out_patients_is_named(
    tmp_path: Path, make_small_dataset: Callable[..., Path], scale: float | None, used: str
) -> None:
    """A set drawn from masks shows where the patient's lesions are, not labels alone."""
    real = make_small_dataset(tmp_path / "real", train=20, validate=20)
    train, test = read(real, "train"), read(real, "validate")
    radiographs = [
        replace(image, id=f"synthetic {image.id}", patient_id=f"none {i}", synthesis=synthesis)
        for i, image in enumerate(test.radiographs)
        for synthesis in [SYNTHESIS(from_patient=image.patient_id, conditioning_scale=scale)]
    ]
    images = replace(test)
    vars(images)["radiographs"] = radiographs
    sets = Sets(train=train, test=test, synthetic={"drawn": images}, main="drawn")
    found = {check["check"]: check["result"] for check in checks(sets, "drawn")}
    prompts = found["drawn: patients of the test split whose prompts were used"]
    assert prompts.endswith(f"the set uses their {used}, not their pixels")
    assert f"(their {used}, not their pixels)" in found["drawn: utility trains on it"]
