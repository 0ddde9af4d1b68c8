"""Post-hoc EMA of any width: `python -m train.average CONFIG.yaml --run=RUN`.

The snapshots that a run with ema.posthoc wrote into its `averages` (see train.optim.ema)
are combined into the average of the requested width and saved as a pipeline folder.
"""

from roentgen.config import load_config
from roentgen.errors import run_program
from roentgen.manifest import is_made, read_manifest
from train.config import AverageConfig


def main() -> None:
    """Read the configuration and average."""
    config = load_config(AverageConfig)
    if is_made("train.average", config, config.output):
        return
    read_manifest(config.run, "run")
    from train.averaging import average

    average(config)


if __name__ == "__main__":
    run_program(main)
