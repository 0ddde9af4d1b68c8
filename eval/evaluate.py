"""Compare synthetic sets with a real one: `python -m eval.evaluate configs/eval/demo.yaml`.

Writes results.json with every number, tables/ as CSV and LaTeX, and report.html, one
self-contained page. Under `accelerate launch` the processes share feature extraction and the
training of networks.
"""

from eval.config import EvaluateConfig
from roentgen.config import load_config
from roentgen.errors import run_program
from roentgen.manifest import is_made, read_manifest


def main() -> None:
    """Read the configuration, evaluate, and print the main numbers."""
    config = load_config(EvaluateConfig)
    if is_made("eval.evaluate", config, config.output):
        return
    reference = config.reference
    for folder in (reference.train.folder, reference.test.folder, *config.synthetic.values()):
        read_manifest(folder, "dataset")
    from eval.evaluation import run

    run(config)


if __name__ == "__main__":
    run_program(main)
