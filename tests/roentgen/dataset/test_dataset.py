"""The dataset on disk: round trip, `datasets` alone, uniqueness, wholeness, scale."""

import csv
import errno
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from roentgen.dataset import dataset, schema
from roentgen.dataset.dataset import DatasetWriter, check_patients_disjoint, open_dataset
from roentgen.dataset.finalize import finalize_dataset
from roentgen.dataset.shards import RadiographCounts, ShardWriter
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.manifest import License
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report, Split, Synthesis
from roentgen.record.statement import Evidence, Extent, Span, Statement

# With every field set, and with none.
CONTEXT = (
    ContextValue(name="temperature", value=38.6, unit="C", minutes_before=40.0),
    ContextValue(name="intubated", value=1.0, imputed=True, probability=0.8),
)
STATEMENTS = (
    Statement(
        finding="loculated pleural effusion",
        state="uncertain",
        probability=0.1 + 0.2,
        extents=(Extent("left", "small", ("lower lobe", "basal")), Extent("right", "large")),
        size_mm=1 / 3,
        change="decreased",
        evidence=Evidence("impression", 3, 12, (Span("cue", 3, 5), Span("finding", 7, 12))),
        source="rules 2 (en)",
    ),
    Statement(finding="edema", evidence=Evidence("findings", 0, 0)),
    Statement(finding="心影", state="stable", probability=0, source="MIMIC-CXR_graphs.json"),
)
CC0 = License(name="CC0-1.0", data_use=None, may_share=True)


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)


def radiograph(number: int, split: Split = "train", **changes: Any) -> Radiograph:
    plain = Radiograph(
        id=f"r{number}",
        patient_id=f"p{number}",
        study_id=f"s{number}",
        split=split,
        image=encode_png(pixels(number)),
        source="drawn",
        license="CC0-1.0",
    )
    return replace(plain, **changes)


def full(number: int, split: Split = "train") -> Radiograph:
    """A radiograph with every field set."""
    return radiograph(
        number,
        split,
        view="PA",
        findings=(
            Finding(name="Pleural Effusion", side="left", severity="small"),
            Finding(name="Lung Lesion", state="uncertain", detail="nodule"),
            Finding(name="Pneumothorax", state="absent"),
        ),
        statements=STATEMENTS,
        report=Report(findings="Kein Erguß.", impression="“No” effusion"),
        masks={"lungs": encode_png(pixels(1)), "heart": encode_png(pixels(2))},
        age=63.5,
        sex="F",
        context=CONTEXT,
        synthesis=Synthesis(
            prompt="effusion",
            negative_prompt=None,
            seed=2**62 + 1,
            guidance_scale=7.5,
            steps=50,
            scheduler="ddim",
            model="0123456789abcdef",
            from_radiograph="r7",
            from_patient="p7",
        ),
    )


def write(folder: Path, radiographs: list[Radiograph], **options: Any) -> Path:
    with DatasetWriter(folder, licenses=[CC0], provenance={"program": "test"}, **options) as writer:
        for item in radiographs:
            writer.add(item)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    given = [full(0), radiograph(1), full(2), radiograph(3, "test"), full(4, "test")]
    dataset = open_dataset(write(tmp_path / "d", given, shard_rows=2))
    assert dataset.splits == ("train", "test")
    train, test = dataset.split("train"), dataset.split("test")
    assert list(train) == given[:3]
    assert [test[0], test[-1]] == given[3:]
    assert train[1:] == given[1:3]
    with pytest.raises(IndexError):
        train[3]
    assert np.array_equal(train.images([2, 0])[0], pixels(2))
    cheap = list(train.without_images())
    assert cheap == [replace(item, image=b"", masks={}) for item in given[:3]]
    assert train.patients() == {"p0", "p1", "p2"}
    assert pickle.loads(pickle.dumps(train))[2] == given[2]  # noqa: S301 (as workers do)


