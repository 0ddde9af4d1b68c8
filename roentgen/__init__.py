"""Chest-X-ray image synthesis: what every stage shares, and the Python API.

The names below are imported when they are first used, so that `import roentgen` takes milliseconds:
programs that need one JSON file do not wait for torch. `__init__.pyi` gives them to type checkers.
"""

from importlib import import_module
from typing import Any

import roentgen.errors  # noqa: F401

__version__ = "0.1.0"

# Each public name with the module that defines it.
_PUBLIC = {
    "DatasetWriter": "roentgen.dataset.dataset",
    "Finding": "roentgen.record.finding",
    "Generator": "roentgen.generation.generator",
    "InputError": "roentgen.errors",
    "PromptStyle": "roentgen.prompts.grammar",
    "Radiograph": "roentgen.record.radiograph",
    "RadiographTensors": "roentgen.vision.radiograph_tensors",
    "Report": "roentgen.record.radiograph",
    "SamplerSettings": "roentgen.diffusion.sampling.settings",
    "Statement": "roentgen.record.statement",
    "compare_images": "roentgen.comparison",
    "label_report": "roentgen.labelers.rules.rule_labeler",
    "load_extractor": "roentgen.vision.features.extractor",
    "open_dataset": "roentgen.dataset.dataset",
    "parse_prompt": "roentgen.prompts.parser",
    "parse_report": "roentgen.reports.sections",
    "prompt_of": "roentgen.prompts.grammar",
    "statements_of": "roentgen.labelers.rules.rule_labeler",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
