"""What recipes need from the internet, and how it is fetched."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from roentgen.errors import InputError
from roentgen.fetch import __main__ as program
from roentgen.fetch.needs import needs_of
from roentgen.fetch.published import CORPORA, WEIGHT_FILES, pipeline
from roentgen.preparation.config import PrepareConfig

ROOT = Path(__file__).parents[3]
RECIPES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/**/*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_that_a_recipe_names_is_known(recipe: str) -> None:
    """Against the recipe's text: names of the hub, and weights that are files."""
    settings = [line for line in (ROOT / recipe).read_text().splitlines() if line[:1] != "#"]
    text = "\n".join(line.partition(" #")[0] for line in settings)
    named = set(re.findall(r"hf-hub:([\w./-]+)", text))
    named |= set(re.findall(r"^base: (?!runs/)([\w.-]+/[\w.-]+)", text, re.MULTILINE))
    needs = needs_of(str(ROOT / recipe))
    assert named <= needs.models.keys()
    for model in needs.models.values():
        assert model.license != "see its page"
        assert model.size != "unknown size"
    weights = set(re.findall(r"weights/(\w+)\.safetensors", text))
    assert weights <= needs.files.keys() == needs.files.keys() & WEIGHT_FILES.keys()
    sections = set(re.findall(r"^(\w+):", text, re.MULTILINE)) & CORPORA.keys()
    assert needs.corpora.keys() == sections
    assert needs.header or "Needs:" not in (ROOT / recipe).read_text()


def test_recipes_that_fine_tune_pin_their_base() -> None:
    for recipe in RECIPES:
        for model in needs_of(str(ROOT / recipe)).models.values():
            if not model.files:
                assert model.revision is not None
                assert re.fullmatch("[0-9a-f]{40}", model.revision), recipe


def test_each_corpus_of_prepare_is_known_or_needs_no_download() -> None:
    made_here = {"phantom", "table", "image_folder"}
    fields = PrepareConfig.__dataclass_fields__
    assert CORPORA.keys() == {name for name in fields if name in CORPORA}
    readers = {name for name in fields if (ROOT / f"configs/data/{name}.yaml").exists()}
    assert readers <= CORPORA.keys() | made_here


def test_a_name_is_a_recipe_a_repository_or_an_extractor() -> None:
    assert needs_of("rad-dino").models.keys() == {"microsoft/rad-dino"}
    assert needs_of("hf-hub:microsoft/rad-dino").models.keys() == {"microsoft/rad-dino"}
    assert needs_of("xrv").files.keys() == {"xrv"}
    assert needs_of("owner/name@v2").models == {"owner/name": pipeline("owner/name", "v2")}
    assert not needs_of("tiny").models
    for name in ("runs/demo", "nonsense", "../x"):
        with pytest.raises(InputError, match="is neither a recipe"):
            needs_of(name)
    with pytest.raises(InputError, match="no such config file"):
        needs_of("configs/none.yaml")


def test_only_the_files_that_are_read_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    files = ["unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin"]
    files += ["unet/diffusion_pytorch_model.fp16.safetensors", "vae/config.json"]
    files += ["v1-5-pruned.safetensors", "safety_checker/model.safetensors"]
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda name, revision: files)
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **options: calls.append((name, options))
    )
    program.fetch(pipeline("owner/name", "v2"), tmp_path)
    ((name, options),) = calls
    assert (name, options["revision"]) == ("owner/name", "v2")
    assert options["cache_dir"] == tmp_path / "hub"  # of HF_HOME
    patterns = options["allow_patterns"]
    assert [name for name in files if name in patterns] == files[:1]
    assert "vae/*.json" in patterns
    assert not any("safety_checker" in pattern for pattern in patterns)


def test_without_internet_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    (model,) = needs_of("rad-dino").models.values()
    with pytest.raises(InputError, match=r"rad-dino cannot be fetched .*: it needs internet") as e:
        program.fetch(model, tmp_path)
    assert "\n" not in str(e.value)


def test_a_place_that_cannot_be_written_is_named_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["fetch", "rad-dino", f"--to={tmp_path / 'file'}"])
    with pytest.raises(InputError, match="file cannot be created or written: Not a directory"):
        program.main()


def test_the_program_fetches_nothing_without_a_folder() -> None:
    command = [sys.executable, "-m", "roentgen.fetch", "configs/data/mimic_cxr_jpg.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "wget -r -N -c -np -nH --cut-dirs=3 -P data/mimic-cxr-jpg/2.1.0 --user" in done.stdout
    done = subprocess.run([*command[:3], "xrv/"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: 'xrv/' is neither")
    assert len(done.stderr.splitlines()) == 1
