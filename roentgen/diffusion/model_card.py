"""Model card: the origin of a model or adapter, its prompts, and how to draw with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roentgen.cards.hub_license import license_header, license_lines
from roentgen.cards.markdown import bullets, card_text, code, plain, table
from roentgen.diffusion.card_code import CardCode
from roentgen.diffusion.example_prompts import examples, stated_counts
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.diffusion.training_record import (
    style_mixture,
    style_of,
    trained_style,
    training_config,
)
from roentgen.prompts.grammar import GRAMMAR_TEXTS, PromptStyle
from roentgen.storage import CARD, write_file
from roentgen.untrusted_files import read_json

EVALUATION = "Evaluation"  # the section that roentgen.publish fills in
NOT_FOR_DIAGNOSIS = (
    "**For research and teaching only, not for diagnosis.** Images are generated, and can "
    "be wrong in every detail, also where they look right, and must be marked as synthetic where "
    "they are passed on."
)
NOT_EVALUATED = (
    "None is recorded here. `python -m roentgen.publish FOLDER --evaluation=RESULTS` adds the "
    "numbers of `eval.evaluate`."
)
_MADE_BY = {
    "train.finetune": "fine-tuned on radiographs with prompts",
    "train.controlnet": "with a ControlNet that was trained to follow masks",
    "train.average": "fine-tuned on radiographs with prompts, its weights averaged over steps",
    "train.autoencoder": "with a VAE trained on radiographs; its other networks are untrained",
}
_TEXTS = {
    "findings": "findings in the words of the prompt grammar",
    "entities": "the findings that the report states, in the words of the prompt grammar",
    "facts": "what the report states, in its order, in the words of the prompt grammar",
    "impression": "the impression of the report",
    "report_findings": "the findings section of the report",
    "last_paragraph": "the last paragraph of the report",
    "none": "no text",
}
_KINDS = {
    "view": "View",
    "context": "Context",
    "finding": "Finding",
    "text_form": "Text",
    "language": "Language",
}
_LISTED = 12  # values of a kind in the table of what prompts state
_SETTINGS = ("steps", "batch_size", "precision", "save_precision", "seed")
_LIBRARIES = ("torch", "diffusers", "transformers")


def write_model_card(folder: Path, kind: str, **manifest: Any) -> None:
    """Write README.md into a folder whose other files but the manifest are there."""
    write_file(folder / CARD, model_card(folder, {"kind": kind, **manifest}))


def model_card(folder: Path, manifest: Mapping[str, Any]) -> str:
    """README.md of a model or adapter folder with this manifest, whose other files are there."""
    config = training_config(manifest)
    style = trained_style(dict(manifest))
    side, solver = _image_side(folder), _solver(folder)
    use = CardCode(manifest, style, side, solver)
    program = str(manifest["provenance"].get("program"))
    is_adapter = manifest["kind"] == "adapter"
    what = "Low-rank adapters (LoRA) of a" if is_adapter else "A"
    made = _MADE_BY.get(program, "made by Roentgen")
    lines = [
        f"# {plain(_title(manifest, config))}",
        "",
        f"{what} latent diffusion model of the Stable Diffusion family that draws chest "
        f"radiographs from text: {use.base_phrase}, {made}.",
        "",
        NOT_FOR_DIAGNOSIS,
        "",
        "## Use",
        "",
        *use.lines(),
        "",
        "## Prompts",
        "",
        *_prompt_lines(manifest, config, style),
        "",
        "## Sampling",
        "",
        *bullets(_sampling_lines(config, side, solver)),
        "",
        "## Training data",
        "",
        *_data_lines(manifest),
        "",
        "## Training",
        "",
        *bullets(_training_lines(manifest, config)),
        "",
        f"## {EVALUATION}",
        "",
        NOT_EVALUATED,
        "",
        "## Intended use and limits",
        "",
        *bullets(
            (
                "Research on generative models, teaching, and training data for classifiers and "
                "segmenters whose value is measured on real radiographs.",
                "Not for diagnosis, treatment, or any other decision about a patient, nor to pass "
                "images off as those of patients.",
                "It was never trained to draw what its training prompts do not state. How often "
                "it follows a prompt is measured by an evaluation.",
                "It learned the populations, devices and labels of its training data, with their "
                "biases. Models of this kind can reproduce training images: measure it before "
                "images are shared.",
            )
        ),
        "",
        "## Licenses and data use",
        "",
        *license_lines(manifest["licenses"]),
    ]
    return card_text(_header(manifest, use, style), lines)


def _title(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The name of the run, which is not that of its folder `model`."""
    own = manifest["provenance"].get("config") or {}
    output = Path(str((own if own.get("output") else config).get("output") or "Chest radiographs"))
    return output.name


