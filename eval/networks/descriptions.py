"""Descriptions of the networks that evaluation trains, for the page."""

from eval.config import ComparisonConfig
from roentgen.vision.backbones import OURS


def classifier_text(config: ComparisonConfig, size: int) -> str:
    """The classifier for images of `size` pixels a side."""
    c = config.classifier
    widths = f"residual CNN, widths {', '.join(map(str, c.widths))}"
    network = widths if c.network == OURS else f"{c.network} of timm, one gray channel"
    start = f"from the layers of {c.pretrained}" if c.pretrained else "from scratch"
    resize = f"none ({size}x{size})"
    if c.resize is not None and c.resize != size:
        resize = f"{size}x{size} to {c.resize}x{c.resize}, bilinear with antialiasing"
    return (
        f"Network: {network}, {c.steps} steps of {c.batch_size} images {start}, no flips; "
        f"resize {resize}, pixels [-1, 1]. A finding that is uncertain is excluded; one not "
        f"mentioned is {'excluded' if config.not_mentioned == 'ignore' else 'taken as absent'}."
    )


def segmenter_text(config: ComparisonConfig) -> str:
    """The segmenter."""
    c = config.segmenter
    return (
        f"Network: U-Net of segmentation_models_pytorch with the encoder {c.encoder}, from "
        f"scratch, {c.steps} steps of {c.batch_size} images, cross-entropy and soft Dice; "
        "small random shifts, rotations and scalings, never flips. Pixels of unknown structure are "
        "ignored. A pixel counts as inside at a probability of at least 0.5."
    )
