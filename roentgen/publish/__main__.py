"""Program: prepare a model, adapter or dataset for the Hugging Face hub.

    python -m roentgen.publish FOLDER --repository=OWNER/NAME --contact="NAME, ADDRESS"

It verifies the folder, completes its card, and writes a folder to upload, with the command that
uploads it. It uploads nothing, and refuses what the inherited terms forbid to share.
"""

from roentgen.config import load_config
from roentgen.errors import run_program
from roentgen.publish.config import PublishConfig


def main() -> None:
    """Prepare the folder that the command line names."""
    config = load_config(PublishConfig, argument="folder")
    from roentgen.publish.publication import publish

    print(publish(config))  # noqa: T201


if __name__ == "__main__":
    run_program(main)
