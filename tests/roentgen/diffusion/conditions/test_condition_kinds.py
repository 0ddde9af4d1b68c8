"""A condition of the record, an age with a network of its own, added by its row in KINDS alone."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor, nn

from eval.privacy.measure import conditions_of
from eval.privacy.membership import NoiseSettings, denoising_losses
from roentgen.corpora.phantom import PhantomConfig
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.diffusion.backbones.model_folder import model_fingerprint, model_manifest
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.condition_kinds import KINDS, ConditionKind
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.record_conditions import new_network, record_conditions
from roentgen.diffusion.conditions.text_encoder import fold_projection
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.generator import Generator
from roentgen.generation.prompt_rows import PromptRow
from roentgen.imaging.images import decode
from roentgen.preparation.config import PrepareConfig
from roentgen.prepare import prepare
from roentgen.record.radiograph import Radiograph
from sample.config import GenerateConfig
from sample.generation import generate
from sample.prompts.config import DatasetPrompts, PromptsConfig
from train.config import FinetuneConfig
from train.config_sections import DataConfig, LearningRates, ValidationConfig
from train.finetuning import finetune
from train.loading.batches import Batch, Examples

# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
SETTINGS = SamplerSettings(steps=2, device="cpu")


class AgeToken(nn.Module):
    """Appends a token that depends on the age to the text states."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Linear(1, width)

    def forward(self, states: Tensor, ages: Tensor) -> Tensor:
        return torch.cat([states, self.token(ages[:, None])[:, None]], dim=1)


def age_of(radiograph: Radiograph) -> Tensor:
    return torch.tensor((radiograph.age or 0.0) / 10)


def network(components: Components) -> nn.Module:
    return AgeToken(components.text_encoder.config.hidden_size)


AGE = ConditionKind(fields=("age",), shape=(), value=age_of, network=network)


