"""The program that prepares a corpus, from the command line and in process."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roentgen.config import load_config
from roentgen.dataset.dataset import open_dataset
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.prepare import PrepareConfig, prepare

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "../shared/cxr"


def corpus(root: Path, images: int) -> Path:
    """A table of random images, and the configuration file for it."""
    (root / "images").mkdir(parents=True)
    lines = ["image,patient,said,view"]
    for i in range(images):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 24), dtype=np.uint8)
        (root / f"images/{i}.png").write_bytes(encode_png(pixels))
        lines.append(f"images/{i}.png,p{i // 2},{'Effusion;Odd' if i % 2 else 'No Finding'},PA")
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    config = root / "config.yaml"
    config.write_text(f"""
output: {root / "out"}
size: 16
workers: 1
split: {{fractions: {{train: 0.5, validate: 0.0, test: 0.5}}}}
table:
  root: {root}
  file: t.csv
  image: image
  patient_id: patient
  view: view
  findings: said
  meanings: {{No Finding: {{name: No Finding}}, Effusion: {{name: Pleural Effusion}}}}
  licenses: [{{name: CC0-1.0, data_use: null, may_share: true}}]
""")
    return config


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "roentgen.prepare", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_program_writes_a_dataset_and_says_what_it_holds(tmp_path: Path) -> None:
    config = corpus(tmp_path, 30)
    (tmp_path / "images/3.png").write_bytes(b"")
    done = run(str(config), "--max_bad_share=0.1", "--workers=2")
    assert done.returncode == 0, done.stderr
    assert "1: 3.png is empty (0 bytes)" in done.stdout
    assert "  15: finding Odd: no meaning is given" in done.stdout
    assert f"dataset: {tmp_path / 'out'}" in done.stdout
    dataset = open_dataset(tmp_path / "out")
    rows = [row for name in dataset.splits for row in dataset.split(name)]
    assert sorted(row.id for row in rows) == sorted(f"images/{i}" for i in range(30) if i != 3)
    assert dataset.manifest["preparation"] == {"size": 16, "fit": "pad"}
    with (tmp_path / "out/excluded.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["images/3", "3.png is empty (0 bytes)", "no"]]
    with (tmp_path / "out/unmapped.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["finding", "Odd", "15", "no meaning is given"]]
    sheet = decode((tmp_path / "out/contact_sheet.png").read_bytes())
    assert sheet.shape[1] > 5 * 160


def test_sex_and_age_are_in_the_summary(tmp_path: Path) -> None:
    config = corpus(tmp_path, 6)
    table = (tmp_path / "t.csv").read_text().splitlines()
    known = ["sex,years", "F,63", "F,7", "M,20", "F,", ",", ","]
    lines = [f"{line},{cells}" for line, cells in zip(table, known, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    split = ["--split.fractions.train=1.0", "--split.fractions.test=0.0"]
    done = run(str(config), "--table.sex=sex", "--table.age=years", *split)
    assert done.returncode == 0, done.stderr
    known_line = "  sex: F 3, M 1; age: known of 3, 7 to 63 years, median 20; race: not known"
    assert known_line in done.stdout.splitlines()
    counts = open_dataset(tmp_path / "out").manifest["counts"]["train"]
    assert counts["sexes"] == {"F": 3, "M": 1}
    assert counts["ages"] == {"known": 3, "least": 7, "median": 20, "most": 63}


def test_light_is_counted_and_images_of_no_chest_are_excluded(
    tmp_path: Path, make_dicom: Callable[..., bytes]
) -> None:
    config = corpus(tmp_path, 8)
    noise = np.random.default_rng(0).integers(0, 30, (40, 40)).astype(np.uint16)
    halves = np.repeat(np.array([[0, 20]], np.uint16), 8, axis=1).repeat(16, axis=0)
    deep = io.BytesIO()
    Image.fromarray(noise * np.uint16(100)).save(deep, "PNG")
    for name, data in (
        ("1", make_dicom(noise, Modality="CT")),
        ("2", encode_png(noise.astype(np.uint8))),
        ("3", deep.getvalue()),
        ("4", make_dicom(halves, WindowCenter=4, WindowWidth=2)),
        ("5", make_dicom(noise, BodyPartExamined="HAND")),
    ):
        (tmp_path / f"images/{name}.png").write_bytes(data)
    summary = prepare(load_config(PrepareConfig, [str(config), "--max_bad_share=0"]))
    lines = (
        *("1 saturated: ", "1 nearly black: ", "0 look inverted: "),
        *("1 window far from the values: ", "1 gray range measured: "),
    )
    card = (tmp_path / "out/README.md").read_text()
    for line in lines:
        assert f"\n  {line}" in summary
        assert f"\n- {line}" in card
    with (tmp_path / "out/excluded.csv").open(newline="") as file:
        assert sorted(list(csv.reader(file))[1:]) == [
            [f"images/{n}", f"{n}.png: is no chest radiograph: its {reason}", "yes"]
            for n, reason in ((1, "Modality is CT"), (5, "BodyPartExamined is HAND"))
        ]
    again = [str(config), f"--output={tmp_path / 'all'}", "--table.chest_only=false"]
    assert "excluded: 0 " in prepare(load_config(PrepareConfig, again))
    known = [str(config), f"--output={tmp_path / 'known'}", "--table.white=65535"]
    assert "0 gray range measured" in prepare(load_config(PrepareConfig, known))


def test_result_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    config = corpus(tmp_path, 50)
    orders = []
    for workers in (1, 3):
        out = tmp_path / str(workers)
        prepare(
            load_config(PrepareConfig, [str(config), f"--output={out}", f"--workers={workers}"])
        )
        dataset = open_dataset(out)
        orders.append([row for name in dataset.splits for row in dataset.split(name)])
    assert orders[0] == orders[1]


def test_the_order_of_rows_is_part_of_the_identity(tmp_path: Path) -> None:
    """What is cached by fingerprint and row number must not pass to the same rows reversed."""
    config = corpus(tmp_path, 50)
    table = tmp_path / "t.csv"
    heading, *rows = table.read_text().splitlines()
    found = {}
    for name, lines in (("a", rows), ("same", rows), ("reversed", rows[::-1])):
        table.write_text("\n".join([heading, *lines]) + "\n")
        prepare(load_config(PrepareConfig, [str(config), f"--output={tmp_path / name}"]))
        found[name] = open_dataset(tmp_path / name)
    ids = {name: dataset.split("train").ids() for name, dataset in found.items()}
    assert ids["reversed"] == ids["a"][::-1]
    assert found["same"].fingerprint == found["a"].fingerprint
    assert found["reversed"].fingerprint != found["a"].fingerprint


def test_the_contact_sheet_is_full_also_where_many_are_excluded(tmp_path: Path) -> None:
    config = corpus(tmp_path, 60)
    for i in range(40):
        (tmp_path / f"images/{i}.png").write_bytes(b"")
    prepare(load_config(PrepareConfig, [str(config), "--max_bad_share=0.9"]))
    sheet = decode((tmp_path / "out/contact_sheet.png").read_bytes())
    shown = [np.zeros((16, 16), np.uint8)] * 20
    assert sheet.shape == contact_sheet(shown, ["PA: pleural effusion"] * 20).shape


def test_too_many_bad_images_end_the_run(tmp_path: Path) -> None:
    config = corpus(tmp_path, 20)
    for i in (4, 5, 6):
        (tmp_path / f"images/{i}.png").unlink()
    (tmp_path / "images/7.png").write_bytes((tmp_path / "images/7.png").read_bytes()[:90])
    whole = [str(config), "--table.complete=true"]
    with pytest.raises(InputError, match=r"of 20 items are bad, more than max_bad_share=0\.1; the"):
        prepare(load_config(PrepareConfig, [*whole, "--max_bad_share=0.1"]))
    assert not list(tmp_path.glob("*out*"))
    prepare(load_config(PrepareConfig, [*whole, "--max_bad_share=0.2"]))
    excluded = open_dataset(tmp_path / "out").manifest["excluded"]
    assert sum(excluded.values()) == 4
    assert any("7.png cannot be decoded" in reason for reason in excluded)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--sise=16", "unknown key sise; did you mean size?"),
        ("--table.veiw=view", "did you mean table.view?"),
        ("--table.view=ViewPosition", "t.csv has no column 'ViewPosition'"),
        ("--table.meanings.Odd={name: Oddity}", "table.meanings.Odd.name is Oddity"),
        ("--table.views.PA=UP", "table.views.PA is UP"),
        ("--table=null", "give exactly one corpus section"),
        ("--split=null", "split is missing"),
        ("--size=0", "size is 0"),
        ("--max_bad_share=2", "max_bad_share is 2"),
    ],
)
def test_mistakes_are_told_before_any_work(tmp_path: Path, override: str, message: str) -> None:
    config = corpus(tmp_path, 2)
    with pytest.raises(InputError) as caught:
        prepare(load_config(PrepareConfig, [str(config), override]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*out*"))


def test_existing_output_is_told_first_in_one_line(tmp_path: Path) -> None:
    config = corpus(tmp_path, 4)
    prepare(load_config(PrepareConfig, [str(config)]))
    done = run(str(config), "--seed=1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: output folder")
    assert done.stderr.count("\n") == 1


def test_a_table_without_rows_is_told(tmp_path: Path) -> None:
    config = corpus(tmp_path, 0)
    with pytest.raises(InputError, match="'out' would be empty"):
        prepare(load_config(PrepareConfig, [str(config)]))


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
@pytest.mark.parametrize(
    ("name", "images", "rows"),
    [("open_radiographs", "films", 393), ("open_radiographs_64", "films64", 746)],
)
def test_open_radiographs_are_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, images: str, rows: int
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = [f"configs/data/{name}.yaml", f"--output={tmp_path / name}", "--workers=1"]
    arguments.append(f"--table.root={SHARED / images}")
    if name == "open_radiographs":
        arguments.append(f"--table.masks.root={SHARED / 'masks'}")
    prepare(load_config(PrepareConfig, arguments))
    dataset = open_dataset(tmp_path / name)
    splits = [dataset.split(split) for split in dataset.splits]
    assert [split.name for split in splits] == ["train", "validate", "test"]
    assert sum(map(len, splits)) == rows
    assert len(splits[2]) > 100
    assert not splits[0].patients() & splits[2].patients()
    known = {item["name"] for item in dataset.licenses}
    assert {row.license for split in splits for row in split.without_images()} <= known
