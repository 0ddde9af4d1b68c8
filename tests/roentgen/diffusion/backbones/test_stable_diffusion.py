import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file

from roentgen.diffusion.backbones.model_folder import COMPONENTS, find_model, model_fingerprint
from roentgen.diffusion.backbones.stable_diffusion import (
    add_view_tokens,
    load_components,
    module_fingerprint,
    save_model,
)
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.controlnet import new_controlnet
from roentgen.diffusion.conditions.prompt_encoding import encode_prompts
from roentgen.diffusion.conditions.text_encoder import swap_text_encoder
from roentgen.errors import InputError
from roentgen.record.radiograph import VIEW_TOKENS
from roentgen.weights import PIPELINES, TINY

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}


OURS = shutil.ignore_patterns("roentgen.json", "checksums.json")  # without them it is a plain one


@pytest.fixture(scope="module")
def components(make_small_components: Callable[..., Components]) -> Components:
    made = make_small_components(prediction_type="v_prediction")
    add_view_tokens(made.tokenizer, made.text_encoder)
    return made


@pytest.fixture(scope="module")
def saved(components: Components, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(folder, components, licenses=[LICENSE], provenance={"program": "test"})
    return folder


def test_all_parts_survive_saving(components: Components, saved: Path) -> None:
    again = load_components(str(saved))
    for name in ("vae", "unet", "text_encoder"):
        before, after = getattr(components, name).state_dict(), getattr(again, name).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert again.scheduler.config.prediction_type == "v_prediction"
    assert type(again.scheduler) is type(components.scheduler)
    prompts = ["<view-lateral> edema"]
    with torch.no_grad():
        assert torch.equal(
            encode_prompts(components, prompts),
            encode_prompts(again, prompts),
        )


def test_half_precision_files_load_as_float32(
    make_small_components: Callable[..., Components], tmp_path: Path
) -> None:
    half = make_small_components()
    for module in (half.vae, half.unet, half.text_encoder):
        module.half()
    save_model(tmp_path / "half", half, licenses=[LICENSE], provenance={})
    again = load_components(str(tmp_path / "half"))
    for module in (again.vae, again.unet, again.text_encoder):
        assert {weight.dtype for weight in module.parameters()} == {torch.float32}


def test_a_folder_with_fp16_files_alone_loads(
    saved: Path, components: Components, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    for path in (tmp_path / "model").glob("*/*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))
    again = load_components(str(tmp_path / "model"))
    for name in ("vae", "unet", "text_encoder"):
        before, after = getattr(components, name).state_dict(), getattr(again, name).state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_view_tokens_start_as_the_mean_of_words(
    make_small_components: Callable[..., Components],
) -> None:
    made = make_small_components()
    old = made.text_encoder.get_input_embeddings().weight.detach().clone()
    words = made.tokenizer("side chest x-ray lateral", add_special_tokens=False).input_ids
    add_view_tokens(made.tokenizer, made.text_encoder)
    new = made.text_encoder.get_input_embeddings().weight.detach()
    place = made.tokenizer.convert_tokens_to_ids("<view-lateral>")
    assert torch.equal(new[: len(old)], old)
    assert torch.allclose(new[place], old[words].mean(dim=0))
    assert made.tokenizer("<VIEW-LATERAL> edema").input_ids[1] == place
    add_view_tokens(made.tokenizer, made.text_encoder)
    assert len(made.tokenizer) == len(old) + len(VIEW_TOKENS)
    assert torch.equal(made.text_encoder.get_input_embeddings().weight, new)


def test_plain_diffusers_opens_it_without_our_code_or_warnings(saved: Path) -> None:
    script = f"""
import sys, torch
from diffusers import StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained({str(saved)!r}, local_files_only=True)
assert not any(name.split(".")[0] == "roentgen" for name in sys.modules)
assert pipe.tokenizer("<view-pa>").input_ids == [49406, 49408, 49407]
assert pipe.text_encoder.get_input_embeddings().num_embeddings == 49411
pipe.set_progress_bar_config(disable=True)
image = pipe("<view-pa> edema", num_inference_steps=2, output_type="np").images
assert image.shape == (1, 32, 32, 3), image.shape
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("safety", "unused", "deprecated", "not initialized"):
        assert word not in done.stderr.lower()


DTYPES = pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16])


def check_plain_drawing(pipeline: DiffusionPipeline, dtype: torch.dtype | None) -> None:
    """The networks of a pipeline have one dtype, the one named or float32, and draw an image."""
    # Layers of T5 stay in float32: its `dtype` is that of the others.
    networks = (net for net in pipeline.components.values() if isinstance(net, torch.nn.Module))
    assert {net.dtype for net in networks} == {dtype or torch.float32}
    pipeline.set_progress_bar_config(disable=True)
    given = {"image": torch.zeros(1, 2, 32, 32)} if hasattr(pipeline, "controlnet") else {}
    drawn = pipeline("edema", num_inference_steps=2, output_type="np", **given).images
    assert np.isfinite(drawn).all()
    assert drawn.std() > 0


@DTYPES
@pytest.mark.parametrize("kind", ["clip", "bert", "t5", "controlnet"])
def test_fp16_files_draw_in_plain_diffusers(
    kind: str,
    dtype: torch.dtype | None,
    make_small_components: Callable[..., Components],
    make_text_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    components = make_small_components()
    if kind in ("bert", "t5"):
        text_model = make_text_model(tmp_path / "text", kind)
        swap_text_encoder(components, str(text_model), max_tokens=20, seed=0)
    if kind == "controlnet":
        components.structures = ("Heart", "Left Lung")
        components.controlnet = new_controlnet(components.unet, components.structures, halvings=2)
    save_model(tmp_path / "model", components, licenses=[LICENSE], provenance={}, half=True)
    reader = StableDiffusionControlNetPipeline if kind == "controlnet" else StableDiffusionPipeline
    pipeline = reader.from_pretrained(tmp_path / "model", dtype=dtype)
    check_plain_drawing(pipeline, dtype)


@DTYPES
def test_the_shipped_base_draws_in_plain_diffusers(dtype: torch.dtype | None) -> None:
    check_plain_drawing(StableDiffusionPipeline.from_pretrained(TINY, dtype=dtype), dtype)


def test_older_transformers_find_their_keys_and_files(saved: Path) -> None:
    assert all(
        name.startswith("text_model.")
        for name in load_file(saved / "text_encoder" / "model.safetensors")
    )
    vocabulary = json.loads((saved / "tokenizer" / "vocab.json").read_text())
    added = json.loads((saved / "tokenizer" / "added_tokens.json").read_text())
    assert len(vocabulary) == 49408
    assert added == {"<view-pa>": 49408, "<view-ap>": 49409, "<view-lateral>": 49410}
    assert (saved / "tokenizer" / "merges.txt").read_text().splitlines()[1] == "i n"


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_missing_part_is_named(saved: Path, tmp_path: Path, component: str) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    shutil.rmtree(tmp_path / "model" / component)
    with pytest.raises(InputError, match=f"has no {component}:"):
        find_model(str(tmp_path / "model"))


def test_a_damaged_part_is_named(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot read the unet of") as error:
        load_components(str(tmp_path / "model"))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model_index\.json"):
        find_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(InputError, match=r"cannot read model_index\.json .*: it is not valid JSON"):
        find_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(InputError, match=r"lacks vae in model_index\.json"):
        find_model(str(tmp_path))


def test_the_shipped_base_is_fp16_and_small() -> None:
    files = list(TINY.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) <= 40e6
    for file in files:
        assert {tensor.dtype for tensor in load_file(file).values()} <= {
            torch.float16,
            torch.int64,
        }, file


def test_the_shipped_base_is_named_when_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PIPELINES, "tiny", tmp_path / "tiny")
    with pytest.raises(InputError, match=r"tiny is no diffusers pipeline"):
        find_model("tiny")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModel"]}, "as Stable "),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "a second text encoder"),
        ("unet/config.json", {"in_channels": 9}, "takes 9 channels, not 4"),
    ],
)
def test_other_kinds_of_models_are_refused(
    saved: Path, tmp_path: Path, file: str, change: dict[str, object], message: str
) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    path = tmp_path / "model" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message) as error:
        find_model(str(tmp_path / "model"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("base", ["nowhere", "./no/where", "/no/where"])
def test_a_missing_base_is_named(base: str) -> None:
    with pytest.raises(InputError, match=f"base model '{base}' not found"):
        find_model(base)


def test_a_repository_that_cannot_be_fetched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"'nobody/nothing' .* cannot be fetched"):
        find_model("nobody/nothing")


@pytest.mark.parametrize("plain", [True, False])
def test_only_what_is_needed_is_fetched(
    saved: Path, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    weights = {"unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"}
    half = {f"{name}.fp16.safetensors" for name in weights}
    full = {f"{name}.safetensors" for name in weights} if plain else set()
    others = {"v1-5-pruned.ckpt", "unet/diffusion_pytorch_model.bin", "README.md"}
    others |= {
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "safety_checker/model.safetensors",
    }
    fetched: list[str] = []

    asked: list[tuple[str, str | None]] = []

    def look(repo_id: str, revision: str | None) -> list[str]:
        asked.append((repo_id, revision))
        return sorted(half | full | others)

    def fetch(repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo_id, revision))
        fetched.extend(allow_patterns)
        return str(saved)

    monkeypatch.setattr("huggingface_hub.list_repo_files", look)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert find_model("owner/name") == saved
    assert find_model("owner/name@v1.5") == saved
    assert asked == [("owner/name", None)] * 2 + [("owner/name", "v1.5")] * 2
    assert {name for name in fetched if name.endswith(".safetensors")} == (full or half)
    assert {"unet/*.json", "roentgen.json", "checksums.json"} <= set(fetched)


def test_whatever_the_hub_raises_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("client closed\nmore")

    monkeypatch.setattr("huggingface_hub.list_repo_files", fail)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(InputError, match=r"cannot be fetched from the hub \(RuntimeError\)"):
        find_model("owner/name")


def test_fingerprints_tell_models_apart(
    saved: Path, make_small_components: Callable[..., Components], tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "copy")
    (tmp_path / "copy" / "roentgen.json").unlink()
    assert model_fingerprint(tmp_path / "copy") == model_fingerprint(saved)
    one, same, other = (make_small_components(seed).unet for seed in (0, 0, 1))
    assert module_fingerprint(one) == module_fingerprint(same) != module_fingerprint(other)


@pytest.mark.parametrize(
    ("component", "named"),
    [
        *[("scheduler", ["diffusers", name]) for name in ("loaders", "ConfigMixin", "UNet2DModel")],
        ("scheduler", ["code", "DDIMScheduler"]),
        ("scheduler", ["diffusers", ["DDIMScheduler"]]),
        ("unet", ["diffusers", "UNet2DModel"]),
        ("vae", ["code", "AutoencoderKL"]),
        ("text_encoder", ["code", "CLIPTextModel"]),
        ("controlnet", ["diffusers", "UNet2DConditionModel"]),
    ],
)
def test_a_class_of_another_kind_in_the_index_is_refused(
    component: str, named: list[object], saved: Path, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    path = tmp_path / "model" / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {component: named}))
    with pytest.raises(InputError, match=f"as its {component} in model_index.json") as error:
        load_components(str(tmp_path / "model"))
    assert str(named) in str(error.value)


@pytest.mark.parametrize("steps", [10**9, 10_001, 0, -1, None, "1000"])
def test_an_endless_noise_schedule_is_refused(steps: object, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    path = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_train_timesteps": steps}))
    with pytest.raises(InputError, match=r"num_train_timesteps=.*: 1 to 10000 are supported"):
        load_components(str(tmp_path / "model"))


@pytest.mark.parametrize("component", ["unet", "text_encoder", "tokenizer"])
def test_code_in_a_component_is_refused(component: str, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    name = "tokenizer_config.json" if component == "tokenizer" else "config.json"
    path = tmp_path / "model" / component / name
    entry = {"auto_map": {"AutoModel": "code.Model"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    with pytest.raises(InputError, match=r"names code of its own"):
        load_components(str(tmp_path / "model"))


def test_safe_settings_of_reading_are_not_saved(saved: Path) -> None:
    again = load_components(str(saved))
    again.tokenizer.save_pretrained(saved.parent / "tokenizer")
    again.text_encoder.save_pretrained(saved.parent / "text_encoder")
    for path in (*saved.parent.glob("t*/*.json"), *saved.glob("*/*.json")):
        assert "trust_remote_code" not in path.read_text(), path


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_weights_that_lack_a_tensor_are_refused(
    component: str, saved: Path, tmp_path: Path
) -> None:
    # The libraries draw it at random, or leave it without values.
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    (path,) = (tmp_path / "model" / component).glob("*.safetensors")
    weights = load_file(path)
    lost = next(name for name in weights if name.endswith("bias"))
    save_file({n: w.clone() for n, w in weights.items() if n != lost}, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"1 of its tensors are missing, such as .*bias$"):
        load_components(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("component", "key"),
    [("text_encoder", "num_hidden_layers"), ("unet", "transformer_layers_per_block")],
)
def test_weights_of_more_layers_than_the_configuration_counts_are_refused(
    component: str, key: str, tmp_path: Path, make_small_components: Callable[..., Components]
) -> None:
    made = make_small_components()
    config = {name: each for name, each in made.unet.config.items() if name[0] != "_"}
    made.unet = UNet2DConditionModel.from_config({**config, key: 2})
    save_model(tmp_path / "model", made, licenses=[LICENSE], provenance={})
    for name in ("roentgen.json", "checksums.json"):
        (tmp_path / "model" / name).unlink()
    load_components(str(tmp_path / "model"))
    path = tmp_path / "model" / component / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: 1}))
    with pytest.raises(InputError, match=r"of layers that its configuration does not count, such"):
        load_components(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("component", "key", "value"),
    [
        *(("vae", "layers_per_block", 2**15), ("unet", "layers_per_block", [1, 2**15])),
        *(("unet", "block_out_channels", [8] * 2**15), ("unet", "block_out_channels", [2**31, 8])),
        ("text_encoder", "num_hidden_layers", 2**40),
        ("text_encoder", "max_position_embeddings", 2**31),
    ],
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_they_are_built(
    component: str, key: str, value: object, saved: Path, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    path = tmp_path / "model" / component / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=rf"has {key}: .*, but the weights beside it are \d+ tens"):
        load_components(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("file", "key", "value", "told"),
    [
        ("tokenizer/tokenizer_config.json", "model_max_length", 78, "text encoder takes 77 tokens"),
        ("tokenizer/tokenizer_config.json", "model_max_length", "9", "has model_max_length='9'"),
        ("scheduler/scheduler_config.json", "steps_offset", None, "cannot read the scheduler"),
    ],
)
def test_parts_that_could_not_be_used_are_refused_when_they_are_read(
    file: str, key: str, value: object, told: str, saved: Path, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "model", ignore=OURS)
    path = tmp_path / "model" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=told):
        load_components(str(tmp_path / "model"))
