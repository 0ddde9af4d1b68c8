"""Refusal of PyPI's `roentgen`, another package with the same import name, beside ours.

The two share `roentgen/__init__.py`: which of them `import roentgen` gives would depend on the
order of installation. Ours is checked here and, should that file be theirs, by `roentgen.errors`,
which all of our modules import. Reading folder names takes a millisecond, importlib.metadata 50.
"""

import sys
from pathlib import Path

_FOLDERS = {Path(__file__).parents[1]} | {
    Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))
}
for _folder in sorted(_FOLDERS):
    for _other in _folder.glob("roentgen-*.dist-info"):  # ours is roentgen_cxr-*
        raise ImportError(
            f"{_other} is another package with our import name, PyPI's 'roentgen' for the physics "
            "of X-rays; only one of them can be installed. To use this one: pip uninstall roentgen,"
            " then pip install --force-reinstall --no-deps roentgen-cxr (or -e . in its checkout)"
        )
