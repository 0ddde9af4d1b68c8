from collections.abc import Callable

import pytest
import torch

from roentgen.errors import InputError
from roentgen.models.conditioning import encode_prompts, token_counts, tokenize_prompts
from roentgen.models.stable_diffusion import Parts, add_view_tokens, pipeline_of


@pytest.fixture(scope="module")
def parts(make_small_parts: Callable[..., Parts]) -> Parts:
    made = make_small_parts()
    add_view_tokens(made.tokenizer, made.text_encoder)
    return made


def test_embeddings_equal_the_pipelines_own(parts: Parts) -> None:
    prompts = ["<view-pa> cardiomegaly", "", "no pneumothorax, small left pleural effusion"]
    with torch.no_grad():
        ours = encode_prompts(parts.tokenizer, parts.text_encoder, prompts)
        theirs, _ = pipeline_of(parts).encode_prompt(
            prompts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    assert ours.shape == (3, 77, 16)
    assert torch.equal(ours, theirs)


def test_a_batch_does_not_change_a_prompts_tokens(parts: Parts) -> None:
    together = tokenize_prompts(parts.tokenizer, ["edema", "cardiomegaly and much more than that"])
    assert torch.equal(together[:1], tokenize_prompts(parts.tokenizer, ["edema"]))


def test_counts_include_begin_and_end(parts: Parts) -> None:
    assert token_counts(parts.tokenizer, ["", "edema", "<view-pa>"]) == [2, 4, 3]
    assert token_counts(parts.tokenizer, []) == []


def test_75_words_fit_and_76_are_refused_without_their_words(parts: Parts) -> None:
    fits, beyond = " ".join(["heart"] * 75), " ".join(["heart"] * 76)
    assert tokenize_prompts(parts.tokenizer, [fits]).shape == (1, 77)
    with pytest.raises(
        InputError, match=r"1 of 2 prompts .* 77 tokens .*number 2, has 78"
    ) as error:
        tokenize_prompts(parts.tokenizer, [fits, beyond])
    assert "heart" not in str(error.value)


def test_long_prompts_are_cut_only_when_asked(parts: Parts) -> None:
    fits, beyond = " ".join(["heart"] * 75), " ".join(["heart"] * 90)
    cut = tokenize_prompts(parts.tokenizer, [beyond], too_long="truncate")
    assert torch.equal(cut, tokenize_prompts(parts.tokenizer, [fits]))
