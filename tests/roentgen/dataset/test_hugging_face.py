"""A split as a table of Hugging Face `datasets`: pixels and labels are those of our own reading."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from roentgen.dataset.dataset import DatasetWriter, RadiographSplit, open_dataset
from roentgen.dataset.label_arrays import label_matrix
from roentgen.imaging.images import encode_png
from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import VIEWS, Radiograph, View

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 64, 64), dtype=np.uint8)
SHOWN: tuple[tuple[Finding, ...], ...] = (
    (Finding(name="Edema"), Finding(name="Pneumothorax", state="absent")),
    (Finding(name="Edema", state="uncertain"),),
    (Finding(name="No Finding"),),
    (),
)
SEEN: tuple[View | None, ...] = ("PA", "LATERAL", None)


def radiograph(number: int) -> Radiograph:
    return Radiograph(
        id=f"r{number}",
        patient_id=f"p{number // 2}",
        study_id=f"s{number}",
        split="train",
        image=encode_png(PIXELS[number]),
        view=SEEN[number % len(SEEN)],
        findings=SHOWN[number % len(SHOWN)],
        source="drawn",
        license="CC0-1.0",
    )


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> RadiographSplit:
    folder = tmp_path_factory.mktemp("hugging face") / "dataset"
    options = {"licenses": [LICENSE], "provenance": {}, "shard_rows": 3}
    with DatasetWriter(folder, **options) as writer:  # type: ignore[arg-type]
        for number in range(len(PIXELS)):
            writer.add(radiograph(number))
    return open_dataset(folder).split("train")


def test_a_loader_has_the_pixels_and_labels_of_the_records(split: RadiographSplit) -> None:
    table = split.hugging_face().with_format("torch")
    (batch,) = DataLoader(table, batch_size=len(PIXELS))
    assert batch["image"].dtype == torch.uint8
    np.testing.assert_array_equal(batch["image"].numpy(), PIXELS[:, None])
    assert batch["labels"].dtype == torch.float32
    expected = label_matrix([radiograph(number) for number in range(len(PIXELS))])
    np.testing.assert_array_equal(batch["labels"].numpy(), expected)
    views = [-1 if (view := SEEN[n % len(SEEN)]) is None else VIEWS.index(view) for n in range(7)]
    assert batch["view"].tolist() == views
    assert batch["id"] == [f"r{number}" for number in range(7)]
    assert batch["patient_id"] == [f"p{number // 2}" for number in range(7)]


def test_labels_are_those_that_are_chosen(split: RadiographSplit) -> None:
    chosen: tuple[FindingName, ...] = ("Pneumothorax", "Edema")
    rows = split.hugging_face(chosen, "absent").with_format("numpy")[:4]
    np.testing.assert_array_equal(rows["labels"], [[0, 1], [0, np.nan], [0, 0], [np.nan, np.nan]])


def test_images_are_mapped_not_copied(split: RadiographSplit) -> None:
    table = split.hugging_face()
    files = [Path(file["filename"]).name for file in table.cache_files]
    assert files == ["data-00000.arrow", "data-00001.arrow", "data-00002.arrow"]
    sent = pickle.dumps(table)  # as to a worker process
    assert len(sent) < PIXELS.nbytes / 3
    again = pickle.loads(sent).with_format("numpy")  # noqa: S301 (our own)
    np.testing.assert_array_equal(again[6]["image"], PIXELS[6])


def test_datasets_is_imported_by_it_alone(split: RadiographSplit) -> None:
    script = "import sys; from roentgen import open_dataset; "
    script += "open_dataset(sys.argv[1]).split('train')[0]; print('datasets' in sys.modules)"
    command = [sys.executable, "-c", script, str(split.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
