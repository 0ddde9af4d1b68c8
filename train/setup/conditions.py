"""Conditions of a run besides prompts, as its configuration has them."""

from train.config import RunConfig
from train.loading.mask_cache import MaskCondition
from train.loading.training_conditions import RecordCondition, TrainingCondition


def training_conditions(config: RunConfig) -> tuple[TrainingCondition, ...]:
    """The kinds of conditions that a run trains with besides the prompt."""
    structures = config.condition_structures()
    return tuple(
        MaskCondition(structures=structures) if name == "masks" else RecordCondition(name=name)
        for name in config.dropouts()
    )
