"""Training configuration: one dataclass a program, complete in one YAML file."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from roentgen.diffusion.backbones.model_folder import model_manifest
from roentgen.diffusion.conditions.condition_kinds import KINDS
from roentgen.diffusion.training_record import trained_long_prompts, trained_style
from roentgen.errors import (
    require,
    require_choice,
    require_distinct,
    require_range,
)
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.token_lengths import TooLong
from train.config_sections import (
    Attention,
    CheckpointConfig,
    DataConfig,
    Dropout,
    EmaConfig,
    LearningRates,
    LoraConfig,
    MaskFidelityConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PreviewConfig,
    SwapConfig,
    Tracker,
    ValidationConfig,
    WeightedStyle,
)

# Layers of a ControlNet that a UNet's encoder lacks.
NEW_LAYERS = ("controlnet_cond_embedding", "controlnet_down_blocks", "controlnet_mid_block")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings that all training runs share."""

    base: str
    """Base model: a pipeline folder, a repository id, which may end in @revision, or "tiny", which
    is shipped."""
    data: DataConfig
    """Training and held-out images."""
    output: Path
    """The run folder; the trained model is written to its `model`."""
    steps: int
    """Optimizer steps."""
    batch_size: int
    """Images per step, over all processes and accumulation slices."""
    gradient_accumulation: int = 1
    """Slices into which a process's share of a batch is cut to save memory."""
    seed: int = 0
    """Seed; all randomness is a function of it and of the position in training."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and learning-rate schedule."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """Prediction target, loss weights and noise."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Average of the weights; null: the raw weights are the result."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Precision of forward and backward passes; weights and optimizer stay float32. auto: bf16
    where the device computes it faster (GPUs since Ampere, CPUs with AVX-512 BF16), else fp32;
    config.yaml and the model say which."""
    save_precision: Literal["fp32", "fp16"] = "fp32"
    """Precision of the weights in `model`; fp16 halves the folder."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory."""
    attention: Attention = "auto"
    """Attention kernel; auto leaves the choice to torch, on a CPU in float32, which is faster there
    than bf16; one that cannot be used here is an error. xformers needs the extra of that name and a
    CUDA GPU."""
    compile: bool = False
    """Compile the UNet's repeated blocks (torch.compile): a minute or two at the start, faster
    steps on GPUs."""
    channels_last: bool = True
    """Memory layout of the convolutions; faster on CPUs and recent GPUs."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """How often the training state is saved."""
    validation: ValidationConfig | None = field(default_factory=ValidationConfig)
    """Held-out loss; null: none."""
    log_every: int = 10
    """Steps between lines of the log."""
    tracker: Tracker | None = "tensorboard"
    """Where curves and previews are shown, besides the run folder; all but tensorboard need their
    package. null: nowhere."""
    resume: bool = False
    """Resume from the newest checkpoint of the run folder."""
    allow_changes: bool = False
    """Resume although config, dataset or base differ from the checkpoint's."""
    overwrite: bool = False
    """Start over if the run folder exists; what it holds is removed."""
    dry_run: bool = False
    """Check everything and print parameters, memory, disk and time; nothing is written or
    trained."""

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "gradient_accumulation", "log_every")
        require_range(self, *counts, at_least=1)
        require(
            self.batch_size % self.gradient_accumulation == 0,
            f"batch_size {self.batch_size} cannot be cut into {self.gradient_accumulation} equal "
            "slices (gradient_accumulation)",
        )
        require(not (self.resume and self.overwrite), "resume and overwrite exclude each other")

    @property
    def caches(self) -> Path:
        """The folder of latents, text encoder states and masks."""
        return self.data.caches or self.output / "caches"

    def splits(self) -> tuple[str, ...]:
        """The splits of the dataset that are read: the training one, and the held-out one."""
        held_out = () if self.validation is None else (self.data.validate_split,)
        return (self.data.split, *held_out)

    def rates(self) -> dict[str, float | None]:
        """The peak learning rate of each network that may train; None: it is frozen."""
        raise NotImplementedError

    def mixture(self) -> tuple[WeightedStyle, ...]:
        """The prompt styles in their shares."""
        raise NotImplementedError

    def drawn_styles(self) -> tuple[WeightedStyle, ...]:
        """The prompt styles with those that lack slots by `objective`, in their shares."""
        return self.objective.with_slots_dropped(self.mixture())

    def too_long(self) -> TooLong:
        """Whether prompts beyond the token limit are refused or truncated."""
        raise NotImplementedError

    def condition_structures(self) -> tuple[str, ...]:
        """The structures whose masks condition a ControlNet; none without one."""
        return ()

    def dropouts(self) -> dict[str, Dropout]:
        """The conditions besides prompts, by name, and how often each is withheld."""
        return {}

    def measured_fidelity(self) -> MaskFidelityConfig | None:
        """How the fidelity to held-out masks is measured while training, if it is."""
        return None

    def chunks(self) -> int | None:
        """Chunks of the text encoder's limit that a prompt may fill; None: as many as the base."""
        return None

    def previews(self) -> PreviewConfig | None:
        """Preview images of prompts, if any."""
        return None

    def swapped(self) -> SwapConfig | None:
        """The text encoder in place of the base's, if any."""
        return None

    def first_controlnet(self) -> str | None:
        """The model whose ControlNet training starts from, if it is not the base's own."""
        return None

    def adapters(self) -> LoraConfig | None:
        """The adapters that train in place of whole networks, if any."""
        return None


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(RunConfig):
    """Fine-tune Stable Diffusion's UNet and text encoder on a radiograph dataset."""

    prompt: PromptStyle = field(default_factory=PromptStyle)
    """Content and style of prompts."""
    styles: tuple[WeightedStyle, ...] = ()
    """A mixture from which each item's style is drawn, in place of `prompt`."""
    prompt_chunks: int = 1
    """Chunks of the text encoder's token limit that a prompt may fill, in training and sampling."""
    long_prompts: TooLong = "refuse"
    """Refuse or truncate prompts beyond the token limit."""
    swap_text_encoder: SwapConfig | None = None
    """Another text encoder; null: the base's."""
    lora: LoraConfig | None = None
    """Train adapters alone; null: all weights of the networks that train."""
    learning_rate: LearningRates = field(default_factory=LearningRates)
    """Peak learning rates."""
    conditions: dict[str, float] = field(default_factory=dict)
    """Conditions of the radiographs' records, by their names in
    `roentgen.diffusion.conditions.condition_kinds`: the share of images whose value is withheld."""
    preview: PreviewConfig | None = None
    """Preview images; null: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "prompt_chunks", at_least=1)
        weights = [entry.weight for entry in self.styles]
        require(min(weights, default=1) > 0, "styles: every weight must be above 0")
        self.drawn_styles()
        rates = self.learning_rate
        require(
            rates.unet is not None
            or rates.text_encoder is not None
            or bool(self.swap_text_encoder or self.conditions),
            "learning_rate: both networks are frozen; give one a learning rate",
        )
        for name, dropout in self.conditions.items():
            require_choice("condition", name, KINDS)
            require(0 <= dropout < 1, f"conditions.{name} is {dropout}: a share below 1")
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

    def chunks(self) -> int | None:
        """See `RunConfig`."""
        return self.prompt_chunks

    def previews(self) -> PreviewConfig | None:
        """See `RunConfig`."""
        return self.preview

    def swapped(self) -> SwapConfig | None:
        """See `RunConfig`."""
        return self.swap_text_encoder

    def adapters(self) -> LoraConfig | None:
        """See `RunConfig`."""
        return self.lora

    def dropouts(self) -> dict[str, Dropout]:
        """See `RunConfig`."""
        return {name: Dropout(rate=rate) for name, rate in self.conditions.items()}


@dataclass(frozen=True, kw_only=True)
class ControlnetConfig(RunConfig):
    """Train a ControlNet on masks for a fine-tuned pipeline, which stays as it is."""

    structures: tuple[str, ...]
    """Structures of the dataset's masks or boxes; each has a channel of the ControlNet's input."""
    initial_controlnet: str | None = None
    """A ControlNet to start from, trained for another UNet of the base's form: a model folder that
    has one, or "tiny", which learned phantoms' masks; null: the base's own, if it has one, or a
    copy of the UNet's encoder."""
    learning_rate: float = 1e-4
    """Peak learning rate of the layers that start as the UNet's encoder."""
    new_layer_learning_rate: float = 4e-4
    """Peak learning rate of the new layers: those that read the masks and those that feed the
    UNet."""
    mask_dropout: float = 0.1
    """Share of images that are trained without masks, so that prompts alone still work."""
    structure_dropout: float = 0.1
    """Share of the other images' structures that are dropped, each independently, so that any set
    of structures may be given."""
    style: PromptStyle | None = None
    """Content and style of prompts; null: those that the base was trained with."""
    long_prompts: TooLong | None = None
    """Refuse or truncate prompts beyond the token limit; null: as the base was trained."""
    mask_fidelity: MaskFidelityConfig | None = field(default_factory=MaskFidelityConfig)
    """Agreement of generated images with held-out masks, measured while training: the checkpoint of
    the best Dice is the result; null: the last one is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_distinct(self, "structures")
        require_range(self, "learning_rate", "new_layer_learning_rate", above=0)
        require_range(self, "mask_dropout", "structure_dropout", at_least=0, below=1)
        require(
            self.mask_fidelity is None or self.validation is not None,
            "mask_fidelity is measured on the held-out split: set validation, or mask_fidelity to "
            "null",
        )

    def as_base(self) -> "ControlnetConfig":
        """The same with the prompts that the base knows, to be recorded in the new model too."""
        (entry,) = self.mixture()
        return replace(self, style=entry.style, long_prompts=self.too_long())

    def rates(self) -> dict[str, float | None]:
        """See `RunConfig`."""
        new = {f"controlnet.{layer}": self.new_layer_learning_rate for layer in NEW_LAYERS}
        return {"unet": None, "text_encoder": None, "controlnet": self.learning_rate, **new}

    def condition_structures(self) -> tuple[str, ...]:
        """See `RunConfig`."""
        return self.structures

    def dropouts(self) -> dict[str, Dropout]:
        """See `RunConfig`."""
        dropout = Dropout(
            rate=self.mask_dropout,
            channels=len(self.structures),
            channel_rate=self.structure_dropout,
        )
        return {"masks": dropout}

    def measured_fidelity(self) -> MaskFidelityConfig | None:
        """See `RunConfig`."""
        return self.mask_fidelity

    def first_controlnet(self) -> str | None:
        """See `RunConfig`."""
        return self.initial_controlnet

    def mixture(self) -> tuple[WeightedStyle, ...]:
        """See `RunConfig`."""
        return (WeightedStyle(style=self.style or trained_style(model_manifest(self.base))),)

    def too_long(self) -> TooLong:
        """See `RunConfig`."""
        return self.long_prompts or trained_long_prompts(model_manifest(self.base))


@dataclass(frozen=True, kw_only=True)
class AverageConfig:
    """The average of a run, and the model folder that it is written to."""

    run: Path
    """The folder of a run with ema.posthoc."""
    width: float
    """The average's standard deviation, relative to the length of training (sigma_rel)."""
    output: Path
    """The model folder."""
    step: int | None = None
    """The step at which it ends, one that has snapshots; null: the last."""
    save_precision: Literal["fp32", "fp16"] = "fp32"
    """Precision of the saved weights."""
    overwrite: bool = False
    """Replace the model that the output folder holds."""

    def __post_init__(self) -> None:
        require_range(self, "width", above=0, below=0.28)
