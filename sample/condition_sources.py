"""Condition sources of a configuration: where conditions besides the prompts come from."""

from roentgen.generation.image_conditions import ConditionSource
from sample.mask_source import MaskSource
from sample.prompts.config import PromptsConfig


def condition_sources(prompts: PromptsConfig) -> list[ConditionSource]:
    """One source for each kind of condition. Raises InputError for one that cannot be opened."""
    return [MaskSource(prompts.masks)] if prompts.masks else []
