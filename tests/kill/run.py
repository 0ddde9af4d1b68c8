"""The harness as a program: `python tests/kill/run.py FOLDER [PROGRAM ...]`; see `harness`.

Other distributions install a package `tests`, which would hide this one.
"""

import runpy
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]

if __name__ == "__main__":
    ours = ModuleType("tests")
    ours.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = ours
    sys.path[0] = str(ROOT)
    runpy.run_module("tests.kill.harness", run_name="__main__")
