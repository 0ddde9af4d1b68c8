"""The interface of an evaluation domain: check, precompute, measure."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from eval.config import ComparisonConfig
from eval.report.section import PageSection
from eval.sets import Sets, shows_patient

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Domain(ABC, Generic[Settings]):
    """One evaluation domain of one comparison; `settings` are its own section."""

    settings: Settings
    config: ComparisonConfig
    sets: Sets

    @property
    def shows_reference(self) -> bool:
        """Whether pictures, prompts and ids of the reference may be on the page."""
        reference = (*self.sets.train.radiographs, *self.sets.test.radiographs)
        return self.config.real_pictures or not any(map(shows_patient, reference))

    @abstractmethod
    def check(self) -> None:
        """Raise InputError for what cannot be measured, before any work; cheap."""

    @abstractmethod
    def precompute(self) -> None:
        """Do this process's share of the slow work whose results are cached."""

    @abstractmethod
    def measure(self) -> PageSection:
        """Measure everything, in one process; reads what is cached."""
