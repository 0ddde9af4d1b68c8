from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from roentgen.diffusion.backbones.stable_diffusion import (
    add_view_tokens,
    load_components,
    pipeline_of,
    save_model,
)
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import (
    PromptLimit,
    encode_prompts,
    token_counts,
    token_limit,
    tokenize_prompts,
)
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.schedulers import make_scheduler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.manifest import read_manifest

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
LONG = "<view-pa> " + " ".join(f"mass {i % 10}" for i in range(55))  # 111 words of a token each


@pytest.fixture(scope="module")
def components(make_small_components: Callable[..., Components]) -> Components:
    made = make_small_components()
    add_view_tokens(made.tokenizer, made.text_encoder)
    return made


def test_embeddings_equal_the_pipelines_own(components: Components) -> None:
    prompts = ["<view-pa> cardiomegaly", "", "no pneumothorax, small left pleural effusion"]
    with torch.no_grad():
        ours = encode_prompts(components, prompts)
        theirs, _ = pipeline_of(components).encode_prompt(
            prompts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    assert ours.shape == (3, 77, 16)
    assert torch.equal(ours, theirs)


def test_a_batch_does_not_change_a_prompts_tokens(components: Components) -> None:
    together = tokenize_prompts(
        components.tokenizer, ["edema", "cardiomegaly and much more than that"]
    )
    assert torch.equal(together[:1], tokenize_prompts(components.tokenizer, ["edema"]))


def test_counts_include_begin_and_end(components: Components) -> None:
    assert token_counts(components.tokenizer, ["", "edema", "<view-pa>"]) == [2, 4, 3]
    assert token_counts(components.tokenizer, []) == []


def test_75_words_fit_and_76_are_refused_without_their_words(components: Components) -> None:
    fits, beyond = " ".join(["heart"] * 75), " ".join(["heart"] * 76)
    assert tokenize_prompts(components.tokenizer, [fits]).shape == (1, 77)
    message = r"number 2 has 78 tokens .* takes 77 \(1 of 2 prompts are too long\)"
    with pytest.raises(InputError, match=message) as error:
        tokenize_prompts(components.tokenizer, [fits, beyond])
    assert "heart" not in str(error.value)


def test_long_prompts_are_cut_only_when_asked(components: Components) -> None:
    fits, beyond = " ".join(["heart"] * 75), " ".join(["heart"] * 90)
    cut = tokenize_prompts(components.tokenizer, [beyond], too_long="truncate")
    assert torch.equal(cut, tokenize_prompts(components.tokenizer, [fits]))


def test_a_short_prompt_in_two_chunks_is_that_in_one_and_an_empty_one(
    components: Components,
) -> None:
    prompts = ["<view-pa> cardiomegaly", ""]
    one = tokenize_prompts(components.tokenizer, prompts)
    two = tokenize_prompts(components.tokenizer, prompts, chunks=2)
    assert two.shape == (2, 154)
    assert torch.equal(two[:, :77], one)
    assert torch.equal(two[:, 77:], one[[1, 1]])


def test_a_long_prompt_is_cut_where_a_window_is_full(components: Components) -> None:
    words = LONG.split()
    assert token_counts(components.tokenizer, [LONG]) == [113]
    chunks = [" ".join(words[:75]), " ".join(words[75:])]
    (ids,) = tokenize_prompts(components.tokenizer, [LONG], chunks=2)
    assert torch.equal(ids.reshape(2, 77), tokenize_prompts(components.tokenizer, chunks))
    with torch.no_grad():
        ours = encode_prompts(replace(components, prompt_chunks=2), [LONG])
        theirs, _ = pipeline_of(components).encode_prompt(
            chunks, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    assert torch.equal(ours.reshape(2, 77, 16), theirs)


def test_other_prompts_beside_it_do_not_change_a_prompts_chunks(components: Components) -> None:
    together = tokenize_prompts(components.tokenizer, ["edema", LONG], chunks=3)
    assert torch.equal(together[:1], tokenize_prompts(components.tokenizer, ["edema"], chunks=3))


def test_150_words_fit_two_chunks(components: Components) -> None:
    assert [token_limit(components.tokenizer, chunks) for chunks in (1, 2, 3)] == [77, 152, 227]
    fits, beyond = " ".join(["heart"] * 150), " ".join(["heart"] * 151)
    whole = tokenize_prompts(components.tokenizer, [fits], chunks=2)
    with pytest.raises(InputError, match=r"number 1 has 153 tokens .* takes 152:"):
        tokenize_prompts(components.tokenizer, [beyond], chunks=2)
    cut = tokenize_prompts(components.tokenizer, [beyond], chunks=2, too_long="truncate")
    assert torch.equal(cut, whole)


def test_a_prompt_too_long_is_named_and_not_quoted(components: Components) -> None:
    limit = PromptLimit(components.tokenizer)
    prompts = {"one": "edema", "two": "secret " * 100, "three": "mass " * 75, "four": "a " * 200}
    counts, names = token_counts(components.tokenizer, list(prompts.values())), list(prompts)
    message = r"prompt of two has 102 tokens .* takes 77 \(2 of 4 prompts are too long\): shorten"
    with pytest.raises(InputError, match=message) as caught:
        limit.check(counts, names.__getitem__, "shorten it")
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match=r"of negative_prompt has 102 tokens .* takes 77:"):
        limit.check(counts[1:2], lambda _: "negative_prompt", "shorten it")
    limit.check(counts[2:3], names.__getitem__, "shorten it")
    exceeded = [name for name, prompt in prompts.items() if limit.is_exceeded(prompt)]
    assert exceeded == ["two", "four"]


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int = 7
    negative_prompt: None = None


def test_a_model_says_how_many_chunks_it_was_given(components: Components, tmp_path: Path) -> None:
    save_model(
        tmp_path / "model", replace(components, prompt_chunks=2), licenses=[LICENSE], provenance={}
    )
    assert read_manifest(tmp_path / "model", "model")["prompt_chunks"] == 2
    again = load_components(str(tmp_path / "model"))
    assert again.prompt_chunks == 2
    assert not PromptLimit(again.tokenizer, again.prompt_chunks).is_exceeded(LONG)
    assert PromptLimit(components.tokenizer, components.prompt_chunks).is_exceeded(LONG)
    # The pipeline draws the same from the same embeddings, and from its own prompts as ever.
    drawn = Sampler(
        again, SamplerSettings(scheduler="PNDM", steps=3, guidance_scale=4), "cpu"
    ).latents([Image(LONG)])
    pipeline = pipeline_of(again)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = make_scheduler("PNDM", again.scheduler)
    with torch.no_grad():
        without, told = encode_prompts(again, ["", LONG])[:, None]
    options = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "latent"}
    theirs = pipeline(
        prompt_embeds=told,
        negative_prompt_embeds=without,
        generator=torch.Generator().manual_seed(7),
        **options,
    ).images
    torch.testing.assert_close(drawn, theirs, atol=1e-4, rtol=1e-5)
    assert pipeline("edema", **options).images.isfinite().all()
