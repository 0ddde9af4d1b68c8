"""Sampler benchmark: `python -m sample.bench configs/sample/bench.yaml`.

Measures cost and quality of sampler settings, one row each, from the same prompts and noise. Rows
are collected in a hidden folder beside the output, which is written at the end: a killed benchmark
resumes at its current row, and one with extended grids measures only new rows.
"""

from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.diffusion.backbones.model_folder import check_model
from roentgen.errors import run_program
from sample.benchmark.config import BenchConfig


def main() -> None:
    """Read the configuration, measure, and print the table."""
    config = load_config(BenchConfig)
    check_model(config.model)
    check_splits(config.prompts.folder, config.prompts.split, config.floor_split)
    from sample.benchmark.measurement import bench

    bench(config)
    print((config.output / "table.md").read_text(encoding="utf-8"))  # noqa: T201


if __name__ == "__main__":
    run_program(main)
