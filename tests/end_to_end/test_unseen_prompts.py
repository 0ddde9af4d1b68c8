"""A model trained on frontal phantoms is asked for laterals, and says so wherever prompts go."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState

from eval.sets import describe_set
from roentgen import prepare
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.generation.training_scope import TrainingScope, training_scope
from roentgen.manifest import portable, read_manifest
from sample import generate
from train import average, finetune

ROOT = Path(__file__).parents[2]
# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
Run = Callable[..., None]


@pytest.fixture(scope="module")
def run() -> Run:
    """Runs a program's main with a committed recipe and overrides, as on the command line."""

    def run_main(main: Callable[[], None], recipe: str, **changes: Any) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        overrides = [f"--{name.replace('__', '.')}={value}" for name, value in changes.items()]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["program", str(ROOT / "configs" / recipe), *overrides])
            main()

    return run_main


@pytest.fixture(scope="module")
def frontal(run: Run, small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the phantoms and a run on their frontal radiographs."""
    folder = tmp_path_factory.mktemp("frontal")
    sizes = {"phantom__train": 60, "phantom__validate": 0, "phantom__test": 0}
    recipe, phantoms = "data/demo.yaml", folder / "phantoms"
    run(prepare.main, recipe, output=phantoms, size=32, workers=1, **sizes)
    settings = {"data__filter": "{views: [PA, AP]}", "base": small_model}
    train(run, folder, "run", **settings)
    return folder


def train(run: Run, folder: Path, name: str, **changes: Any) -> None:
    settings = {"steps": 1, "batch_size": 4, "preview": "null", "validation": "null"}
    settings |= {"data__folder": folder / "phantoms", "output": folder / name}
    run(finetune.main, "train/demo.yaml", **(settings | changes))


def draw(run: Run, model: Path, output: Path, view: str, **changes: Any) -> None:
    prompts = f"{{counts: {{Pneumothorax: 16}}, views: {{{view}: 1}}}}"
    settings = {"model": model, "output": output, "prompts": f"{{labels: {prompts}}}"}
    run(generate.main, "sample/augment.yaml", **settings, sampler__steps=2, **changes)


def scope_of(folder: Path, kind: Any) -> TrainingScope:
    scope = training_scope(read_manifest(folder, kind))
    assert scope is not None
    return scope


def test_laterals_of_a_frontal_model_are_named_in_dry_run_set_and_evaluation(
    run: Run, frontal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    radiographs = list(open_dataset(frontal / "phantoms").split("train").without_images())
    pa, ap = (sum(r.view == view for r in radiographs) for view in ("PA", "AP"))
    assert pa >= 20 <= ap
    stage = scope_of(frontal / "run" / "model", "model").stages[0]
    assert stage.stated["view"] == {"AP": ap, "PA": pa}
    most, least = sorted({"PA": pa, "AP": ap}.items(), key=lambda item: -item[1])
    trained = f"{most[0]} {most[1]}, {least[0]} {least[1]}"
    line = (
        f"16 of 16 prompts ask for the view LATERAL, which the model never saw (it was trained on "
        f"{trained})"
    )
    model, output = frontal / "run" / "model", frontal / "laterals"
    draw(run, model, output, "LATERAL", dry_run="true")
    assert f"note: {line}\n" in capsys.readouterr().out
    draw(run, model, output, "LATERAL")
    assert f"generate: {line}\n" in capsys.readouterr().out
    assert f"- {line}\n" in (output / "README.md").read_text()
    drawn = ImageSet.of(open_dataset(output).split("train"))
    assert line in describe_set(drawn)["notes"]
    draw(run, model, frontal / "frontals", "PA")
    assert "ask for the view" not in capsys.readouterr().out


def test_adapters_averages_and_models_of_a_base_record_its_training(
    run: Run, frontal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = frontal / "run" / "model"
    settings = {"data__filter": "{views: [LATERAL]}", "base": base, "lora": "{rank: 2}"}
    train(run, frontal, "lateral", **settings, ema__posthoc="{every: 1}")
    output = frontal / "average"
    run(average.main, "train/average.yaml", run=frontal / "lateral", width=0.08, output=output)
    scopes = [scope_of(frontal / "lateral" / "model", "model")]
    scopes += [scope_of(frontal / "lateral" / "lora", "adapter"), scope_of(output, "model")]
    assert scopes[0] == scopes[1] == scopes[2]
    own, *bases = scopes[0].stages
    (first, foreign) = scope_of(base, "model").stages
    assert list(own.stated["view"]) == ["LATERAL"]
    assert [(b.model, b.stated) for b in bases] == [
        (portable(str(base)), first.stated),
        (foreign.model, {}),
    ]
    pa, laterals = first.stated["view"]["PA"], own.stated["view"]["LATERAL"]
    capsys.readouterr()
    draw(run, output, frontal / "of_base", "PA", dry_run="true")
    assert (
        "note: 16 of 16 prompts ask for the view PA, which the model saw in the training of its "
        f"base, not or rarely in its own ({portable(str(base))}: PA {pa}; its own: LATERAL "
        f"{laterals})\n"
    ) in capsys.readouterr().out
