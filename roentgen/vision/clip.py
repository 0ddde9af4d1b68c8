"""CLIP models, BiomedCLIP among them, through open_clip: images and texts in one space.

A model is a folder in open_clip's layout: open_clip_config.json and weights as safetensors. Where
its text tower is a model of transformers, the tokenizer's files lie beside them and the tower's
config.json in `text/`.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.nn import functional

from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of_files
from roentgen.untrusted_files import read_json, refuse_code
from roentgen.vision.published_weights import HUB

CONFIG_FILE, TEXT_FOLDER = "open_clip_config.json", "text"
# Of a tokenizer, in place of what its configuration may ask for.
LOCAL = {"local_files_only": True, "trust_remote_code": False}
BRING = (
    "give a folder in open_clip's layout or hf-hub:OWNER/NAME, such as from: hf download "
    "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224 --local-dir biomedclip, and its text "
    "tower's config: hf download microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract config.json "
    "--local-dir biomedclip/text"
)
_CONVERT = (
    'python -c "import torch; from safetensors.torch import save_file; save_file(torch.load('
    "'open_clip_pytorch_model.bin', weights_only=True), 'open_clip_model.safetensors')\""
)
_BATCH = 64


class ClipModel:
    """Images and texts as vectors of length 1; `definition` says by what."""

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        config: Mapping[str, Any],
        weights: str,
        device: torch.device,
    ) -> None:
        import open_clip

        self.network, self.tokenizer = network.eval().to(device), tokenizer
        self._device = device
        self.context_length = int(tokenizer.context_length)  # tokens
        self.dimension = int(config["model_cfg"]["embed_dim"])
        self.size = int(config["model_cfg"]["vision_cfg"].get("image_size", 224))  # pixels a side
        self.weights = weights  # fingerprint of the files
        pixels = config.get("preprocess_cfg", {})
        mean = pixels.get("mean", open_clip.OPENAI_DATASET_MEAN)
        deviation = pixels.get("std", open_clip.OPENAI_DATASET_STD)
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._deviation = torch.tensor(deviation, device=device).view(1, 3, 1, 1)

    @property
    def definition(self) -> str:
        """What two scores must have in common to be compared."""
        return (
            f"d = {self.dimension}, weights {self.weights}; images resized square to "
            f"{self.size}x{self.size}, bicubic with antialiasing, gray in three channels, "
            f"standardised as the model says; texts of at most {self.context_length} tokens"
        )

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, d) of square (N, H, W) images."""
        if images.ndim != 3 or images.shape[1] != images.shape[2]:
            raise InputError(f"CLIP needs square gray images, not {images.shape[1:]}")
        parts = []
        for start in range(0, len(images), _BATCH):
            x = torch.from_numpy(images[start : start + _BATCH]).float().unsqueeze(1) / 255
            if x.shape[-1] != self.size:
                x = functional.interpolate(x, self.size, mode="bicubic", antialias=True).clamp(0, 1)
            x = (x.to(self._device).expand(-1, 3, -1, -1) - self._mean) / self._deviation
            with torch.inference_mode():
                parts.append(self.network.encode_image(x, normalize=True).float().cpu().numpy())
        return np.concatenate(parts)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, d); a text longer than `context_length` is cut (see `too_long`)."""
        parts = []
        for start in range(0, len(texts), _BATCH):
            tokens = self.tokenizer(list(texts[start : start + _BATCH])).to(self._device)
            with torch.inference_mode():
                parts.append(self.network.encode_text(tokens, normalize=True).float().cpu().numpy())
        return np.concatenate(parts)

    def too_long(self, texts: Sequence[str]) -> int:
        """How many texts lose words because they do not fit."""
        length = self.context_length
        cut = self.tokenizer(list(texts), context_length=length)
        longer = self.tokenizer(list(texts), context_length=length + 1)[:, :length]
        return int((longer != cut).any(dim=1).sum())  # the end stands where a word stood


def load_clip(source: str, device: torch.device | str = "cpu") -> ClipModel:
    """A CLIP model from a folder or the hub ("hf-hub:OWNER/NAME").

    Raises InputError that says how to install a missing model. Only safetensors are read.
    """
    if source.startswith(HUB):
        folder, tower = _fetch(source.removeprefix(HUB))
    else:
        folder, tower = Path(source), Path(source) / TEXT_FOLDER
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(f"no CLIP model in {source} ({CONFIG_FILE} is missing): {BRING}")
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise InputError(
            f"CLIP model {source} must have one safetensors file, it has {found}; weights in "
            f"open_clip_pytorch_model.bin are converted there by: {_CONVERT}"
        )
    try:
        config = read_json(folder / CONFIG_FILE)
        network, tokenizer = _build(folder, tower, config["model_cfg"])
        import open_clip

        open_clip.load_checkpoint(network, str(files[0]), weights_only=True)
        weights = fingerprint_of_files([*files, folder / CONFIG_FILE])
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"CLIP model {source} cannot be read ({reason}): {BRING}") from None
    return ClipModel(network, tokenizer, config, weights, torch.device(device))


def _build(folder: Path, tower: Path, config: dict[str, Any]) -> tuple[Any, Any]:
    """The network with random weights, and its tokenizer; nothing is fetched."""
    from open_clip.model import CLIP, CustomTextCLIP
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    config = deepcopy(config)
    text, vision = config["text_cfg"], config["vision_cfg"]
    length = int(text.get("context_length", 77))
    custom = config.pop("custom_text", False) or "hf_model_name" in text
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in text:
        if not (tower / "config.json").is_file():
            raise InputError(
                f"CLIP model {folder} lacks its text tower's configuration: hf download "
                f"{text['hf_model_name']} config.json --local-dir {tower}"
            )
        text |= {"hf_model_name": str(tower), "hf_model_pretrained": False}
    for place in (folder, tower):
        refuse_code(place)
    tokenizer: Any
    if "hf_tokenizer_name" in text:
        options = text.get("tokenizer_kwargs", {}) | LOCAL
        mode = text.get("tokenizer_mode")
        tokenizer = HFTokenizer(str(folder), length, tokenizer_mode=mode, **options)
    else:
        tokenizer = SimpleTokenizer(context_length=length, **text.get("tokenizer_kwargs", {}))
    return (CustomTextCLIP if custom else CLIP)(**config), tokenizer


def _fetch(name: str) -> tuple[Path, Path]:
    """The folders of a repository of the hub and of its text tower's configuration."""
    import huggingface_hub as hub

    try:
        folder = Path(
            hub.snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt"])
        )
        config = read_json(folder / CONFIG_FILE)
        tower = config["model_cfg"]["text_cfg"].get("hf_model_name")
        return folder, Path(hub.hf_hub_download(tower, "config.json")).parent if tower else folder
    except Exception as error:  # the hub, its network and its cache each have their own
        raise InputError(
            f"CLIP model {HUB}{name} cannot be fetched ({type(error).__name__}): {BRING}"
        ) from None
