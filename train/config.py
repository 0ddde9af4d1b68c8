"""What fine-tuning is told: one dataclass, complete in one YAML file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from roentgen.errors import InputError
from roentgen.models.conditioning import TooLong
from roentgen.text.presets import Filter
from roentgen.text.prompts import PromptStyle

PredictionType = Literal["epsilon", "v_prediction"]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is trained on."""

    folder: Path
    """A radiograph dataset."""
    split: str = "train"
    """The split that is trained on."""
    validate_split: str = "validate"
    """The held-out split; it is not opened when validation is off."""
    keep: Filter | None = None
    """Keep only what passes, of both splits; the rest is listed in the run folder's left_out.csv.
    Its tokens are counted on the prompts of this run."""


@dataclass(frozen=True, kw_only=True)
class WeightedStyle:
    """One prompt style of a mixture."""

    style: PromptStyle
    """What the prompt tells."""
    weight: float = 1.0
    """How often it is drawn, relative to the others."""


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """Peak learning rates of the two nets; null freezes a net."""

    unet: float | None = 1e-5
    """The UNet's."""
    text_encoder: float | None = 1e-5
    """The text encoder's."""

    def __post_init__(self) -> None:
        rates = [rate for rate in (self.unet, self.text_encoder) if rate is not None]
        _require(bool(rates), "learning_rate: both nets are frozen; give one a learning rate")
        _require(min(rates, default=1) > 0, "learning_rate must be above 0; null freezes a net")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights are changed."""

    name: Literal["adamw", "adafactor"] = "adamw"
    """AdamW, or Adafactor, which keeps hardly any state."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's moments."""
    epsilon: float = 1e-8
    """AdamW's epsilon."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices and kernels; embeddings, norms and biases have none."""
    clip: float | None = 1.0
    """Limit of the gradient's norm over both nets; null: no clipping."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The learning rate after warm-up: a half cosine to zero, or level."""
    warmup: int = 0
    """Steps of linear warm-up."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the UNet learns to predict."""

    prediction: PredictionType | None = None
    """null: what the base predicts."""
    change_prediction: bool = False
    """Allow a prediction other than the base's; the model is saved with the new one."""
    min_snr: float | None = None
    """Gamma of the Min-SNR weights (5 is usual); null: all timesteps weigh the same."""
    caption_dropout: float = 0.1
    """Share of prompts replaced by the empty one, which classifier-free guidance needs."""

    def __post_init__(self) -> None:
        dropout = self.caption_dropout
        _require(0 <= dropout < 1, f"objective.caption_dropout is {dropout}: allowed are [0, 1)")


@dataclass(frozen=True, kw_only=True)
class EmaConfig:
    """Exponential moving average of the trained weights, in float32."""

    decay: float = 0.9999
    """The limit; early on min(decay, (1 + step) / (10 + step))."""

    def __post_init__(self) -> None:
        _require(0 < self.decay < 1, f"ema.decay is {self.decay}: allowed is between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When the state is saved."""

    every: int = 500
    """Steps between checkpoints; the last step always saves one."""
    keep: int = 2
    """How many are kept."""

    def __post_init__(self) -> None:
        _require(self.every > 0, f"checkpoint.every is {self.every}: at least 1")
        _require(self.keep > 0, f"checkpoint.keep is {self.keep}: at least 1")


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """The loss on held-out images at fixed noise and timesteps."""

    every: int = 500
    """Steps between validations; the last step always has one."""
    images: int = 256
    """At most this many of the split, evenly spaced."""

    def __post_init__(self) -> None:
        _require(self.every > 0, f"validation.every is {self.every}: at least 1")
        _require(self.images > 0, f"validation.images is {self.images}: at least 1")


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """Pictures drawn while training, with the EMA weights if there are any."""

    prompts: tuple[str, ...]
    """What is drawn; a row each. The words appear in the picture."""
    every: int = 1000
    """Steps between previews; the last step always has one."""
    count: int = 4
    """Images of each prompt."""
    guidance_scale: float = 4.0
    """Classifier-free guidance scale."""
    steps: int = 20
    """Sampling steps of DPM-Solver++ (2M)."""

    def __post_init__(self) -> None:
        _require(len(self.prompts) > 0, "preview.prompts is empty; set preview to null for none")
        for name in ("every", "count"):
            value = getattr(self, name)
            _require(value > 0, f"preview.{name} is {value}: at least 1")
        _require(self.steps > 1, f"preview.steps is {self.steps}: at least 2")
        scale = self.guidance_scale
        _require(scale >= 1, f"preview.guidance_scale is {scale}: at least 1, which is no guidance")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Fine-tune Stable Diffusion's UNet and text encoder on a radiograph dataset."""

    base: str
    """A pipeline folder, a repository id, or "tiny" for the shipped one."""
    data: DataConfig
    """What is trained on."""
    output: Path
    """The run folder; the model comes to stand in its `model`."""
    steps: int
    """Optimizer steps."""
    batch: int
    """Images a step, over all processes and accumulation slices."""
    accumulation: int = 1
    """Slices that a process's share of a batch is worked on in, to save memory."""
    seed: int = 0
    """All randomness is a function of it and of the position in training."""
    prompt: PromptStyle = field(default_factory=PromptStyle)
    """What prompts tell."""
    styles: tuple[WeightedStyle, ...] = ()
    """A mixture to draw each item's style from, in place of `prompt`."""
    long_prompts: TooLong = "refuse"
    """What becomes of prompts beyond the tokenizer's limit."""
    learning_rate: LearningRates = field(default_factory=LearningRates)
    """Peak learning rates."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights are changed."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """What is learnt."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Average of the weights; null: the raw weights are the result."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of forward and backward passes; weights and optimizer stay float32."""
    result: Literal["fp32", "fp16"] = "fp32"
    """Of the weights in `model`; fp16 halves the folder."""
    gradient_checkpointing: bool = False
    """Compute activations twice to save memory."""
    xformers: bool = False
    """The UNet's attention by xformers, which needs the extra of that name and a CUDA GPU."""
    channels_last: bool = True
    """Memory layout of the convolutions; faster on CPUs and recent GPUs."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """When the state is saved."""
    validation: ValidationConfig | None = field(default_factory=ValidationConfig)
    """Held-out loss; null: none."""
    preview: PreviewConfig | None = None
    """Pictures; null: none."""
    log_every: int = 10
    """Steps between lines of the log."""
    resume: bool = False
    """Go on from the newest checkpoint of the run folder."""
    allow_changes: bool = False
    """Resume although config, dataset or base differ from the checkpoint's."""
    overwrite: bool = False
    """Begin anew although the run folder exists; what it holds is removed."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulation", "log_every"):
            value = getattr(self, name)
            _require(value > 0, f"{name} is {value}: at least 1")
        _require(
            self.batch % self.accumulation == 0,
            f"batch {self.batch} cannot be cut into accumulation={self.accumulation} equal slices",
        )
        weights = [entry.weight for entry in self.styles]
        _require(min(weights, default=1) > 0, "styles: every weight must be above 0")
        _require(not (self.resume and self.overwrite), "resume and overwrite exclude each other")

    def mixture(self) -> tuple[WeightedStyle, ...]:
        """The prompt styles that are drawn from."""
        return self.styles or (WeightedStyle(style=self.prompt),)
