"""The export program: what it refuses, tells, leaves out and leaves behind."""

import csv
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roentgen.config import load_config
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.errors import InputError
from roentgen.manifest import read_manifest
from sample.export import export
from sample.exports.config import FORMATS, ExportConfig
from sample.exports.identities import Numbers
from sample.exports.record import file_stem

ALL: dict[str, dict[str, Any]] = {name: {} for name in FORMATS}


def excluded(folder: Path) -> dict[str, str]:
    with (folder / "excluded.csv").open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["reason"] for row in csv.DictReader(file)}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_each_format_says_what_it_is_and_under_which_terms(
    exported: Callable[..., Path], set_to_export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = exported(**ALL)
    told = capsys.readouterr().out.splitlines()
    forbidden = "export: not to be passed on, by the terms of Secret Terms 1.0: no sharing at all"
    assert told.count(forbidden) == 1
    assert {path.name for path in out.iterdir()} == {*FORMATS, "roentgen.json"}
    assert read_manifest(out, "export")["formats"] == list(FORMATS)
    dataset = open_dataset(set_to_export)
    for name in FORMATS:
        manifest = read_manifest(out / name, "export")
        assert manifest["licenses"] == dataset.licenses
        source = manifest["provenance"]["made_from"]["dataset"]
        assert source["fingerprint"] == dataset.fingerprint
        counts = manifest["counts"]
        written = sum(split["radiographs"] for split in counts.values())
        assert written + len(excluded(out / name)) == 11
        assert Counter(excluded(out / name).values()) == manifest["excluded"]
        assert any(line.startswith(f"export: {name}: {written} radiographs") for line in told)
        card = (out / name / "README.md").read_text()
        assert "Secret Terms 1.0: must not be passed on. no sharing at all" in card
        assert "synthetic: drawn by the model 0123456789abcdef; none shows a patient" in card
        assert ("1 images are not synthetic" in card) == (name != "dicom")
        assert (out / name / "SET.md").read_bytes() == (set_to_export / "README.md").read_bytes()
    assert not list(out.parent.glob(".*partial"))


def test_what_a_format_cannot_hold_is_listed(exported: Callable[..., Path]) -> None:
    out = exported(**ALL)
    beside = "No Finding stands beside Pleural Effusion"
    assert excluded(out / "folder") == excluded(out / "webdataset") == {}
    assert excluded(out / "mimic_cxr_jpg") == {"patient/5.ä b-0": beside}
    assert excluded(out / "chexpert") == {
        "patient/4.ä b-0": "view unknown: CheXpert's table tells frontal from lateral",
        "patient/5.ä b-0": beside,
    }
    (name, reason), *others = excluded(out / "dicom").items()
    assert name == "patient/10.ä b-0"
    assert reason.startswith("not synthetic")
    assert others == []


def test_the_same_set_gives_the_same_bytes(exported: Callable[..., Path]) -> None:
    out = exported(**ALL)
    first = digests(out)
    shutil.move(out, out.parent / "earlier")
    second = digests(exported(**ALL))
    assert first == second


def test_only_the_splits_asked_for(exported: Callable[..., Path]) -> None:
    out = exported(folder={}, splits=["test", "validate"])
    counts = read_manifest(out / "folder", "export")["counts"]
    assert {name: split["radiographs"] for name, split in counts.items()} == {
        "validate": 2,
        "test": 2,
    }
    assert {path.name for path in (out / "folder").iterdir() if path.is_dir()} == {
        "validation",
        "test",
    }


def test_what_cannot_be_done_is_one_line(
    exported: Callable[..., Path], make_small_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"unknown key dicon; did you mean dicom\?"):
        exported(dicon={})
    with pytest.raises(InputError, match="no format is given: set at least one of folder, web"):
        exported()
    with pytest.raises(InputError, match=r"dicom\.bits is 10, but must be one of: 8, 12"):
        exported(dicom={"bits": 10})
    with pytest.raises(InputError, match=r"chexpert\.quality is 0: it must be .* at most 100"):
        exported(chexpert={"quality": 0})
    with pytest.raises(InputError, match=r"webdataset\.shard_images is 0: it must be at least 1"):
        exported(webdataset={"shard_images": 0})
    with pytest.raises(InputError, match=r"splits\[0\] is valid, but must be one of"):
        exported(folder={}, splits=["valid"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        exported(folder={}, output=str(tmp_path / "full"))
    with pytest.raises(InputError, match="that are not ours"):
        exported(folder={}, output=str(tmp_path / "full"), overwrite=True)
    real = make_small_dataset(tmp_path / "real", train=3, validate=0)
    with pytest.raises(InputError, match="has no split 'test'; it has: train"):
        exported(folder={}, dataset=str(real), splits=["test"])
    with pytest.raises(InputError, match=r"lie in each other: choose another output"):
        exported(folder={}, dataset=str(real), output=str(real), overwrite=True)
    with pytest.raises(InputError, match=r"lie in each other: choose another output"):
        exported(folder={}, dataset=str(real), output=str(real / "out"))
    with pytest.raises(InputError, match="dicom can hold none of the radiographs: not synthetic"):
        exported(folder={}, dicom={}, dataset=str(real))
    assert {path.name for path in tmp_path.iterdir()} == {"full", "real", "export.yaml"}
    assert (tmp_path / "full/mine.txt").read_text() == "mine"


def test_an_export_is_replaced_where_it_is_asked_for(exported: Callable[..., Path]) -> None:
    exported(chexpert={})
    with pytest.raises(InputError, match="is not empty"):
        exported(folder={})
    out = exported(folder={}, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"folder", "roentgen.json"}


@pytest.mark.parametrize("damaged", [0, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_image_is_named(
    exported: Callable[..., Path], set_to_export: Path, tmp_path: Path, name: str, damaged: int
) -> None:
    source = tmp_path / "damaged"
    whole = open_dataset(set_to_export)
    with DatasetWriter(source, licenses=whole.licenses, provenance={}) as writer:
        for number, radiograph in enumerate(whole.split("train")[:4]):
            image = radiograph.image[:90] if number == damaged else radiograph.image
            writer.add(replace(radiograph, image=image))
    with pytest.raises(InputError, match=rf"radiograph 'patient/{damaged}\.ä b-0'.* cannot be dec"):
        exported(dataset=str(source), **{name: {}})
    assert {path.name for path in tmp_path.iterdir()} == {"damaged", "export.yaml"}


def test_memory_does_not_hold_the_images(
    make_small_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    import tracemalloc

    peaks = []
    for images in (40, 400):
        source = make_small_dataset(tmp_path / f"set{images}", train=images, validate=0, size=64)
        config = ExportConfig(
            dataset=source,
            output=tmp_path / f"out{images}",
            **{"webdataset": load(tmp_path, "webdataset"), "folder": load(tmp_path, "folder")},
        )
        tracemalloc.start()
        export(config)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    pixels = 360 * 64 * 64
    assert peaks[1] - peaks[0] < pixels / 2


def load(folder: Path, name: str) -> Any:
    recipe = folder / "recipe.yaml"
    recipe.write_text(json.dumps({"dataset": "a", "output": "b", name: {}}))
    return getattr(load_config(ExportConfig, [str(recipe)]), name)


def test_file_names_are_plain_and_distinct() -> None:
    names = ["a/b", "a_b", "a.b", "a b", "a%2Fb", "\x1f60", "\u1f60", "ä", "", "A" * 101, "a" * 101]
    stems = [file_stem(name) for name in names]
    assert len(set(stems)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_%-]{1,100}", stem) for stem in stems)
    assert file_stem("phantom-1_PA") == "phantom-1_PA"


def test_numbers_never_meet() -> None:
    numbers = Numbers(500, 100)
    mine = [numbers("patient", name) for name in range(100)]
    assert sorted(mine) == list(range(500, 600))
    assert [numbers("patient", name) for name in range(100)] == mine
    with pytest.raises(InputError, match="has numbers for 100 only"):
        numbers("patient", 100)
    # Among many numbers hardly any meet, and then neither order nor company matters.
    forward, backward = Numbers(0, 10**7), Numbers(0, 10**7)
    first = [forward("patient", name) for name in range(1000)]
    second = [backward("patient", name) for name in reversed(range(500, 1000))]
    assert first[500:] == second[::-1]
