"""What fine-tuning is told: one dataclass, complete in one YAML file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from roentgen.diffusion.conditions.controlnet import NEW_LAYERS
from roentgen.diffusion.conditions.prompt_encoding import TooLong
from roentgen.diffusion.training_record import model_manifest, trained_long_prompts, trained_style
from roentgen.prompts.grammar import PromptStyle
from roentgen.setting_checks import require, require_distinct, require_range
from train.config_sections import (
    Attention,
    CheckpointConfig,
    DataConfig,
    EmaConfig,
    LearningRates,
    LoraConfig,
    ObedienceConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PreviewConfig,
    SwapConfig,
    ValidationConfig,
    WeightedStyle,
)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every training run is told, whatever it trains."""

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
        require_range(self, "steps", "batch", "accumulation", "log_every", at_least=1)
        require(
            self.batch % self.accumulation == 0,
            f"batch {self.batch} cannot be cut into accumulation={self.accumulation} equal slices",
        )
        require(not (self.resume and self.overwrite), "resume and overwrite exclude each other")

    def rates(self) -> dict[str, float | None]:
        """The peak learning rate of each net that may train; None: it is frozen."""
        raise NotImplementedError

    def mixture(self) -> tuple[WeightedStyle, ...]:
        """The prompt styles that are drawn from."""
        raise NotImplementedError

    def too_long(self) -> TooLong:
        """What becomes of prompts beyond the limit of tokens."""
        raise NotImplementedError

    def previews(self) -> PreviewConfig | None:
        """The pictures that are drawn of prompts alone, if any."""
        return None

    def swapped(self) -> SwapConfig | None:
        """The text encoder in place of the base's, if any."""
        return None

    def goes_on_from(self) -> str | None:
        """Where the ControlNet comes from that training goes on with, if from another model."""
        return None

    def adapters(self) -> LoraConfig | None:
        """The adapters that train in place of whole nets, if they do."""
        return None


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(RunConfig):
    """Fine-tune Stable Diffusion's UNet and text encoder on a radiograph dataset."""

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
    preview: PreviewConfig | None = None
    """Pictures; null: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "prompt_chunks", at_least=1)
        weights = [entry.weight for entry in self.styles]
        require(min(weights, default=1) > 0, "styles: every weight must be above 0")
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

    def rates(self) -> dict[str, float | None]:
        """See `RunConfig`."""
        return dict(vars(self.learning_rate))

    def mixture(self) -> tuple[WeightedStyle, ...]:
        """See `RunConfig`."""
        return self.styles or (WeightedStyle(style=self.prompt),)

    def too_long(self) -> TooLong:
        """See `RunConfig`."""
        return self.long_prompts

    def previews(self) -> PreviewConfig | None:
        """See `RunConfig`."""
        return self.preview

    def swapped(self) -> SwapConfig | None:
        """See `RunConfig`."""
        return self.swap_text_encoder

    def adapters(self) -> LoraConfig | None:
        """See `RunConfig`."""
        return self.lora


@dataclass(frozen=True, kw_only=True)
class ControlnetConfig(RunConfig):
    """Train a ControlNet on masks for a fine-tuned pipeline, which stays as it is."""

    structures: tuple[str, ...]
    """What it is shown, one channel each: the names of the dataset's masks or boxes."""
    start: str | None = None
    """A ControlNet to go on from, trained for another UNet of the base's form: a model folder that
    has one, or "tiny", which learned phantoms' masks; null: the base's own, if it has one, or the
    UNet's encoder."""
    learning_rate: float = 1e-4
    """Peak learning rate of what begins as the UNet's encoder."""
    new_rate: float = 4e-4
    """Of the layers that are new: that see the masks, and that speak to the UNet."""
    mask_dropout: float = 0.1
    """Share of images of which it is shown no mask, so that prompts alone still work."""
    structure_dropout: float = 0.1
    """Share of the other images' masks that it is not shown, each by itself, so that any set of
    structures may be given."""
    style: PromptStyle | None = None
    """What prompts tell; null: what the base was trained with."""
    long_prompts: TooLong | None = None
    """What becomes of prompts beyond the limit of tokens; null: as the base was trained."""
    obedience: ObedienceConfig | None = field(default_factory=ObedienceConfig)
    """Whether masks are obeyed, measured while training: the best weights are the result; null: the
    last ones are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_distinct(self, "structures")
        require_range(self, "learning_rate", "new_rate", above=0)
        require_range(self, "mask_dropout", "structure_dropout", at_least=0, below=1)
        require(
            self.obedience is None or self.validation is not None,
            "obedience is measured on the held-out split: set validation, or obedience to null",
        )

    def rates(self) -> dict[str, float | None]:
        """See `RunConfig`."""
        new = {f"controlnet.{layer}": self.new_rate for layer in NEW_LAYERS}
        return {"unet": None, "text_encoder": None, "controlnet": self.learning_rate, **new}

    def goes_on_from(self) -> str | None:
        """See `RunConfig`."""
        return self.start

    def mixture(self) -> tuple[WeightedStyle, ...]:
        """See `RunConfig`."""
        return (WeightedStyle(style=self.style or trained_style(model_manifest(self.base))),)

    def too_long(self) -> TooLong:
        """See `RunConfig`."""
        return self.long_prompts or trained_long_prompts(model_manifest(self.base))
