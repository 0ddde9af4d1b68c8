"""Settings of the VAE's training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.errors import require, require_range

SMALLEST_SCORED = 16  # pixels a side of images that the discriminator has a score for
SPECTRAL_WINDOW = 32  # pixels a side of the windows whose power spectra are compared


@dataclass(frozen=True, kw_only=True)
class CropPhase:
    """A period of training on square crops of one size."""

    steps: int
    batch_size: int
    crop: int  # pixels a side, divisible by 8

    def __post_init__(self) -> None:
        require_range(self, "phases.steps", "phases.batch_size", "phases.crop", at_least=1)
        require(self.crop % 8 == 0, f"phases.crop is {self.crop}: not divisible by 8")


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """A discriminator of patches, against which the decoder learns fine detail."""

    start: int = 100
    """The first step at which the VAE trains against it; it learns from the first on."""
    weight: float = 0.2
    """Of its gradient at the decoder's last layer, over that of the other losses."""
    learning_rate: float = 4e-4
    """Peak of the discriminator's, which follows the same schedule."""

    def __post_init__(self) -> None:
        require_range(self, "adversarial.start", at_least=0)
        require_range(self, "adversarial.weight", "adversarial.learning_rate", above=0)


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Data, length and hyperparameters of the training, and the folder it writes."""

    data: Path
    """A radiograph dataset: its train split trains, its test split is measured."""
    output: Path
    """Pipeline folder of the trained VAE and of an untrained UNet and text encoder."""
    phases: tuple[CropPhase, ...]
    """Periods of training, one after the other."""
    learning_rate: float = 1.5e-3
    """Peak."""
    warmup: int = 100
    """Steps of linear rise to the peak."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Of the rate after the warm-up. cosine: falls to zero; constant: for adversarial training, in
    which the discriminator wins as rates fall, and averaged weights smooth the oscillations."""
    kl_weight: float = 5e-6
    """Of the mean KL divergence of a latent's elements, against the mean squared error."""
    perceptual_weight: float = 0.0
    """Of the distance in ImageNet features, which needs the extra `vae`; 0: none."""
    spectral_weight: float = 0.0
    """Of the distance of local power spectra, which gives grain its power; 0: none."""
    adversarial: AdversarialConfig | None = None
    """A discriminator; null: none, and decoded images are as soft as their mean is."""
    ema_decay: float = 0.998
    """Decay rate of the averaged weights, which are the result."""
    altered_share: float = 0.35
    """Share of crops that are rescaled, changed in contrast and textured."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the networks' arithmetic."""
    init: str | None = None
    """A pipeline folder whose VAE to start from; "tiny": the shipped one; null: from scratch."""
    freeze_encoder: bool = False
    """Train the decoder alone, so that latents stay the same."""
    seed: int = 0
    """Of the crops, the untrained networks and the latents' noise."""
    checkpoint_every: int = 500
    """Steps between checkpoints, one file beside the output until it is complete."""
    resume: bool = False
    """Continue from the checkpoint, where there is one; without it, and without overwrite, one that
    is there is an error."""
    overwrite: bool = False
    """Replace the output."""

    def __post_init__(self) -> None:
        require(len(self.phases) > 0, "phases is empty: give at least one")
        require_range(self, "warmup", "checkpoint_every", at_least=1)
        require_range(self, "learning_rate", above=0)
        require_range(self, "kl_weight", "perceptual_weight", "spectral_weight", at_least=0)
        require_range(self, "ema_decay", at_least=0, below=1)
        require_range(self, "altered_share", at_least=0, at_most=1)
        smallest = min(phase.crop for phase in self.phases)
        require(
            self.adversarial is None or smallest >= SMALLEST_SCORED,
            f"phases.crop is {smallest}: with adversarial it must be at least {SMALLEST_SCORED}",
        )
        require(
            not self.spectral_weight or smallest >= SPECTRAL_WINDOW,
            f"phases.crop is {smallest}: with spectral_weight at least {SPECTRAL_WINDOW} is needed",
        )
        require(
            not self.freeze_encoder or self.init is not None,
            "freeze_encoder is set without init: name a pipeline whose encoder is trained",
        )
