"""LoRA and DoRA adapters by peft: trained alone, then saved and merged into the base's weights.

Adapters are added to the attention projections of the nets that train; the text encoder also trains
the view tokens' embeddings. All other weights are frozen and stored in the dtype of the run's
autocast if that is smaller; adapters are merged into the base's float32 weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.text_encoder import CLIP
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.model_card import write_model_card
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of_files, write_manifest
from roentgen.randomness import torch_generator
from roentgen.record.radiograph import VIEW_TOKENS
from roentgen.storage import atomic_folder
from train.config_sections import LoraConfig

UNET_PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
# Attention projections by the text encoder's `model_type`.
_CLIP = ["q_proj", "k_proj", "v_proj", "out_proj"]
_BERT = ["query", "key", "value", "attention.output.dense"]
_T5 = ["q", "k", "v", "o"]
TEXT_PROJECTIONS = {
    **dict.fromkeys(("clip_text_model", "clip"), _CLIP),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
    "distilbert": ["q_lin", "k_lin", "v_lin", "out_lin"],
}
ADAPTER = "default"  # peft's name of a single adapter


class TrainedRows(nn.Module):
    """An embedding of which only some rows are trained."""

    def __init__(self, base: nn.Embedding, rows: list[int]) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.trained = nn.Embedding(len(rows), base.embedding_dim, device=base.weight.device)
        self.trained.weight.data.copy_(base.weight[rows])
        self.rows: Tensor
        self.register_buffer("rows", torch.tensor(rows), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The frozen table."""
        return self.base.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings [..., D] of token ids [...]."""
        places = ids[..., None] == self.rows
        rows = self.trained(places.int().argmax(dim=-1))
        return torch.where(places.any(dim=-1, keepdim=True), rows, self.base(ids))

    def merged(self) -> nn.Embedding:
        """The embedding with the trained rows in place."""
        self.base.weight.data[self.rows] = self.trained.weight.data.to(self.base.weight.dtype)
        return self.base


def trained_weights(
    components: Components, rates: Mapping[str, float | None], config: LoraConfig | None
) -> dict[str, int]:
    """Number of parameters that would train, by network."""
    counts = {}
    for name, net in components.networks().items():
        if rates.get(name) is None:
            continue
        if config is None or name in ("projection", "condition_networks"):
            counts[name] = sum(weight.numel() for weight in net.parameters())
            continue
        kind = net.config.model_type if name == "text_encoder" else ""
        ends = tuple(f".{end}" for end in TEXT_PROJECTIONS.get(kind, UNET_PROJECTIONS))
        layers = [m for n, m in net.named_modules() if n.endswith(ends)]
        counts[name] = sum(
            config.rank * (m.in_features + m.out_features) + config.dora * m.out_features
            for m in layers
        )
        if name == "text_encoder":
            counts[name] += len(_view_rows(components.tokenizer)) * _embedding(net).embedding_dim
    return counts


def adapt(
    denoiser: Denoiser, tokenizer: Any, config: LoraConfig, *, seed: int, dtype: torch.dtype
) -> None:
    """Freeze the networks, add adapters to those that train, and cast frozen weights to `dtype`.

    Adapters are initialized as a function of `seed` and stay float32. A text encoder without
    adapters stays float32 too, as its states may be computed once, outside autocast. Raises
    InputError for a text encoder whose attention projections are unknown.
    """
    unet, text_encoder = denoiser.unet, denoiser.text_encoder
    if denoiser.trains_text_encoder:
        kind = text_encoder.config.model_type
        if kind not in TEXT_PROJECTIONS:
            raise InputError(
                f"lora does not support text encoders of type {kind!r}, only "
                f"{', '.join(TEXT_PROJECTIONS)}: set learning_rate.text_encoder to null"
            )
        _inject(text_encoder, TEXT_PROJECTIONS[kind], config, seed=seed)
        if rows := _view_rows(tokenizer):
            text_encoder.set_input_embeddings(TrainedRows(_embedding(text_encoder), rows))
        _cast_frozen(text_encoder, dtype)
    if any(weight.requires_grad for weight in unet.parameters()):
        _inject(unet, UNET_PROJECTIONS, config, seed=seed)
    _cast_frozen(unet, dtype)


def _view_rows(tokenizer: Any) -> list[int]:
    """Ids of the view tokens in a tokenizer's vocabulary."""
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[token] for token in VIEW_TOKENS.values() if token in vocabulary]


