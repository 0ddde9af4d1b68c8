"""Where published weights lie: on disk or on the hub, as safetensors; never a pickle."""

from pathlib import Path
from typing import TYPE_CHECKING

from roentgen.errors import InputError

if TYPE_CHECKING:
    from torch import nn

HUB = "hf-hub:"

_BRING = {
    "roentgen": "train it: python -m eval.train_extractor configs/eval/extractor.yaml",
    "inception": (
        "download https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        'weights-inception-2015-12-05-6726825d.pth, then: python -c "import torch; from '
        "safetensors.torch import save_file; save_file(torch.load('weights-inception-2015-12-05-"
        "6726825d.pth', weights_only=True), 'inception.safetensors')\", and set "
        "weights: inception.safetensors"
    ),
    "xrv": (
        'pip install torchxrayvision, then: python -c "import torchxrayvision as xrv; from '
        "safetensors.torch import save_file; save_file(xrv.models.DenseNet(weights="
        "'densenet121-res224-all').state_dict(), 'xrv.safetensors')\", and set "
        "weights: xrv.safetensors"
    ),
    "rad-dino": (
        "set weights: hf-hub:microsoft/rad-dino, or without a network: hf download "
        "microsoft/rad-dino --local-dir rad-dino, and set weights: rad-dino"
    ),
    "clip": (
        "set weights to a folder in open_clip's layout or hf-hub:OWNER/NAME, such as from: hf "
        "download microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224 --local-dir biomedclip"
    ),
    "timm": (
        "set weights: hf-hub:timm/NAME, or without a network: hf download timm/NAME --local-dir "
        "NAME, and set weights: NAME (its config.json and model.safetensors)"
    ),
    "transformers": (
        "set weights: hf-hub:OWNER/NAME, or without a network: hf download OWNER/NAME --local-dir "
        "NAME, and set weights: NAME (its config.json, preprocessor_config.json, safetensors)"
    ),
}


def how_to_bring(name: str) -> str:
    """How to bring an extractor's weights."""
    return _BRING[name]


def absent(name: str, why: str) -> InputError:
    """That an extractor has no weights, and how to bring them."""
    return InputError(f"extractor {name!r} has no weights ({why}): {_BRING[name]}")


def unreadable(name: str, where: str | Path, error: Exception | str) -> InputError:
    """That weights are there but not what they should be, and how to bring them."""
    reason = " ".join(str(error).split())[:160]
    return InputError(
        f"extractor {name!r}: {where} does not hold its weights ({reason}): {_BRING[name]}"
    )


def local_folder(name: str, weights: str) -> Path:
    """The folder of a published model, fetched from the hub if its name says so."""
    if not weights.startswith(HUB):
        return Path(weights)
    import huggingface_hub

    repository = weights.removeprefix(HUB)
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository, allow_patterns=["*.json", "*.safetensors"]
            )
        )
    except Exception as error:  # the hub, its network and its cache each have their own
        raise absent(name, f"{weights} cannot be fetched: {type(error).__name__}") from None


def local_file(name: str, weights: str) -> Path:
    """The one safetensors file of a path, a folder or a repository of the hub."""
    place = local_folder(name, weights)
    if not place.is_dir():
        return place
    files = sorted(place.glob("*.safetensors"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise unreadable(name, place, f"one safetensors file is needed, there is: {found}")
    return files[0]


def load_strictly(network: "nn.Module", file: Path, name: str, drop: tuple[str, ...]) -> None:
    """Load safetensors, all of them but the layers (`drop`) that features do not need."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(file)
        network.load_state_dict({k: v for k, v in state.items() if not k.startswith(drop)})
    except (SafetensorError, RuntimeError, OSError) as error:
        raise unreadable(name, file, error) from None
    network.eval()