@pytest.fixture(scope="module")
def aged() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(KINDS):
            patch.delitem(KINDS, name)
        patch.setitem(KINDS, "age", AGE)
        yield


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of 32 pixels, whose ages are known."""
    folder = tmp_path_factory.mktemp("age") / "phantoms"
    counts = PhantomConfig(train=8, validate=2, test=4)
    prepare(PrepareConfig(phantom=counts, size=32, output=folder, workers=1))
    return folder


def configured(base: Path, phantoms: Path, output: Path, **changes: Any) -> FinetuneConfig:
    settings: dict[str, Any] = {
        "base": str(base),
        "data": DataConfig(folder=phantoms),
        "output": output,
        "steps": 2,
        "batch_size": 4,
        "ema": None,
        "learning_rate": LearningRates(unet=1e-3, text_encoder=1e-3, condition_networks=0.1),
        "conditions": {"age": 0.5},
        "validation": ValidationConfig(images=2),
        "log_every": 1,
    }
    return FinetuneConfig(**{**settings, **changes})


def train(config: FinetuneConfig) -> Path:
    AcceleratorState._reset_state(reset_partial_state=True)
    finetune(config)
    return config.output / "model"


@dataclass(frozen=True)
class Trained:
    """A model that takes ages, and what its run gave to it."""

    model: Path
    batches: list[tuple[np.ndarray, np.ndarray, Tensor]]  # items, dropped, ages


@pytest.fixture(scope="module")
def trained(
    aged: None, small_model: Path, phantoms: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    batches = []
    plain = Examples.batch

    def recorded(self: Examples, draws: Any, layout: torch.memory_format) -> Batch:
        batch = plain(self, draws, layout)
        if draws.drops:  # not validation
            ages = batch.conditions.added["age"].clone()
            batches.append((draws.items, draws.drops["age"].numpy(), ages))
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Examples, "batch", recorded)
        model = train(
            configured(small_model, phantoms, tmp_path_factory.mktemp("age") / "run", steps=4)
        )
    return Trained(model, batches)


def test_training_gives_each_image_its_age_unless_dropped(trained: Trained, phantoms: Path) -> None:
    ages = [r.age for r in open_dataset(phantoms).split("train").without_images()]
    seen = set()
    for items, dropped, given in trained.batches:
        for item, drop, value in zip(items, dropped, given.tolist(), strict=True):
            assert value == pytest.approx(0.0 if drop else (ages[item] or 0.0) / 10)
            seen.add(bool(drop))
    assert seen == {False, True}


def test_the_trained_network_is_reloaded_to_the_bit(trained: Trained, small_model: Path) -> None:
    (weights,) = trained.model.parent.glob("checkpoints/step-00000004/weights.safetensors")
    expected = load_file(weights)
    components = load_components(str(trained.model))
    before = new_network("age", load_components(str(small_model))).state_dict()
    for name, found in components.condition_networks["age"].state_dict().items():
        assert torch.equal(found, expected[f"condition_networks.age.{name}"])
        assert not torch.equal(found, before[name])
    files = load_file(trained.model / "conditions" / "age.safetensors")
    assert files.keys() == before.keys()


def test_the_fingerprint_depends_on_the_network(trained: Trained, tmp_path: Path) -> None:
    other = tmp_path / "model"
    shutil.copytree(trained.model, other)
    (other / "roentgen.json").unlink()
    fingerprint = model_fingerprint(other)
    assert fingerprint == model_fingerprint(trained.model)
    (other / "conditions" / "age.safetensors").write_bytes(b"other")
    assert model_fingerprint(other) != fingerprint


def test_generated_images_have_the_ages_of_their_radiographs(
    trained: Trained, phantoms: Path, tmp_path: Path
) -> None:
    prompts = PromptsConfig(dataset=DatasetPrompts(folder=phantoms, split="test"))
    config = GenerateConfig(
        model=str(trained.model), prompts=prompts, sampler=SETTINGS, output=tmp_path / "set"
    )
    ages = {r.id: r.age for r in open_dataset(phantoms).split("test").without_images()}
    drawn = list(open_dataset(generate(config)).split("train"))
    assert drawn
    for radiograph in drawn:
        assert radiograph.synthesis is not None
        assert radiograph.age == ages[str(radiograph.synthesis.from_radiograph)]
    # The ages bear on the images: without them, all else alike, they differ.
    generator = Generator(str(trained.model), SETTINGS)
    rows = [PromptRow(prompt=r.synthesis.prompt) for r in drawn if r.synthesis]
    planned = [
        replace(image, seed=r.synthesis.seed)
        for image, r in zip(generator.plan(rows), drawn, strict=True)
        if r.synthesis
    ]
    for known, unknown in zip(drawn, generator.draw(planned), strict=True):
        assert unknown.age is None
        assert not np.array_equal(decode(known.image), decode(unknown.image))


def test_an_age_is_given_by_hand(trained: Trained) -> None:
    generator = Generator(str(trained.model), SETTINGS)

    def image(**record: float | None) -> np.ndarray:
        (drawn,) = generator("edema", record=record)
        assert drawn.age == record.get("age")
        return decode(drawn.image)

    assert np.array_equal(image(age=None), image())
    assert np.array_equal(image(age=50), image(age=50))
    assert not np.array_equal(image(age=50), image())
    assert not np.array_equal(image(age=50), image(age=80))


def test_membership_gives_the_model_its_condition(trained: Trained, phantoms: Path) -> None:
    images = ImageSet.of(open_dataset(phantoms).split("test"))
    components, manifest = load_components(str(trained.model)), model_manifest(str(trained.model))
    conditions = conditions_of(images, manifest, components)
    ages = conditions(slice(0, len(images))).added["age"]
    assert ages.tolist() == pytest.approx([(r.age or 0) / 10 for r in images.radiographs])

    def losses(scale: float) -> np.ndarray:
        def given(rows: slice) -> Conditions:
            plain = conditions(rows)
            return plain | Conditions(added={"age": scale * plain.added["age"]})

        settings = NoiseSettings(timesteps=(100,), noises=1, seed=0)
        return denoising_losses(components, images.images, given, images.ids, settings)

    assert (losses(1.0) != losses(0.0)).all()


@torch.no_grad()
def test_a_folded_projection_predicts_the_same(
    aged: None, small_model: Path, phantoms: Path
) -> None:
    components = load_components(str(small_model))
    components.condition_networks["age"] = new_network("age", components)
    components.projection = nn.Linear(16, 16, bias=False)
    record = replace(open_dataset(phantoms).split("train")[0], age=60)
    given = record_conditions(record, components)
    assert given.added["age"].tolist() == [6.0]
    text = Denoiser(components).example_text(1)
    noisy, timestep = torch.randn(1, 4, 8, 8), torch.tensor([500])
    found = []
    for fold in (False, True):
        if fold:
            fold_projection(components)
        denoiser = Denoiser(components).eval()
        found.append(denoiser(noisy, timestep, given | Conditions(text=text)))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_a_model_without_it_refuses(
    aged: None, trained: Trained, small_model: Path, phantoms: Path, tmp_path: Path
) -> None:
    plain = Generator(str(small_model), SETTINGS)
    with pytest.raises(InputError, match=r"record 'age'; the model is conditioned on none"):
        plain("edema", record={"age": 50})
    (image,) = plain.plan([PromptRow(prompt="edema")])
    sampler = Sampler(load_components(str(small_model)), SETTINGS)
    with pytest.raises(InputError, match="age is given, but the model is not conditioned on it"):
        sampler.latents([image], Conditions(added={"age": torch.zeros(1)}))
    with pytest.raises(InputError, match=r"base model .* is conditioned on age: add .* conditions"):
        train(configured(trained.model, phantoms, tmp_path / "lost", conditions={}))
    with pytest.raises(InputError, match="unknown condition 'mood'; choose one of: age"):
        configured(small_model, phantoms, tmp_path, conditions={"mood": 0.1})
    with pytest.raises(InputError, match=r"conditions.age is 1.0: a share below 1"):
        configured(small_model, phantoms, tmp_path, conditions={"age": 1.0})


@pytest.mark.parametrize("age", [float("nan"), float("inf"), "old"])
def test_a_record_that_gives_no_value_is_refused(aged: None, trained: Trained, age: object) -> None:
    generator = Generator(str(trained.model), SETTINGS)
    reason = rf"no condition 'age' of age={age!r}: "
    with pytest.raises(InputError, match=reason):
        next(generator("edema", record={"age": age}))
    with pytest.raises(InputError, match=r"record 'dose'; the model depends on: age"):
        generator("edema", record={"dose": 1})


def test_a_dataset_without_ages_is_refused(
    aged: None, small_model: Path, phantoms: Path, tmp_path: Path
) -> None:
    terms = {"name": "CC0-1.0", "data_use": None, "may_share": True}
    with DatasetWriter(tmp_path / "data", licenses=[terms], provenance={}) as writer:
        for radiograph in open_dataset(phantoms).split("train"):
            writer.add(replace(radiograph, age=None))
    config = configured(small_model, tmp_path / "data", tmp_path / "run", validation=None)
    with pytest.raises(InputError, match=r"no radiograph of split 'train' of .* has a known age"):
        train(config)


def test_a_model_of_a_condition_that_is_not_there_is_refused(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(KINDS, "age")
    with pytest.raises(InputError, match="unknown condition 'age'; there are: none"):
        load_components(str(trained.model))
