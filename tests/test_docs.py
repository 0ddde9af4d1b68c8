"""Documentation: commands parse, Python runs, links resolve, names exist, the tree is true."""

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from roentgen.config import load_config
from roentgen.fetch.needs import needs_of
from roentgen.preparation.config import READERS
from roentgen.prepare import PrepareConfig, prepare
from roentgen.publish.config import PublishConfig

ROOT = Path(__file__).parents[1]
PACKAGES = ("roentgen", "train", "sample", "eval")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
PROGRAMS = (
    *("roentgen.prepare", "roentgen.annotate"),
    *("train.finetune", "train.controlnet", "train.average", "train.autoencoder"),
    *("sample.generate", "sample.screen", "sample.export", "sample.bench", "sample.mask_sheet"),
    *("eval.evaluate", "eval.reconstruction", "eval.labeler", "eval.train_extractor"),
)
README_BYTES = 8192
PICTURE_BYTES = 150_000
# Endings of file names, which are no names of modules.
FILES = {"csv", "json", "jsonl", "md", "html", "png", "parquet", "yaml", "safetensors", "arrow"}
FOREIGN = {"datasets", "diffusers", "torch", "transformers"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def test_readme_is_short() -> None:
    assert len(read("README.md").encode()) <= README_BYTES


def test_pictures_are_small() -> None:
    pictures = [p for p in (ROOT / "docs").rglob("*") if p.suffix in (".png", ".jpg", ".svg")]
    assert pictures
    assert {p.name: p.stat().st_size for p in pictures if p.stat().st_size > PICTURE_BYTES} == {}


# Commands


def commands(text: str) -> Iterator[list[str]]:
    """The commands of the bash blocks, as words."""
    for block in blocks(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if words:
                    yield words


@cache
def config_of(program: str) -> type:
    """The configuration class of a program: the one argument of its `load_config` call."""
    module = importlib.import_module(program)
    if hasattr(module, "__path__"):  # a package that is run
        module = importlib.import_module(f"{program}.__main__")
    assert module.__file__ is not None
    calls = [
        node
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "load_config"
        and len(node.args) == 1
    ]
    assert len(calls) == 1, f"{program} has {len(calls)} calls of load_config"
    return getattr(module, ast.unparse(calls[0].args[0]))  # type: ignore[no-any-return]


def check_program(words: list[str]) -> None:
    """A program of ours with its arguments: a recipe and overrides that load."""
    program, *arguments = words
    if program == "roentgen.verify":  # which takes a folder
        assert len(arguments) == 1
        return
    if program == "roentgen.publish":  # which takes one too, and overrides
        load_config(PublishConfig, arguments, argument="folder")
        return
    if program == "roentgen.fetch":
        assert needs_of(arguments[0])
        assert not arguments[1:] or arguments[1].startswith("--to=")
        return
    assert program in PROGRAMS, f"no program {program}"
    if arguments == ["--help"]:
        return
    recipe = arguments[0]
    assert recipe.startswith("configs/"), f"{recipe} is no recipe"
    load_config(config_of(program), [str(ROOT / recipe), *arguments[1:]])


def check_command(words: list[str]) -> None:
    """Raises AssertionError or InputError for a command that would not start."""
    name = Path(words[0]).name
    match name:
        case "make":
            targets = re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE)
            assert {w for w in words[1:] if "=" not in w} <= set(targets), words
        case "python" | "python3":
            assert words[1] == "-m", words
            check_module(words[2:])
        case "accelerate" | "torchrun":
            at = words.index("-m")
            flags = words[1:at]
            for flag, value in pairwise(flags):
                assert flag != "--config_file" or (ROOT / value).is_file(), value
            check_program(words[at + 1 :])
        case "sbatch":
            assert (ROOT / words[1]).is_file(), words
            check_program(["train.finetune", *words[2:]])
        case "pip" | "pre-commit":
            check_module([name, *words[1:]])
        case "git" | "cd" | "source" | "export":
            pass
        case "apptainer" | "docker":
            recipes = [word for word in words if word.startswith("containers/")]
            assert all((ROOT / recipe).is_file() for recipe in recipes), words
            assert recipes or "roentgen" in words or "roentgen.sif" in words, words
            if "run" in words:
                check_program([word for word in words if not word.startswith("-")][-2:])
        case _:
            raise AssertionError(f"unknown command: {' '.join(words)}")


def check_module(words: list[str]) -> None:
    match words[0]:
        case "pytest":
            for path in (word for word in words[1:] if word.startswith("tests/")):
                assert (ROOT / path.split("::")[0]).exists(), path
        case "pip":
            known = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
            for extras in re.findall(r"\[([a-z0-9,]+)\]", " ".join(words)):
                assert set(extras.split(",")) <= set(known), extras
        case "venv" | "mkdocs" | "pre-commit" | "http.server":
            pass
        case _:
            check_program(words)


@pytest.mark.parametrize("name", NAMES)
def test_commands_parse(name: str) -> None:
    for words in commands(read(name)):
        check_command(words)


def test_the_check_sees_wrong_commands() -> None:
    recipe = "configs/train/demo.yaml"
    check_command(["python", "-m", "train.finetune", recipe, "--steps=3"])
    for wrong in (
        ["make", "nothing"],
        ["python", "-m", "train.nothing", recipe],
        ["python", "-m", "train.finetune", "configs/train/nothing.yaml"],
        ["python", "-m", "train.finetune", recipe, "--nothing=3"],
        ["accelerate", "launch", "--config_file", "no.yaml", "-m", "train.finetune", recipe],
        ["curl", "https://example.org"],
        ["pip", "install", "roentgen-cxr[nothing]"],
    ):
        with pytest.raises((AssertionError, ValueError)):
            check_command(wrong)


# Links


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    text = prose(page.read_text(encoding="utf-8"))
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        found = file.exists() and file.is_relative_to(ROOT)
        if found and anchor:
            found = anchor in headings(file.read_text(encoding="utf-8"))
        if not found:
            dead.append(target)
    assert dead == []


def test_the_site_links_only_to_its_own_pages() -> None:
    """mkdocs copies docs/ alone: a link out of it would be dead on the site."""
    for page in (ROOT / "docs").rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose(page.read_text("utf-8"))):
            if not target.startswith(("https://", "mailto:")):
                assert (page.parent / target).resolve().is_relative_to(ROOT / "docs"), target


