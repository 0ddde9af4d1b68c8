"""Runs in which something else trains than both networks as they are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from transformers import CLIPTextModel

from roentgen.diffusion.backbones.stable_diffusion import add_view_tokens, load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config_sections import LearningRates, LoraConfig
from train.loop import slice_losses
from train.optim.lora import adapt, trained_weights

Write = Callable[..., Path]
FROZEN = {"unet": 1e-3, "text_encoder": None}


def draw(pipeline: StableDiffusionPipeline, prompt: str) -> torch.Tensor:
    """Latents of a prompt."""
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    latents: torch.Tensor = pipeline(
        prompt, num_inference_steps=3, generator=generator, output_type="latent"
    ).images
    return latents


def changed(one: Any, other: Any) -> list[str]:
    """The names of a net's weights that differ in another; more rows are no difference."""
    old, new = one.state_dict(), other.state_dict()
    return [name for name in old if not torch.equal(old[name], new[name][: len(old[name])])]


@pytest.mark.parametrize("dora", [pytest.param(False, marks=pytest.mark.slow), True])
def test_adapters_on_the_base_draw_what_the_merged_model_draws(
    write: Write, fine_tune: Callable[..., Any], small_model: Path, dora: bool
) -> None:
    rates = {"unet": 0.05, "text_encoder": 0.05}  # so that two steps show
    path = write(lora={"rank": 2, "alpha": 3, "dora": dora}, learning_rate=rates)
    run = fine_tune(path)
    folder, weights = run.folder, kept(run)
    views = [name for name in weights if name.endswith("token_embedding.trained.weight")]
    assert [weights[name].shape for name in views] == [(3, 16)]
    assert all("lora_" in name for name in weights.keys() - set(views))
    assert {name.split(".")[0] for name in weights} == {"unet", "text_encoder"}
    merged = StableDiffusionPipeline.from_pretrained(folder / "model")
    based = StableDiffusionPipeline.from_pretrained(small_model)
    before = draw(based, "cardiomegaly")
    files = sorted((folder / "lora").glob("view-*.safetensors"))
    based.load_textual_inversion([str(file) for file in files])
    based.load_lora_weights(folder / "lora")
    prompt = "<view-lateral> cardiomegaly"
    torch.testing.assert_close(draw(based, prompt), draw(merged, prompt), atol=1e-3, rtol=1e-4)
    assert (draw(merged, "cardiomegaly") - before).abs().max() > 0.01
    old, new = load_components(str(small_model)), load_components(str(folder / "model"))
    assert all("attn" in name for name in changed(old.unet, new.unet))
    assert changed(old.unet, new.unet)
    assert all(
        "self_attn" in name or "token_embedding" in name
        for name in changed(old.text_encoder, new.text_encoder)
    )
    names = load_file(folder / "lora" / "pytorch_lora_weights.safetensors")
    # As transformers 4 calls them; diffusers knows both.
    assert "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight" in names
    manifest = json.loads((folder / "lora" / "roentgen.json").read_text())
    assert manifest["kind"] == "adapter"
    assert manifest["licenses"] == [{"name": "CC0-1.0", "data_use": None, "may_share": True}]


def kept(run: Any) -> dict[str, torch.Tensor]:
    """The weights of a run's last checkpoint, by name."""
    tensors = run.checkpoint(2).items()
    return {name.partition(":")[2]: w for name, w in tensors if name.startswith("weights:")}


def test_the_weights_that_train_are_counted_before(
    make_small_components: Callable[..., Components],
) -> None:
    for lora in (LoraConfig(rank=3, alpha=3, dora=True), None):
        components = make_small_components()
        add_view_tokens(components.tokenizer, components.text_encoder)
        components.projection = torch.nn.Linear(24, 16, bias=False)
        counts = trained_weights(components, vars(LearningRates()), lora)
        denoiser = Denoiser(components)
        denoiser.freeze(vars(LearningRates()))
        if lora:
            adapt(denoiser, components.tokenizer, lora, seed=0, dtype=torch.float32)
        found = {
            net: sum(w.numel() for name, w in denoiser.trained() if name.startswith(f"{net}."))
            for net in ("unet", "text_encoder", "projection")
        }
        assert counts == found


class KilledError(Exception):
    """Stands for the death of the process."""