def test_every_field_of_a_statement_is_in_the_fingerprint() -> None:
    first, *others = STATEMENTS
    evidence = first.evidence
    assert evidence is not None
    changes: list[dict[str, Any]] = [
        {"finding": "edema"},
        {"state": "present"},
        {"probability": 0.3},
        {"extents": (replace(first.extents[0], places=("basal", "lower lobe")), first.extents[1])},
        {"size_mm": 0.3},
        {"change": None},
        {"evidence": replace(evidence, words=evidence.words[:1])},
        {"source": ""},
    ]
    assert {name for change in changes for name in change} == {*asdict(first)}
    variants = [STATEMENTS, others, *((replace(first, **change), *others) for change in changes)]
    digests = {schema.digest(radiograph(0, statements=tuple(own))) for own in (*variants, ())}
    assert len(digests) == len(variants) + 1
    assert schema.to_row(radiograph(0))["statements"] is None  # as where the column is lacking


def test_the_fingerprint_is_of_the_order_but_not_of_the_shards(tmp_path: Path) -> None:
    rows = [full(0), radiograph(1), radiograph(2), full(3), radiograph(4, "test")]

    def fingerprint(name: str, radiographs: list[Radiograph], shard_rows: int) -> str:
        return open_dataset(write(tmp_path / name, radiographs, shard_rows=shard_rows)).fingerprint

    whole = fingerprint("whole", rows, 100)
    assert [fingerprint(f"by {n}", rows, n) for n in (1, 2, 3)] == [whole] * 3
    assert fingerprint("splits interleaved", [rows[4], *rows[:4]], 2) == whole
    swapped = fingerprint("swapped", [rows[1], rows[0], *rows[2:]], 100)
    moved = fingerprint("moved", [*rows[:4], radiograph(4)], 100)
    assert len({whole, swapped, moved, fingerprint("fewer", rows[1:], 100)}) == 4


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", [radiograph(0), radiograph(1, image=b"no picture")])
    with pytest.raises(InputError, match=r"radiograph 'r1' of .*cannot be decoded"):
        open_dataset(folder).split("train").images([0, 1])


