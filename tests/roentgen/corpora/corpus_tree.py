"""A small complete tree of a corpus, as its recipe expects it."""

import csv
import gzip
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from roentgen.corpora.reader import CorpusReader
from roentgen.record.radiograph import Radiograph

IMAGES = 12
HALVES = "--split={fractions: {train: 0.5, validate: 0.0, test: 0.5}}"
Kind = Literal["jpeg", "png", "png16", "dicom"]


def _dicom(pixels: np.ndarray) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    film = Dataset()
    film.file_meta = meta
    film.SOPClassUID, film.SOPInstanceUID = meta.MediaStorageSOPClassUID, UID("1.2.3")
    film.Modality, film.ViewPosition, film.StudyDate = "DX", "PA", "21800506"
    film.PatientSex, film.PatientAge = "F", "052Y"
    film.Rows, film.Columns = pixels.shape
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 8, 8, 7, 0
    film.PixelData = pixels.tobytes()
    file = io.BytesIO()
    film.save_as(file, enforce_file_format=True)
    return file.getvalue()


@dataclass
class CorpusTree:
    """Its images by id, the table that names them, and the arguments of the program."""

    name: str
    kind: Kind
    root: Path
    table: Path
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    films: dict[str, Path] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)

    def add(self, film: str, path: str, row: list[str]) -> None:
        """A film below the root, and its row."""
        self.films[film] = self.root / path
        self.films[film].parent.mkdir(parents=True, exist_ok=True)
        self.films[film].write_bytes(self.film(len(self.films)))
        self.rows.append(row)

    def film(self, number: int) -> bytes:
        """A file of 64x48 pixels of noise, another for each number."""
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64), dtype=np.uint8)
        return self.encode(pixels)

    def encode(self, pixels: np.ndarray) -> bytes:
        """uint8 [H, W] as a file of this corpus."""
        if self.kind == "dicom":
            return _dicom(pixels)
        file = io.BytesIO()
        deep = pixels.astype(np.uint16) * 257
        image = Image.fromarray(deep if self.kind == "png16" else pixels)
        image.save(file, format="JPEG" if self.kind == "jpeg" else "PNG")
        return file.getvalue()

    def write(self) -> None:
        """Write the table, or write it anew."""
        write_table(self.table, self.header, self.rows)


def write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """A CSV, gzipped where its name says so."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    data = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def radiographs_of(reader: CorpusReader, item: Any) -> list[Radiograph]:
    """Those of one item, without its unmapped values."""
    return [one for one in reader.read(item) if isinstance(one, Radiograph)]