def _embedding(text_encoder: Any) -> nn.Embedding:
    embedding: nn.Embedding = text_encoder.get_input_embeddings()
    return embedding


def _inject(net: nn.Module, projections: list[str], config: LoraConfig, *, seed: int) -> None:
    """Add adapters, which change nothing yet, to these projections and freeze all other weights."""
    settings = PeftConfig(
        r=config.rank, lora_alpha=config.alpha, use_dora=config.dora, target_modules=projections
    )
    net.requires_grad_(False)
    inject_adapter_in_model(settings, net, adapter_name=ADAPTER)
    for name, layer in net.named_modules():
        if isinstance(layer, LoraLayer):
            down = layer.lora_A[ADAPTER].weight
            bound = down.shape[1] ** -0.5  # peft's initialization; the other factor is 0
            generator = torch_generator(seed, "adapter", type(net).__name__, name)
            down.data.uniform_(-bound, bound, generator=generator)


def _cast_frozen(net: nn.Module, dtype: torch.dtype) -> None:
    """Cast the frozen matrices and kernels of a network; norms stay float32."""
    for weight in net.parameters():
        if not weight.requires_grad and weight.ndim > 1:
            weight.data = weight.data.to(dtype)


@torch.no_grad()
def merge(net: nn.Module, originals: Mapping[str, Tensor] | None = None) -> None:
    """Merge a network's adapters into its float32 weights.

    `originals` are the base's float32 weights, for a network whose frozen weights were cast.
    """
    for name, weight in net.named_parameters():
        plain = name.replace(".base_layer.", ".").replace(".base.", ".")
        if originals and plain in originals:
            weight.data = originals[plain].to(weight.device)
    for name, module in list(net.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            net.set_submodule(name, module.get_base_layer())
        elif isinstance(module, TrainedRows):
            net.set_input_embeddings(module.merged())  # type: ignore[operator]
    if hasattr(net, "peft_config"):
        del net.peft_config


def save_adapters(
    folder: Path, denoiser: Denoiser, tokenizer: Any, origin: Mapping[str, Any], *, overwrite: bool
) -> None:
    """Save the adapters alone, atomically, for the pipeline that they were trained on.

    `pipeline.load_lora_weights(folder)` reads them. If view tokens were trained, each has a file
    `view-....safetensors` for `pipeline.load_textual_inversion`, which must be called first.
    """
    from diffusers import StableDiffusionPipeline

    unet, unet_settings = _adapters(denoiser.unet)
    text, text_settings = _adapters(denoiser.text_encoder)
    if text and denoiser.text_encoder.config.model_type in CLIP:  # transformers 4's names
        text = {f"text_model.{name.removeprefix('text_model.')}": w for name, w in text.items()}
    with atomic_folder(folder, overwrite=overwrite) as partial:
        StableDiffusionPipeline.save_lora_weights(
            partial,
            unet_lora_layers=unet,
            text_encoder_lora_layers=text,
            unet_lora_adapter_metadata=unet_settings,
            text_encoder_lora_adapter_metadata=text_settings,
        )
        embedding = denoiser.text_encoder.get_input_embeddings()
        if isinstance(embedding, TrainedRows):
            tokens = tokenizer.convert_ids_to_tokens(embedding.rows.tolist())
            for token, row in zip(tokens, embedding.trained.weight.detach().cpu(), strict=True):
                save_file({token: row.clone()}, partial / f"{token.strip('<>')}.safetensors")
        files = sorted(partial.glob("*.safetensors"))
        write_model_card(partial, "adapter", **origin)
        write_manifest(partial, "adapter", fingerprint_of_files(files), **origin)


def _adapters(net: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A network's adapters and peft's settings, rescaled so that alpha equals the rank.

    Readers that ignore alpha then scale them correctly.
    """
    if not hasattr(net, "peft_config"):
        return {}, {}
    settings = net.peft_config[ADAPTER]
    weights: dict[str, Tensor] = {}
    for name, weight in get_peft_model_state_dict(net, adapter_name=ADAPTER).items():
        scale = settings.lora_alpha / settings.r if ".lora_B." in name else 1.0
        if name.endswith("_vector"):  # DoRA's, which transformers 5 finds only by the full name
            name += ".weight"
        weights[name] = (weight.detach() * scale).cpu().contiguous()
    plain: dict[str, Any] = settings.to_dict() | {"lora_alpha": settings.r}
    return weights, json.loads(json.dumps(plain, default=sorted))