def test_held_images_are_decoded_once_within_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {encode_png(pixels(n)): n for n in range(3)}
    decoded: list[int] = []

    def count(image: bytes) -> np.ndarray:
        decoded.append(stored[image])
        return pixels(stored[image])

    monkeypatch.setattr(dataset, "decode", count)
    radiographs = [radiograph(n, image=image) for image, n in stored.items()]
    train = open_dataset(write(tmp_path / "d", radiographs)).split("train")
    train.hold_images(room=2 * 64)  # two images of 8x8
    for _ in range(2):
        images = train.images([2, 0, -2, 2])
        np.testing.assert_array_equal(images, [pixels(n) for n in (2, 0, 1, 2)])
    assert decoded == [2, 0, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        images[0][0, 0] = 1


def test_sets_from_before_synthesis_named_its_origin_are_read() -> None:
    place = schema.SCHEMA.get_field_index("synthesis")
    fields = list(schema.SCHEMA.field(place).type)
    older = schema.SCHEMA.set(place, pa.field("synthesis", pa.struct(fields[:-2])))
    assert schema.is_readable(schema.SCHEMA)
    assert schema.is_readable(older)
    row = schema.to_row(full(0))
    del row["synthesis"]["from_radiograph"], row["synthesis"]["from_patient"]
    made = schema.from_row(row).synthesis
    assert made is not None
    assert made.from_patient is None
    strange = pa.struct([*fields, pa.field("mood", pa.string())])
    assert not schema.is_readable(schema.SCHEMA.set(place, pa.field("synthesis", strange)))
    unknown = pa.field("mood", pa.string())
    for other in (schema.SCHEMA.remove(0), schema.SCHEMA.append(unknown)):
        assert not schema.is_readable(other)


@pytest.mark.parametrize(
    "name", ["view", "age", "findings", "statements", "masks", "boxes", "context", "report"]
)
def test_a_column_that_older_sets_lack_is_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given, empty = full(0), radiograph(0)
    newer = schema.SCHEMA
    with monkeypatch.context() as older:
        older.setattr(schema, "SCHEMA", newer.remove(newer.get_field_index(name)))
        folder = write(tmp_path / "d", [given])
    split = open_dataset(folder).split("train")
    expected = replace(given, **{name: getattr(empty, name)})
    assert list(split) == [expected]
    assert list(split.without_images()) == [replace(expected, image=b"", masks={})]
    assert split.records(np.array([0])) == [replace(expected, image=b"", masks={})]
    assert split.column(name).to_pylist() == [None]


@pytest.mark.parametrize("name", ["age", "sex"])
def test_a_null_column_does_not_change_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A dataset that is prepared again once the record has a new column is still the same."""
    null, known = radiograph(0), full(0)
    with_column = schema.digest(null), schema.digest(known)
    newer = schema.SCHEMA
    monkeypatch.setattr(schema, "SCHEMA", newer.remove(newer.get_field_index(name)))
    assert schema.digest(null) == with_column[0]
    assert schema.digest(known) != with_column[1]


def test_datasets_alone_opens_it(tmp_path: Path) -> None:
    write(tmp_path / "d", [full(0), radiograph(1), radiograph(2, "test")], shard_rows=1)
    code = """
import sys, json, datasets
d = datasets.load_from_disk(sys.argv[1])
assert not [name for name in sys.modules if name.startswith("roentgen")]
a, b = d["train"]
print(json.dumps({
    "rows": [len(d["train"]), len(d["test"])],
    "image": list(a["image"].getdata()), "mode": a["image"].mode,
    "masks": {m["structure"]: list(m["image"].getdata()) for m in a["masks"]},
    "findings": a["findings"], "report": a["report"], "age": a["age"],
    "seed": a["synthesis"]["seed"], "empty": [b["report"], b["view"], b["findings"], b["masks"]],
}))
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "d")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment | {"HF_HUB_OFFLINE": "1"},
    )
    seen = json.loads(done.stdout)
    assert seen["rows"] == [2, 1]
    assert seen["mode"] == "L"
    assert seen["image"] == pixels(0).ravel().tolist()
    assert seen["masks"]["heart"] == pixels(2).ravel().tolist()
    assert seen["findings"][1]["detail"] == "nodule"
    assert seen["report"]["findings"] == "Kein Erguß."
    assert seen["age"] == 63.5
    assert seen["seed"] == 2**62 + 1
    assert seen["empty"] == [None, None, [], []]


def test_fingerprint_is_of_contents_only(tmp_path: Path) -> None:
    given = [full(i) for i in range(5)]
    one = open_dataset(write(tmp_path / "one", given))
    many = open_dataset(write(tmp_path / "many", given, shard_rows=2))
    assert len(list((tmp_path / "many/train").glob("*.arrow"))) == 3
    assert one.fingerprint == many.fingerprint
    others: list[dict[str, Any]] = [
        {"image": encode_png(pixels(99))},
        {"view": "AP"},
        {"findings": ()},
        {"masks": {"lungs": encode_png(pixels(1))}},
        {"report": None},
        {"id": "else"},
    ]
    found = {one.fingerprint}
    for number, change in enumerate(others):
        changed = [*given[:4], replace(given[4], **change)]
        found.add(open_dataset(write(tmp_path / str(number), changed)).fingerprint)
    assert len(found) == 1 + len(others)


