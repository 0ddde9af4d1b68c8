"""A language model of a few thousand random weights, with a byte-level tokenizer, for tests."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ message.role }}:\n{{ message.content }}<|end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
_TEXTS = [
    "There is a small left pleural effusion. No pneumothorax. The heart is mildly enlarged.",
    "Answer with one of these and nothing else: yes, no, not mentioned, mild, moderate, severe",
]


def byte_tokenizer(merges: int = 60) -> PreTrainedTokenizerFast:
    """Byte-level BPE with some merges of words in reports."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(SPECIAL) + merges,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def save_tiny_llama(folder: Path, *, seed: int = 0, max_tokens: int = 2048) -> Path:
    """A folder with a Llama of two layers."""
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,  # else all choices are nearly as probable
    )
    return save_causal_model(folder, LlamaForCausalLM, config, tokenizer, seed)


def save_causal_model(
    folder: Path, kind: Any, config: Any, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> Path:
    """A folder with a random model of a kind, and its tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
