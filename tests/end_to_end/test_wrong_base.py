"""A folder that is no pipeline, given to each program that takes one: one line, nothing made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from roentgen.errors import InputError
from sample.config import GenerateConfig
from sample.generation import generate
from sample.prompts.config import PromptsConfig
from train.config import FinetuneConfig
from train.config_sections import DataConfig
from train.finetuning import finetune


def train(base: Path, data: Path, output: Path) -> None:
    folder = DataConfig(folder=data)
    finetune(FinetuneConfig(base=str(base), data=folder, output=output, steps=1, batch_size=2))


def sample(base: Path, data: Path, output: Path) -> None:
    prompts = PromptsConfig(findings=("cardiomegaly",))
    generate(GenerateConfig(model=str(base), prompts=prompts, output=output))


@pytest.mark.parametrize("program", [train, sample])
def test_an_empty_folder_is_no_base(
    program: Callable[[Path, Path, Path], None], small_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(InputError, match=r"base is no diffusers pipeline: it has no model_index"):
        program(tmp_path / "base", small_dataset, tmp_path / "output")
    assert not (tmp_path / "output").exists()