def test_manifest_card_and_excluded_say_what_it_holds(tmp_path: Path) -> None:
    terms = License(name="PhysioNet", data_use="Credentialed users only.", may_share=False)
    with DatasetWriter(
        tmp_path / "d",
        licenses=[CC0, terms],
        provenance={},
        preparation={"size": 8, "fit": "pad"},
    ) as writer:
        for item in (full(0), full(1), radiograph(2, "test")):
            writer.add(item)
        writer.exclude("x", "is empty")
        writer.exclude("y, z", "is empty")
    dataset = open_dataset(tmp_path / "d")
    assert dataset.manifest["preparation"] == {"size": 8, "fit": "pad"}
    assert dataset.manifest["excluded"] == {"is empty": 2}
    train = dataset.manifest["counts"]["train"]
    assert train["radiographs"] == 2
    assert train["views"] == {"PA": 2}
    assert train["findings"]["Pneumothorax"] == {"absent": 2}
    assert train["statements"] == {"": 2, "MIMIC-CXR_graphs.json": 2, "rules 2 (en)": 2}
    assert train["masks"] == {"heart": 2, "lungs": 2}
    assert [item["may_share"] for item in dataset.licenses] == [True, False]
    with (tmp_path / "d/excluded.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["x", "is empty", "no"], ["y, z", "is empty", "no"]]
    card = (tmp_path / "d/README.md").read_text()
    assert "PhysioNet: must not be passed on. Credentialed users only." in card
    assert "| Pleural Effusion, present | 2 | 0 |" in card
    assert "| MIMIC-CXR_graphs.json | 2 | 0 |" in card


def test_sex_age_and_race_are_counted_where_known(tmp_path: Path) -> None:
    known: list[dict[str, Any]] = [
        {"sex": "F", "age": 63.9, "race": "white"},
        {"sex": "F", "age": 7.0, "race": None},
        {"sex": "M", "age": 20.0, "race": "white"},
        {"sex": "M", "age": 41.0, "race": "asian"},
        {"sex": "F", "age": None, "race": None},
        {"sex": None, "age": None, "race": "black"},
    ]
    items = [replace(radiograph(k), **values) for k, values in enumerate(known)]
    unknown = replace(radiograph(9, "test"), sex=None, age=None, race=None)
    dataset = open_dataset(write(tmp_path / "d", [*items, unknown]))
    train, test = (dataset.manifest["counts"][split] for split in ("train", "test"))
    assert train["sexes"] == {"F": 3, "M": 2}
    assert train["races"] == {"asian": 1, "black": 1, "white": 2}
    # In whole years 7, 20, 41 and 63.
    assert train["ages"] == {"known": 4, "least": 7, "median": 30.5, "most": 63}
    assert test["sexes"] == test["ages"] == test["races"] == {}
    card = (tmp_path / "d/README.md").read_text()
    for line in ("F | 3 | 0", "white | 2 | 0", "median | 30.5 | –", "known | 4 | –"):
        assert f"| {line} |" in card


def test_counts_of_patients_add_up_over_shards_and_records() -> None:
    counts = [RadiographCounts(), RadiographCounts()]
    for k, age in enumerate((63.2, 7.0, 7.9)):
        counts[k % 2].add(replace(radiograph(k), sex="F", age=age, race="white"))
    total = RadiographCounts.from_json(json.loads(json.dumps((counts[0] + counts[1]).to_json())))
    assert (total.sexes, total.races) == ({"F": 3}, {"white": 3})
    assert total.ages == {63: 1, 7: 2}


def test_what_must_be_unique_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two radiographs have the id 'r1'"):
        write(tmp_path / "d", [radiograph(1), radiograph(1)])
    crossing = [radiograph(1), radiograph(2, "test", patient_id="p1")]
    with pytest.raises(InputError, match="patient 'p1' is in both train and test"):
        write(tmp_path / "d", crossing)
    with pytest.raises(InputError, match="unknown split 'val'"):
        write(tmp_path / "d", [radiograph(1, "val")])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'p7' and 1 more is in both real and synthetic"):
        check_patients_disjoint(["p7", "p8", "p9"], ["p9", "p7"], ("real", "synthetic"))
    check_patients_disjoint(["a"], ["b"], ("real", "synthetic"))
    assert not list(tmp_path.iterdir())


def test_empty_or_absent_things_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="'d' would be empty; the most frequent reason: broken"),
        DatasetWriter(tmp_path / "d", licenses=[CC0], provenance={}) as writer,
    ):
        writer.exclude("x", "broken")
    assert not list(tmp_path.iterdir())
    write(tmp_path / "d", [radiograph(1), radiograph(2), radiograph(3, "test")])
    with pytest.raises(InputError, match=r"no split 'validate'; it has: train \(2\), test \(1\)"):
        open_dataset(tmp_path / "d").split("validate")
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")