# Names in the text


def setting_paths(cls: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted path of a configuration class, also below optional and repeated sections."""
    kinds = get_type_hints(cls)
    for field in fields(cls):
        yield f"{prefix}{field.name}"
        for section in sections_in(kinds[field.name]):
            yield from setting_paths(section, f"{prefix}{field.name}.")


def sections_in(kind: Any) -> Iterator[Any]:
    if is_dataclass(kind):
        yield kind
    for inner in get_args(kind):
        yield from sections_in(inner)


@cache
def settings() -> frozenset[str]:
    return frozenset(path for program in PROGRAMS for path in setting_paths(config_of(program)))


def is_name(dotted: str) -> bool:
    """Whether a dotted name is a module of ours or an attribute of one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            if not hasattr(value, name):
                return False
            value = getattr(value, name)
        return True
    return False


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_text_exist(name: str) -> None:
    """Paths, modules and settings that the text names in code are those of today."""
    wrong = []
    for code in re.findall(r"`([^`\n]+)`", prose(read(name))):
        if re.fullmatch(rf"({'|'.join((*PACKAGES, 'configs', 'tests', 'docs'))})/[\w./*-]*", code):
            if not list(ROOT.glob(code.rstrip("/"))):
                wrong.append(code)
        elif re.fullmatch(r"[a-z_]+(\.\w+)+", code):
            if code in settings() or Path(code).suffix[1:] in FILES:
                continue
            if code.split(".")[0] in PACKAGES and is_name(code):
                continue
            if code.endswith(".py") and any(list((ROOT / p).rglob(code)) for p in PACKAGES):
                continue
            if code.split(".")[0] in FOREIGN:
                continue
            wrong.append(code)
        elif setting := re.fullmatch(r"([a-z_.]+): .+", code):
            known = {path.rpartition(".")[2] for path in settings()} | settings()
            if setting[1] not in known:
                wrong.append(code)
    assert wrong == []


# The tree


def tree_entries(text: str) -> dict[str, str]:
    """Each file of the tree with its phrase."""
    (block,) = blocks(text, "text")
    folders: list[str] = []
    found = {}
    for line in block.splitlines():
        entry = re.fullmatch(r"( *)([\w./-]+)(?: {2,}(.+))?", line)
        assert entry, f"not a line of a tree: {line!r}"
        depth = len(entry[1]) // 2
        folders = [*folders[:depth], entry[2].rstrip("/")]
        if not entry[2].endswith("/"):
            found["/".join(folders)] = entry[3] or ""
    return found


def test_the_tree_is_that_of_the_files() -> None:
    listed = tree_entries(read("docs/architecture.md"))
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    modules = {path for path in listed if path.endswith(".py") and path.split("/")[0] in PACKAGES}
    readers = {f"{reader.__module__.replace('.', '/')}.py" for reader in READERS.values()}
    missing, gone = sorted(files - modules - readers), sorted(modules - files)
    assert (missing, gone) == ([], [])
    assert [path for path in listed if not (ROOT / path).exists()] == []
    assert [path for path, phrase in listed.items() if not phrase] == []


def test_every_corpus_is_listed() -> None:
    table = read("docs/data.md")
    names = [name for name in READERS if name != "table"]
    assert [name for name in names if f"configs/data/{name}.yaml" not in table] == []


# Python


@pytest.mark.parametrize("name", NAMES)
def test_python_compiles_and_its_imports_exist(name: str) -> None:
    for block in blocks(read(name), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)


def test_the_python_of_the_readme_runs(small_model: Path, tmp_path: Path) -> None:
    """The example that follows `make demo`, with a small model in place of the demo's."""
    (tmp_path / "runs/demo/finetune").mkdir(parents=True)
    (tmp_path / "runs/demo/finetune/model").symlink_to(small_model)
    (script,) = blocks(read("README.md"), "python")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cardiomegaly, small left pleural effusion") == 2


# The site


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/python-api/index.html").read_text(encoding="utf-8")
    assert "float32 (1, H, W) in [-1, 1]" in page  # from a docstring


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "roentgen", source / "roentgen", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True)
    (built,) = folder.glob("roentgen_cxr-*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_is_the_library_alone(wheel: Path) -> None:
    names = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"roentgen"}
    files = {path for path in (ROOT / "roentgen").rglob("*") if path.is_file()}
    wanted = {path.relative_to(ROOT) for path in files if path.parent.name != "__pycache__"}
    assert {path for path in wanted if not (wheel / path).exists()} == set()


def test_the_python_api_works_from_the_wheel(
    wheel: Path, small_model: Path, tmp_path: Path
) -> None:
    """The page's code, from top to bottom, with small inputs and no checkout."""
    for seed, name in ((1, "phantoms"), (2, "synthetic")):
        overrides = [f"--output={tmp_path}/runs/demo/{name}", f"--seed={seed}", "--size=64"]
        overrides += ["--phantom.train=4", "--phantom.validate=1", "--phantom.test=1"]
        prepare(load_config(PrepareConfig, [str(ROOT / "configs/data/demo.yaml"), *overrides]))
    (tmp_path / "runs/demo/finetune").mkdir()
    (tmp_path / "runs/demo/finetune/model").symlink_to(small_model)
    script = "\n".join(blocks(read("docs/python-api.md"), "python"))
    script += f"\nimport roentgen\nassert roentgen.__file__.startswith({str(wheel)!r})\n"
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for expected in ("Pleural Effusion present left small", "torch.Size([4, 2, 64, 64])"):
        assert expected in done.stdout
    assert len(list(tmp_path.glob("synthetic-*.png"))) == 2
