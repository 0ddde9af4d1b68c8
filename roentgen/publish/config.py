"""Settings of a publication."""

import re
from dataclasses import dataclass
from pathlib import Path

from roentgen.errors import InputError

_NAME = r"\b[\w.-]{1,96}\b"  # of the hub, which refuses "--", ".." and a repository NAME.git
_REPOSITORY = re.compile(rf"(?!.*(--|\.\.)){_NAME}/{_NAME}(?<!\.git)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """Prepare a model, adapter or dataset for the Hugging Face hub; nothing is uploaded."""

    folder: Path
    """Model, adapter or dataset, made by any program of this project."""
    output: Path | None = None
    """Folder to upload; null: that of `folder` with "-hub" at its end."""
    repository: str | None = None
    """The repository on the hub, OWNER/NAME; required."""
    contact: str | None = None
    """Who answers questions: a name with an address; required. It stands in the card."""
    evaluation: Path | None = None
    """Results of eval.evaluate, on images of this model or on this set; the folder, or its
    results.json. Their main measures are put into the card."""
    base_license: str | None = None
    """License of a base model that does not state its own, such as CreativeML-OpenRAIL-M; required
    where there is one. Make sure that it allows sharing what is made from the base."""
    base_model: str | None = None
    """The base's repository on the hub, OWNER/NAME; required for adapters of a local base."""
    datasets: tuple[str, ...] = ()
    """Repositories on the hub with the training data of a model, each OWNER/NAME."""
    overwrite: bool = False
    """Replace an existing output folder."""

    def __post_init__(self) -> None:
        names = [("repository", self.repository), ("base_model", self.base_model)]
        for key, value in [*names, *(("datasets", name) for name in self.datasets)]:
            if value is not None and not _REPOSITORY.fullmatch(value):
                raise InputError(f"{key} is {value!r}: give OWNER/NAME, as the hub names it")
        for key in ("contact", "base_license"):
            value = getattr(self, key)
            if value is not None and not value.strip():
                raise InputError(f"{key} is empty: write it out, or leave it away")

    @property
    def upload(self) -> Path:
        """The folder to upload."""
        is_named = self.folder.name not in ("", "..")
        place = self.folder if is_named else self.folder.resolve()
        return self.output or place.with_name(f"{self.folder.resolve().name}-hub")
