"""Causal language models and tokenizers from local files: no code, no pickles."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from roentgen.annotate.readers.config import LocalModelConfig
from roentgen.cpu.bfloat16 import computes_bfloat16
from roentgen.errors import InputError, require
from roentgen.manifest import fingerprint_of_files
from roentgen.terminal.progress import without_library_bars
from roentgen.untrusted_files import check_network_files, check_weights

# What decides the answers: weights, configurations, tokenizers and chat templates.
_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_LONGEST_REASON = 200  # characters


class ModelFiles(NamedTuple):
    """What the files of a model hold."""

    model: Any  # on its device, in eval mode
    tokenizer: Any
    identity: str


def read_model(config: LocalModelConfig) -> ModelFiles:
    """The model of a folder or a GGUF file. Raises InputError if it cannot be read as one."""
    path = config.path.absolute()
    folder, gguf = (path, None) if path.is_dir() else (path.parent, path.name)
    if gguf is None:
        check_network_files(folder)
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        model, tokenizer = _read(folder, gguf, _dtype(config, device))
        model.to(device)
    except Exception as error:  # each library has its own; all mean that it cannot be read
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        failure = f"model.path {config.path} is no causal language model that can be read: "
        failure += reason[:_LONGEST_REASON]
    else:
        files = [file for p in _PATTERNS for file in folder.glob(p)] if gguf is None else [path]
        return ModelFiles(model.eval(), tokenizer, f"{path.name}@{fingerprint_of_files(files)}")
    raise InputError(failure)


def _read(folder: Path, gguf: str | None, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with without_library_bars():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, gguf_file=gguf, local_files_only=True, trust_remote_code=False
        )
        require(tokenizer.is_fast, "its tokenizer has no tokenizer.json")
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=gguf,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    check_weights(model, report)
    return model, tokenizer


def _dtype(config: LocalModelConfig, device: torch.device) -> torch.dtype:
    if config.dtype == "auto":
        return torch.bfloat16 if computes_bfloat16(device) else torch.float32
    dtype: torch.dtype = getattr(torch, config.dtype)
    return dtype
