"""Sections of a training configuration, each checked as soon as it is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from roentgen.errors import require, require_range
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import PromptStyle
from roentgen.vision.network_settings import SegmenterConfig

PredictionType = Literal["epsilon", "v_prediction"]
TimestepSampling = Literal["uniform", "stratified", "cubic"]
Tracker = Literal[
    "tensorboard",
    "wandb",
    "mlflow",
    "aim",
    "clearml",
    "comet_ml",
    "dvclive",
    "swanlab",
    "trackio",
]
Attention = Literal["auto", "flash", "efficient", "cudnn", "math", "xformers"]


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Small changes of the training images, drawn for each variant; never a flip.

    The first variant of every image is the image itself. Held-out images have no other.
    """

    variants: int = 4
    """Variants of each image, one of which is drawn at every use; the cache holds all."""
    rotation: float = 5.0
    """Largest rotation in degrees, either way."""
    shift: float = 0.03
    """Largest shift as a share of the side, either way."""
    scale: float = 0.05
    """Largest relative change of size."""
    contrast: float = 0.1
    """Largest relative change of contrast and brightness."""

    def __post_init__(self) -> None:
        require_range(self, "data.augment.variants", at_least=2)
        require_range(self, "data.augment.rotation", at_least=0, at_most=30)
        require_range(self, "data.augment.shift", at_least=0, at_most=0.25)
        require_range(self, "data.augment.scale", "data.augment.contrast", at_least=0, at_most=0.5)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Training and held-out images."""

    folder: Path
    """A radiograph dataset."""
    split: str = "train"
    """The training split."""
    validate_split: str = "validate"
    """The held-out split; it is not opened when validation is off."""
    filter: RadiographFilter | None = None
    """Rules that radiographs of both splits must pass; the others are listed in the run folder's
    excluded.csv. Tokens are counted on the prompts of this run."""
    caches: Path | None = None
    """Folder of latents and embeddings, which runs on the same images may share; null: the run
    folder's `caches`."""
    cache_text: bool = True
    """Cache a frozen text encoder's states on disk, 118 KB per prompt at Stable Diffusion 1.5;
    false: encode prompts at every step."""
    augment: AugmentConfig | None = None
    """Variants of every image; null: the image as it is."""


@dataclass(frozen=True, kw_only=True)
class WeightedStyle:
    """One prompt style of a mixture."""

    style: PromptStyle
    """Content and style of the prompt."""
    weight: float = 1.0
    """How often it is drawn, relative to the others."""


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """How often a condition is withheld, so that the model learns to do without it."""

    rate: float = 0.0  # share of the items without any of it
    channels: int = 0  # that may be withheld by themselves; 0: it has no such channels
    channel_rate: float = 0.0  # share of the other items' channels


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """Peak learning rates of the networks, or of their adapters with `lora`; null: frozen."""

    unet: float | None = 1e-5
    """Learning rate of the UNet."""
    text_encoder: float | None = 1e-5
    """Learning rate of the text encoder."""
    projection: float = 1e-4
    """Learning rate of the projection that `swap_text_encoder` adds where widths differ."""
    condition_networks: float = 1e-4
    """Learning rate of the networks of `conditions`."""

    def __post_init__(self) -> None:
        nets = ("learning_rate.unet", "learning_rate.text_encoder")
        require_range(self, *nets, above=0, note="null freezes a network")
        added = ("learning_rate.projection", "learning_rate.condition_networks")
        require_range(self, *added, above=0)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and learning-rate schedule."""

    name: Literal["adamw", "adamw8bit", "adafactor"] = "adamw"
    """adamw; adamw8bit, with 8-bit moments (extra bitsandbytes); or adafactor. The last two have a
    quarter of AdamW's state and synchronize with the device at every step."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's moments."""
    epsilon: float = 1e-8
    """AdamW's epsilon."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices and kernels; embeddings, norms and biases have none."""
    clip: float | None = 1.0
    """Largest norm of the gradient over all networks; null: no clipping."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The learning rate after warm-up: a half cosine to zero, or constant."""
    warmup: int = 0
    """Steps of linear warm-up."""
    max_skipped_steps: int = 10
    """Steps with a non-finite loss or gradient are skipped and reported; this many in a row end
    the run."""

    def __post_init__(self) -> None:
        require_range(self, "optimizer.max_skipped_steps", at_least=1)


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Prediction target, loss weights and noise."""

    prediction: PredictionType | None = None
    """What the UNet predicts; null: the same as the base."""
    change_prediction: bool = False
    """Allow a prediction other than the base's; the model is saved with the new one."""
    min_snr_gamma: float | None = None
    """Gamma of the Min-SNR weights (5 is usual); null: all timesteps have the same weight."""
    caption_dropout: float = 0.1
    """Share of prompts replaced by the empty one, which classifier-free guidance needs."""
    context_dropout: float = 0.0
    """Share of prompts without the words of the context, so that images can be drawn without."""
    timestep_sampling: TimestepSampling = "uniform"
    """Distribution of a batch's timesteps: uniform, each drawn independently; stratified, one from
    each of as many equal intervals; cubic, mostly noisy ones, at which masks decide where
    structures are (Mou et al. 2023)."""
    offset_noise: float = 0.0
    """Standard deviation of a noise that is constant over a channel and added to the usual one (0.1
    is usual)."""
    zero_terminal_snr: bool = False
    """Rescale the noise schedule so that its last step holds no signal; needs v_prediction."""

    def __post_init__(self) -> None:
        require_range(self, "objective.offset_noise", at_least=0)
        shares = ("objective.caption_dropout", "objective.context_dropout")
        require_range(self, *shares, at_least=0, below=1)

    def with_slots_dropped(self, mixture: Sequence[WeightedStyle]) -> tuple[WeightedStyle, ...]:
        """The mixture in which a share of the prompts lacks words of the context.

        A style and those with less follow one another. Raises InputError for a share of what no
        style has.
        """
        share = self.context_dropout
        if not share:
            return tuple(mixture)
        require(
            any(entry.style.context for entry in mixture),
            f"objective.context_dropout is {share}, but prompts have no context: set "
            "prompt.context=true, or the share to 0",
        )
        dropped = []
        for entry in mixture:
            if not entry.style.context:
                dropped.append(entry)
                continue
            plain = entry.style.without_context()
            dropped.append(replace(entry, weight=entry.weight * (1 - share)))
            dropped.append(WeightedStyle(style=plain, weight=entry.weight * share))
        return tuple(dropped)


