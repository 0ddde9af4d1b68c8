"""Settings of the sampler benchmark."""

from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from roentgen.diffusion.sampling.settings import SamplerSettings, SchedulerName
from roentgen.errors import require, require_range
from sample.prompts.config import DatasetPrompts


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values of sampler settings, in all combinations; null: as in `sampler`."""

    scheduler: tuple[SchedulerName, ...] | None = None
    """Solvers."""
    steps: tuple[int, ...] | None = None
    """Their steps."""
    guidance_scale: tuple[float, ...] | None = None
    """Guidance scales; 1: none."""
    guidance_interval: tuple[tuple[float, float] | None, ...] | None = None
    """Noise levels between which guidance is applied; null among them: all."""
    guidance_rescale: tuple[float | None, ...] | None = None
    """Guidance rescale; null among them: none."""
    cache_interval: tuple[int, ...] | None = None
    """Steps per computation of the deep blocks; 1: at each step."""

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            require(values != (), f"a grid's {name} is empty: give values, or remove it")

    def settings(self, shared: SamplerSettings) -> list[SamplerSettings]:
        """The settings of each combination, the last field varying fastest."""
        given: dict[str, tuple[Any, ...]] = {
            f.name: values for f in fields(self) if (values := getattr(self, f.name)) is not None
        }
        chosen = [dict(zip(given, values, strict=True)) for values in product(*given.values())]
        return [replace(shared, **values) for values in chosen]


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Compare sampler settings: work, images per second, FID to held-out radiographs."""

    model: str
    """A model folder, a repository id, or "tiny"."""
    prompts: DatasetPrompts
    """The radiographs whose prompts are drawn, one image each. FID is to their whole split."""
    floor_split: str = "train"
    """Other real radiographs of the same dataset: their FID is that of a perfect model."""
    grids: tuple[Grid, ...]
    """Settings to measure, one row each. The others are compared with the first row."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    """Settings common to all rows."""
    classifier: Path | None = None
    """A saved classifier of findings and views, trained on real radiographs, for the agreement with
    prompts; null: not measured."""
    samples: int = 200
    """Bootstrap resamples of patients for intervals."""
    seed: int = 0
    """Seed of the images' noise, of the sample for `prompts.limit`, and of the resamples."""
    output: Path
    """The folder of results. Rows already in it are not measured again."""

    def __post_init__(self) -> None:
        require_range(self, "samples", at_least=2)
        require(self.grids != (), "grids is empty: give at least one")
        require(
            self.floor_split != self.prompts.split,
            f"floor_split is {self.floor_split!r}, the reference split of FID: choose another",
        )

    def rows(self) -> list[SamplerSettings]:
        """The settings of each row, each once."""
        rows = [row for grid in self.grids for row in grid.settings(self.sampler)]
        return list(dict.fromkeys(rows))
