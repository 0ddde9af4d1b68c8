"""Model cards: what they say of a training, and code that runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from roentgen.cards.markdown import PLACE
from roentgen.diffusion.backbones.stable_diffusion import add_view_tokens, save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.controlnet import new_controlnet
from roentgen.diffusion.model_card import model_card
from roentgen.prompts.parser import parse_prompt
from roentgen.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
STATED = {
    "view": {"PA": 30, "LATERAL": 4},
    "finding": {"Edema": 9, "Pleural Effusion": 20, "Pneumothorax absent": 12, "No Finding": 25},
    "side": {"left Pleural Effusion": 12, "right Pleural Effusion": 8, "left Edema": 1},
    "severity": {"large Pleural Effusion": 5},
    "age": {"50-59 years": 7, "60-69 years": 8},
    "sex": {"F": 5},
    "text_form": {"a list of findings": 34},
}
COUNTS = {"radiographs": 34, "patients": 30, "reports": {"impression": 34}, "sexes": {"F": 5}}
DATA = {
    "name": "films",
    "split": "train",
    "views": {"PA": 30, "LATERAL": 4},
    "ages": {"known": 15, "least": 50, "median": 60, "most": 69},
    "sources": [{"source": "Hospital", "license": "CC0-1.0", "radiographs": 34}],
    **COUNTS,
}


def provenance(**config: Any) -> dict[str, Any]:
    hub = "../cache/models--owner--base-model/snapshots/abc"
    return {
        "program": "train.finetune",
        "config": {"base": "owner/base-model@v1", "output": "runs/films", "steps": 5, **config},
        "made_from": {"base": {"path": hub}},
        "training_prompts": [{"model": None, "images": 34, "stated": STATED}],
        "training_data": DATA,
    }


@pytest.fixture(scope="module")
def save(make_small_components: Callable[..., Components]) -> Callable[..., str]:
    def save_and_read(
        folder: Path, origin: dict[str, Any], structures: tuple[str, ...] = ()
    ) -> str:
        components = make_small_components()
        add_view_tokens(components.tokenizer, components.text_encoder)
        if structures:
            components.structures = structures
            components.controlnet = new_controlnet(components.unet, structures, halvings=2)
        save_model(folder, components, licenses=[LICENSE], provenance=origin)
        assert not verify(folder).damaged
        assert not verify(folder).unknown
        return (folder / "README.md").read_text()

    return save_and_read


def run_code(card: str, folder: Path, monkeypatch: pytest.MonkeyPatch, at: Path) -> None:
    """Run the blocks of code, with two steps of sampling, in a folder of their own."""
    monkeypatch.chdir(at)
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        short = block.replace("num_inference_steps=15", "num_inference_steps=2")
        exec(short.replace(PLACE, str(folder)), {})


def test_a_card_states_its_training(save: Callable[..., str], tmp_path: Path) -> None:
    card = save(tmp_path / "model", provenance(prompt={"demographics": True}))
    data = ModelCard.load(tmp_path / "model" / "README.md").data
    assert (data.license, data.base_model) == ("cc0-1.0", "owner/base-model")
    assert (data.pipeline_tag, data.library_name) == ("text-to-image", "diffusers")
    (prompt,) = (item["text"] for item in data.widget)
    assert prompt == ("<view-pa> 65 year old woman, large left pleural effusion, no pneumothorax")
    assert parse_prompt(prompt).view == "PA"
    for line in (
        "# films",
        "34 radiographs of 30 patients (by source: Hospital 34). Ages 50 to 69 years, median 60.",
        "| View: LATERAL | 4 |",
        "| Finding: Pleural Effusion | 20 |",
        "| Report section: impression | 34 |",
        "not for diagnosis",
        "DPM-Solver++ Karras, 15 steps, guidance scale 3",
        "32 × 32 pixels",
        "- CC0-1.0: may be passed on.",
    ):
        assert line in card


def test_previews_are_the_examples(save: Callable[..., str], tmp_path: Path) -> None:
    preview = {"prompts": ["one <b>", "two"], "guidance_scale": 4.0, "steps": 20}
    card = save(tmp_path / "model", provenance(preview=preview))
    assert "```text\none <b>\ntwo\n```" in card
    assert "guidance scale 4 and 20 steps" in card


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("tiny", "from the tiny base that `roentgen-cxr` ships,"),
        ("runs/films/first/model", "from `first`,"),
        ("models/sd-v1-4", "from `sd-v1-4`,"),
    ],
)
def test_a_card_names_the_base_by_its_run(
    base: str, words: str, save: Callable[..., str], tmp_path: Path
) -> None:
    origin = provenance(base=base) | {"made_from": {"base": {"path": base}}}
    assert words in save(tmp_path / "model", origin)


@pytest.mark.parametrize(
    ("config", "structures"),
    [
        ({}, ()),
        ({"prompt": {"text": "impression"}, "preview": {"prompts": ['say "a"']}}, ()),
        ({"style": {"view_token": False}}, ("Heart", "Left Lung")),
        (None, ()),
    ],
)
def test_the_code_of_a_card_runs(
    config: dict[str, Any] | None,
    structures: tuple[str, ...],
    save: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if config and "preview" in config:
        config["preview"] |= {"guidance_scale": 2.0, "steps": 2}
    origin = {} if config is None else provenance(**config)
    card = save(tmp_path / "model", origin, structures)
    run_code(card, tmp_path / "model", monkeypatch, tmp_path)
    assert len(list(tmp_path.glob("*.png"))) >= 1


def test_noise_that_ends_in_zero_signal_takes_uniform_steps(
    save: Callable[..., str], tmp_path: Path
) -> None:
    save(tmp_path / "model", provenance())
    path = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace("{", '{"rescale_betas_zero_snr": true,', 1))
    manifest = {"kind": "model", "licenses": [LICENSE], "provenance": provenance()}
    card = model_card(tmp_path / "model", manifest)
    assert "Solver DPM-Solver++, 15 steps" in card
    assert "karras" not in card


def test_a_card_of_adapters_names_the_base(tmp_path: Path) -> None:
    manifest = {"kind": "adapter", "licenses": [LICENSE], "provenance": provenance()}
    card = model_card(tmp_path, manifest)
    assert 'StableDiffusionPipeline.from_pretrained("owner/base-model")' in card
    assert f'pipeline.load_lora_weights("{PLACE}")' in card
    assert "base_model_relation: adapter" in card
