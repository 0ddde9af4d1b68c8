"""Compatibility of pipeline folders written by transformers 5 with transformers 4 and diffusers."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from roentgen.diffusion.conditions.text_encoder import CLIP

FAST = "PreTrainedTokenizerFast"
# Entries of tokenizer_config.json that transformers 4 does not know, or takes for something else.
NEW_ENTRIES = ("backend", "extra_special_tokens", "is_local", "local_files_only")


def make_compatible(folder: Path, text_encoder: Any, tokenizer: Any) -> None:
    """Change a pipeline folder so that transformers 4 reads it, and plain diffusers draws with it.

    CLIP's weights get their `text_model.` prefix and its tokenizer its slow form; other tokenizers
    are named by the class that reads tokenizer.json in both. See `name_float32` too. Where the
    networks were read from is forgotten: it may name a place on this machine.
    """
    name_float32(folder)
    for path in folder.glob("*/config.json"):
        _change(path, {}, without=("_name_or_path",))
    if text_encoder.config.model_type in CLIP:
        _prefix_weights(folder / "text_encoder" / "model.safetensors")
        _write_slow_tokenizer(folder / "tokenizer", tokenizer)
    else:
        _name_fast_tokenizer(folder)


def name_float32(folder: Path) -> None:
    """Name float32 as the text encoder's dtype, which is that of the weights on disk until then.

    Where a caller names none, transformers 5 follows it and diffusers opens the other networks in
    float32: with weights stored in float16 they would not fit together.
    """
    _change(folder / "text_encoder" / "config.json", {"dtype": "float32"})


def _prefix_weights(path: Path) -> None:
    """Transformers 5 reads prefixed and flat keys, but saves a model made from a config flat."""
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    if not any(name.startswith("text_model.") for name in weights):
        prefixed = {f"text_model.{name}": weight.clone() for name, weight in weights.items()}
        del weights  # it maps the file that is written next
        save_file(prefixed, path, metadata={"format": "pt"})


def _write_slow_tokenizer(folder: Path, tokenizer: Any) -> None:
    """The slow tokenizer of transformers 4 wants vocab.json, merges.txt and added_tokens.json."""
    tokenizer.backend_tokenizer.model.save(str(folder))
    base = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False)
    added = {token: i for token, i in tokenizer.get_added_vocab().items() if i >= base}
    (folder / "added_tokens.json").write_text(json.dumps(added, indent=2) + "\n")


def _name_fast_tokenizer(folder: Path) -> None:
    """Name the class that reads tokenizer.json, whatever its kind, in transformers 4 and 5."""
    _change(folder / "model_index.json", {"tokenizer": ["transformers", FAST]})
    named = {"tokenizer_class": FAST}
    _change(folder / "tokenizer" / "tokenizer_config.json", named, without=NEW_ENTRIES)


def _change(path: Path, entries: Mapping[str, Any], without: Collection[str] = ()) -> None:
    merged = {**json.loads(path.read_text()), **entries}
    known = {key: value for key, value in merged.items() if key not in without}
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