def _header(manifest: Mapping[str, Any], use: CardCode, style: PromptStyle) -> dict[str, Any]:
    tags = ["chest-x-ray", "radiology", "medical", "stable-diffusion", "synthetic-data"]
    if manifest["kind"] == "adapter":
        tags.append("lora")
    if manifest.get("structures"):
        tags.append("controlnet")
    header: dict[str, Any] = {
        **license_header(manifest["licenses"]),
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": tags,
    }
    if use.hub_base:
        relation = "adapter" if manifest["kind"] == "adapter" else "finetune"
        header |= {"base_model": use.hub_base, "base_model_relation": relation}
    if stated_counts(manifest).get("language", {}).keys() <= {"English"}:
        header["language"] = "en"
    return header | {"widget": [{"text": prompt} for prompt in examples(manifest, style)]}


def _prompt_lines(
    manifest: Mapping[str, Any], config: Mapping[str, Any], style: PromptStyle
) -> list[str]:
    mixture = [(style_of(m["style"]), float(m["weight"])) for m in style_mixture(config)]
    total = sum(weight for _, weight in mixture)
    described = [
        _style_words(one) + (f" ({weight / total:.0%} of the prompts)" if len(mixture) > 1 else "")
        for one, weight in mixture
    ]
    lines = ["A prompt is made of:", "", *bullets(described), "", "For example:", ""]
    lines += code("text", *examples(manifest, style))
    rows = []
    for kind, name in _KINDS.items():
        counts = stated_counts(manifest).get(kind, {})
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rows += [(f"{name}: {value}", count) for value, count in ordered[:_LISTED]]
    if rows:
        lines += ["", "What the training prompts state:", "", *table(("", "images"), rows)]
    return lines


def _style_words(style: PromptStyle) -> str:
    words = []
    if style.view_token:
        words.append("the token of the view (`<view-pa>`, `<view-ap>` or `<view-lateral>`)")
    if style.demographics:
        words.append("age and sex" + (" and race" if style.race else ""))
    if style.context:
        known = ", ".join(word for rule in style.context_rules for word in rule.words)
        words.append(f"words of the clinical context ({known})")
    text = _TEXTS[style.text]
    if style.text in GRAMMAR_TEXTS:
        excluded = [
            state
            for state, is_stated in (
                ("absent", style.mention_absent),
                ("uncertain", style.mention_uncertain),
            )
            if not is_stated
        ]
        text += f", as a {style.form}"
        text += f", without {' and '.join(excluded)} ones" if excluded else ""
    return ", then ".join([*words, text])


def _sampling_lines(config: Mapping[str, Any], side: int | None, solver: str) -> list[str]:
    settings = SamplerSettings()
    lines = [
        f"Solver {solver}, {settings.steps} steps, guidance scale {settings.guidance_scale:g}: the "
        "defaults of `sample.generate` and `Generator`. With more guidance images follow prompts "
        "more closely, and vary less."
    ]
    if side:
        lines.append(f"Images of {side} × {side} pixels, the size of training.")
    if preview := config.get("preview"):
        lines.append(
            f"The previews of the training used guidance scale {preview['guidance_scale']:g} and "
            f"{preview['steps']} steps."
        )
    return lines


def _data_lines(manifest: Mapping[str, Any]) -> list[str]:
    data = manifest["provenance"].get("training_data")
    if not data:
        return ["Not recorded."]
    sources = ", ".join(f"{plain(s['source'])} {s['radiographs']}" for s in data["sources"])
    lines = [
        f"The split `{plain(data['split'])}` of the dataset `{plain(data['name'])}`: "
        f"{data['radiographs']} radiographs of {data['patients']} patients (by source: {sources})."
    ]
    if ages := data.get("ages"):
        lines[0] += f" Ages {ages['least']:g} to {ages['most']:g} years, median {ages['median']:g}."
    rows = [
        (f"{name}: {value}", count)
        for key, name in (("views", "View"), ("sexes", "Sex"), ("reports", "Report section"))
        for value, count in data[key].items()
    ]
    return [*lines, "", *table(("", "radiographs"), rows)] if rows else lines


def _training_lines(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    origin = manifest["provenance"]
    known = [f"{name.replace('_', ' ')} {config[name]}" for name in _SETTINGS if name in config]
    lines = [f"Program `{origin.get('program', 'unknown')}`: {', '.join(known) or 'no settings'}."]
    versions = origin.get("versions") or {}
    if used := [f"{name} {versions[name]}" for name in _LIBRARIES if name in versions]:
        lines.append(f"Made with {', '.join(used)}.")
    return [*lines, "`roentgen.json` has all settings, versions and fingerprints."]


def _image_side(folder: Path) -> int | None:
    """Pixels of the images' side; None for a folder without a UNet."""
    if not (folder / "unet" / "config.json").exists():
        return None
    latents = read_json(folder / "unet" / "config.json").get("sample_size")
    halvings = len(read_json(folder / "vae" / "config.json")["block_out_channels"]) - 1
    return int(latents) << halvings if isinstance(latents, int) else None


def _solver(folder: Path) -> str:
    """The solver to use: the default, with uniform steps where the noise needs them."""
    path, default = folder / "scheduler" / "scheduler_config.json", SamplerSettings().scheduler
    trained = read_json(path) if path.exists() else {}
    uneven = trained.get("beta_schedule") == "squaredcos_cap_v2"
    if trained.get("rescale_betas_zero_snr") or uneven:
        return default.removesuffix(" Karras")
    return default
