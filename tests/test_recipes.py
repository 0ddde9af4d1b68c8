"""Every committed recipe loads, and what it needs is what another one makes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.config import EvaluateConfig
from eval.labeler import LabelerConfig
from eval.reconstruction import ReconstructionConfig
from eval.train_extractor import TrainExtractorConfig
from roentgen.config import load_config
from roentgen.prepare import PrepareConfig
from sample.benchmark.config import BenchConfig
from sample.config import GenerateConfig
from sample.exports.config import ExportConfig
from sample.mask_sheet import MaskSheetConfig
from sample.screening.config import ScreenConfig
from train.autoencoder import AutoencoderConfig
from train.average import AverageConfig
from train.config import ControlnetConfig, FinetuneConfig

CONFIGS = Path(__file__).parents[1] / "configs"
PROGRAMS: dict[str, type] = {
    "data": PrepareConfig,
    "train": FinetuneConfig,
    "sample": GenerateConfig,
    "eval": EvaluateConfig,
    "sample/bench": BenchConfig,
    "sample/export": ExportConfig,
    "sample/mask_sheet": MaskSheetConfig,
    "sample/screen": ScreenConfig,
    "train/average": AverageConfig,
    "train/controlnet": ControlnetConfig,
    "train/masks_demo": ControlnetConfig,
    "train/masks_films": ControlnetConfig,
    "train/tiny_masks": ControlnetConfig,
    "train/tiny_vae": AutoencoderConfig,
    "eval/extractor": TrainExtractorConfig,
    "eval/labeler": LabelerConfig,
    "eval/reconstruction": ReconstructionConfig,
}
RECIPES = sorted(
    str(path.relative_to(CONFIGS).with_suffix(""))
    for folder in ("data", "train", "sample", "eval")
    for path in (CONFIGS / folder).glob("*.yaml")
)


def _inputs(recipe: dict[str, Any]) -> list[str]:
    """The folders a recipe reads."""
    found = [recipe.get(key) for key in ("base", "model", "dataset")]
    data = recipe.get("data")
    found.append(data.get("folder") if isinstance(data, dict) else data)
    found.append(recipe.get("reference", {}).get("folder"))
    for source in ("dataset", "masks"):
        found.append(recipe.get("prompts", {}).get(source, {}).get("folder"))
    found.append(recipe.get("prompts", {}).get("folder"))
    found += recipe.get("synthetic", {}).values()
    return [str(folder) for folder in found if folder and str(folder).startswith("runs/")]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_loads(name: str) -> None:
    program = PROGRAMS.get(name) or PROGRAMS[name.split("/")[0]]
    load_config(program, [str(CONFIGS / f"{name}.yaml")])


def test_inputs_are_others_outputs() -> None:
    recipes = {name: yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in RECIPES}
    made = {recipe["output"] for recipe in recipes.values()}
    made |= {f"{folder}/model" for folder in made}
    lost = {
        name: folder
        for name, recipe in recipes.items()
        for folder in _inputs(recipe)
        if folder not in made
    }
    assert not lost


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_how_it_is_run(name: str) -> None:
    header = (CONFIGS / f"{name}.yaml").read_text().split("\n\n")[0]
    assert f"configs/{name}.yaml" in header
