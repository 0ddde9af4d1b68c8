"""Sets drawn from masks: which, how they are moved, what is kept, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

from roentgen.corpora.phantom import PhantomConfig
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.structure_masks import masks_of
from roentgen.dataset.work_folder import WorkFolder
from roentgen.diffusion.backbones.stable_diffusion import add_view_tokens, save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.controlnet import new_controlnet
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.generator import Generator
from roentgen.generation.image_conditions import ImageConditions
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.images import decode
from roentgen.preparation.config import PrepareConfig
from roentgen.prepare import prepare
from roentgen.record.finding import FINDING_OF
from sample.condition_sources import condition_sources
from sample.config import GenerateConfig
from sample.drawn_part import DrawnPart
from sample.export import export
from sample.exports.config import ExportConfig, FolderFormat
from sample.generation import generate
from sample.masks.config import MaskTransforms
from sample.masks.mirroring import swap_sides_in_text
from sample.masks.transforms import is_mirrored, transform_masks
from sample.plan import PLAN, PlanFile, plan_for
from sample.prompts.config import MaskPrompts, PromptsConfig
from sample.screening.config import ReferenceConfig, ScreenConfig
from sample.screening.redraw import Redraw

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}


# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SIZE = 32
STRUCTURES = ("lungs", "heart", "pleural effusion", "pneumothorax")
SETTINGS = SamplerSettings(steps=2, batch_size=8, device="cpu")


class OtherSource:
    """Gives every image a condition that is no mask."""

    def check(self, components: Components) -> None:
        pass

    def of(self, image: PlannedImage, components: Components) -> ImageConditions:
        return ImageConditions()


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of 32 pixels with their masks."""
    folder = tmp_path_factory.mktemp("masks") / "phantoms"
    config = PhantomConfig(train=20, validate=0, test=0)
    prepare(PrepareConfig(phantom=config, size=SIZE, output=folder, workers=1))
    return folder