@pytest.mark.parametrize("precision", [pytest.param("fp32", marks=pytest.mark.slow), "bf16"])
def test_a_killed_run_of_adapters_resumes_to_the_same_bits(
    write: Write,
    fine_tune: Callable[..., Any],
    tmp_path: Path,
    small_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    settings = {"steps": 3, "checkpoint": {"every": 2}, "lora": {"rank": 2, "alpha": 2}}
    settings |= {"gradient_checkpointing": True, "precision": precision, "validation": None}
    whole = fine_tune(write(**settings), f"--output={tmp_path / 'whole'}")
    path = write(**settings)

    def die_in_step_3(training: Any, *rest: Any) -> torch.Tensor:
        if training.state.step == 2:
            raise KilledError
        return slice_losses(training, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("train.loop.slice_losses", die_in_step_3)
        with pytest.raises(KilledError):
            fine_tune(path)
    resumed = fine_tune(path, "--resume=true")
    one, other = resumed.checkpoint(3), whole.checkpoint(3)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    model = "model/unet/diffusion_pytorch_model.safetensors"
    saved, wanted = load_file(resumed.folder / model), load_file(whole.folder / model)
    assert all(torch.equal(saved[name], wanted[name]) for name in wanted)
    base = load_components(str(small_model)).unet.state_dict()  # bf16 held it rounded
    assert all(torch.equal(saved[name], base[name]) for name in base if "attn" not in name)


def test_a_frozen_text_encoder_is_not_run_while_training(
    write: Write, fine_tune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(learning_rate=FROZEN)
    losses = fine_tune(path).metrics("loss")
    forward, seen = CLIPTextModel.forward, []

    def run(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(1)
        return forward(self, *args, **options)

    def losses_without(*args: Any) -> torch.Tensor:
        monkeypatch.setattr(CLIPTextModel, "forward", fail)
        return slice_losses(*args)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the frozen text encoder runs")

    monkeypatch.setattr(CLIPTextModel, "forward", run)
    monkeypatch.setattr("train.loop.slice_losses", losses_without)
    again = fine_tune(path, "--overwrite=true")  # validation runs after steps: without it, too
    assert seen  # it ran to fill the cache
    assert again.metrics("loss") == losses


@pytest.mark.parametrize("kind", ["clip", "t5"])  # T5 draws dropout as it trains
def test_states_from_the_cache_train_as_the_text_encoder_does(
    write: Write,
    fine_tune: Callable[..., Any],
    tmp_path: Path,
    make_text_model: Callable[..., Path],
    kind: str,
) -> None:
    model = make_text_model(tmp_path / "text", "t5")
    swap = {"model": str(model), "max_tokens": 40} if kind == "t5" else None
    path = write(learning_rate=FROZEN, steps=4, swap_text_encoder=swap)
    cached = fine_tune(path)
    live = fine_tune(path, f"--output={tmp_path / 'live'}", "--data.cache_text=false")
    assert list(cached.folder.glob("caches/prompts-*"))
    assert not list(live.folder.glob("caches/prompts-*"))
    assert cached.checkpoint(4).keys() == live.checkpoint(4).keys()
    assert live.metrics("loss") == pytest.approx(cached.metrics("loss"), rel=1e-4)
    assert live.metrics("loss") != cached.metrics("loss")  # it did take the other way
    held_out = cached.metrics("held_out_loss")
    assert live.metrics("held_out_loss") == pytest.approx(held_out, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "rates"),
    [
        ("bert", {"unet": 1e-3, "text_encoder": 1e-3, "projection": 1e-3}),
        ("t5", {"unet": 1e-3, "text_encoder": None, "projection": 1e-3}),
        pytest.param(
            *("clip", {"unet": None, "text_encoder": 1e-3, "projection": 1e-3}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_another_text_encoder_trains_and_the_result_is_a_plain_pipeline(
    write: Write,
    fine_tune: Callable[..., Any],
    tmp_path: Path,
    small_model: Path,
    make_text_model: Callable[..., Path],
    kind: str,
    rates: dict[str, Any],
) -> None:
    text = make_text_model(tmp_path / "text", kind)
    swap = {"model": str(text), "max_tokens": 40}
    run = fine_tune(write(swap_text_encoder=swap, learning_rate=rates, ema=None))
    assert {name.split(".")[0] for name in kept(run)} == {
        name for name, rate in rates.items() if rate
    }
    pipeline = StableDiffusionPipeline.from_pretrained(run.folder / "model")
    assert pipeline.unet.config.cross_attention_dim == 24
    assert draw(pipeline, "<view-pa> cardiomegaly").isfinite().all()
    old = load_components(str(small_model)).unet
    moved = changed_where_alike(old, pipeline.unet)
    assert bool(moved) == (rates["unet"] is not None)  # a frozen UNet is kept to the bit
    manifest = json.loads((run.folder / "model" / "roentgen.json").read_text())
    assert {"name": f"as of text model {text}", "data_use": None, "may_share": False} in manifest[
        "licenses"
    ]
    assert manifest["provenance"]["made_from"].keys() == {"base", "text_encoder", "dataset"}


def changed_where_alike(one: Any, other: Any) -> list[str]:
    """The names of the weights of one shape in both networks, whose values differ."""
    old, new = one.state_dict(), other.state_dict()
    return [
        name
        for name in old
        if old[name].shape == new[name].shape and not torch.equal(old[name], new[name])
    ]


def test_a_projection_can_train_alone(
    write: Write,
    fine_tune: Callable[..., Any],
    tmp_path: Path,
    make_text_model: Callable[..., Path],
) -> None:
    rates = {"unet": None, "text_encoder": None, "projection": 1e-3}
    swap = {"model": str(make_text_model(tmp_path / "text", "t5")), "max_tokens": 40}
    run = fine_tune(write(swap_text_encoder=swap, learning_rate=rates))
    assert list(kept(run)) == ["projection.weight"]
    as_wide = make_text_model(tmp_path / "as_wide", "t5", width=16)
    swap = {"model": str(as_wide), "max_tokens": 40}
    with pytest.raises(InputError, match="need no projection; give one a learning rate"):
        fine_tune(write(swap_text_encoder=swap, learning_rate=rates), "--overwrite=true")


def test_adapters_join_another_text_encoder(
    write: Write,
    fine_tune: Callable[..., Any],
    tmp_path: Path,
    make_text_model: Callable[..., Path],
) -> None:
    swap = {"model": str(make_text_model(tmp_path / "text", "bert")), "max_tokens": 40}
    run = fine_tune(write(swap_text_encoder=swap, lora={"rank": 2, "alpha": 2}))
    assert "projection.weight" in kept(run)
    assert not (run.folder / "lora").exists()  # no pipeline is there that they would fit
    assert load_components(str(run.folder / "model")).unet.config.cross_attention_dim == 24


def test_another_text_model_is_not_resumed_with(
    write: Write,
    fine_tune: Callable[..., Any],
    tmp_path: Path,
    make_text_model: Callable[..., Path],
) -> None:
    swap = {"model": str(make_text_model(tmp_path / "one", "bert")), "max_tokens": 40}
    fine_tune(write(swap_text_encoder=swap))
    moved = (tmp_path / "one").rename(tmp_path / "moved")
    fine_tune(write(swap_text_encoder=swap | {"model": str(moved)}), "--resume=true")
    other = make_text_model(tmp_path / "other", "t5")
    with pytest.raises(InputError, match=r"another run \(text_encoder: [0-9a-f]+ -> [0-9a-f]+\)"):
        fine_tune(write(swap_text_encoder=swap | {"model": str(other)}), "--resume=true")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers 0.42
def test_prompts_of_two_windows_train_and_the_model_says_so(
    write: Write, fine_tune: Callable[..., Any]
) -> None:
    preview = {"prompts": ["mass " * 90], "count": 1, "steps": 2}
    with pytest.raises(InputError, match=r"has 92 tokens and .* takes 77"):
        fine_tune(write(preview=preview))
    run = fine_tune(write(preview=preview, prompt_chunks=2))
    assert load_components(str(run.folder / "model")).prompt_chunks == 2


def test_adapters_of_an_unknown_attention_are_refused(
    write: Write, fine_tune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.optim.lora.TEXT_PROJECTIONS", {"bert": ["query"]})
    with pytest.raises(InputError, match="lora does not support text encoders of type 'clip_text"):
        fine_tune(write(lora={"rank": 2, "alpha": 2}))
