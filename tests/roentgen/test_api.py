"""Python API: its names, what importing it costs, and what each call gives."""

import ast
import inspect
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import roentgen
from roentgen.comparison import (
    ImageFiles,
    compare_images,
    extract_features,
    mean_ms_ssim,
    open_images,
)
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.generator import Generator
from roentgen.generation.prompt_rows import PromptRow
from roentgen.imaging.images import decode, encode_png
from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.finding import FINDING_NAMES, Finding
from roentgen.record.radiograph import Radiograph
from roentgen.vision.features.extractor import load_extractor
from roentgen.vision.radiograph_tensors import RadiographTensors

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
ROOT = Path(__file__).parents[2]
SIZE = 64
SETTINGS = SamplerSettings(scheduler="DDIM", steps=2, batch_size=2)


def pixels_of(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def save_images(folder: Path, seeds: range, size: int = SIZE) -> Path:
    folder.mkdir()
    for seed in seeds:
        Image.fromarray(pixels_of(seed, size)).save(folder / f"{seed:03d}.png")
    return folder


def save_dataset(folder: Path, seeds: range, size: int = SIZE) -> Path:
    """A dataset of the same images as `save_images` makes; every second one has a heart mask."""
    mask = np.zeros((size, size), np.uint8)
    mask[8:16, 8:16] = 255
    with DatasetWriter(folder, licenses=[LICENSE], provenance={}) as writer:
        for seed in seeds:
            effusion = Finding(name="Pleural Effusion", side="left")
            absent = Finding(name="Pneumothorax", state="absent")
            writer.add(
                Radiograph(
                    id=f"{seed:03d}",
                    patient_id=f"patient-{seed}",
                    study_id=f"study-{seed}",
                    split="train",
                    image=encode_png(pixels_of(seed, size)),
                    view="PA" if seed % 2 else None,
                    findings=(effusion, absent),
                    masks={"heart": encode_png(mask)} if seed % 2 else {},
                    age=63.0 if seed % 2 else None,
                    source="test",
                    license="CC0-1.0",
                )
            )
    return folder


def test_importing_it_is_light() -> None:
    script = "import roentgen, sys, json; dir(roentgen); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "transformers", "diffusers", "datasets", "pyarrow"}
    assert heavy & set(json.loads(done.stdout)) == set()


def test_every_public_name_is_where_the_stub_says() -> None:
    stub = ast.parse((ROOT / "roentgen/__init__.pyi").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(roentgen.__all__) == {*typed, "__version__"}
    for name, module in typed.items():
        value = getattr(roentgen, name)
        assert value is getattr(sys.modules[str(module)], name)
        assert inspect.getdoc(value), name
    assert set(dir(roentgen)) >= set(roentgen.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Ct'"):
        _ = roentgen.Ct  # type: ignore[attr-defined]


def test_a_dataset_is_batches_of_tensors(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "dataset", range(6))
    data = RadiographTensors(folder, "train", structures=("heart",), prompt=PromptStyle())
    assert len(data) == 6
    batch = next(iter(DataLoader(data, batch_size=4)))
    assert batch["image"].shape == (4, 1, SIZE, SIZE)
    expected = pixels_of(1).astype(np.float32) / 127.5 - 1
    torch.testing.assert_close(batch["image"][1, 0], torch.from_numpy(expected))
    assert batch["masks"].shape == (4, 1, SIZE, SIZE)
    assert batch["masks"].sum(dim=(1, 2, 3)).tolist() == [0, 64, 0, 64]
    assert batch["masks_known"].tolist() == [[False], [True], [False], [True]]
    assert batch["view"].tolist() == [-1, 0, -1, 0]
    assert math.isnan(batch["age"][0])
    assert batch["age"][1] == 63
    found = dict(zip(FINDING_NAMES, batch["findings"][0].tolist(), strict=True))
    assert found["Pleural Effusion"] == 1
    assert found["Pneumothorax"] == 0
    assert math.isnan(found["Edema"])
    assert batch["prompt"][1] == "<view-pa> left pleural effusion, no pneumothorax"


def test_a_dataset_without_masks_is_refused_where_they_are_asked_for(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "dataset", range(4))
    with pytest.raises(InputError, match="no mask of 'lungs'; it has masks of: heart"):
        RadiographTensors(folder, structures=("lungs",))
    assert RadiographTensors(folder)[0]["masks"].shape == (0, SIZE, SIZE)


def test_two_folders_are_compared_in_one_call(tmp_path: Path) -> None:
    real = save_images(tmp_path / "real", range(12))
    synthetic = save_images(tmp_path / "synthetic", range(100, 110))
    found = compare_images(real, synthetic, neighbors=3)
    assert (found.n_real, found.n_synthetic) == (12, 10)
    extractor = load_extractor("roentgen")
    a = extractor(np.stack([pixels_of(seed) for seed in range(12)]))
    b = extractor(np.stack([pixels_of(seed) for seed in range(100, 110)]))
    assert found.fid == pytest.approx(frechet_distance_of_features(a, b))
    assert found.extractor == extractor.definition
    assert 0 < found.ms_ssim_real < 0.2  # of noise
    same = compare_images(real, real, neighbors=3)
    assert same.fid == pytest.approx(0, abs=1e-3)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)


def test_a_dataset_and_its_files_are_the_same_images(tmp_path: Path) -> None:
    files = save_images(tmp_path / "files", range(6))
    dataset = save_dataset(tmp_path / "dataset", range(6))
    a, b = open_images(files), open_images(dataset)
    np.testing.assert_array_equal(a[:], b[:])
    np.testing.assert_array_equal(a[np.array([4, 1])], b[np.array([4, 1])])
    extractor = load_extractor("roentgen")
    assert extract_features(a, extractor).shape == (6, extractor.definition.dimension)
    assert mean_ms_ssim(a, pairs=2) == mean_ms_ssim(b, pairs=2)


def test_images_that_do_not_compare_are_refused(tmp_path: Path) -> None:
    real = save_images(tmp_path / "real", range(8))
    small = save_images(tmp_path / "small", range(8), size=48)
    with pytest.raises(InputError, match=r"are 64 pixels a side, of .* 48: bring both to one size"):
        compare_images(real, small)
    assert compare_images(real, small, size=64).n_synthetic == 8
    few = save_images(tmp_path / "few", range(4))
    with pytest.raises(InputError, match="has 4 images: more than 5 are needed"):
        compare_images(real, few)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="has no image files"):
        compare_images(real, tmp_path / "none")
    Image.fromarray(pixels_of(0)[:, :32]).save(few / "000.png")
    with pytest.raises(InputError, match="is 32x64 pixels: give the `size`"):
        ImageFiles(few)
    with pytest.raises(InputError, match="64 pixels a side, not 32"):
        open_images(save_dataset(tmp_path / "dataset", range(4)), size=32)


def test_an_open_dataset_gives_records(tmp_path: Path) -> None:
    split = open_dataset(save_dataset(tmp_path / "dataset", range(4))).split("train")
    assert split[1].findings[0].side == "left"


def test_a_generator_plans_and_draws(small_model: Path) -> None:
    generator = Generator(str(small_model), SETTINGS, seed=3)
    drawn = list(generator("left nodule", "edema", count=2))
    assert [r.findings[0].name for r in drawn] == ["Lung Lesion"] * 2 + ["Edema"] * 2
    rows = (PromptRow(prompt="left nodule"), PromptRow(prompt="edema"))
    planned = list(generator.plan(rows, count=2))
    assert [r.id for r in drawn] == [image.id for image in planned]
    again = [r.image for r in generator.draw(planned)]
    assert [decode(r.image).tolist() for r in drawn] == [decode(image).tolist() for image in again]


def test_a_generator_refuses_what_it_cannot_draw(small_model: Path) -> None:
    generator = Generator(str(small_model), SETTINGS)
    with pytest.raises(InputError, match="no findings are given"):
        generator()
    with pytest.raises(InputError, match="count is 0: at least 1"):
        generator("edema", count=0)
    with pytest.raises(InputError, match=r"findings\[1\]: unknown word 'fever'"):
        list(generator("edema", "fever"))
    untold = Generator(str(small_model), style=PromptStyle(view_token=False))
    with pytest.raises(InputError, match="views is set, but prompts include no view"):
        untold("edema", views=("PA",))
