"""Text cache: every prompt through a frozen text encoder once, its states on disk.

After that, training runs no text encoder; a projection that trains is applied to the states.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from roentgen.cache import Cache, CacheContents, open_cache
from roentgen.diffusion.backbones.stable_diffusion import module_fingerprint
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import encode_tokens
from roentgen.manifest import fingerprint_of
from train.loading.split_prompts import SplitPrompts

if TYPE_CHECKING:
    from accelerate import Accelerator

BATCH = 32  # chunks that the text encoder takes at a time
FORM = "last hidden states, float16"  # changes with what the cache holds for the same prompts
# Entries of a text encoder's configuration that do not change its states.
VOLATILE = ("_name_or_path", "transformers_version", "dtype", "architectures")


class StatesCache:
    """A frozen text encoder's states of some prompts, in their order."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def text(self, rows: Sequence[int]) -> Tensor:
        """The states of these prompts, float32 [N, L, D] rounded to float16."""
        return self._cache.read("states", list(rows))


def cache_states(
    prompts: SplitPrompts, components: Components, folder: Path, accelerator: "Accelerator"
) -> StatesCache:
    """Encode prompts that are not yet encoded, each process its share, and open the cache.

    It is in `folder`, named for all that the states depend on: token ids and text encoder. Raises
    InputError for states that are not finite in float16.
    """
    text_encoder, chunks, ids = components.text_encoder, components.prompt_chunks, prompts.ids
    text_encoder.eval()

    @torch.no_grad()
    def encode(rows: range) -> dict[str, Tensor]:
        given = ids[rows.start : rows.stop].long().to(text_encoder.device)
        return {"states": encode_tokens(text_encoder, given, chunks=chunks).half()}

    width = encode(range(1))["states"].shape[-1]
    key = _key(ids, text_encoder, chunks)
    contents = CacheContents(
        key=key,
        items=len(ids),
        tensors={"states": (torch.float16, (ids.shape[1], width))},
    )
    cache = open_cache(
        folder / f"prompts-{key}",
        contents,
        encode,
        label=f"prompts of {prompts.name}",
        chunk=max(1, BATCH // chunks),
        name_of=lambda row: f"prompt {row + 1} of {prompts.name}",  # not its words: a patient's
        processes=accelerator,
    )
    return StatesCache(cache)


def _key(ids: Tensor, text_encoder: Any, chunks: int) -> str:
    """Fingerprint of all that the states depend on."""
    prompts = hashlib.sha256(ids.int().contiguous().numpy().tobytes()).hexdigest()
    config = text_encoder.config.to_dict()
    settings = repr(sorted((k, repr(v)) for k, v in config.items() if k not in VOLATILE))
    encoder = module_fingerprint(text_encoder)
    return fingerprint_of([FORM, prompts, list(ids.shape), chunks, encoder, settings])
