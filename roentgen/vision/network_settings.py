"""Settings of networks that read images, free of torch: classifier, segmenter, extractor."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.errors import InputError, require, require_range
from roentgen.vision.published_weights import HUB
from roentgen.weights import CLASSIFIERS

OURS = "roentgen"  # the small network's name; all others are timm's
FOLD = 4  # pixels of a 4x4 patch become channels: twice as fast as a stem of stride 2
GROUPS = 8  # of channels that are normalized together, image by image, as fast as by batch
ExtractorName = Literal["roentgen", "inception", "xrv", "rad-dino", "clip", "timm", "transformers"]


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """How the network is built and trained."""

    network: str = OURS
    """roentgen (the small one) or a model of timm by its name there, such as densenet121."""
    steps: int = 400
    """Optimizer steps, independent of the size of the training set."""
    batch_size: int = 32
    """Images per step."""
    learning_rate: float = 3e-3
    """Peak of the schedule: linear warm-up over the first tenth, then a cosine to zero."""
    weight_decay: float = 0.02
    """AdamW's weight decay."""
    pretrained: str | None = None
    """What training starts from: "embedded" (the shipped classifier of phantoms' findings) or the
    folder of a saved one, whose layers but not its heads are taken; for a model of timm also a
    safetensors file of it, or "hf-hub:OWNER/NAME"; null: from scratch."""
    resize: int | None = None
    """Side in pixels that the network reads, bilinear with antialiasing; null: images as they
    are."""
    widths: tuple[int, ...] = (24, 48, 96, 128)
    """The small network's channels: of the stem, at a quarter of the side, and of each stage, which
    halves it again."""
    shift: float = 0.05
    """Augmentation: largest shift, as a share of the side."""
    rotation: float = 5.0
    """Augmentation: largest rotation in degrees. Images are never flipped: sides matter."""
    contrast: float = 0.15
    """Augmentation: largest relative change of contrast, and of brightness on [-1, 1]."""

    def __post_init__(self) -> None:
        positive = ("steps", "batch_size", "learning_rate")
        require_range(self, *(f"classifier.{name}" for name in positive), above=0)
        if not self.widths or any(width < GROUPS or width % GROUPS for width in self.widths):
            raise InputError(
                f"classifier.widths is {list(self.widths)}; give multiples of {GROUPS}"
            )
        if self.resize is not None and (self.resize < FOLD or self.resize % FOLD):
            raise InputError(f"classifier.resize is {self.resize}; give a multiple of {FOLD}")
        check_network(self.network, self.pretrained)


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """How the network is built and trained."""

    encoder: str = "resnet18"
    """The U-Net's encoder, by its name in segmentation_models_pytorch; from scratch."""
    widths: tuple[int, ...] = (64, 48, 32, 24, 16)
    """Channels of the decoder's levels, the deepest first."""
    steps: int = 600
    """Optimizer steps, independent of the size of the training set."""
    batch_size: int = 16
    """Images per step."""
    learning_rate: float = 2e-3
    """Peak of the schedule: linear warm-up over the first tenth, then a cosine to zero."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    shift: float = 0.05
    """Augmentation: largest shift, as a share of the side."""
    rotation: float = 7.0
    """Augmentation: largest rotation in degrees. Images are never flipped: sides matter."""
    scale: float = 0.1
    """Augmentation: largest relative change of size."""
    contrast: float = 0.15
    """Augmentation: largest relative change of contrast, and of brightness on [-1, 1]."""

    def __post_init__(self) -> None:
        positive = ("steps", "batch_size", "learning_rate")
        require_range(self, *(f"segmenter.{name}" for name in positive), above=0)
        require(
            len(self.widths) == 5 and min(self.widths) > 0,
            f"segmenter.widths is {list(self.widths)}; give five numbers above 0",
        )


def check_network(name: str, pretrained: str | None) -> None:
    """Raise InputError for a network that there is not, or weights that cannot be its own."""
    if name == OURS:
        if is_weights(pretrained):
            raise InputError(
                f"classifier.pretrained is {pretrained!r}, but {OURS!r} starts from the folder of "
                "a saved classifier: set classifier.network to a model of timm"
            )
        return
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [OURS, *timm.list_models()], n=3)
        hint = f"did you mean {' or '.join(near)}" if near else "see timm.list_models()"
        raise InputError(
            f"classifier.network is {name!r}, which is neither {OURS!r} nor a model of timm; {hint}"
        )


def is_weights(pretrained: str | None) -> bool:
    """Whether training starts from weights of timm's, not from a saved classifier or nothing."""
    if pretrained is None or pretrained in CLASSIFIERS:
        return False
    return pretrained.startswith(HUB) or Path(pretrained).is_file()
