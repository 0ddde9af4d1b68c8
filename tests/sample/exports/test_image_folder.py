"""The image folder, read by `datasets`, and WebDataset shards, read by `webdataset`."""

import gc
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from roentgen.corpora.image_folder import ImageFolderConfig, ImageFolderReader
from roentgen.dataset.dataset import open_dataset
from roentgen.imaging.images import decode
from roentgen.manifest import License
from roentgen.record.finding import FINDING_NAMES, states
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import SplitRules
from tests.roentgen.corpora.corpus_tree import radiographs_of

# webdataset 1.0 and datasets 5.2 leave files to be closed by the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
VALUES = {"present": 1.0, "absent": 0.0, "uncertain": -1.0}


@pytest.fixture(autouse=True)
def left_files_are_closed() -> Iterator[None]:
    yield
    gc.collect()


def radiographs(folder: Path) -> dict[str, Radiograph]:
    dataset = open_dataset(folder)
    return {r.id: r for name in dataset.splits for r in dataset.split(name)}


def check_row(row: dict[str, Any], radiograph: Radiograph) -> None:
    """Whether a row says all that is known of the radiograph."""
    r = radiograph
    for name in ("patient_id", "study_id", "split", "view", "age", "sex", "race", "source"):
        assert row.get(name) == getattr(r, name)
    found = states(r.findings)
    for finding in FINDING_NAMES:
        assert row.get(finding) == (VALUES[found[finding]] if finding in found else None)
    for key, value in (asdict(r.synthesis) if r.synthesis else {}).items():
        assert row.get(key) == value
    assert row["synthetic"] == (r.synthesis is not None)
    assert row.get("report_impression") == (r.report.impression if r.report else None)


def says_synthetic(image: Image.Image, radiograph: Radiograph) -> None:
    said = getattr(image, "text", {})
    if radiograph.synthesis is None:
        assert said == {}
        return
    assert said["Description"] == "synthetic chest radiograph, not of a patient"
    assert said["Prompt"] == radiograph.synthesis.prompt
    assert said["Seed"] == str(radiograph.synthesis.seed)
    assert said["Model"] == radiograph.synthesis.model


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_datasets_reads_the_folder(
    exported: Callable[..., Path], set_to_export: Path, tmp_path: Path, kind: str
) -> None:
    # Only a Parquet file says that a column is of text though a split has none of it.
    splits = {"csv": ["validate"], "parquet": None}[kind]
    out = exported(folder={"metadata": kind}, splits=splits) / "folder"
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(out), cache_dir=str(tmp_path / "cache")
    )
    truth = radiographs(set_to_export)
    wanted = [name for name, r in truth.items() if splits is None or r.split in splits]
    seen = []
    for split, rows in loaded.items():
        for row in rows:
            radiograph = truth[row["id"]]
            seen.append(radiograph.id)
            assert {"validate": "validation"}.get(radiograph.split, radiograph.split) == split
            np.testing.assert_array_equal(np.asarray(row["image"]), decode(radiograph.image))
            says_synthetic(row["image"], radiograph)
            check_row(row, radiograph)
            findings = json.loads(row["findings"]) if row["findings"] else []
            assert [f.get("side") for f in findings] == [f.side for f in radiograph.findings]
            mask = radiograph.masks.get("lungs")
            assert (row["lungs_mask"] is None) == (mask is None)
            if mask is not None:
                np.testing.assert_array_equal(np.asarray(row["lungs_mask"]), decode(mask))
    assert seen == wanted


def test_a_csv_that_datasets_cannot_read_is_reported(
    exported: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = exported(folder={"metadata": "csv"}) / "folder"
    message = capsys.readouterr().out
    blank = "sex, race, report_findings, report_impression"
    assert f"cannot infer from metadata.csv that {blank}" in message
    assert "that seed, steps is an integer" in message
    with pytest.raises(ValueError, match="have different features"):
        datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=str(tmp_path / "cache"))
    exported(folder={"metadata": "csv"}, splits=["validate"], overwrite=True)
    assert "cannot infer" not in capsys.readouterr().out


