"""PyPI's `roentgen` has our import name: installed beside ours, it is refused in one clear line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import ignore_patterns

import pytest

ROOT = Path(__file__).parents[2]


def last_line(program: str, path: Path) -> str:
    """The last line of errors of a program that finds packages in `path`."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(path)},
        cwd=path,
    )
    return done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    ("module", "theirs"),
    [("roentgen", False), ("roentgen.config", False), ("roentgen.prepare", True)],
    ids=["ours came last", "a module of it", "theirs came last"],
)
def test_installed_beside_the_other_package(tmp_path: Path, module: str, theirs: bool) -> None:
    place = tmp_path / "site-packages"
    shutil.copytree(ROOT / "roentgen", place / "roentgen", ignore=ignore_patterns("*.safetensors"))
    (place / "roentgen_cxr-0.1.0.dist-info").mkdir()
    assert last_line(f"import {module}", place) == ""
    (place / "roentgen-2.4.0.dist-info").mkdir()
    if theirs:
        (place / "roentgen" / "__init__.py").write_text("elements = {}\n")
    message = last_line(f"import {module}", place)
    assert message.startswith(f"ImportError: {place}/roentgen-2.4.0.dist-info is another package")
    assert "pip uninstall roentgen, then pip install" in message


def test_a_checkout_beside_the_other_package(tmp_path: Path) -> None:
    place = tmp_path / "site-packages"
    (place / "roentgen-2.4.0.dist-info").mkdir(parents=True)
    message = last_line(f"import sys; sys.path.insert(0, {str(ROOT)!r}); import roentgen", place)
    assert "roentgen-2.4.0.dist-info is another package" in message
