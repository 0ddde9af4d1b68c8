"""Prompts of a dataset's reports are refused where it has none, before a model is loaded."""

import csv
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.manifest import License
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.radiograph import Report
from sample.config import GenerateConfig
from sample.generation import dry_run, generate
from sample.prompts.config import DatasetPrompts, MaskPrompts, PromptsConfig
from sample.prompts.sources import check_source, filter_prompts, rows_from_dataset

# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
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


def test_radiographs_without_a_text_are_counted_and_can_be_excluded(
    tmp_path: Path, small_dataset: Path, model: Path
) -> None:
    split = open_dataset(small_dataset).split("train")
    radiographs = [
        replace(r, report=None) if row % 4 == 1 else replace(r, report=Report(impression="Edema."))
        for row, r in enumerate(islice(split, 10))
    ]
    folder = tmp_path / "set"
    license_ = License(name="CC0-1.0", data_use=None, may_share=True)
    with DatasetWriter(folder, licenses=[license_], provenance={"made_from": {}}) as writer:
        for radiograph in radiographs:
            writer.add(radiograph)
    source = DatasetPrompts(folder=folder, split="train")
    message = (
        "^3 of 10 radiographs of split 'train' have no text for a prompt of impression, the first "
        f"'{radiographs[1].id}': exclude them by prompts.dataset.filter.section=impression"
    )
    with pytest.raises(InputError, match=message):
        list(rows_from_dataset(source, IMPRESSIONS, 0))
    config = GenerateConfig(
        model=str(model),
        prompts=PromptsConfig(
            dataset=replace(source, filter=RadiographFilter(section="impression"), limit=6)
        ),
        style=IMPRESSIONS,
        sampler=SamplerSettings(steps=2, device="cpu"),
        output=tmp_path / "drawn",
    )
    made = open_dataset(generate(config))
    assert len(made.split("train")) == 6
    assert made.manifest["excluded"] == {"report has no impression": 3}
    text = (tmp_path / "drawn" / "excluded.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["id"] for row in rows] == [radiographs[k].id for k in (1, 5, 9)]
    assert "train: 7 used, 3 excluded" in made.manifest["provenance"]["notes"][-1]
    nothing = replace(source, filter=RadiographFilter(section="findings"))
    with pytest.raises(InputError, match=r"prompts\.dataset\.filter leaves nothing of split"):
        filter_prompts(PromptsConfig(dataset=nothing), IMPRESSIONS, len)