@pytest.fixture(scope="module")
def masked_model(
    make_small_components: Callable[..., Components], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A small model with a ControlNet whose say is loud."""
    components = make_small_components()
    add_view_tokens(components.tokenizer, components.text_encoder)
    controlnet = new_controlnet(components.unet, STRUCTURES, halvings=2)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        components.vae.decoder.conv_out.weight.mul_(5)
        for name, weight in controlnet.named_parameters():
            if name.startswith(("controlnet_down", "controlnet_mid")):
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    components.controlnet, components.structures = controlnet, STRUCTURES
    folder = tmp_path_factory.mktemp("masks") / "model"
    save_model(folder, components, licenses=[LICENSE], provenance={})
    return folder


@pytest.fixture
def configure(masked_model: Path, phantoms: Path, tmp_path: Path) -> Callable[..., GenerateConfig]:
    """Makes a configuration: `configure(limit=3)`."""

    def make(count: int = 1, **masks: Any) -> GenerateConfig:
        return GenerateConfig(
            model=str(masked_model),
            prompts=PromptsConfig(masks=MaskPrompts(**{"folder": phantoms, **masks}), count=count),
            sampler=SETTINGS,
            output=tmp_path / "set",
        )

    return make


def test_requested_masks_are_stored_with_the_images(
    configure: Callable[..., GenerateConfig], phantoms: Path
) -> None:
    config = configure(limit=6)
    made = open_dataset(generate(config)).split("train")
    films = {film.id: film for film in open_dataset(phantoms).split("train")}
    assert len(made) == 6
    for radiograph in made:
        assert radiograph.synthesis is not None
        film = films[str(radiograph.synthesis.from_radiograph)]
        asked, kept = (masks_of(r, STRUCTURES, SIZE) for r in (film, radiograph))
        for name in STRUCTURES:
            np.testing.assert_array_equal(kept[name], asked[name])
        assert radiograph.view == film.view
        assert radiograph.findings == film.findings
        assert radiograph.synthesis.conditioning_scale == 1.0
        assert radiograph.synthesis.conditioning_interval == (0.0, 1.0)
        assert radiograph.synthesis.mask_seed is None
    # The masks bear on the pictures: without them, all else alike, they are others.
    model = Generator(config.model, SETTINGS)
    plan = list(PlanFile(config.output / PLAN))
    plain = list(model.draw(replace(image, mask_row=None) for image in plan))
    assert not plain[0].masks
    difference = [
        np.abs(decode(a.image).astype(int) - decode(b.image)).mean()
        for a, b in zip(made, plain, strict=True)
    ]
    assert min(difference) > 1


def test_moved_masks_are_those_of_their_seed(
    configure: Callable[..., GenerateConfig], phantoms: Path
) -> None:
    transforms = MaskTransforms(mirror=0.5)
    config = configure(limit=4, count=3, transforms=transforms, first_untransformed=True)
    made = list(open_dataset(generate(config)).split("train"))
    films = {film.id: film for film in open_dataset(phantoms).split("train")}
    mirrored = 0
    for place, radiograph in enumerate(made):
        how = radiograph.synthesis
        assert how is not None
        film = films[str(how.from_radiograph)]
        asked = masks_of(film, STRUCTURES, SIZE)
        if place % 3 == 0:
            assert how.mask_seed is None
        else:
            assert how.mask_seed is not None
            asked = transform_masks(asked, transforms, view=film.view, seed=how.mask_seed)
        kept = masks_of(radiograph, STRUCTURES, SIZE)
        for name in STRUCTURES:
            np.testing.assert_array_equal(kept[name], asked[name])
        if how.mask_seed is not None and is_mirrored(transforms, how.mask_seed):
            mirrored += 1
            first = made[place - place % 3].synthesis
            assert first is not None
            assert how.prompt == swap_sides_in_text(first.prompt)
    assert 0 < mirrored < 8


def test_single_disease_prompts_show_one_finding(
    configure: Callable[..., GenerateConfig],
) -> None:
    config = configure(prompt="single disease", views=("PA", "AP"))
    made = list(open_dataset(generate(config)).split("train"))
    drawn_findings = set()
    for radiograph in made:
        (name,) = {finding.name for finding in radiograph.findings}
        drawn_findings.add(name)
        masks = masks_of(radiograph, STRUCTURES, SIZE)
        shown = {
            FINDING_OF[n] for n, m in masks.items() if n in FINDING_OF and m is not None and m.any()
        }
        assert shown <= {name}
        assert all(f.state == "present" or name == "No Finding" for f in radiograph.findings)
    assert {"Pleural Effusion", "Pneumothorax", "No Finding"} <= drawn_findings


def test_any_set_of_structures_may_be_given(configure: Callable[..., GenerateConfig]) -> None:
    made = open_dataset(generate(configure(limit=2, structures=("heart",)))).split("train")
    assert all(set(radiograph.masks) == {"heart"} for radiograph in made)


def test_a_set_is_the_same_in_parts_and_in_one(
    configure: Callable[..., GenerateConfig], tmp_path: Path
) -> None:
    config = configure(limit=5, count=2, transforms=MaskTransforms())
    whole = list(open_dataset(generate(config)).split("train"))
    small = replace(SETTINGS, batch_size=3)
    other = list(
        open_dataset(generate(replace(config, sampler=small, output=tmp_path / "other"))).split(
            "train"
        )
    )
    for a, b in zip(whole, other, strict=True):
        assert a.masks == b.masks
        assert np.abs(decode(a.image).astype(int) - decode(b.image)).max() <= 1


def test_in_python_masks_are_arrays(masked_model: Path) -> None:
    generator = Generator(str(masked_model), SETTINGS)
    heart = np.zeros((SIZE, SIZE), dtype=bool)
    heart[10:20, 12:24] = True
    drawn = list(generator("cardiomegaly", views=("PA",), count=3, masks={"heart": heart}))
    assert len(drawn) == 3
    for radiograph in drawn:
        np.testing.assert_array_equal(decode(radiograph.masks["heart"]) == 255, heart)
    nowhere = np.zeros_like(heart)
    for masks, message in (
        ({"heart": heart[:16, :16]}, r"masks are \[1, 4, 16, 16\]"),
        ({"heart": heart, "lungs": heart[:16]}, r"the mask of 'lungs' is bool \[16, 32\]"),
        ({"heart": 255 * heart.astype(np.uint8)}, r"the mask of 'heart' is uint8"),
        ({"liver": heart}, "the ControlNet does not know liver; it knows: lungs, heart"),
        ({"heart": nowhere}, "the mask of 'heart' is empty, but every patient has it"),
    ):
        with pytest.raises(InputError, match=message):
            list(generator("cardiomegaly", masks=masks))  # type: ignore[arg-type]
    drawn = list(generator("cardiomegaly", masks={"heart": heart, "pneumothorax": nowhere}))
    assert not decode(drawn[0].masks["pneumothorax"]).any()
    with pytest.raises(InputError, match="is empty, but Pneumothorax is present"):
        list(generator("left pneumothorax", masks={"heart": heart, "pneumothorax": nowhere}))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"structures": ("liver",)}, "ControlNet does not know liver; it knows: lungs"),
        ({"split": "test"}, "has no split 'test'"),
        ({"limit": 0}, "limit is 0"),
        ({"structures": ()}, "structures is empty"),
        ({"first_untransformed": True}, "no effect without transforms"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    configure: Callable[..., GenerateConfig], masks: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        generate(configure(**masks))
    assert "\n" not in str(raised.value)


def test_models_and_datasets_that_do_not_fit_are_refused(
    configure: Callable[..., GenerateConfig], small_model: Path, tmp_path: Path
) -> None:
    config = configure(limit=2)
    with pytest.raises(InputError, match="need a model with a ControlNet"):
        generate(replace(config, model=str(small_model)))
    large = tmp_path / "large"
    phantom = PhantomConfig(train=2, validate=0, test=0)
    prepare(PrepareConfig(phantom=phantom, size=64, output=large, workers=1))
    with pytest.raises(InputError, match="are 64x64, the model draws 32x32"):
        generate(configure(folder=large))
    loud = replace(SETTINGS, conditioning_scale=0.5)
    with pytest.raises(InputError, match="conditioning_scale has no effect without prompts"):
        replace(config, prompts=PromptsConfig(findings=("cardiomegaly",)), sampler=loud)
    plan = list(plan_for(Generator(config.model, SETTINGS), config.prompts))
    with pytest.raises(InputError, match="the plan names masks: say where they are"):
        list(Generator(config.model, SETTINGS).draw(plan))
    other = OtherSource()  # a condition of another kind does not stand for the masks
    with pytest.raises(InputError, match="the plan names masks: say where they are"):
        list(Generator(config.model, SETTINGS, sources=[other]).draw(plan))
    sources = condition_sources(config.prompts)
    wrong = [replace(plan[0], mask_row=(plan[0].mask_row or 0) + 1)]
    with pytest.raises(InputError, match="the plan was made for another dataset"):
        list(Generator(config.model, SETTINGS, sources=sources).draw(wrong))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_masked_set_is_exported_with_its_masks(
    configure: Callable[..., GenerateConfig], tmp_path: Path, kind: str
) -> None:
    made = generate(configure(limit=3, transforms=MaskTransforms()))
    folder = FolderFormat(metadata=kind)  # type: ignore[arg-type]
    export(ExportConfig(dataset=made, output=tmp_path / "out", folder=folder))
    place = tmp_path / "out" / "folder" / "train"
    read = pyarrow.csv.read_csv if kind == "csv" else pyarrow.parquet.read_table
    rows = read(place / f"metadata.{kind}").to_pylist()
    films = {film.id: film for film in open_dataset(made).split("train")}
    for row in rows:
        film = films[row["id"]]
        assert film.synthesis is not None
        assert row["conditioning_scale"] == 1.0
        assert json.loads(row["conditioning_interval"]) == [0.0, 1.0]
        assert row["mask_seed"] == film.synthesis.mask_seed
        assert (place / row["lungs_mask_file_name"]).read_bytes() == film.masks["lungs"]


def test_an_image_with_masks_is_drawn_again_with_the_same_masks(
    configure: Callable[..., GenerateConfig], phantoms: Path, tmp_path: Path
) -> None:
    made = open_dataset(generate(configure(limit=3, transforms=MaskTransforms())))
    split = made.split("train")
    config = ScreenConfig(
        dataset=made.folder,
        reference=ReferenceConfig(folder=phantoms),
        output=tmp_path / "screened",
    )
    work = WorkFolder(tmp_path / "work", DrawnPart, 0, "screening")
    with work.lock():
        work.open({})
        redraw = Redraw(config, made, split.ids())
        redraw.begin(work)
        _, drawn = redraw(work, [(0, 1), (2, 1)])
        for again, first in zip(drawn, (split[0], split[2]), strict=True):
            assert again.masks == first.masks
            assert again.image != first.image
