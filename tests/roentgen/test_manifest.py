import errno
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy
import pytest

import roentgen.manifest
from roentgen.checksums import read_checksums
from roentgen.dataset.dataset import DatasetWriter
from roentgen.errors import InputError
from roentgen.manifest import (
    License,
    check_unchanged,
    fingerprint_of,
    fingerprint_of_files,
    inherit_licenses,
    is_made,
    provenance,
    read_manifest,
    write_manifest,
)
from roentgen.storage import (
    CARD,
    CHECKSUMS,
    MANIFEST,
    atomic_folder,
    check_free_space,
    check_output,
    check_writable,
    reserve_output,
    write_file,
    write_json,
)

FREE = License(name="CC-BY-4.0", data_use=None, may_share=True)
CLOSED = License(name="PhysioNet", data_use="credentialed use only", may_share=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def finished(folder: Path, **extra: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, "dataset", "0123456789abcdef", [FREE], {"program": "test"}, **extra)
    return folder


# --- files and folders


def test_json_is_written_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"ü": [1, 2.5, None]})
    write_json(path, {"ü": [1, 2.5, None, "new"]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ü": [1, 2.5, None, "new"]}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, object()])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(path, value)
    assert path.read_text() == "1\n"
    assert names(tmp_path) == ["a.json"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_file(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        write_file(path, b"new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "out"
    with atomic_folder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("a")
        assert not target.exists()
        assert folder.parent == target.parent  # the same disk, so that renaming is atomic
    assert (target / "sub" / "a").read_text() == "a"
    assert names(target.parent) == ["out"]


def write_and_fail(target: Path, error: type[BaseException], overwrite: bool = False) -> None:
    with atomic_folder(target, overwrite) as folder:
        finished(folder)
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        write_and_fail(tmp_path / "out", error)
    assert names(tmp_path) == []


def test_an_existing_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    target = finished(tmp_path / "out")
    worked = False
    with pytest.raises(InputError, match="overwrite=true") as error, atomic_folder(target):
        worked = True
    assert str(target) in str(error.value)
    assert not worked
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as folder:
        finished(folder)
    assert names(tmp_path / "out") == [CHECKSUMS, MANIFEST]
    assert names(tmp_path) == ["out"]


def test_overwriting_replaces_everything_and_a_failure_nothing(tmp_path: Path) -> None:
    target = finished(tmp_path / "out")
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError):
        write_and_fail(target, RuntimeError, overwrite=True)
    assert names(target) == [CHECKSUMS, "old", MANIFEST]
    with atomic_folder(target, overwrite=True) as folder:
        finished(folder)
    assert names(target) == [CHECKSUMS, MANIFEST]
    assert names(tmp_path) == ["out"]


def test_a_failed_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = finished(tmp_path / "out")
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "broken disk")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    monkeypatch.setattr("roentgen.storage._exchange", lambda a, b: False)
    with pytest.raises(OSError, match="broken disk"), atomic_folder(target, overwrite=True):
        pass
    assert names(target) == [CHECKSUMS, MANIFEST]
    assert names(tmp_path) == ["out"]


def test_a_folder_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not empty"), atomic_folder(tmp_path / "out"):
        finished(tmp_path / "out", made="by another run")
    assert read_manifest(tmp_path / "out", "dataset")["made"] == "by another run"
    assert names(tmp_path) == ["out"]


def test_a_strangers_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(InputError, match="not written by this project"):
        check_output(tmp_path, overwrite=True)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        check_output(tmp_path / "file", overwrite=True)
    below_a_file = atomic_folder(tmp_path / "file" / "out")
    with pytest.raises(InputError, match="cannot be created"), below_a_file:
        pass


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path / "not" / "yet")
    assert names(tmp_path / "not") == []
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(InputError, match=rf"folder {folder} cannot be created or written: "):
            check_writable(folder)

    def fail(number: int) -> None:
        def temporary(**_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("tempfile.TemporaryFile", temporary)

    fail(errno.EROFS)
    with pytest.raises(InputError, match="Read-only file system"):
        check_writable(tmp_path)
    fail(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        check_writable(tmp_path)


def test_too_little_space_is_told_in_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check_free_space(tmp_path / "not" / "yet", 1_500_000_000)
    with pytest.raises(InputError, match=r"1\.50 GB free, but 2\.00 GB") as error:
        check_free_space(tmp_path / "not" / "yet", 2_000_000_000)
    assert "not/yet" in str(error.value)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=999))
    for needed, words in (
        (1000, r"999 bytes free, but 1\.00 kB are"),
        (5_250_000, r"but 5\.25 MB"),
        (2 * 10**12, r"but 2000\.00 GB"),
    ):
        with pytest.raises(InputError, match=words):
            check_free_space(tmp_path, needed)


@pytest.mark.parametrize("place", [".", "..", "/", "./", "inner/.."])
def test_the_current_folder_is_never_an_output(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="is the current folder or holds it"):
        check_output(Path(place), overwrite=True)
    check_output(Path("inner"), overwrite=False)
    check_output(Path("../other"), overwrite=False)


def test_a_link_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / MANIFEST).write_text("{}")
    for name, target in (("link", tmp_path / "real"), ("dangling", tmp_path / "gone")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(InputError, match=f"{name} is a link.*give the folder {target} itself"):
            check_output(tmp_path / name, overwrite=True)
    check_output(tmp_path / "real", overwrite=True)


def test_free_space_is_looked_up_where_the_folder_will_be(tmp_path: Path) -> None:
    check_free_space(tmp_path / "not" / "yet", 1)
    check_free_space(Path("not/yet"), 1)


# --- manifests


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    folder = finished(tmp_path / "data", counts={"train": 3})
    found = read_manifest(folder, "dataset")
    assert read_checksums(folder, found.pop("checksums")) == {}
    assert found == {
        "kind": "dataset",
        "fingerprint": "0123456789abcdef",
        "licenses": [{"name": "CC-BY-4.0", "data_use": None, "may_share": True}],
        "provenance": {"program": "test"},
        "counts": {"train": 3},
        "path": str(folder),
    }


def test_an_absent_or_unfinished_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such folder: .*nope .*dataset"):
        read_manifest(tmp_path / "nope", "dataset")
    with pytest.raises(InputError, match="not a finished model folder"):
        read_manifest(tmp_path, "model")


def test_another_kind_says_what_was_expected_and_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a dataset folder, but a model folder is expected"):
        read_manifest(finished(tmp_path / "data"), "model")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kind": "dataset"}', "\x00\x01"])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError, match=r"roentgen\.json is damaged"):
        read_manifest(tmp_path, "dataset")


def test_every_change_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    path = finished(tmp_path / "data") / MANIFEST
    whole = path.read_bytes()
    changed = [whole[:length] for length in range(len(whole))]
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytes([whole[place] ^ 1 << bit])
            changed.append(whole[:place] + flipped + whole[place + 1 :])
    changed += [whole + b" ", whole.replace(b"CC-BY-4.0", b"CC-BY-3.0"), whole.replace(b"\n", b"")]
    for data in changed:
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"roentgen\.json is damaged or was edited"):
            read_manifest(path.parent, "dataset")
    path.write_bytes(whole)
    assert read_manifest(path.parent, "dataset")["fingerprint"] == "0123456789abcdef"


def test_a_folder_that_changed_since_its_manifest_was_read_is_named(tmp_path: Path) -> None:
    a, b = (read_manifest(finished(tmp_path / name), "dataset") for name in "ab")
    check_unchanged(a, b)
    write_manifest(tmp_path / "b", "dataset", "fedcba9876543210", [FREE], {})
    with pytest.raises(InputError, match=r"/b changed .* was 0123456789abcdef, then fedcba98"):
        check_unchanged(a, b)
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(InputError, match=r"/b changed .* no such folder"):
        check_unchanged(a, b)


def test_a_folder_without_a_manifest_of_ours_is_not_compared(tmp_path: Path) -> None:
    plain = {"kind": "model", "fingerprint": "0123456789abcdef", "path": str(tmp_path / "model")}
    check_unchanged(plain)  # a diffusers folder, with which a set was drawn


@pytest.mark.parametrize(
    ("licenses", "told"),
    [
        ([], "no license is given: name the terms"),
        ([{"name": "CC0-1.0"}], "a license has name, data_use and may_share"),
        ([{"name": "CC0-1.0", "data_use": None, "may_share": True, "x": 1}], "a license has name"),
    ],
)
def test_no_folder_is_written_without_the_terms_of_its_content(
    licenses: list[dict[str, Any]], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        write_manifest(tmp_path, "model", "0", licenses, {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=told):
        DatasetWriter(tmp_path / "set", licenses=licenses, provenance={})


def test_licenses_are_inherited_once_each_in_order(tmp_path: Path) -> None:
    def manifest(name: str, *licenses: License) -> dict[str, Any]:
        folder = tmp_path / name
        folder.mkdir()
        write_manifest(folder, "dataset", "0", licenses, {})
        return read_manifest(folder, "dataset")

    a, b = manifest("a", FREE), manifest("b", CLOSED, FREE)
    inherited = inherit_licenses(a, b, a)
    assert [License(**item) for item in inherited] == [FREE, CLOSED]
    assert inherit_licenses() == []


# --- provenance


@dataclass(frozen=True, kw_only=True)
class Config:
    output: Path
    seed: int = 3


def test_provenance_says_how_and_from_what(tmp_path: Path) -> None:
    data = read_manifest(finished(tmp_path / "data"), "dataset")
    made = provenance("test.program", Config(output=tmp_path), {"reference": data})
    assert made["program"] == "test.program"
    assert made["config"] == {"output": os.path.relpath(tmp_path), "seed": 3}
    assert made["seed"] == 3
    assert made["versions"]["numpy"] == numpy.__version__
    assert made["made_from"] == {
        "reference": {
            "kind": "dataset",
            "fingerprint": "0123456789abcdef",
            "path": os.path.relpath(tmp_path / "data"),
        }
    }
    assert json.loads(json.dumps(made)) == made
    assert "seed" not in provenance("test.program", {}, {})


def test_the_commit_is_gits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "roentgen").mkdir()
    code = tmp_path / "roentgen" / "runs.py"
    code.write_text("")
    monkeypatch.setattr(roentgen.manifest, "__file__", str(code))

    def commit() -> object:
        return provenance("test.program", {}, {})["commit"]

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert commit() is None  # no repository
    git("init", "--quiet")
    assert commit() is None  # no commit yet
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    assert commit() == git("rev-parse", "HEAD")
    code.write_text("changed")
    assert commit() == git("rev-parse", "HEAD") + "-dirty"
    monkeypatch.setenv("PATH", "")
    assert commit() is None  # no git


# --- fingerprints


def test_golden_fingerprints() -> None:
    # printf '{"a":[1,null],"b":"\\u00fc"}' | sha256sum
    assert fingerprint_of({"b": "ü", "a": [1, None]}) == "e0cdee824cd756c7"
    assert fingerprint_of({"a": [1, None], "b": "ü"}) == "e0cdee824cd756c7"


def test_a_fingerprint_tells_values_apart() -> None:
    values: list[object] = [0, 1, "1", [1], None, {}, [], {"a": 1}, {"a": 2}, {"b": 1}, 1.5]
    assert len({fingerprint_of(value) for value in values}) == len(values)


def test_files_are_known_by_content_and_relative_name(tmp_path: Path) -> None:
    def tree(root: str, **content: str) -> list[Path]:
        paths = []
        for name, text in content.items():
            path = tmp_path / root / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            paths.append(path)
        return paths

    a = tree("a", unet__config="1", vae__config="2")
    assert fingerprint_of_files(a) == fingerprint_of_files(a[::-1])
    assert fingerprint_of_files(a) == fingerprint_of_files(
        tree("elsewhere", unet__config="1", vae__config="2")
    )
    others = [
        tree("swapped", unet__config="2", vae__config="1"),
        tree("renamed", unet__config="1", text__config="2"),
        tree("fewer", unet__config="1"),
        [],
    ]
    assert len({fingerprint_of_files(paths) for paths in [a, *others]}) == 5


# --- jobs that are run again


@dataclass(frozen=True, kw_only=True)
class Sampling:
    steps: int = 2


@dataclass(frozen=True, kw_only=True)
class Job:
    source: Path
    table: Path
    output: Path
    text: str = "no file " * 1000
    sampling: Sampling = Sampling()
    sets: dict[str, Path] = field(default_factory=dict)
    split: str = "train"
    workers: int = 1
    overwrite: bool = False
    dry_run: bool = False
    resume: bool = False


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A finished job: its output has a manifest."""
    (tmp_path / "table.csv").write_text("a,b")
    finished(tmp_path / "source")
    job = Job(source=tmp_path / "source", table=tmp_path / "table.csv", output=tmp_path / "output")
    origin = provenance("make", job, {"source": read_manifest(job.source, "dataset")})
    job.output.mkdir()
    write_manifest(job.output, "dataset", "1", [FREE], origin | {"corpus": "2"})
    return job


def test_a_finished_job_is_not_done_again(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_made("make", job, job.output)
    line = f"already made: {job.output} (same configuration and inputs); "
    assert capsys.readouterr().out == f"{line}overwrite=true makes it again\n"
    assert is_made("make", replace(job, workers=2, resume=True), job.output, corpus="2")


def test_a_job_is_done_that_is_not_finished(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_made("make", replace(job, overwrite=True), job.output)
    assert not is_made("make", replace(job, dry_run=True), job.output)
    assert not is_made("make", replace(job, resume=True, text="other"), job.output)
    assert not is_made("make", job, tmp_path / "other")
    assert not is_made("another program", job, job.output)
    (job.output / MANIFEST).unlink()
    assert not is_made("make", job, job.output)
    assert capsys.readouterr().out == ""


def test_what_differs_from_the_finished_job_is_named(job: Job, tmp_path: Path) -> None:
    def differs(now: Job, what: str, **facts: str) -> None:
        with pytest.raises(InputError, match=rf"output is not empty: .*\({what}\); choose another"):
            is_made("make", now, job.output, **facts)

    changed = replace(job, sampling=Sampling(steps=3))
    differs(changed, "sampling.steps: 2 -> 3")
    differs(replace(changed, text="short"), "sampling.steps: 2 -> 3 and 1 more")
    differs(job, "corpus: 2 -> 3", corpus="3")
    job.table.write_text("a,c")
    differs(job, r"files.table: \w+ -> \w+")
    job.table.unlink()
    assert is_made("make", job, job.output)  # of a file that is gone nothing is known
    shutil.rmtree(job.source)
    write_manifest(finished(tmp_path / "source"), "dataset", "new", [FREE], {})
    differs(job, "inputs.source: 0123456789abcdef -> new")
    shutil.rmtree(job.source)
    assert is_made("make", job, job.output)


@pytest.mark.parametrize("spelling", ["{}/", "{}/.", "{}/../source", "link", "table/../source"])
def test_a_path_is_the_same_however_it_is_spelled(
    spelling: str, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a text, such as that of a model, which is no `Path`."""
    (job.output.parent / "link").symlink_to(job.source)
    (job.output.parent / "table").mkdir()
    monkeypatch.chdir(job.output.parent)
    same = spelling.format(job.source)
    origin = provenance("make", replace(job, text="source"), {})
    write_manifest(job.output, "dataset", "1", [FREE], origin)
    assert is_made("make", replace(job, text=same, source=Path(same)), job.output)
    (job.output.parent / "other").mkdir()
    with pytest.raises(InputError, match="text: source -> other"):
        is_made("make", replace(job, text="other"), job.output)
    with pytest.raises(InputError, match="text: source -> none"):
        is_made("make", replace(job, text="none"), job.output)


def test_a_users_own_names_are_no_settings_of_how_a_job_runs(job: Job) -> None:
    """Such as the name of a set: a set called "output" is compared like any other."""
    write_manifest(
        job.output,
        "dataset",
        "1",
        [FREE],
        provenance("make", replace(job, sets={"output": Path("a"), "device": Path("b")}), {}),
    )
    with pytest.raises(InputError, match=r"sets\.output: a -> c"):
        is_made("make", replace(job, sets={"output": Path("c"), "device": Path("b")}), job.output)
    with pytest.raises(InputError, match=r"sets\.device: b -> None"):
        is_made("make", replace(job, sets={"output": Path("a")}), job.output)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_finished_job_whose_files_are_damaged_is_not_made(job: Job, damage: str) -> None:
    (job.output / "images").write_bytes(b"1234")
    (job.output / CARD).write_text("card")
    origin = provenance("make", job, {"source": read_manifest(job.source, "dataset")})
    write_manifest(job.output, "dataset", "1", [FREE], origin)
    (job.output / CARD).write_text("an edited card")
    assert is_made("make", job, job.output)
    (job.output / "images").unlink() if damage == "missing" else os.truncate(
        job.output / "images", 2
    )
    with pytest.raises(InputError, match=r"output was made, but is damaged: images .*overwrite"):
        is_made("make", job, job.output)
    assert not is_made("make", replace(job, resume=True), job.output)  # which writes it again


@pytest.mark.parametrize("key", ["source", "table", "text", "sets"])
def test_overwriting_removes_no_input(job: Job, key: str) -> None:
    value: Any = job.output / "inner" / ".." / "x"
    named = {"text": str(value), "sets": {"a": value}}.get(key, value)
    now = replace(job, overwrite=True, **{key: named})
    name = "sets.a" if key == "sets" else key
    with pytest.raises(InputError, match=rf"^{name} .*x would be removed with output .*output, "):
        is_made("make", now, job.output)
    link = job.output.with_name("link")
    link.symlink_to(job.output)
    with pytest.raises(InputError, match=r"^source .*link would be removed"):
        is_made("make", replace(job, overwrite=True, source=link), job.output)


def test_what_lies_beside_the_output_or_is_no_path_may_be_overwritten(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(job.output.parent)
    now = replace(job, overwrite=True, output=Path("train"), text="", table=Path("train.csv"))
    assert not is_made("make", now, now.output)  # "train" is a split's name too


def test_nothing_is_written_into_a_finished_folder(tmp_path: Path) -> None:
    data = finished(tmp_path / "data")
    for output in (data / "out", data / "deep" / "out.png", data / "x" / ".." / "out"):
        with pytest.raises(InputError, match=r"output .*out.* is within .*data, which is finished"):
            reserve_output(output).__enter__()
    assert names(data) == [CHECKSUMS, MANIFEST]
    with reserve_output(data):  # itself, to be replaced
        pass
    (tmp_path / "run").mkdir()
    write_manifest(tmp_path / "run", "run", "1", [FREE], {})
    with reserve_output(tmp_path / "run" / "model"):  # a run grows
        pass
