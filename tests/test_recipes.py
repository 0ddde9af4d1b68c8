"""Every committed recipe loads, says what it needs, and reads only what another one makes."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvaluateConfig, ReconstructionConfig
from eval.extractor.config import TrainExtractorConfig
from eval.labeler import LabelerConfig
from roentgen.annotate.config import AnnotateConfig
from roentgen.config import load_config
from roentgen.prepare import PrepareConfig
from roentgen.weights import CLASSIFIERS, CONTROLNETS, PIPELINES
from sample.benchmark.config import BenchConfig
from sample.config import GenerateConfig
from sample.exports.config import ExportConfig
from sample.mask_sheet import MaskSheetConfig
from sample.screening.config import ScreenConfig
from train.config import AverageConfig, ControlnetConfig, FinetuneConfig
from train.vae.config import AutoencoderConfig

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
# Each program's configuration, and what it makes at or below `output` that another program reads.
PROGRAMS: dict[str, tuple[type, tuple[str, ...]]] = {
    "roentgen.prepare": (PrepareConfig, ("",)),
    "roentgen.annotate": (AnnotateConfig, ("",)),
    "train.autoencoder": (AutoencoderConfig, ("",)),
    "train.finetune": (FinetuneConfig, ("", "/model")),
    "train.controlnet": (ControlnetConfig, ("/model",)),
    "train.average": (AverageConfig, ("",)),
    "sample.generate": (GenerateConfig, ("",)),
    "sample.screen": (ScreenConfig, ("",)),
    "sample.export": (ExportConfig, ()),
    "sample.bench": (BenchConfig, ()),
    "sample.mask_sheet": (MaskSheetConfig, ()),
    "eval.evaluate": (EvaluateConfig, ()),
    "eval.labeler": (LabelerConfig, ()),
    "eval.reconstruction": (ReconstructionConfig, ()),
    "eval.train_extractor": (TrainExtractorConfig, ("",)),
}
RECIPES = sorted(
    str(path.relative_to(CONFIGS).with_suffix(""))
    for folder in ("data", "annotate", "train", "sample", "eval")
    for path in (CONFIGS / folder).glob("*.yaml")
)
LABELS = ("Needs", "Command", "Expect")
# Settings that name a model or weights: without a slash they must be the name of shipped ones.
MODELS = {"base", "model", "initial_controlnet", "init", "pretrained", "before", "after", "weights"}
SHIPPED = {*PIPELINES, *CONTROLNETS, *CLASSIFIERS}
HUB = re.compile(r"hf-hub:[\w.-]+/[\w.-]+|[\w.-]+/[\w.-]+@[0-9a-f]{40}")
# Either makes the dataset of the other recipes of MIMIC-CXR.
ALTERNATIVES = {"runs/mimic_cxr/dataset": 2}


@dataclass(frozen=True)
class Command:
    """A command of a header, such as `python -m train.finetune configs/train/x.yaml --steps=2`."""

    module: str
    recipe: str
    overrides: tuple[str, ...]

    def config(self) -> Any:
        """The configuration that the command runs with."""
        return load_config(PROGRAMS[self.module][0], [str(ROOT / self.recipe), *self.overrides])


def header(name: str) -> list[str]:
    """The comment lines that a recipe begins with, without the mark."""
    lines = (CONFIGS / f"{name}.yaml").read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return [line[2:] for line in lines[:end]]


def labeled(name: str) -> dict[str, list[str]]:
    """The lines of each labeled field of a header."""
    found: dict[str, list[str]] = {}
    label = None
    for line in header(name)[1:]:
        if match := re.fullmatch(rf"({'|'.join(LABELS)}): +(.*)", line):
            label = match[1]
            assert label not in found, f"{name}: {label} twice"
            found[label] = [match[2]]
        elif label and line.startswith(" " * 9):
            found[label].append(line[9:])
        else:
            label = None
    return found


def commands(name: str) -> list[Command]:
    """The commands of a header, whose lines may be continued by a backslash."""
    found = []
    for line in "\n".join(labeled(name)["Command"]).replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        module = words.index("-m")
        assert words[0] == "python" or words[:2] == ["accelerate", "launch"], line
        found.append(Command(words[module + 1], words[module + 2], tuple(words[module + 3 :])))
    return found


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a configuration, with its dotted key."""
    if is_dataclass(value):
        for field in fields(value):
            yield from leaves(getattr(value, field.name), f"{key}.{field.name}".lstrip("."))
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from leaves(entry, f"{key}.{name}")
    elif isinstance(value, tuple | list):
        for entry in value:
            yield from leaves(entry, key)
    else:
        yield key, value


