import json
from pathlib import Path

import pytest
from accelerate import Accelerator

from train.config import FinetuneConfig
from train.config_sections import DataConfig
from train.monitor.metrics_log import MetricsLog


def settings(folder: Path) -> FinetuneConfig:
    return FinetuneConfig(
        base="tiny",
        data=DataConfig(folder=folder),
        output=folder,
        steps=3,
        batch_size=1,
        tracker=None,
    )


@pytest.mark.parametrize("torn", ["", '{"step": 3, "lo'])
def test_a_resumed_log_drops_later_steps_and_a_torn_line(tmp_path: Path, torn: str) -> None:
    lines = "".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in (1, 2, 3))
    (tmp_path / "metrics.jsonl").write_text(lines + torn)
    log = MetricsLog(settings(tmp_path), Accelerator(cpu=True), step=2)
    log.write(3, {"train": {"loss": 0.5}})
    found = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in found] == [(1, 1.0), (2, 1.0), (3, 0.5)]
