"""Settings of an export; a format whose section is null is not written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.errors import InputError, require, require_distinct, require_range
from roentgen.record.radiograph import Split
from sample.exports.lineage import Lineage


@dataclass(frozen=True, kw_only=True)
class FolderFormat:
    """An image folder as Hugging Face's `imagefolder` has it: PNGs and a table of all fields."""

    metadata: Literal["csv", "parquet"] = "parquet"
    """The table in each split's folder. A CSV does not give the type of a column that is blank
    throughout a split; where that prevents `datasets` from reading it, the export prints a note."""


@dataclass(frozen=True, kw_only=True)
class WebDatasetFormat:
    """WebDataset shards: tar files with KEY.png, KEY.json, KEY.txt (the prompt), masks."""

    shard_images: int = 1000
    """Images per shard."""
    shard_megabytes: int = 500
    """A shard that reaches this size ends with fewer images."""

    def __post_init__(self) -> None:
        require_range(self, "webdataset.shard_images", "webdataset.shard_megabytes", at_least=1)


@dataclass(frozen=True, kw_only=True)
class ChexpertFormat:
    """CheXpert's own folders and tables."""

    release: Literal["CheXpert-v1.0", "CheXpert-v1.0-small"] = "CheXpert-v1.0-small"
    """The folder with which paths in the tables begin."""
    image: Literal["jpg", "png"] = "jpg"
    """jpg as in CheXpert, or lossless png."""
    quality: int = 95
    """JPEG quality, 1 to 100."""

    def __post_init__(self) -> None:
        require_range(self, "chexpert.quality", at_least=1, at_most=100)


@dataclass(frozen=True, kw_only=True)
class MimicCxrJpgFormat:
    """MIMIC-CXR-JPG's own folders and tables."""

    quality: int = 95
    """JPEG quality, 1 to 100; MIMIC-CXR-JPG has 95."""

    def __post_init__(self) -> None:
        require_range(self, "mimic_cxr_jpg.quality", at_least=1, at_most=100)


@dataclass(frozen=True, kw_only=True)
class DicomFormat:
    """DICOM, Computed Radiography Image Storage; synthetic radiographs only."""

    bits: Literal[8, 12] = 12
    """Bits per pixel. The images have 256 gray levels either way; 12 is for systems that expect
    radiographs to have 12 bits."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a radiograph dataset in formats that other programs read, each in its own folder."""

    dataset: Path
    """The radiograph dataset: a synthetic set, or a prepared corpus."""
    output: Path
    """The folder to create, with a folder for each format."""
    overwrite: bool = False
    """Replace the output folder if it exists."""
    splits: tuple[Split, ...] | None = None
    """The splits to write; null: all."""
    lineage: Lineage | None = None
    """Identifiers and texts that leave. full: all. none: real radiographs and patients are
    numbered; reports, prompts that say more than the labels, and the radiograph and patient that a
    synthetic image was drawn for are removed. hashed: as none, with keyed hashes for identifiers.
    null: none where a license forbids sharing, else full."""
    folder: FolderFormat | None = None
    """An image folder with metadata."""
    webdataset: WebDatasetFormat | None = None
    """WebDataset shards."""
    chexpert: ChexpertFormat | None = None
    """CheXpert's layout."""
    mimic_cxr_jpg: MimicCxrJpgFormat | None = None
    """MIMIC-CXR-JPG's layout."""
    dicom: DicomFormat | None = None
    """DICOM files."""

    def __post_init__(self) -> None:
        require(
            self.formats != (),
            f"no format is given: set at least one of {', '.join(FORMATS)} (to {{}})",
        )
        require_distinct(self, "splits", note="or null for all")
        output, dataset = self.output.resolve(), self.dataset.resolve()
        if output == dataset or output in dataset.parents or dataset in output.parents:
            raise InputError(
                f"output {self.output} and dataset {self.dataset} contain one another: "
                "choose another output"
            )

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that are given."""
        return tuple(name for name in FORMATS if getattr(self, name) is not None)


FORMATS = ("folder", "webdataset", "chexpert", "mimic_cxr_jpg", "dicom")
