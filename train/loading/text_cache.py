"""Every prompt through a frozen text encoder once: its states on disk, read at each use.

After that, training runs no text encoder; a projection that is learnt works on what is read.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from roentgen.cache import Cache, Contents, open_cache
from roentgen.diffusion.backbones.stable_diffusion import module_fingerprint
from roentgen.diffusion.conditions.prompt_encoding import encode_tokens
from roentgen.manifest import fingerprint_of

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

    def states(self, rows: list[int]) -> Tensor:
        """The states of these prompts, float32 [N, L, D], as float16 holds them."""
        return self._cache.read("states", rows)


def cache_states(
    caches: Path,
    ids: Tensor,
    text_encoder: Any,
    *,
    chunks: int,
    told: str,
    accelerator: "Accelerator",
) -> StatesCache:
    """Encode what is not yet encoded, each process its share, and open the cache.

    `ids` are those of the distinct prompts, [N, L]. The cache is a folder below `caches`, named for
    all that the states depend on: token ids and text encoder. Raises InputError for states that are
    not finite in float16.
    """
    text_encoder.eval()

    @torch.no_grad()
    def encode(rows: range) -> dict[str, Tensor]:
        given = ids[rows.start : rows.stop].long().to(text_encoder.device)
        return {"states": encode_tokens(text_encoder, given, chunks=chunks).half()}

    width = encode(range(1))["states"].shape[-1]
    key = _key(ids, text_encoder, chunks)
    contents = Contents(
        key=key,
        items=len(ids),
        tensors={"states": (torch.float16, (ids.shape[1], width))},
    )
    cache = open_cache(
        caches / f"prompts-{key}",
        contents,
        encode,
        told=f"prompts of {told}",
        chunk=max(1, BATCH // chunks),
        name_of=lambda row: f"prompt {row + 1} of {told}",  # its words may be a patient's
        processes=accelerator,
    )
    return StatesCache(cache)


def _key(ids: Tensor, text_encoder: Any, chunks: int) -> str:
    """Stands for all that the states depend on."""
    prompts = hashlib.sha256(ids.int().contiguous().numpy().tobytes()).hexdigest()
    config = text_encoder.config.to_dict()
    said = repr(sorted((k, repr(v)) for k, v in config.items() if k not in VOLATILE))
    encoder = module_fingerprint(text_encoder)
    return fingerprint_of([FORM, prompts, list(ids.shape), chunks, encoder, said])