@dataclass(frozen=True, kw_only=True)
class PosthocConfig:
    """Averages of two widths, saved during training (Karras et al. 2024).

    `python -m train.average` combines them into an average of any width afterwards.
    """

    every: int = 1000
    """Steps between snapshots of both; the last step always has one."""
    widths: tuple[float, float] = (0.05, 0.10)
    """Their relative standard deviations (sigma_rel)."""

    def __post_init__(self) -> None:
        require_range(self, "ema.posthoc.every", at_least=1)
        narrow, wide = self.widths
        require(
            0 < narrow < wide < 0.28,  # at 0.289 the exponent is 0: a plain mean
            f"ema.posthoc.widths are {narrow}, {wide}: the first must be the smaller, both in "
            "(0, 0.28)",
        )


@dataclass(frozen=True, kw_only=True)
class EmaConfig:
    """Exponential moving average of the trained weights, in float32."""

    decay: float = 0.9999
    """Decay rate; with warm-up: min(decay, (1 + n) / (10 + n)) after n steps."""
    start: int = 0
    """Steps before which the average is the weights themselves."""
    posthoc: PosthocConfig | None = None
    """Averages whose width is chosen after training; null: none."""

    def __post_init__(self) -> None:
        require_range(self, "ema.start", at_least=0)
        require_range(self, "ema.decay", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """How often the training state is saved."""

    every: int = 500
    """Steps between checkpoints; the last step always saves one."""
    keep: int = 2
    """Number of newest checkpoints to keep."""

    def __post_init__(self) -> None:
        require_range(self, "checkpoint.every", "checkpoint.keep", at_least=1)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """The loss on held-out images at fixed noise and timesteps."""

    every: int = 500
    """Steps between validations; the last step always has one."""
    images: int = 256
    """At most this many of the split, evenly spaced."""

    def __post_init__(self) -> None:
        require_range(self, "validation.every", "validation.images", at_least=1)


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """Images generated while training, by the EMA weights if there are any."""

    prompts: tuple[str, ...]
    """Prompts, one row of the preview each, with the prompt as its caption."""
    every: int = 1000
    """Steps between previews; the last step always has one."""
    count: int = 4
    """Images per prompt."""
    guidance_scale: float = 4.0
    """Classifier-free guidance scale."""
    steps: int = 20
    """Sampling steps of DPM-Solver++ (2M)."""

    def __post_init__(self) -> None:
        require(len(self.prompts) > 0, "preview.prompts is empty; set preview to null for none")
        require_range(self, "preview.every", "preview.count", at_least=1)
        require_range(self, "preview.steps", at_least=2)
        require_range(self, "preview.guidance_scale", at_least=1, note="which is no guidance")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters in place of the networks' own weights, for one small GPU (Hu et al. 2021).

    `model` has them merged; `lora` beside it holds the adapters alone, in diffusers' format.
    """

    rank: int = 16
    """Rank of the adapters."""
    alpha: float = 16.0
    """The adapters are scaled by alpha / rank."""
    dora: bool = False
    """Learn magnitudes too (DoRA, Liu et al. 2024)."""

    def __post_init__(self) -> None:
        require_range(self, "lora.rank", at_least=1)
        require_range(self, "lora.alpha", above=0)


@dataclass(frozen=True, kw_only=True)
class SwapConfig:
    """Another text encoder in place of the base's, for the same UNet."""

    model: str
    """A transformers text model with its tokenizer: a folder or a repository id."""
    max_tokens: int = 77
    """Token limit of a prompt, at most the model's own."""

    def __post_init__(self) -> None:
        require_range(self, "swap_text_encoder.max_tokens", above=2)


@dataclass(frozen=True, kw_only=True)
class MaskFidelityConfig:
    """Images generated from held-out masks while training and segmented to measure their Dice."""

    every: int = 500
    """Steps between measurements; the last step always has one."""
    images: int = 64
    """Held-out images whose masks are used, with an equal number for each structure as far as there
    are any."""
    steps: int = 15
    """Sampling steps of DPM-Solver++ (2M)."""
    guidance_scale: float = 3.0
    """Classifier-free guidance scale."""
    conditioning_scale: float = 1.0
    """Scale of the ControlNet's outputs."""
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    """The segmenter, which is trained on the training split and cached."""

    def __post_init__(self) -> None:
        require_range(self, "mask_fidelity.every", "mask_fidelity.images", at_least=1)
        require_range(self, "mask_fidelity.steps", at_least=2)
        require_range(self, "mask_fidelity.conditioning_scale", above=0)
        require_range(self, "mask_fidelity.guidance_scale", at_least=1, note="which is no guidance")