def inputs(config: Any) -> Iterator[str]:
    """Every path and model name that a configuration reads."""
    values = dict(leaves(config))
    for key, value in leaves(config):
        section, _, name = key.rpartition(".")
        if key in ("output", "caches"):
            continue
        if isinstance(value, str) and f"{section}.root" in values:
            continue  # a file or folder below the root
        is_path = isinstance(value, str) and "/" in value and not re.search(r"\s", value)
        if isinstance(value, Path) or is_path or (name in MODELS and isinstance(value, str)):
            yield str(value)


def made(name: str) -> set[str]:
    """What the commands of a recipe make for others."""
    return {
        f"{command.config().output}{product}"
        for command in commands(name)
        for product in PROGRAMS[command.module][1]
    }


MADE = set().union(*(made(name) for name in RECIPES))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_complete_without_overrides(name: str) -> None:
    replace(commands(name)[-1], overrides=()).config()


@pytest.mark.parametrize("name", RECIPES)
def test_a_header_has_a_title_and_three_labeled_fields(name: str) -> None:
    title, *rest = header(name)
    assert re.fullmatch(r"[A-Z].*[.?]", title)
    assert not title.startswith(LABELS)
    found = labeled(name)
    assert tuple(found) == LABELS
    assert all("".join(lines).strip() for lines in found.values())
    assert rest[0].startswith("Needs:")
    assert max(map(len, header(name))) <= 98


@pytest.mark.parametrize("name", RECIPES)
def test_the_commands_of_a_header_run_the_recipe(name: str) -> None:
    found = commands(name)
    assert found[-1].recipe == f"configs/{name}.yaml"
    for command in found:
        command.config()
    for path in re.findall(r"configs/[\w./]+\.yaml", "\n".join(header(name))):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_reads_another_one_makes_or_its_header_needs(name: str) -> None:
    needs = " ".join(labeled(name)["Needs"])
    roots = re.findall(r"\b(?:data|weights)/[\w./-]*[\w-]", needs)
    for command in commands(name):
        for path in inputs(command.config()):
            if path.startswith("runs/"):
                assert path in MADE, f"{path} is made by no recipe"
                assert path in needs, f"{path} is not in Needs"
            elif HUB.fullmatch(path):
                assert "Hugging Face Hub" in needs, f"{path} is not in Needs"
            elif path not in SHIPPED:
                below = any(f"{path}/".startswith(f"{root}/") for root in roots)
                assert below, f"{path} is neither made by a recipe nor below a folder in Needs"
    for path in re.findall(r"\bruns/[\w./-]*\w", needs):
        assert path in MADE, f"Needs names {path}, which no recipe makes"


def test_no_two_recipes_make_the_same() -> None:
    plain = {name: replace(commands(name)[-1], overrides=()) for name in RECIPES}
    outputs = Counter(str(command.config().output) for command in plain.values())
    assert {output: n for output, n in outputs.items() if n > 1} == ALTERNATIVES


def test_the_recipes_of_mimic_cxr_form_one_chain() -> None:
    """From the dataset every recipe of the published methods is reached, and nothing beside it."""
    reads = {
        name: {path for command in commands(name) for path in inputs(command.config())}
        for name in RECIPES
    }
    reached, sources = set[str](), {"runs/mimic_cxr/dataset", "runs/vindr/dataset"}
    while True:
        new = {name for name in RECIPES if reads[name] & sources} - reached
        if not new:
            break
        reached |= new
        sources |= set().union(*(made(name) for name in new))
    assert reached == {
        *(f"train/{name}" for name in ("roentgen", "roentgen_v2", "sd15", "lora", "controlnet")),
        *(f"sample/{name}" for name in ("roentgen", "roentgen_v2", "sd15", "lora", "controlnet")),
        *(f"sample/{name}" for name in ("single_disease", "screen_roentgen", "export_roentgen")),
        *(f"eval/{name}" for name in ("roentgen", "chexgenbench", "best_practices")),
    }


def test_the_inputs_of_a_configuration_are_seen_wherever_they_are() -> None:
    config = load_config(EvaluateConfig, [str(CONFIGS / "eval/roentgen.yaml")])
    assert set(inputs(config)) == {
        "runs/mimic_cxr/dataset",
        "runs/mimic_cxr/synthetic_roentgen",
        "runs/mimic_cxr/roentgen/model",
        "CompVis/stable-diffusion-v1-4@133a221b8aa7292a167afc5127cb63fb5005638b",
        "weights/inception.safetensors",
        "weights/xrv.safetensors",
        "hf-hub:timm/densenet121.ra_in1k",
    }
    assert not HUB.fullmatch("datasets/mimic_cxr")
