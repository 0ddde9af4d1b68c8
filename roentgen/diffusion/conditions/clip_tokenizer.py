"""CLIP's tokenizer, built from the vocabulary that open_clip carries: no download."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

BEGIN = "<|startoftext|>"
END = "<|endoftext|>"
MAX_TOKENS = 77  # CLIP's text encoders have 77 positions, begin and end among them


def clip_tokenizer() -> "CLIPTokenizer":
    """The tokenizer of OpenAI's CLIP (49,408 tokens), equal to Stable Diffusion 1.x's.

    Prompts are padded with the end token, as Stable Diffusion 1.x was trained.
    """
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    source = SimpleTokenizer()
    names = {"<start_of_text>": BEGIN, "<end_of_text>": END}
    return CLIPTokenizer(
        vocab={names.get(token, token): number for token, number in source.encoder.items()},
        merges=list(source.bpe_ranks),  # pairs, best first
        model_max_length=MAX_TOKENS,
    )
