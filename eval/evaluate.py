"""Compare synthetic sets with a real one: `python -m eval.evaluate configs/eval/demo.yaml`.

Writes results.json with every number, tables/ as CSV and LaTeX, and report.html, one
self-contained page. Under `accelerate launch` the processes share feature extraction and the
training of networks.
"""

from eval.config import EvaluateConfig
from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.errors import run_program
from roentgen.manifest import is_made


def main() -> None:
    """Read the configuration, evaluate, and print the main numbers."""
    config = load_config(EvaluateConfig)
    if is_made("eval.evaluate", config, config.output):
        return
    for part in (config.reference.train, config.reference.test):
        check_splits(part.folder, part.split)
    for folder in config.synthetic.values():
        check_splits(folder)
    from eval.evaluation import run

    run(config)


if __name__ == "__main__":
    run_program(main)
