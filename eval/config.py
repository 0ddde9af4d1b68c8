"""Settings of `eval.evaluate`: the comparison, and a section for each evaluation domain."""

from dataclasses import dataclass, field

from eval.alignment.config import AlignmentConfig
from eval.comparison_config import ComparisonConfig
from eval.diversity.config import DiversityConfig
from eval.fidelity.config import FidelityConfig
from eval.masks.config import MasksConfig
from eval.privacy.config import PrivacyConfig
from eval.segmentation.config import SegmentationConfig
from eval.text_encoder.config import TextEncoderConfig
from eval.utility.config import UtilityConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ComparisonConfig):
    """Compare synthetic sets with a real one. A domain whose section is null is not measured."""

    fidelity: FidelityConfig | None = field(default_factory=FidelityConfig)
    """Distances to held-out real radiographs: FID, KID, precision, recall, sharpness."""
    diversity: DiversityConfig | None = field(default_factory=DiversityConfig)
    """Similarity of images within a set: MS-SSIM, Vendi score."""
    alignment: AlignmentConfig | None = field(default_factory=AlignmentConfig)
    """Agreement of images with their prompts, read by a classifier trained on real radiographs."""
    utility: UtilityConfig | None = field(default_factory=UtilityConfig)
    """Gain of a classifier from training on synthetic images."""
    masks: MasksConfig | None = None
    """Agreement of images with their masks, read by a segmenter trained on real radiographs."""
    segmentation: SegmentationConfig | None = None
    """Gain of a segmenter from training on synthetic images."""
    text_encoder: TextEncoderConfig | None = None
    """Findings that report embeddings encode, before and after fine-tuning."""
    privacy: PrivacyConfig | None = None
    """Near-duplicates of training images, and membership inference."""
