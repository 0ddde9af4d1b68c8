"""Text encoders of any kind: loaded, swapped into a pipeline, and projected to its UNet's width."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import encode_tokens
from roentgen.errors import InputError
from roentgen.terminal.progress import without_library_bars
from roentgen.untrusted_files import check_network_files, check_weights, refuse_code

# The kinds of which AutoModel would choose more than the text encoder.
ENCODERS = {
    "clip": "CLIPTextModel",
    "clip_text_model": "CLIPTextModel",
    "mt5": "MT5EncoderModel",
    "t5": "T5EncoderModel",
    "umt5": "UMT5EncoderModel",
}
CLIP = ("clip", "clip_text_model")  # Stable Diffusion's own, which attends to padding too
# What is fetched of a repository: no pickles, no code.
FILES = ("*.json", "*.txt", "*.model", "model.safetensors", "model-*.safetensors")


def read_text_encoder(folder: Path, **options: Any) -> Any:
    """The text encoder of a folder, float32, in eval mode; it never draws dropout.

    A draw of dropout would not be the same after a restart or in another batch. Raises InputError
    for a model with a decoder or code of its own, ValueError as `check_weights` does; what else
    goes wrong raises what the library raises.
    """
    import transformers

    check_network_files(folder)
    config = transformers.AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False) and kind not in ENCODERS:
        raise InputError(f"a {kind} has a decoder too: give an encoder alone")
    config = getattr(config, "text_config", config)  # of a CLIP with both its encoders
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    reader = getattr(transformers, ENCODERS.get(kind, "AutoModel"))
    with without_library_bars():
        text_encoder, report = reader.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    check_weights(text_encoder, report, lambda: idle_weights(text_encoder))
    return text_encoder


def read_tokenizer(folder: Path, kind: str) -> Any:
    """The tokenizer of a folder, for a text encoder of this kind (`model_type`)."""
    import transformers

    refuse_code(folder)
    reader = transformers.CLIPTokenizer if kind in CLIP else transformers.AutoTokenizer
    return reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def find_text_model(model: str) -> Path:
    """The local folder of a text model: a folder, or a repository id of the hub."""
    if Path(model).is_dir():
        return Path(model)
    owner, _, name = model.partition("/")
    if not (owner and name) or "/" in name or model.startswith((".", "~")):
        raise InputError(
            f"text model {model!r} not found: give the folder of a transformers model or a "
            "repository id like 'owner/name'"
        )
    import huggingface_hub as hub

    try:
        return Path(hub.snapshot_download(model, allow_patterns=list(FILES)))
    except Exception as error:  # the hub, its network and its cache each have their own
        raise InputError(
            f"text model {model!r} is no folder here and cannot be fetched from the hub "
            f"({type(error).__name__}): give a folder, or fetch it first where there is a network"
        ) from error


def swap_text_encoder(components: Components, model: str, *, max_tokens: int, seed: int) -> None:
    """Replace a pipeline's text encoder and tokenizer by others; the UNet stays.

    Prompts come to have `max_tokens` tokens. Where widths differ, an untrained projection, a
    function of `seed`, stands between; `fold_projection` takes it into the UNet. Raises InputError
    if the model cannot be read or does not take so many tokens.
    """
    folder = find_text_model(model)
    try:
        text_encoder = read_text_encoder(folder)
        tokenizer = read_tokenizer(folder, text_encoder.config.model_type)
    except Exception as error:  # each library has its own; all mean the folder cannot be read
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot read text model {model}: {reason}") from error
    if tokenizer.pad_token_id is None:
        raise InputError(f"the tokenizer of text model {model} has no padding token: give another")
    tokenizer.model_max_length = max_tokens
    tokenizer.padding_side = "right"
    text_encoder.config.use_attention_mask = text_encoder.config.model_type not in CLIP
    text_encoder.config.pad_token_id = tokenizer.pad_token_id  # by which the mask is made
    components.text_encoder, components.tokenizer, components.prompt_chunks = (
        text_encoder,
        tokenizer,
        1,
    )
    width, required = _width(components, model), components.unet.config.cross_attention_dim
    if width == required:
        components.projection = None
        return
    components.projection = nn.Linear(width, required, bias=False)
    generator = torch.Generator().manual_seed(seed)
    # States keep their size.
    nn.init.normal_(components.projection.weight, std=width**-0.5, generator=generator)


@torch.no_grad()
def _width(components: Components, model: str) -> int:
    """The width of a text encoder's states, once it has been found to do what it must.

    It takes prompts of the full length, draws nothing at random, and knows the mask that it is
    given here for the one that diffusers gives it.
    """
    tokenizer, text_encoder = components.tokenizer, components.text_encoder
    limit = tokenizer.model_max_length
    word = next(i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids)
    ids = torch.full((1, limit), word)
    try:
        encode_tokens(text_encoder, ids)
    except (IndexError, RuntimeError) as error:  # of positions that there are not
        raise InputError(
            f"text model {model} does not take max_tokens={limit}: set "
            "swap_text_encoder.max_tokens to at most its own limit"
        ) from error
    ids[:, limit // 2 :] = tokenizer.pad_token_id
    attended = (ids != tokenizer.pad_token_id).long()
    masked = text_encoder.config.use_attention_mask
    expected = text_encoder(ids, attention_mask=attended if masked else None)[0]
    states = encode_tokens(text_encoder.train(), ids)
    text_encoder.eval()
    if not torch.allclose(states, expected, atol=1e-4, rtol=1e-4):
        raise InputError(
            f"text model {model} draws at random while it trains or masks padding in a way of its "
            "own: give another"
        )
    return int(states.shape[-1])


def idle_weights(text_encoder: Any) -> set[str]:
    """The names of the weights that its states do not depend on, as those of BERT's pooler."""
    weights = {name: p for name, p in text_encoder.named_parameters() if p.requires_grad}
    if not weights:
        return set()
    ids = torch.arange(4, device=text_encoder.device)[None]
    states = encode_tokens(text_encoder, ids)
    gradients = torch.autograd.grad(states.float().sum(), list(weights.values()), allow_unused=True)
    return {name for name, gradient in zip(weights, gradients, strict=True) if gradient is None}


@torch.no_grad()
def fold_projection(components: Components) -> None:
    """Take a projection P of the states, if there is one, into the UNet: W (P x) is (W P) x.

    The keys and values of its cross-attention then take states as wide as the text encoder's.
    Products are computed in float64.
    """
    projection, unet = components.projection, components.unet
    if projection is None:
        return
    width = projection.in_features
    for module in unet.modules():
        if not getattr(module, "is_cross_attention", False):
            continue
        for name in ("to_k", "to_v"):
            old = getattr(module, name)
            new = nn.Linear(width, old.out_features, bias=old.bias is not None)
            new.weight.copy_(old.weight.double() @ projection.weight.double())
            if old.bias is not None:
                new.bias.copy_(old.bias)
            setattr(module, name, new.to(old.weight.device, old.weight.dtype))
        module.cross_attention_dim = width
    unet.register_to_config(cross_attention_dim=width)
    components.projection = None
