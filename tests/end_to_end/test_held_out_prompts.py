"""A set drawn for held-out patients' prompts is told as one, though its images are no patient's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eval.leakage import checks, held_out_prompts
from eval.sets import Sets, read_set
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.diffusion.sampling.sampler import SamplerSettings
from sample.config import GenerateConfig
from sample.generate import generate
from sample.prompts.config import DatasetPrompts, PromptsConfig


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
def test_held_out_prompts_are_told(
    tmp_path: Path, small_model: Path, make_small_dataset: Callable[..., Path]
) -> None:
    real = make_small_dataset(tmp_path / "real", train=24, validate=20)
    train, test = read(real, "train"), read(real, "validate")
    told: dict[str, dict[str, str]] = {}
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
        found = checks(sets, split)
        told[split] = {check["check"]: check["result"] for check in found}
        assert len(held_out_prompts(made, test)) == (10 if split == "validate" else 0)
    used = "patients of the test split whose prompts were used"
    assert told["validate"][f"validate: {used}"].startswith("10 of the 10 patients")
    assert "held-out prompts, of 10 patients" in told["validate"]["validate: utility trains on it"]
    assert told["train"][f"train: {used}"] == "none of the 10 patients whose prompts were used"
    assert told["train"]["train: utility trains on it"] == "it uses no held-out prompt"
