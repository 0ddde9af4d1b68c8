"""Screen a synthetic set: `python -m sample.screen configs/sample/x.yaml`.

Filters check every image; those that fail one are rejected and redrawn with new seeds. The same
command resumes a killed run with the images that it had drawn; the set is the same. Under
`accelerate launch` and `torchrun` the first process filters, and all processes of all machines
that see the output folder draw.
"""

from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.errors import run_program
from roentgen.manifest import is_made
from sample.screening.config import ScreenConfig


def main() -> None:
    """Read the configuration, screen, and print the summary."""
    config = load_config(ScreenConfig)
    if is_made("sample.screen", config, config.output):
        return
    reference = config.reference
    check_splits(config.dataset)
    check_splits(reference.folder, reference.train_split, reference.held_out_split)
    from sample.screening.screened_set import screen

    text = screen(config)
    if not text:  # not the first process
        return
    print(text)  # noqa: T201
    files = "dataset, plan.parquet, screening.parquet, contact_sheet.png"
    print(f"{config.output}: {files}")  # noqa: T201
    if config.dropped.exists():
        print(f"{config.dropped}: pictures of what was dropped")  # noqa: T201


if __name__ == "__main__":
    run_program(main)