def test_datasets_reads_a_folder_without_settings(
    exported: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = exported(folder={}) / "folder"  # columns are blank in one split and not in another
    assert "cannot infer" not in capsys.readouterr().out
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(out), cache_dir=str(tmp_path / "cache")
    )
    assert sum(split.num_rows for split in loaded.values()) == 11


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_our_reader_reads_the_folder(
    exported: Callable[..., Path], set_to_export: Path, kind: str
) -> None:
    out = exported(folder={"metadata": kind}) / "folder"
    truth = radiographs(set_to_export)
    config = ImageFolderConfig(
        root=out,
        licenses=(License(name="terms", data_use=None, may_share=False),),
        id="id",
        patient_id="patient_id",
        study_id="study_id",
        view="view",
        age="age",
        sex="sex",
        finding_columns={"Pleural Effusion": "Pleural Effusion", "Edema": "Edema"},
    )
    reader = ImageFolderReader(config, SplitRules(published="folders"), 40, "pad", 0)
    plan = reader.plan()
    assert plan.excluded == []
    assert len(plan.items) == len(truth)
    for item in plan.items:
        (film,) = radiographs_of(reader, item)
        radiograph = truth[film.id]
        found = states(radiograph.findings)
        wanted = {name: found[name] for name in ("Pleural Effusion", "Edema") if name in found}
        assert states(film.findings) == wanted
        for name in ("patient_id", "study_id", "split", "view", "age", "sex"):
            assert getattr(film, name) == getattr(radiograph, name)
        np.testing.assert_array_equal(decode(film.image)[4:36], decode(radiograph.image))


def test_webdataset_reads_the_shards(exported: Callable[..., Path], set_to_export: Path) -> None:
    wds = pytest.importorskip("webdataset")
    out = exported(webdataset={"shard_images": 3}) / "webdataset"
    shards = sorted(path.name for path in out.glob("*.tar"))
    assert shards == [
        *("test-000000.tar", "train-000000.tar", "train-000001.tar", "train-000002.tar"),
        "validation-000000.tar",
    ]
    truth = radiographs(set_to_export)
    ordered = [str(out / name) for name in (*shards[1:4], shards[4], shards[0])]
    seen = []
    for sample in wds.WebDataset(ordered, shardshuffle=False, empty_check=False):
        known = json.loads(sample["json"])
        radiograph = truth[known["id"]]
        seen.append(radiograph.id)
        check_row(known, radiograph)
        assert [f.get("side") for f in known.get("findings", [])] == [
            f.side for f in radiograph.findings
        ]
        np.testing.assert_array_equal(decode(sample["png"]), decode(radiograph.image))
        with Image.open(io.BytesIO(sample["png"])) as image:
            says_synthetic(image, radiograph)
        prompt = radiograph.synthesis.prompt if radiograph.synthesis else None
        assert sample.get("txt", b"").decode() == (prompt or "")
        assert ("txt" in sample) == (prompt is not None)
        masks = {name: sample[file] for name, file in known["masks"].items()}
        assert masks == radiograph.masks
    assert seen == list(truth)


def test_shards_are_plain_tars_that_say_no_time_or_owner(exported: Callable[..., Path]) -> None:
    out = exported(webdataset={}) / "webdataset"
    with tarfile.open(out / "train-000000.tar") as shard:
        members = shard.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, "", "", 0o644)
    }
    keys = [m.name.partition(".")[0] for m in members]
    assert [m.name.partition(".")[2] for m in members[:4]] == [
        *("png", "json", "txt", "lungs.mask.png"),
    ]
    runs = [key for number, key in enumerate(keys) if number == 0 or keys[number - 1] != key]
    assert len(runs) == len(set(runs)) == 7


def test_large_shards_end_early(make_noise_export: Callable[[int], Path]) -> None:
    out = make_noise_export(1)
    sizes = [path.stat().st_size for path in sorted(out.glob("*.tar"))]
    assert len(sizes) > 1
    assert all(10**6 <= size < 1.1 * 10**6 for size in sizes[:-1])


@pytest.fixture
def make_noise_export(
    exported: Callable[..., Path], make_small_dataset: Callable[..., Path], tmp_path: Path
) -> Callable[[int], Path]:
    """Exports 40 images of 64 kB each in shards of so many megabytes."""

    def make(megabytes: int) -> Path:
        source = make_small_dataset(tmp_path / "noise", train=40, validate=0, size=256)
        settings = {"shard_megabytes": megabytes}
        return exported(webdataset=settings, dataset=str(source)) / "webdataset"

    return make
