"""Training that cannot succeed for want of reports ends before the base model is looked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.state import AcceleratorState

from roentgen.config import load_config
from roentgen.errors import InputError
from train.config import FinetuneConfig
from train.finetuning import finetune


@pytest.fixture(scope="module")
def without_reports(
    tmp_path_factory: pytest.TempPathFactory, write_drawn: Callable[..., Path]
) -> Path:
    """A dataset of findings alone."""
    return write_drawn(tmp_path_factory.mktemp("drawn") / "set", {"train": 8, "validate": 4}, 0)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"data": {"filter": {"preset": "roentgen"}}, "prompt": {"text": "impression"}},
            "data.filter.preset roentgen needs reports, but no radiograph of split 'train'",
        ),
        ({"prompt": {"text": "report_findings"}}, "prompts of report_findings need reports"),
        (
            {"styles": [{"style": {"text": "findings"}}, {"style": {"text": "entities"}}]},
            "prompts of entities need reports",
        ),
    ],
)
def test_prompts_that_need_reports_are_refused_at_once(
    tmp_path: Path, without_reports: Path, changes: dict[str, Any], told: str, dry_run: bool
) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = {
        "base": str(tmp_path / "no model"),
        "output": str(tmp_path / "run"),
        "steps": 2,
        "batch_size": 4,
        "dry_run": dry_run,
        **changes,
    }
    settings["data"] = {"folder": str(without_reports), **changes.get("data", {})}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(InputError, match=f"^{told}.*configs/data/mimic_cxr_jpg.yaml"):
        finetune(load_config(FinetuneConfig, [str(path)]))
    assert not (tmp_path / "run").exists()


def test_a_held_out_split_needs_reports_too(
    tmp_path: Path, small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    seen: list[str] = []

    def check(dataset: object, split: Any, *_: object) -> None:
        seen.append(split.name)

    monkeypatch.setattr("train.checks.check_prompt_sources", check)
    settings = {"base": "none", "output": str(tmp_path / "run"), "steps": 2, "batch_size": 4}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**settings, "data": {"folder": str(small_dataset)}}))
    with pytest.raises(InputError, match="base model 'none' not found"):
        finetune(load_config(FinetuneConfig, [str(path)]))
    assert seen == ["train", "validate"]
