"""What fine-tuning is told: one dataclass, complete in one YAML file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from roentgen.models.conditioning import TooLong
from roentgen.text.prompts import PromptStyle
from train.sections import (
    Attention,
    CheckpointConfig,
    DataConfig,
    EmaConfig,
    LearningRates,
    LoraConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PreviewConfig,
    SwapConfig,
    ValidationConfig,
    WeightedStyle,
    require,
)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Fine-tune Stable Diffusion's UNet and text encoder on a radiograph dataset."""

    base: str
    """A pipeline folder, a repository id, which may end in @revision, or "tiny", which is ours."""
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
    prompt_chunks: int = 1
    """Windows of the text encoder's limit that a prompt is given; sampling gives it as many."""
    long_prompts: TooLong = "refuse"
    """What becomes of prompts beyond the limit of tokens."""
    swap_text_encoder: SwapConfig | None = None
    """Another text encoder; null: the base's."""
    lora: LoraConfig | None = None
    """Train adapters alone; null: all weights of the nets that train."""
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
    attention: Attention = "auto"
    """Kernel of the nets' attention: auto leaves the choice to torch; one that cannot be used here
    is an error. xformers needs the extra of that name and a CUDA GPU."""
    compile: bool = False
    """Compile the UNet's repeated blocks (torch.compile): a minute or two at the start, faster
    steps on GPUs."""
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
    dry_run: bool = False
    """Check all, then print parameters, memory, disk and time; nothing is written or trained."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulation", "prompt_chunks", "log_every"):
            value = getattr(self, name)
            require(value > 0, f"{name} is {value}: at least 1")
        require(
            self.batch % self.accumulation == 0,
            f"batch {self.batch} cannot be cut into accumulation={self.accumulation} equal slices",
        )
        weights = [entry.weight for entry in self.styles]
        require(min(weights, default=1) > 0, "styles: every weight must be above 0")
        require(not (self.resume and self.overwrite), "resume and overwrite exclude each other")
        rates = self.learning_rate
        require(
            rates.unet is not None
            or rates.text_encoder is not None
            or bool(self.swap_text_encoder),
            "learning_rate: both nets are frozen; give one a learning rate",
        )
        require(
            self.swap_text_encoder is None or self.prompt_chunks == 1,
            "prompt_chunks is for the base's text encoder: with swap_text_encoder set max_tokens",
        )

    def mixture(self) -> tuple[WeightedStyle, ...]:
        """The prompt styles that are drawn from."""
        return self.styles or (WeightedStyle(style=self.prompt),)
