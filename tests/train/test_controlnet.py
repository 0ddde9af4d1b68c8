"""Training a ControlNet: what trains, what it is shown, exact resume, which weights are kept."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import ControlNetModel
from safetensors.torch import load_file

from roentgen.config import load_config
from roentgen.corpora.phantom import PhantomConfig
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.structure_masks import masks_of
from roentgen.diffusion.backbones.model_folder import find_controlnet, model_manifest
from roentgen.diffusion.backbones.stable_diffusion import (
    load_components,
    load_controlnet,
    module_fingerprint,
    save_model,
)
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.controlnet import mask_conditions
from roentgen.diffusion.training_record import trained_long_prompts, trained_style
from roentgen.errors import InputError
from roentgen.generation.training_scope import training_scope
from roentgen.manifest import portable, read_manifest
from roentgen.preparation.config import PrepareConfig
from roentgen.preparation.filtered_split import FilteredSplit
from roentgen.prepare import prepare
from roentgen.prompts.grammar import PromptStyle
from roentgen.weights import TINY_CONTROLNET
from train.config import ControlnetConfig
from train.config_sections import AugmentConfig, Dropout
from train.controlnet_training import train_controlnet
from train.loading.augment import Augmenter
from train.loading.draws import DrawPlan, DrawSettings
from train.loading.image_variants import ImageVariants
from train.loading.mask_cache import MaskCondition
from train.monitor.mask_fidelity import read_best, save_if_best
from train.setup.base_model import check_same_form

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}


# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SIZE = 32
STRUCTURES = ("lungs", "heart", "pleural effusion")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty phantoms of 32 pixels with their masks."""
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    config = PhantomConfig(train=18, validate=8, test=0)
    prepare(PrepareConfig(phantom=config, size=SIZE, output=folder, workers=1))
    return folder


@pytest.fixture
def write(tmp_path: Path, small_model: Path, phantoms: Path) -> Callable[..., Path]:
    """Writes a config file; the run folder is `run` beside it."""

    def write_config(**changes: Any) -> Path:
        settings: dict[str, Any] = {
            "base": str(small_model),
            "data": {"folder": str(phantoms)},
            "output": str(tmp_path / "run"),
            "structures": list(STRUCTURES),
            "steps": 4,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "new_layer_learning_rate": 1e-3,
            "validation": {"images": 4},
            "checkpoint": {"every": 2},
            "mask_fidelity": None,
            "log_every": 1,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings | changes))
        return path

    return write_config


