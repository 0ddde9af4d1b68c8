"""What the bench can be told."""

from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from roentgen.diffusion.sampling.sampler import SamplerSettings
from roentgen.diffusion.sampling.schedulers import SchedulerName
from roentgen.setting_checks import require, require_range
from sample.prompts.config import DatasetPrompts


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values of the sampler's settings, each with each; null: as in `sampler`."""

    scheduler: tuple[SchedulerName, ...] | None = None
    """Solvers."""
    steps: tuple[int, ...] | None = None
    """Their steps."""
    guidance_scale: tuple[float, ...] | None = None
    """Guidance scales; 1: none."""
    guidance_interval: tuple[tuple[float, float] | None, ...] | None = None
    """Noise levels between which it guides; null among them: everywhere."""
    guidance_rescale: tuple[float | None, ...] | None = None
    """Guidance rescale; null among them: none."""
    cache_interval: tuple[int, ...] | None = None
    """At every how many steps deep blocks are computed; 1: at each."""

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            require(values != (), f"a grid's {name} is empty: give values, or leave it out")

    def settings(self, shared: SamplerSettings) -> list[SamplerSettings]:
        """One of each combination, the last field changing first."""
        given: dict[str, tuple[Any, ...]] = {
            f.name: values for f in fields(self) if (values := getattr(self, f.name)) is not None
        }
        chosen = [dict(zip(given, values, strict=True)) for values in product(*given.values())]
        return [replace(shared, **values) for values in chosen]


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure a model's ways of sampling: work, images a second, FID to held-out films."""

    model: str
    """A model folder, a repository id, or "tiny"."""
    prompts: DatasetPrompts
    """The radiographs whose prompts are drawn, one image each. FID is to all of their split."""
    floor_split: str = "train"
    """Other real films of the same dataset: the FID that a perfect model would have."""
    grids: tuple[Grid, ...]
    """What is measured, one row a setting. The first row is what the others compare with."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    """What rows share."""
    classifier: Path | None = None
    """A saved classifier of findings and views, trained on real films: is it what was asked for?
    null: not measured."""
    samples: int = 200
    """Bootstrap resamples of patients for intervals."""
    seed: int = 0
    """Of the images' noise, the lot for `prompts.limit`, and the resamples."""
    output: Path
    """The folder of results. Rows that it holds already are not measured again."""

    def __post_init__(self) -> None:
        require_range(self, "samples", at_least=2)
        require(self.grids != (), "grids is empty: give at least one")
        require(
            self.floor_split != self.prompts.split,
            f"floor_split is {self.floor_split!r}, the split that FID is measured to: give another",
        )

    def rows(self) -> list[SamplerSettings]:
        """The settings of each row, each once."""
        rows = [row for grid in self.grids for row in grid.settings(self.sampler)]
        return list(dict.fromkeys(rows))
