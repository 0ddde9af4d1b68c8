"""A language model as a reader: its settings checked, and opened."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from roentgen.annotate.readers.address import address_of
from roentgen.annotate.readers.choices import ChoiceReader
from roentgen.annotate.readers.config import LocalModelConfig, ServerConfig
from roentgen.errors import InputError, require
from roentgen.untrusted_files import open_regular

_GGUF = b"GGUF"  # the first bytes of such a file


def check_reader(config: LocalModelConfig | ServerConfig, licenses: Sequence[str]) -> None:
    """Raises InputError for a reader that cannot be opened, as far as can be seen at once.

    `licenses` are those of the reports by name; without them a server must be on this machine.
    """
    match config:
        case LocalModelConfig():
            _check_files(config.path)
        case ServerConfig():
            address_of(config, licenses)
            _require_package("openai", "a server as a reader")


def open_reader(
    config: LocalModelConfig | ServerConfig, licenses: Sequence[str] = ()
) -> ChoiceReader:
    """The reader of these settings. Raises InputError if there is none, as `check_reader` does."""
    check_reader(config, licenses)
    match config:
        case LocalModelConfig():
            from roentgen.annotate.readers.local_model import LocalModel

            return LocalModel(config)
        case ServerConfig():
            from roentgen.annotate.readers.server import ServerReader

            return ServerReader(config, address_of(config, licenses))


def _check_files(path: Path) -> None:
    if path.is_dir():
        require(
            (path / "config.json").is_file(),
            f"model.path {path} holds no config.json: give the folder of a transformers model",
        )
        require(
            any(path.glob("*.safetensors")),
            f"model.path {path} holds no safetensors; weights in pickles are not read",
        )
        return
    try:
        with open_regular(path) as file:
            start = file.read(len(_GGUF))
    except OSError as error:
        raise InputError(
            f"model.path {path} cannot be read ({error.strerror}): give the folder of a "
            "transformers model, or a GGUF file"
        ) from None
    require(start == _GGUF, f"model.path {path} is neither a folder nor a GGUF file")
    _require_package("gguf", "a GGUF file as a model")


def _require_package(name: str, what: str) -> None:
    if find_spec(name) is None:
        raise InputError(f"{what} needs the package {name}: pip install -e '.[llm]'")
