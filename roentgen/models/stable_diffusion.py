"""Stable Diffusion as five parts: load it from anywhere, teach it views, save it for everyone."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from roentgen.data.views import VIEW_TOKENS, VIEW_WORDS
from roentgen.errors import InputError
from roentgen.runs import (
    MANIFEST,
    fingerprint_of_files,
    read_manifest,
    whole_folder,
    write_manifest,
)

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

TINY = Path(__file__).parent / "tiny"
PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
# What is fetched of a repository: configurations and safetensors, never pickles.
PATTERNS = (
    "model_index.json",
    *(f"{part}/*.json" for part in PARTS),
    "tokenizer/merges.txt",
    *(f"{part}/diffusion_pytorch_model*.safetensors" for part in ("vae", "unet")),
    "text_encoder/model*.safetensors",
)


@dataclass(kw_only=True)
class Parts:
    """The parts of a Stable Diffusion pipeline; the scheduler holds noise schedule and objective.

    Weights are float32 after loading, all modules in eval mode.
    """

    vae: "AutoencoderKL"
    unet: "UNet2DConditionModel"
    text_encoder: "CLIPTextModel"
    tokenizer: "CLIPTokenizer"
    scheduler: "SchedulerMixin"


def find_model(base: str) -> Path:
    """The local folder of a base: "tiny", a folder, or a repository id of the hub.

    Raises InputError where there is neither a folder nor a repository that can be fetched.
    """
    if base == "tiny":
        return TINY
    if Path(base).is_dir():
        return Path(base)
    owner, _, name = base.partition("/")
    if not (owner and name) or "/" in name or base.startswith((".", "~")):
        raise InputError(
            f"base model {base!r} not found: give a pipeline folder, a repository id like "
            "'owner/name', or 'tiny'"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(base, allow_patterns=list(PATTERNS)))
    except (OSError, ValueError, HFValidationError) as error:  # hub errors are OSErrors
        reason = type(error).__name__
        raise InputError(
            f"base model {base!r} is no folder here and cannot be fetched from the hub ({reason}): "
            "give a pipeline folder, or fetch the repository first where there is a network"
        ) from error


def load_parts(base: str) -> Parts:
    """Load any Stable Diffusion 1.x or 2.x pipeline: "tiny", a folder or a repository id.

    Raises InputError if it cannot be found or a part is missing or unreadable, naming the part.
    """
    import diffusers
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = find_model(base)
    index = _read_index(folder)
    scheduler = getattr(diffusers, index["scheduler"][1], None)
    if scheduler is None:
        raise InputError(f"{folder} names an unknown scheduler: {index['scheduler'][1]}")
    readers: dict[str, Any] = {
        "vae": (diffusers.AutoencoderKL, {"torch_dtype": torch.float32, "use_safetensors": True}),
        "unet": (
            diffusers.UNet2DConditionModel,
            {"torch_dtype": torch.float32, "use_safetensors": True},
        ),
        "text_encoder": (CLIPTextModel, {"dtype": torch.float32, "use_safetensors": True}),
        "tokenizer": (CLIPTokenizer, {}),
        "scheduler": (scheduler, {}),
    }
    loaded = {}
    for part, (reader, options) in readers.items():
        if not (folder / part).is_dir():
            raise InputError(f"base model {folder} has no {part}: a pipeline needs all of {PARTS}")
        try:
            loaded[part] = reader.from_pretrained(folder / part, local_files_only=True, **options)
        except Exception as error:  # each library has its own; all mean the folder cannot be read
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"cannot read the {part} of base model {folder}: {reason}") from error
    return Parts(**loaded)


def _read_index(folder: Path) -> dict[str, Any]:
    """The pipeline's model_index.json."""
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text())
        if all(len(index[part]) == 2 for part in PARTS):
            return dict(index)
        missing = "a part's class"
    except FileNotFoundError:
        raise InputError(f"{folder} is no diffusers pipeline: it has no model_index.json") from None
    except KeyError as error:
        missing = str(error.args[0])
    except ValueError:
        missing = "valid JSON"
    raise InputError(f"base model {folder} lacks {missing} in model_index.json")


def add_view_tokens(tokenizer: "CLIPTokenizer", text_encoder: "CLIPTextModel") -> None:
    """Add the view tokens; their embeddings start as the mean of ordinary words' (VIEW_WORDS).

    Tokens that are there already stay as they are.
    """
    new = [view for view, token in VIEW_TOKENS.items() if token not in tokenizer.get_vocab()]
    if not new:
        return
    tokenizer.add_tokens([VIEW_TOKENS[view] for view in new])
    if len(tokenizer) > text_encoder.get_input_embeddings().num_embeddings:
        text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        for view in new:
            words = tokenizer(VIEW_WORDS[view], add_special_tokens=False).input_ids
            weight[tokenizer.convert_tokens_to_ids(VIEW_TOKENS[view])] = weight[words].mean(dim=0)


def save_model(
    folder: Path,
    parts: Parts,
    *,
    licenses: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Save a plain diffusers pipeline folder plus roentgen.json, whole or not at all.

    `StableDiffusionPipeline.from_pretrained(folder)` opens it without our code, in older
    transformers too.
    """
    with whole_folder(folder, overwrite=overwrite) as partial:
        pipeline_of(parts).save_pretrained(partial, safe_serialization=True)
        _write_for_older_transformers(partial, parts.tokenizer)
        write_manifest(
            partial,
            "model",
            _content_fingerprint(partial),
            list(licenses),
            dict(provenance),
        )


def pipeline_of(parts: Parts) -> Any:
    """A StableDiffusionPipeline over the live modules: nothing is copied."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=parts.vae,
        unet=parts.unet,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _write_for_older_transformers(folder: Path, tokenizer: "CLIPTokenizer") -> None:
    """Give text-encoder keys their `text_model.` prefix and the tokenizer its slow form.

    transformers 5 reads prefixed and flat keys, but saves a model made from a config flat, which 4
    cannot read; the slow tokenizer of 4 wants vocab.json and merges.txt.
    """
    from safetensors.torch import load_file, save_file

    path = folder / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    if not any(name.startswith("text_model.") for name in weights):
        prefixed = {f"text_model.{name}": weight.clone() for name, weight in weights.items()}
        del weights  # it maps the file that is written next
        save_file(prefixed, path, metadata={"format": "pt"})
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    base = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False)
    added = {token: i for token, i in tokenizer.get_added_vocab().items() if i >= base}
    (folder / "tokenizer" / "added_tokens.json").write_text(json.dumps(added, indent=2) + "\n")


def _content_fingerprint(folder: Path) -> str:
    """Fingerprint of the files of a pipeline's parts, whatever else lies in the folder."""
    files = [path for part in PARTS for path in (folder / part).iterdir() if path.is_file()]
    return fingerprint_of_files([folder / "model_index.json", *files])


def model_fingerprint(folder: Path) -> str:
    """The fingerprint of a model folder: its manifest's, or that of its files if it has none."""
    if (folder / MANIFEST).exists():
        return str(read_manifest(folder, "model")["fingerprint"])
    return _content_fingerprint(folder)


def module_fingerprint(module: torch.nn.Module) -> str:
    """Fingerprint of a module's weights: names, shapes and float32 values; 16 hex digits."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
