"""Program: read statements from reports into a folder of annotations.

`python -m roentgen.annotate configs/annotate/rules.yaml [--key=value ...]`

A killed run resumes when it is started again in the same way.
"""

from roentgen.annotate.config import AnnotateConfig
from roentgen.config import load_config
from roentgen.errors import run_program
from roentgen.manifest import is_made
from roentgen.storage import MANIFEST, check_output


def main() -> None:
    """Annotate by the command line."""
    config = load_config(AnnotateConfig)
    if not (config.output / MANIFEST).exists():
        check_output(config.output, overwrite=config.overwrite)
    from roentgen.annotate.annotating import annotate, make_job

    job = make_job(config)
    if is_made("roentgen.annotate", config, config.output, **job.facts()):
        return
    print(annotate(job))  # noqa: T201


if __name__ == "__main__":
    run_program(main)