def train(path: Path, *overrides: str) -> Path:
    AcceleratorState._reset_state(reset_partial_state=True)
    config = load_config(ControlnetConfig, [str(path), *overrides])
    train_controlnet(config)
    return config.output


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    folder = run / "checkpoints" / f"step-{step:08d}"
    return {
        f"{file.stem}:{name}": tensor
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def test_the_controlnet_alone_trains_and_the_base_stays(
    write: Callable[..., Path], small_model: Path
) -> None:
    run = train(write())
    made, base = load_components(str(run / "model")), load_components(str(small_model))
    for name in ("unet", "vae", "text_encoder"):
        assert module_fingerprint(getattr(made, name)) == module_fingerprint(getattr(base, name))
    assert made.structures == STRUCTURES
    assert made.controlnet is not None
    silent = [p for n, p in made.controlnet.named_parameters() if n.startswith("controlnet_down")]
    assert any(weight.abs().max() > 0 for weight in silent)  # zero when it began
    assert {name.split(":")[1].split(".")[0] for name in weights(run, 4)} == {"controlnet"}
    assert read_manifest(run / "model", "model")["structures"] == list(STRUCTURES)


def test_a_resumed_run_ends_in_the_same_weights(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write()
    whole = weights(train(path), 4)
    run = train(path, f"--output={tmp_path / 'other'}")
    (run / "checkpoints" / "step-00000004" / "checkpoint.json").unlink()  # as if killed in it
    shutil.rmtree(run / "model")
    resumed = weights(train(path, f"--output={run}", "--resume=true"), 4)
    assert set(whole) == set(resumed)
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name


def test_it_goes_on_from_a_controlnet(write: Callable[..., Path], tmp_path: Path) -> None:
    run = train(write())
    first = load_components(str(run / "model")).controlnet
    still = {"learning_rate": 1e-9, "new_layer_learning_rate": 1e-9}
    again = write(base=str(run / "model"), output=str(tmp_path / "second"), **still)
    second = load_components(str(train(again) / "model")).controlnet
    for one, other in zip(first.parameters(), second.parameters(), strict=True):  # type: ignore[union-attr]
        assert torch.allclose(one, other, atol=1e-6)
    wrong = write(base=str(run / "model"), structures=["heart", "lungs"])
    with pytest.raises(InputError, match="has a ControlNet of lungs, heart, pleural effusion, not"):
        train(wrong, "--overwrite=true")


def test_it_goes_on_from_another_models_controlnet(
    write: Callable[..., Path],
    make_small_components: Callable[..., Components],
    small_model: Path,
    tmp_path: Path,
) -> None:
    run = train(write())
    first = load_components(str(run / "model"))
    other = tmp_path / "other"
    terms = [{"name": "of another base", "data_use": None, "may_share": True}]
    save_model(other, make_small_components(seed=5), licenses=terms, provenance={})
    still: dict[str, Any] = {"learning_rate": 1e-9, "new_layer_learning_rate": 1e-9}
    still["output"] = str(tmp_path / "second")
    again = train(write(base=str(other), initial_controlnet=str(run / "model"), **still))
    second = load_components(str(again / "model"))
    assert module_fingerprint(second.unet) == module_fingerprint(load_components(str(other)).unet)
    assert first.controlnet
    assert second.controlnet
    for one, two in zip(first.controlnet.parameters(), second.controlnet.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    made_from = read_manifest(again / "model", "model")["provenance"]["made_from"]
    first_manifest = read_manifest(run / "model", "model")
    assert made_from["controlnet"]["fingerprint"] == first_manifest["fingerprint"]
    # The base, then the first ControlNet and its base, count as what they are.
    scope = training_scope(read_manifest(again / "model", "model"))
    assert scope is not None
    images = [(stage.model, stage.images) for stage in scope.stages]
    n = scope.stages[0].images
    names = [portable(str(path)) for path in (other, run / "model", small_model)]
    assert images == [(None, n), (names[0], None), (names[1], n), (names[2], None)]


def test_prompts_are_told_as_the_base_was_told_them(
    write: Callable[..., Path], make_small_components: Callable[..., Components], tmp_path: Path
) -> None:
    said = {"prompt": {"mention_absent": False, "demographics": True}, "long_prompts": "truncate"}
    base = tmp_path / "base"
    save_model(base, make_small_components(), licenses=[LICENSE], provenance={"config": said})
    first = train(write(base=str(base), steps=1, mask_fidelity=None)) / "model"
    settings = {"base": str(first), "steps": 1, "mask_fidelity": None}
    second = train(write(**settings, output=str(tmp_path / "second"))) / "model"
    for folder in (first, second):
        model = model_manifest(str(folder))
        assert trained_style(model) == PromptStyle(mention_absent=False, demographics=True)
        assert trained_long_prompts(model) == "truncate"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial_controlnet": "nowhere"}, "nowhere has no ControlNet that train.controlnet has"),
        ({"initial_controlnet": "tiny"}, "tiny does not fit the UNet of the base: its block_out"),
        ({"initial_controlnet": "RUN", "structures": ["lungs"]}, "has a ControlNet of lungs, hear"),
    ],
)
def test_controlnets_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, write: Callable[..., Path], small_model: Path
) -> None:
    if changes["initial_controlnet"] == "RUN":
        changes = {**changes, "initial_controlnet": str(train(write()) / "model")}
    with pytest.raises(InputError, match=message):
        train(write(**changes), "--overwrite=true")


def test_the_shipped_controlnet_opens_in_diffusers_and_fits_the_tiny_model() -> None:
    opened = ControlNetModel.from_pretrained(TINY_CONTROLNET / "controlnet")
    assert opened.config.conditioning_channels == 4
    components = load_components("tiny")
    components.controlnet, components.structures = load_controlnet(find_controlnet("tiny"))
    assert components.structures == ("lungs", "heart", "pleural effusion", "pneumothorax")
    check_same_form("tiny", components)


