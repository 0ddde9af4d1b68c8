"""The notebook runs from its first cell to its last, on few phantoms and with little training."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == 10
    settings, few = code[0], "STUDIES, STEPS, IMAGES = 40, 4, 12"
    small = re.sub(r"^STUDIES.*$", few, settings.source, flags=re.MULTILINE)
    small = small.replace('"runs/quickstart"', repr(str(tmp_path / "run")))
    assert small.count(str(tmp_path)) == 1
    settings.source = small
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in code for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    texts = [output["data"].get("text/markdown", "") for output in outputs if "data" in output]
    assert any(text.startswith("- **") for text in texts)
    assert (tmp_path / "run" / "report" / "report.html").exists()
