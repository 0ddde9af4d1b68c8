"""Prompts of a dataset's reports are refused where it has none, before a model is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from roentgen.errors import InputError
from roentgen.prompts.grammar import PromptStyle
from sample.config import GenerateConfig
from sample.generate import dry_run, generate
from sample.prompts.config import DatasetPrompts, MaskPrompts, PromptsConfig
from sample.prompts.sources import check_source

IMPRESSIONS = PromptStyle(text="impression")


@pytest.fixture(scope="module")
def without_reports(
    tmp_path_factory: pytest.TempPathFactory, write_drawn: Callable[..., Path]
) -> Path:
    """A dataset of findings alone."""
    return write_drawn(tmp_path_factory.mktemp("drawn") / "set", {"train": 8, "test": 8}, 0)


@pytest.mark.parametrize("run", [generate, dry_run])
@pytest.mark.parametrize("kind", ["dataset", "masks"])
def test_prompts_that_need_reports_are_refused_at_once(
    tmp_path: Path, without_reports: Path, run: Callable[[GenerateConfig], object], kind: str
) -> None:
    prompts = (
        PromptsConfig(dataset=DatasetPrompts(folder=without_reports))
        if kind == "dataset"
        else PromptsConfig(masks=MaskPrompts(folder=without_reports, split="test"))
    )
    config = GenerateConfig(
        model=str(tmp_path / "no model"),
        prompts=prompts,
        style=IMPRESSIONS,
        output=tmp_path / "set",
    )
    message = "prompts of impression need reports, but no radiograph of split 'test'"
    with pytest.raises(InputError, match=f"^{message}.*configs/data/mimic_cxr_jpg.yaml"):
        run(config)
    assert not (tmp_path / "set").exists()


def test_single_disease_prompts_need_no_report(without_reports: Path, small_dataset: Path) -> None:
    masks = MaskPrompts(folder=without_reports, prompt="single disease")
    check_source(masks, IMPRESSIONS)
    check_source(DatasetPrompts(folder=small_dataset, split="validate"), IMPRESSIONS)
    check_source(DatasetPrompts(folder=without_reports), PromptStyle(text="findings"))