def test_masks_in_the_cache_are_those_of_the_dataset(phantoms: Path, tmp_path: Path) -> None:
    dataset = open_dataset(phantoms)
    split = dataset.split("train")
    augmenter = Augmenter(config=AugmentConfig(variants=3), seed=2)
    structures = (*STRUCTURES, "clips")
    images = ImageVariants(
        images=FilteredSplit.of(split),
        dataset=dataset.fingerprint,
        size=SIZE,
        augmenter=augmenter,
    )
    condition = MaskCondition(structures=structures)
    cache = condition.cache(images, tmp_path, Accelerator(cpu=True))
    items = [3, 0, 5]
    shown = cache.masks(items, [0, 0, 0])
    for place, item in enumerate(items):
        masks = masks_of(split[item], structures, SIZE)
        expected = mask_conditions(masks, structures).masks
        assert expected is not None
        assert torch.equal(shown[place], expected[0])
        assert not shown[place, 3].any()  # of which the dataset says nothing
    # A variant's mask lies where the variant's image does: the mask, given as the image, agrees.
    for variant in (1, 2):
        moved = cache.masks([0], [variant])[0, 0].numpy() > 0
        radiograph = split[0]
        lungs = masks_of(radiograph, ("lungs",), SIZE)["lungs"]
        assert lungs is not None
        as_image = augmenter.variant(255 * lungs.astype(np.uint8), radiograph.id, variant) > 127
        assert (moved != as_image).mean() < 0.03
        assert (moved != lungs).any()


def test_hidden_masks_move_no_other_draw() -> None:
    common: dict[str, Any] = {
        "seed": 3,
        "items": 50,
        "batch_size": 400,
        "shape": (4, 2, 2),
        "timesteps": 1000,
        "style_weights": [1.0],
        "caption_dropout": 0.1,
    }
    plain = DrawPlan(DrawSettings(**common)).draw(0, range(400))
    dropouts = {"masks": Dropout(rate=0.2, channels=5, channel_rate=0.1)}
    drawn = DrawPlan(DrawSettings(**common, dropouts=dropouts)).draw(0, range(400))
    assert torch.equal(plain.noise, drawn.noise)
    assert torch.equal(plain.timesteps, drawn.timesteps)
    assert torch.equal(plain.drops["text"], drawn.drops["text"])
    assert plain.drops.keys() == {"text"}
    dropped = drawn.drops["masks"].numpy()
    assert dropped.shape == (400, 5)
    whole = dropped.all(axis=1).mean()
    assert abs(whole - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 400)
    rest = dropped[~dropped.all(axis=1)].mean()
    assert abs(rest - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 1600)


def test_the_weights_of_the_best_dice_are_kept(tmp_path: Path) -> None:
    def score(value: float) -> dict[str, float]:
        return {"mean": value, "lungs": value}

    assert save_if_best(tmp_path, 2, score(0.5), {"a": torch.ones(2)})
    assert not save_if_best(tmp_path, 4, score(0.4), {"a": torch.zeros(2)})
    kept, told = read_best(tmp_path)
    assert kept["a"].tolist() == [1, 1]
    assert (told["step"], told["score"], told["dice"]) == (2, 0.5, {"lungs": 0.5})
    assert save_if_best(tmp_path, 6, score(0.6), {"a": torch.zeros(2)})
    assert read_best(tmp_path)[0]["a"].tolist() == [0, 0]
    assert len(list((tmp_path / "best").glob("*.safetensors"))) == 1
    # Of a run that is begun again at an earlier step, what came later has not been yet.
    assert save_if_best(tmp_path, 4, score(0.3), {"a": torch.ones(2)})
    with pytest.raises(InputError, match="cannot be read"):
        read_best(tmp_path / "nowhere")


def test_mask_fidelity_is_measured_and_its_best_is_the_result(write: Callable[..., Path]) -> None:
    measured = {"every": 2, "images": 4, "steps": 2, "segmenter": {"steps": 3}}
    run = train(write(mask_fidelity=measured))
    _, best = read_best(run)
    told = read_manifest(run / "model", "model")["provenance"]["mask_fidelity"]
    assert told == best
    assert set(best["dice"]) == set(STRUCTURES)
    kept = load_file(run / "best" / best["file"])
    made = load_components(str(run / "model")).controlnet
    assert made is not None
    for name, weight in made.named_parameters():
        assert torch.equal(weight, kept[f"controlnet.{name}"])
    assert len(list((run / "previews").glob("mask-fidelity-*.png"))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structures": []}, "structures is empty"),
        ({"structures": ["lungs", "lungs"]}, "has .lungs. twice"),
        ({"structures": ["liver"]}, "has no mask of 'liver'; it has masks of: "),
        ({"mask_dropout": 1.0}, "mask_dropout is 1.0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"validation": None, "mask_fidelity": {}}, "mask_fidelity is measured on the held-out"),
        ({"learning_rate": {"unet": 1e-4}}, "learning_rate"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    write: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        train(write(**changes))
    assert "\n" not in str(raised.value)


def test_a_dry_run_tells_what_it_takes(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    train(write(), "--dry-run")
    told = capsys.readouterr().out
    assert "controlnet" in told
    assert not (tmp_path / "run").exists()
