"""The preview of mask transforms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from roentgen.config import load_config
from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.dataset.structure_masks import masks_of
from roentgen.errors import InputError
from roentgen.imaging.overlay import structure_colors
from roentgen.randomness import derive_seed
from sample.mask_sheet import MaskSheetConfig, mask_sheet
from sample.masks.transforms import transform_masks

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
SIZE = 160  # pixels: the smallest that a sheet shows as they are
STRUCTURES = ["lungs", "heart", "pleural effusion", "pneumothorax"]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheet") / "phantoms"
    config = PhantomConfig(train=10, validate=1, test=0)
    reader = PhantomReader(config=config, size=SIZE, seed=3)
    with DatasetWriter(folder, licenses=[LICENSE], provenance={}) as writer:
        for study in reader.plan()[0]:
            for radiograph in reader.read(study):
                writer.add(radiograph)
    return folder


def make(folder: Path, phantoms: Path, **values: Any) -> tuple[str, np.ndarray]:
    config = {
        "dataset": str(phantoms),
        "structures": STRUCTURES,
        "rows": 3,
        "columns": 2,
        "output": str(folder / "sheet.png"),
        **values,
    }
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(config))
    message = mask_sheet(load_config(MaskSheetConfig, [str(recipe)]))
    return message, np.asarray(Image.open(config["output"]))


def in_color(sheet: np.ndarray, structure: str, share: float = 1.0) -> np.ndarray:
    """Where the sheet has a structure's color, on black if it is filled."""
    color = np.round(share * np.array(structure_colors(STRUCTURES)[structure], dtype=np.float32))
    return np.asarray((sheet == color.astype(np.uint8)).all(axis=-1))


def test_rows_show_a_radiograph_and_its_transformed_masks(phantoms: Path, tmp_path: Path) -> None:
    message, sheet = make(tmp_path, phantoms)
    assert message == f"{tmp_path / 'sheet.png'}: 3 radiographs"
    assert sheet.shape[1] > 3 * SIZE
    legend, cells = sheet[:24], sheet[24:]
    image, masks = cells[:, : SIZE + 6], cells[:, SIZE + 6 :]
    for structure in STRUCTURES:
        assert in_color(legend, structure).sum() >= 100
    for structure in ("pleural effusion", "pneumothorax"):  # both are seen, each in its turn
        assert in_color(image, structure).any()
    # Six hearts, each of at least a fiftieth of the image.
    assert in_color(masks, "heart", 0.75).sum() > 6 * 0.02 * SIZE**2


def test_a_cell_is_what_the_transforms_give(phantoms: Path, tmp_path: Path) -> None:
    """With one structure alone, a cell is its transformed mask, pixel by pixel."""
    _, sheet = make(tmp_path, phantoms, structures=["heart"], rows=1, columns=1, seed=5)
    heart = in_color(sheet, "heart", 0.75)
    margin = 12
    top, left = 24 + margin, 2 * margin + SIZE
    found = heart[top : top + SIZE, left : left + SIZE]
    assert found.sum() == heart.sum() > 0
    config = MaskSheetConfig(dataset=phantoms, structures=("heart",), output=tmp_path / "x.png")
    expected = []
    for radiograph in open_dataset(phantoms).split("train"):
        seed = derive_seed(5, "mask sheet", radiograph.id, 0)
        masks = masks_of(radiograph, ["heart"], SIZE)
        moved = transform_masks(masks, config.transforms, view=radiograph.view, seed=seed)["heart"]
        expected.append(moved is not None and np.array_equal(found, moved))
    assert sum(expected) == 1


def test_the_seed_determines_the_sheet_of_few_radiographs(phantoms: Path, tmp_path: Path) -> None:
    _, first = make(tmp_path, phantoms)
    _, again = make(tmp_path, phantoms, overwrite=True)
    _, other = make(tmp_path, phantoms, overwrite=True, seed=1)
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    split = open_dataset(phantoms).split("train")
    laterals = sum(radiograph.view == "LATERAL" for radiograph in split)
    message, _ = make(tmp_path, phantoms, overwrite=True, rows=20, columns=1, views=["LATERAL"])
    assert message.endswith(f": {laterals} radiographs, {20 - laterals} fewer than requested")


def test_mirrored_masks_are_flipped(phantoms: Path, tmp_path: Path) -> None:
    _, plain = make(tmp_path, phantoms, views=["PA"])
    _, flipped = make(tmp_path, phantoms, views=["PA"], overwrite=True, transforms={"mirror": 1.0})
    margin = 12
    top, left = 24 + margin, 2 * margin + SIZE
    at = slice(top, top + SIZE), slice(left, left + SIZE)
    assert np.array_equal(plain[at][:, ::-1], flipped[at])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"structures": ["lungs", "liver"]}, r"no mask of 'liver'; it has masks of: .*heart"),
        ({"structures": []}, "structures is empty: give at least one"),
        ({"structures": ["heart", "heart"]}, "structures has .heart. twice: .* each once"),
        ({"split": "test"}, "no split 'test'; it has: train"),
        ({"output": "sheet.jpg"}, "sheet.jpg is no PNG"),
        ({"rows": 0}, "rows is 0: it must be at least 1"),
        ({"dataset": "nowhere"}, "nowhere"),
        ({"transforms": {"shift": 0.9}}, "transforms.shift is 0.9"),
        ({"views": ["AP", "FROG"]}, "views"),
    ],
)
def test_bad_input_is_one_clear_line(
    phantoms: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        make(tmp_path, phantoms, **values)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "sheet.png").exists()


def test_a_sheet_is_replaced_only_with_overwrite(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"sheet.png exists: .*overwrite=true"):
        make(tmp_path, phantoms)
    assert (tmp_path / "sheet.png").read_bytes() == b"mine"
