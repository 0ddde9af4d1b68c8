"""Publication: what may be shared is copied with a complete card; the rest is refused in a line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from safetensors.torch import save_file

from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.model_card import write_model_card
from roentgen.errors import InputError
from roentgen.manifest import read_manifest, unstated_license, write_manifest
from roentgen.publish.config import PublishConfig
from roentgen.publish.publication import publish
from roentgen.storage import write_json
from roentgen.verify import verify

ROOT = Path(__file__).parents[3]
OPEN = {"name": "CC-BY-4.0", "data_use": None, "may_share": True}
OWN = {"name": "Hospital terms", "data_use": "Name us.", "may_share": True}
CLOSED = {"name": "DUA 1.5", "data_use": "No sharing.", "may_share": False}
ORIGIN = {
    "program": "train.finetune",
    "config": {"base": "../../home/me/base", "output": "runs/films"},
    "made_from": {"base": {"path": "../../home/me/base"}},
}


@pytest.fixture(scope="module")
def save(
    tmp_path_factory: pytest.TempPathFactory, make_small_components: Callable[..., Components]
) -> Callable[..., Path]:
    def save_with(*licenses: dict[str, Any]) -> Path:
        folder = tmp_path_factory.mktemp("models") / "model"
        save_model(folder, make_small_components(), licenses=licenses, provenance=ORIGIN)
        return folder

    return save_with


@pytest.fixture(scope="module")
def model(save: Callable[..., Path]) -> Path:
    return save(OPEN)


def config_of(folder: Path, output: Path, **settings: Any) -> PublishConfig:
    given = {"repository": "owner/films", "contact": "Me <me@hospital.org>"}
    return PublishConfig(folder=folder, output=output, **{**given, **settings})


def write_results(folder: Path, model: Path, test: str = "phantoms") -> Path:
    """Results of an evaluation of images of a model."""
    fingerprint = read_manifest(model, "model")["fingerprint"]
    sets: dict[str, dict[str, Any]] = {
        "after": {"models": [fingerprint], "fingerprint": "s1"},
        "before": {"models": ["other"], "fingerprint": "s0"},
        "test": {"folder": f"runs/{test}", "split": "test", "kind": "simulated", "patients": 9},
    }
    sources = [{"source": "phantom"}]
    common = {"n": 9, "sampling": ["DDIM, 5 steps, guidance 3"], "sources": sources}
    fid = {"value": 12.25, "low": 11.0, "high": 14.0, "text": "12 (11–14)"}
    values = {"after": fid, "before": fid, "real": {"value": 3.0, "text": "3.0"}}
    unknown = {"after": {"value": None, "text": ""}}
    summary = [
        {"measure": "FID on features", "better": "lower", "values": values},
        {"measure": "KID", "better": "lower", "values": unknown},
    ]
    folder.mkdir()
    results = {
        "main": "after",
        "synthetic": ["before", "after"],
        "sets": {name: common | own for name, own in sets.items()},
        "summary": summary,
    }
    write_json(folder / "results.json", results)
    write_manifest(folder, "results", "r", [OPEN], {})
    return folder


def test_a_model_is_copied_with_a_complete_card(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    text = publish(config_of(model, output))
    assert text.splitlines()[-1].split() == [
        *("hf", "upload", "owner/films", str(output), ".", "--repo-type=model")
    ]
    assert not verify(output).damaged
    assert not verify(output).edited
    before, after = load_components(str(model)), load_components(str(output))
    assert all(
        torch.equal(weight, after.unet.state_dict()[name])
        for name, weight in before.unet.state_dict().items()
    )
    card = ModelCard.load(output / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert "# films\n" in card.content
    assert 'from_pretrained("owner/films")' in card.content
    assert "Me &#60;me@hospital.org&#62;" in card.content
    assert "path/to/this/folder" not in card.content
    assert "home/me" not in card.content
    published = read_manifest(output, "model")
    assert published["fingerprint"] == read_manifest(model, "model")["fingerprint"]
    assert "home/me" not in "".join(path.read_text() for path in output.rglob("*.json"))


def test_the_same_publication_is_made_once(model: Path, tmp_path: Path) -> None:
    config = config_of(model, tmp_path / "out")
    publish(config)
    before = (tmp_path / "out" / "roentgen.json").stat().st_mtime_ns
    (tmp_path / "out" / "README.md").write_text("edited by hand")
    assert publish(config).startswith(f"already made: {tmp_path / 'out'}")
    assert (tmp_path / "out" / "README.md").read_text() == "edited by hand"
    assert (tmp_path / "out" / "roentgen.json").stat().st_mtime_ns == before
    other = replace(config, contact="You, you@hospital.org")
    with pytest.raises(InputError, match="is not empty: choose another, or set overwrite=true"):
        publish(other)
    publish(replace(other, overwrite=True))
    assert "you@hospital.org" in (tmp_path / "out" / "README.md").read_text()


def test_an_edited_card_keeps_its_words(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    card = (folder / "README.md").read_text()
    own = card.replace("tags:\n", "tags:\n- mine\n") + "\n## Ethics\n\nApproved.\n"
    (folder / "README.md").write_text(own.replace("## Sampling", "## How I sample"))
    publish(config_of(folder, tmp_path / "out"))
    published = ModelCard.load(tmp_path / "out" / "README.md")
    assert "mine" in published.data.tags
    assert "## Ethics\n\nApproved.\n" in published.content
    assert "## How I sample" in published.content
    assert "## Sampling" not in published.content


@pytest.mark.parametrize("licenses", [(CLOSED,), (OPEN, CLOSED)])
@pytest.mark.parametrize("settings", [{}, {"repository": None}, {"base_license": "MIT"}])
def test_terms_that_forbid_sharing_are_refused(
    licenses: tuple[dict[str, Any], ...],
    settings: dict[str, Any],
    save: Callable[..., Path],
    tmp_path: Path,
) -> None:
    folder = save(*licenses)
    with pytest.raises(InputError) as error:
        publish(config_of(folder, tmp_path / "out", **settings))
    assert str(error.value) == (
        f"{folder} must not be shared, by the terms of DUA 1.5: No sharing."
    )
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_missing_is_named_at_once(save: Callable[..., Path], tmp_path: Path) -> None:
    folder = save(unstated_license("base model owner/base"))
    bare = PublishConfig(folder=folder, output=tmp_path / "out")
    with pytest.raises(InputError) as error:
        publish(bare)
    for word in ("--repository", "--contact", "--base_license", "as of base model owner/base"):
        assert word in str(error.value)
    publish(config_of(folder, tmp_path / "out", base_license="CreativeML-OpenRAIL-M"))
    data = ModelCard.load(tmp_path / "out" / "README.md").data
    assert data.license == "creativeml-openrail-m"
    assert [terms["name"] for terms in read_manifest(tmp_path / "out", "model")["licenses"]] == [
        "CreativeML-OpenRAIL-M"
    ]


def test_terms_that_the_hub_does_not_know_have_a_file(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    publish(config_of(save(OPEN, OWN), tmp_path / "out"))
    data = ModelCard.load(tmp_path / "out" / "README.md").data
    assert (data.license, data.license_link) == ("other", "LICENSE.md")
    assert "Hospital terms: may be passed on. Name us." in (tmp_path / "out/LICENSE.md").read_text()
    assert verify(tmp_path / "out").damaged == []


@pytest.mark.parametrize("name", ["results", "results/results.json"])
def test_numbers_of_an_evaluation_are_put_in(name: str, model: Path, tmp_path: Path) -> None:
    write_results(tmp_path / "results", model)
    settings = {"evaluation": tmp_path / name, "datasets": ("owner/phantoms",)}
    publish(config_of(model, tmp_path / "out", **settings))
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.datasets == ["owner/phantoms"]
    assert "| FID on features | 12 (11–14) | 3.0 |" in card.content
    assert "9 images (DDIM, 5 steps, guidance 3) against 9 held-out simulated" in card.content
    assert "None is recorded here" not in card.content
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("fid", 12.25)
    assert (result.task_type, result.dataset_type) == ("text-to-image", "phantoms")


def test_the_evaluation_of_another_model_is_refused(
    model: Path, save: Callable[..., Path], tmp_path: Path
) -> None:
    other = Path(shutil.copytree(save(OPEN), tmp_path / "other"))
    manifest = read_manifest(other, "model")
    write_manifest(other, "model", "another", manifest["licenses"], manifest["provenance"])
    results = write_results(tmp_path / "results", model)
    with pytest.raises(InputError, match="no set that is images of this model alone"):
        publish(config_of(other, tmp_path / "out", evaluation=results))
    (results / "results.json").write_text("{}")
    with pytest.raises(InputError, match=r"is damaged: results\.json has 2 bytes"):
        publish(config_of(model, tmp_path / "out", evaluation=results))
    assert not (tmp_path / "out").exists()


def test_damage_is_refused(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"is damaged: .*diffusion_pytorch_model\.safetensors"):
        publish(config_of(folder, tmp_path / "out"))
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")) == ["model"]


def test_an_interrupted_copy_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish(config_of(model, tmp_path / "out"))
    assert [p for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []


def test_files_that_others_added_are_refused(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / "patients.csv").write_text("id")
    with pytest.raises(InputError, match=r"patients\.csv is not one of its files"):
        publish(config_of(folder, tmp_path / "out"))


def test_a_dataset_is_opened_by_all(small_dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    text = publish(config_of(small_dataset, output))
    assert "--repo-type=dataset" in text
    assert verify(output).damaged == []
    ours = open_dataset(output)
    assert ours.fingerprint == open_dataset(small_dataset).fingerprint
    loaded = load_dataset(str(output), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: len(ours.split(split)) for split in ours.splits
    }
    card = DatasetCard.load(output / "README.md")
    assert card.data.pretty_name == "films"
    assert 'load_dataset("owner/films")' in card.content
    assert 'open_dataset(snapshot_download("owner/films", repo_type="dataset"))' in card.content


def test_adapters_need_the_name_of_their_base(tmp_path: Path) -> None:
    folder = tmp_path / "lora"
    folder.mkdir()
    save_file({"a": torch.zeros(1)}, folder / "pytorch_lora_weights.safetensors")
    write_model_card(folder, "adapter", licenses=[OPEN], provenance=ORIGIN)
    write_manifest(folder, "adapter", "a", [OPEN], ORIGIN)
    with pytest.raises(InputError, match="add --base_model=OWNER/NAME"):
        publish(config_of(folder, tmp_path / "out"))
    publish(config_of(folder, tmp_path / "out", base_model="owner/base"))
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.base_model == "owner/base"
    assert 'StableDiffusionPipeline.from_pretrained("owner/base")' in card.content
    assert 'pipeline.load_lora_weights("owner/films")' in card.content
    assert "home/me" not in card.content


@pytest.mark.parametrize("kind", ["results", "run"])
def test_other_folders_are_refused(kind: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write_manifest(tmp_path / "folder", kind, "x", [OPEN], {})
    with pytest.raises(InputError, match=f"is a {kind} folder: give a model, adapter or dataset"):
        publish(config_of(tmp_path / "folder", tmp_path / "out"))


def test_the_program_asks_in_one_line(model: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "roentgen.publish", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    usage = run("--help")
    assert usage.stdout.startswith("usage: python -m roentgen.publish FOLDER [--section.key=value")
    for arguments, line in (
        ((), "error: give one folder (FOLDER [--section.key=value ...]"),
        (("nowhere",), "error: no such folder: nowhere (expected a model, adapter or dataset"),
        ((str(model), "--repository=films"), "error: repository is 'films': give OWNER/NAME"),
        ((str(model), "--repository=me/films"), f"error: the card of {model} needs more: add"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(line)
        assert done.stderr.count("\n") == 1


def test_the_manifest_names_its_publication(model: Path, tmp_path: Path) -> None:
    publish(config_of(model, tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "roentgen.json").read_text())
    assert len(manifest["publication"]) == 16


@pytest.mark.parametrize(
    "name",
    [
        *("owner", "a/b/c", "/n", "o/", "../n", "o/..", "o/.n", "-o/n", "o/n-", "o/a--b", "ö/n"),
        *("o/n.git", "o/" + "n" * 97, "o/a b", "o/n\n"),
    ],
)
@pytest.mark.parametrize("key", ["repository", "base_model", "datasets"])
def test_a_name_that_the_hub_refuses_is_refused(name: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(HFValidationError):
        validate_repo_id(name if "/" in name else "/")  # the hub itself
    given = (name,) if key == "datasets" else name
    with pytest.raises(InputError, match=f"^{key} is .*: give OWNER/NAME"):
        config_of(tmp_path, tmp_path / "out", **{key: given})


@pytest.mark.parametrize("name", ["o/n", "O-1/n.2_x", "a_b/" + "n" * 96])
def test_a_name_that_the_hub_accepts_is_accepted(name: str, tmp_path: Path) -> None:
    validate_repo_id(name)
    config_of(tmp_path, tmp_path / "out", repository=name, base_model=name, datasets=(name,))


@pytest.mark.parametrize("spelling", ["model", "model/", "./x/../model", "link"])
def test_one_folder_has_one_publication_however_it_is_named(
    spelling: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, "model")
    Path("link").symlink_to("model")
    Path("x").mkdir()
    publish(config_of(tmp_path / "model", tmp_path / "model-hub"))
    assert publish(replace(config_of(Path(spelling), tmp_path), output=None)).startswith("already")
    monkeypatch.chdir("model")
    assert publish(replace(config_of(Path(), tmp_path), output=None)).startswith("already made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model", "model-hub", "x"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("output", ["model", ".", "model/inner", "model/vae"])
def test_what_is_published_stays_as_it_is(
    output: str, overwrite: bool, model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    with pytest.raises(InputError, match=r"^(folder .* would be removed|output .* is within)"):
        publish(config_of(folder, tmp_path / output, overwrite=overwrite))
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    assert not verify(folder).damaged


def test_a_card_in_another_encoding_is_refused_in_a_line(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / "README.md").write_bytes("Röntgen".encode("latin-1"))
    with pytest.raises(InputError, match=r"README\.md is not text in UTF-8"):
        publish(config_of(folder, tmp_path / "out"))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_card_edited_on_any_system_keeps_its_header(
    ending: str, mark: str, model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    card = (folder / "README.md").read_text().replace("tags:\n", "tags:\n- mine\n")
    (folder / "README.md").write_bytes((mark + card.replace("\n", ending)).encode())
    publish(config_of(folder, tmp_path / "out"))
    published = ModelCard.load(tmp_path / "out" / "README.md")
    assert published.data.tags[0] == "mine"
    assert published.content.count("\n---\n") == 1
