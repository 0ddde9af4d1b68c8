"""Program: fetch what a recipe or a model needs from the internet.

python -m roentgen.fetch NAME [--to=FOLDER]
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roentgen.config import load_config
from roentgen.errors import InputError, run_program
from roentgen.fetch.needs import Needs, needs_of
from roentgen.fetch.published import HubModel
from roentgen.storage import check_writable
from roentgen.vision.published_weights import how_to_bring


@dataclass(frozen=True, kw_only=True)
class FetchConfig:
    """Print what a recipe or a model needs from the internet, or fetch it."""

    name: str
    """A recipe (configs/train/roentgen.yaml), a repository of the Hugging Face hub (owner/name or
    owner/name@revision) or an extractor (rad-dino, inception, xrv)."""
    to: Path | None = None
    """Folder into which repositories are fetched; a machine without internet reads it with
    HF_HOME=FOLDER and HF_HUB_OFFLINE=1. null: print what is needed, with sizes and terms."""


def describe(name: str, needs: Needs) -> Iterator[str]:
    """What is needed, in lines."""
    if needs.header:
        yield f"the recipe needs: {needs.header}"
    for model in needs.models.values():
        yield f"hub: {model.repository}, revision {model.revision or 'newest'}: {model.size}"
        files = ", ".join(model.files) or "a pipeline's configurations and safetensors"
        yield f"  files: {files}"
        yield f"  license: {model.license}, {model.page}"
        if model.afterwards:
            yield f"  {model.afterwards}"
    for file in needs.files.values():
        yield f"weights: {file.name}: {file.size}"
        yield f"  license: {file.license}, {file.page}"
        yield f"  by hand: {how_to_bring(file.name)}"
    for corpus, folder in needs.corpora.values():
        yield f"corpus: {corpus.name}: {corpus.size}, into {folder}"
        yield f"  terms: {corpus.page}"
        if command := corpus.command(folder):
            yield f"  with your credentials, once its terms are signed: {command}"
    if not (needs.models or needs.files or needs.corpora):
        yield f"{name} names nothing that has to be fetched"


def fetch(model: HubModel, folder: Path) -> None:
    """Fetch a repository into the cache of a folder. Raises InputError where that is impossible."""
    import huggingface_hub as hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from roentgen.diffusion.backbones.model_folder import PATTERNS, weight_files

    if not sys.stderr.isatty():
        disable_progress_bars()
    print(f"fetching {model.repository} ({model.size})", flush=True)  # noqa: T201
    try:
        files = list(model.files)
        if not files:
            names = hub.list_repo_files(model.repository, revision=model.revision)
            files = [*PATTERNS, *weight_files(names)]
        hub.snapshot_download(
            model.repository,
            revision=model.revision,
            allow_patterns=files,
            cache_dir=folder / "hub",
        )
    except Exception as error:  # the hub, its network and its cache each have their own
        raise InputError(
            f"{model.repository} cannot be fetched ({type(error).__name__}): it needs internet, "
            f"and hf auth login where {model.page} asks for consent"
        ) from error


def main() -> None:
    """Read the command line, and describe or fetch."""
    config = load_config(FetchConfig, argument="name")
    needs = needs_of(config.name)
    for line in describe(config.name, needs):
        print(line)  # noqa: T201
    if not needs.models:
        return
    if config.to is None:
        print(f"to fetch: python -m roentgen.fetch {config.name} --to=FOLDER")  # noqa: T201
        return
    check_writable(config.to)
    for model in needs.models.values():
        fetch(model, config.to)
    print(  # noqa: T201
        f"copy {config.to} to the machine without internet; there: export HF_HOME=FOLDER "
        "HF_HUB_OFFLINE=1"
    )


if __name__ == "__main__":
    run_program(main)
