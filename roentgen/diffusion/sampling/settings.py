"""Settings of the sampler, free of torch."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from roentgen.errors import InputError, require_range

SchedulerName = Literal[
    "PNDM", "DDIM", "DPM-Solver++", "DPM-Solver++ Karras", "UniPC", "UniPC Karras"
]


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How images are drawn from noise."""

    scheduler: SchedulerName = "DPM-Solver++ Karras"
    """Solver: PNDM (as RoentGen), DDIM, DPM-Solver++ (2M) or UniPC (of order 2); the last two with
    uniform timesteps or, "Karras", with steps that are denser at low noise. A model trained with
    zero terminal SNR needs uniform timesteps."""
    steps: int = 15
    """Number of sampling steps."""
    guidance_scale: float = 3.0
    """Classifier-free guidance scale; 1: none."""
    guidance_interval: tuple[float, float] | None = None
    """Guide only where low < sigma <= high, sigma being the noise's standard deviation beside a
    signal of scale 1 (Kynkäänniemi et al. 2024); elsewhere half the work. null: everywhere."""
    guidance_rescale: float | None = None
    """Degree, in (0, 1], to which a guided prediction is rescaled to the standard deviation of the
    conditional one, against overexposure (Lin et al. 2023); null: not rescaled."""
    cache_interval: int = 1
    """The UNet's blocks below full resolution are recomputed every N steps and reused in between
    (DeepCache, Ma et al. 2023): faster and slightly less exact; 1: recomputed at every step."""
    conditioning_scale: float = 1.0
    """Scale of the ControlNet's outputs; 0: the masks have no effect."""
    conditioning_interval: tuple[float, float] = (0.0, 1.0)
    """Start and end of ControlNet conditioning, as fractions of the steps."""
    batch_size: int = 16
    """Images drawn together."""
    decode_batch_size: int = 4
    """Images the VAE decodes together."""
    device: Literal["cpu", "cuda", "mps"] | None = None
    """Device; null: a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Precision of the networks; in float16, which may overflow, the VAE stays float32. auto:
    bfloat16 where the device computes it faster (GPUs since Ampere, CPUs with AVX-512 BF16), else
    float32."""
    compile: bool = False
    """Compile the UNet's repeated blocks (torch.compile): a start of a minute or two, faster steps
    on a GPU, hardly on a CPU."""

    def __post_init__(self) -> None:
        positive = ("cache_interval", "batch_size", "decode_batch_size")
        require_range(self, *(f"sampler.{name}" for name in positive), at_least=1)
        require_range(self, "sampler.steps", at_least=2)
        require_range(self, "sampler.guidance_scale", at_least=1, note="which is no guidance")
        low, high = self.guidance_interval or (0, 1)
        if not 0 <= low < high < inf:
            raise InputError(
                f"sampler.guidance_interval is [{low:g}, {high:g}]: two noise levels, the lower "
                "first, neither below 0 nor infinite"
            )
        require_range(self, "sampler.guidance_rescale", above=0, at_most=1, note="or null")
        first, last = self.conditioning_interval
        if not 0 <= first < last <= 1:
            raise InputError(
                f"sampler.conditioning_interval is [{first:g}, {last:g}]: two shares of the steps "
                "between 0 and 1, the smaller first"
            )
        require_range(self, "sampler.conditioning_scale", at_least=0, below=inf, note="1 is usual")
        for name in ("guidance_interval", "guidance_rescale"):
            if self.guidance_scale == 1 and getattr(self, name) is not None:
                raise InputError(
                    f"sampler.{name} has no effect without guidance: set sampler.guidance_scale "
                    "above 1, or leave it out"
                )