def test_an_existing_folder_is_kept_unless_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", [radiograph(1)])
    with pytest.raises(InputError, match="overwrite"):
        write(folder, [radiograph(2)])
    assert open_dataset(folder).split("train")[0].id == "r1"
    write(folder, [radiograph(2)], overwrite=True)
    assert open_dataset(folder).split("train")[0].id == "r2"
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_cut_shard_is_told(tmp_path: Path, kept: float) -> None:
    folder = write(tmp_path / "d", [radiograph(i) for i in range(300)])
    shard = folder / "train/data-00000.arrow"
    data = shard.read_bytes()
    shard.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=r"damaged: train/data-00000.arrow has \d+ bytes, not"):
        open_dataset(folder)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", [radiograph(1)])
    (folder / "train/data-00000.arrow").unlink()
    with pytest.raises(InputError, match=r"damaged: train/data-00000.arrow is missing"):
        open_dataset(folder)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    calls = 0

    def refuse(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "d", [radiograph(i) for i in range(4)], shard_rows=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_shard_on_a_full_disk_is_not_taken_for_whole(tmp_path: Path) -> None:
    (tmp_path / ".data.arrow.part").symlink_to("/dev/full")

    def write_shard() -> None:
        with ShardWriter(tmp_path / "data.arrow") as shard:
            for number in range(200):
                shard.add(radiograph(number))

    with pytest.raises(OSError, match="No space left"):
        write_shard()
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_no_dataset(tmp_path: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[2])
import test_dataset as t
from pathlib import Path
with t.DatasetWriter(Path(sys.argv[1]), licenses=[t.CC0], provenance={}, shard_rows=5) as w:
    for i in range(10**6):
        w.add(t.radiograph(i))
        if i == 20:
            print("going", flush=True)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "d"), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "d").exists()
    assert {path.name for path in tmp_path.iterdir()} == {".d.partial", ".d.lock"}
    with pytest.raises(InputError, match="not a finished dataset"):
        open_dataset(tmp_path / ".d.partial")
    assert len(open_dataset(write(tmp_path / "d", [radiograph(1)])).split("train")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_400_000_radiographs_open_at_once(tmp_path: Path) -> None:
    rows, copies = 4000, 100
    folder = tmp_path / "d"
    (folder / "train").mkdir(parents=True)
    with ShardWriter(folder / "train/data-00000.arrow") as writer:
        for i in range(rows):
            writer.add(radiograph(i))
    shards = [writer.shard(f"train/data-{i:05d}.arrow") for i in range(copies)]
    for shard in shards[1:]:
        os.link(writer.path, folder / shard.index.file)
    finalize_dataset(
        folder,
        name="d",
        shards={"train": shards},
        excluded={},
        licenses=[asdict(CC0)],
        provenance={},
        preparation=None,
        patients={"train": rows},
    )

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    allocated = pa.total_allocated_bytes()
    start = time.perf_counter()
    train = open_dataset(folder).split("train")
    chosen = np.random.default_rng(0).integers(0, len(train), 1000)
    ids = [train[int(i)].id for i in chosen]
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3  # MB
    opening = time.perf_counter()
    open_dataset(folder).split("train")
    opening = time.perf_counter() - opening
    print(f"opened {len(train)} in {opening:.2f} s; and read 1000: {seconds:.2f} s, {grown:.0f} MB")
    assert len(train) == 400_000
    assert ids == [f"r{i % rows}" for i in chosen]
    assert opening < 2
    assert seconds < 5
    assert grown < 300  # pages of mapped files count, though the system may drop them
    assert pa.total_allocated_bytes() - allocated < 5e6
