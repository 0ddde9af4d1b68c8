"""Installation: what is declared is used, what is used is declared, what `make` installs."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_dependency_rule import FILES, PACKAGES, ROOT, imports, tree_of

TESTS = sorted((ROOT / "tests").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Another library imports them by a name that our code gives it.
BY_NAME = {"gguf": "transformers", "tensorboard": "accelerate", "xformers": "diffusers"}
# A test that needs it is skipped without it: it clashes with newer versions of what we need.
NOT_DECLARED = {"cleanfid"}


def plain(name: str) -> str:
    """A distribution's name without what may be spelled in several ways."""
    return re.sub(r"[-_.]+", "", name).lower()


def declared(requirements: Iterable[str]) -> set[str]:
    return {plain(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}


def imported(files: Iterable[Path]) -> set[str]:
    """The distributions of other people's packages that files import, also inside functions."""
    modules = {name.split(".")[0] for path in files for name in imports(tree_of(path))}
    modules -= {*PACKAGES, "tests", *sys.stdlib_module_names} | NOT_DECLARED
    of = packages_distributions()
    return {plain(of.get(module, [module])[0]) for module in modules}


def named(files: Iterable[Path]) -> set[str]:
    """The texts in files that are a name of BY_NAME."""
    nodes = (node for path in files for node in ast.walk(tree_of(path)))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    return {name for name in BY_NAME if name in texts}


def test_each_runtime_dependency_is_used() -> None:
    used = imported(FILES) | named(FILES)
    assert declared(PROJECT["dependencies"]) - used == set()
    for extra in EXTRAS.keys() - {"test", "docs"}:
        assert declared(EXTRAS[extra]) - used == set(), extra


def test_each_import_is_of_a_declared_dependency() -> None:
    runtime = declared(PROJECT["dependencies"])
    optional = declared(name for extra in EXTRAS.values() for name in extra)
    extras = ("bitsandbytes", "deepspeed", "llm", "spanish", "vae")
    ours = declared(name for extra in extras for name in EXTRAS[extra]) - BY_NAME.keys()
    assert imported(FILES) - runtime == ours
    assert imported(TESTS) - runtime - optional == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("target", "extras"),
    [("demo", []), ("demo-masks", []), ("test", ["test", "docs"]), ("docs", ["docs"])],
)
def test_a_target_installs_what_it_needs_alone(
    tmp_path: Path, target: str, extras: list[str]
) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", "--dry-run", target, f"PYTHON={sys.executable}"]
    steps = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    installs = [line.split("--editable ")[1] for line in steps.splitlines() if "--editable" in line]
    assert installs == [".", *(f"'.[{extra}]'" for extra in extras)]
