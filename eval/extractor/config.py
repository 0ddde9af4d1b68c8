"""Settings of the training of the embedded extractor."""

from dataclasses import dataclass, field
from pathlib import Path

from roentgen.dataset.label_arrays import NotMentioned
from roentgen.errors import require_range
from roentgen.vision.network_settings import ClassifierConfig


@dataclass(frozen=True, kw_only=True)
class CorruptionConfig:
    """Corruptions that the extractor learns to see: their kinds and strengths are predicted."""

    batch_size: int = 24
    """Images per step, beside those that findings are learned from."""
    unlabeled: float = 0.4
    """Share of images from the unlabeled datasets; none if there are none."""
    clean: float = 0.3
    """Share of images without a corruption."""
    twice: float = 0.25
    """Share of corrupted images with a second corruption."""
    vae: str = "tiny"
    """Pipeline folder or name whose VAE encodes and decodes images."""
    vae_images: int = 240
    """Number of images that pass through the VAE, once, and again up to `round_trips` times."""
    round_trips: int = 4
    """Largest number of passes through the VAE; it is strength 1."""
    incomplete_studies: int = 600
    """Number of phantom studies without a quarter, half, three quarters or all of their ribs,
    clavicles and scapulae."""
    weight: float = 0.5
    """Weight of the corruptions' loss, a sum of binary cross-entropies over the kinds."""

    def __post_init__(self) -> None:
        names = ("batch_size", "round_trips")
        require_range(self, *(f"corruptions.{name}" for name in names), at_least=1)
        require_range(self, "corruptions.vae_images", "corruptions.incomplete_studies", at_least=4)
        shares = ("unlabeled", "clean", "twice")
        require_range(self, *(f"corruptions.{name}" for name in shares), at_least=0, at_most=1)
        require_range(self, "corruptions.weight", above=0)


@dataclass(frozen=True, kw_only=True)
class TrainExtractorConfig:
    """Settings of the extractor's training."""

    dataset: Path
    """A radiograph dataset with findings, usually phantoms; its image size becomes the
    extractor's."""
    unlabeled: tuple[Path, ...] = ()
    """Radiograph datasets of the same size from which corruptions alone are learned, usually real
    ones. Their licenses must allow that the weights are used as planned."""
    output: Path
    """New folder for the weights."""
    train_split: str = "train"
    """Split to train on, of every dataset."""
    validate_split: str = "validate"
    """Split for the printed scores."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or count it as "absent"."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The network and its training."""
    corruptions: CorruptionConfig | None = field(default_factory=CorruptionConfig)
    """The corruptions; null: findings and views alone are learned."""
    seed: int = 0
    """Of weights, order, augmentation and corruptions."""
    overwrite: bool = False
    """Replace the output folder."""
