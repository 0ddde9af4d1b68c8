r"""DICOM, Computed Radiography Image Storage (PS3.3 A.2), of synthetic radiographs.

No viewer or archive shall take one for a film: Synthetic Data is YES, Image Type DERIVED\SECONDARY,
and patient, study, series and comments all begin with SYNTHETIC. There is no date, as there was no
examination. Every identifier is derived from the set's fingerprint: the same set has the same ones
and no two sets share one.
"""

import hashlib
import uuid
from collections import Counter
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
)

from roentgen.record.findings import states
from roentgen.record.radiograph import Radiograph, Synthesis
from sample.exports.config import DicomFormat
from sample.exports.intake import Intake
from sample.exports.record import file_stem, open_table, pixels

CREATOR = "ROENTGEN SYNTHETIC 1"  # of the private block in group 0071
GROUP = 0x0071
_NAMESPACE = uuid.UUID("46cc5614-d506-41e1-ab4f-3414db2a1641")
_SOFTWARE = UID("2.25.10347702510505278882171221668445636420")  # Implementation Class UID
_LONGEST_COMMENT = 10_240  # characters of a DICOM long text
_COLUMNS = (
    *("file", "id", "patient_id", "study_id", "PatientID"),
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
)


def refusal(radiograph: Radiograph) -> str | None:
    """Why no DICOM is made of it."""
    if radiograph.synthesis is None:
        return "not synthetic: no DICOM header is made up for a film"
    return None


def write(radiographs: Intake, folder: Path, settings: DicomFormat) -> list[str]:
    """Write a file an image; returns what the card says of them, a line each."""
    series: Counter[tuple[str, str]] = Counter()  # of each study
    with open_table(folder / "identities.csv", _COLUMNS) as table:
        for radiograph in radiographs:
            study = (radiograph.patient_id, radiograph.study_id)
            series[study] += 1
            film = make_dicom(radiograph, radiographs.fingerprint, settings.bits, series[study])
            patient = str(film.PatientID)
            path = Path(radiograph.split, patient, f"{file_stem(radiograph.id)}.dcm")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            film.save_as(folder / path, enforce_file_format=True)
            uids = (film.StudyInstanceUID, film.SeriesInstanceUID, film.SOPInstanceUID)
            names = (radiograph.id, radiograph.patient_id, radiograph.study_id)
            table.add(path.as_posix(), *names, patient, *uids)
    return [
        f"Computed Radiography images of {settings.bits} bits, uncompressed: "
        "SPLIT/PatientID/ID.dcm. identities.csv has the set's own id, patient and study of each.",
        "Synthetic Data (0008,001C) is YES, Image Type DERIVED\\SECONDARY, and patient, study, "
        "series and comments begin with SYNTHETIC; there is no date.",
        "Identifiers are derived from the set's fingerprint and the radiograph's id: the same "
        "export again gives the same ones.",
        f'Image Comments have prompt, seed and model; so does the private block "{CREATOR}" of '
        f"group {GROUP:04X}: 01 prompt, 02 negative prompt, 03 seed, 04 guidance scale, 05 steps, "
        "06 scheduler, 07 model fingerprint, 08 id in the set.",
        "View Position is PA, AP or LATERAL (left or right is not known), blank where the view is "
        "not known; Patient Orientation is given for frontal images only. Pixel spacing is not "
        "known. Masks and reports are not written.",
    ]


def make_dicom(radiograph: Radiograph, fingerprint: str, bits: int, series: int) -> Dataset:
    """The DICOM of a synthetic radiograph; `series` is its number in its study.

    View Position is an attribute of the series, so each image has one of its own.
    """
    synthesis = radiograph.synthesis
    assert synthesis is not None, radiograph.id
    identity = (fingerprint, radiograph.patient_id)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.file_meta.ImplementationClassUID = _SOFTWARE
    film.file_meta.ImplementationVersionName = f"ROENTGEN {_version()}"[:16]
    film.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    film.SpecificCharacterSet = "ISO_IR 192"
    film.SOPClassUID = ComputedRadiographyImageStorage
    film.StudyInstanceUID = _uid("study", *identity, radiograph.study_id)
    film.SeriesInstanceUID = _uid("series", *identity, radiograph.id, bits)
    film.SOPInstanceUID = _uid("instance", *identity, radiograph.id, bits)
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
    _describe_patient(film, radiograph, _digest(*identity))
    _describe_study(film, radiograph, synthesis, series)
    _describe_image(film, radiograph, synthesis)
    _set_pixels(film, pixels(radiograph), bits)
    return film


def _describe_patient(film: Dataset, radiograph: Radiograph, name: str) -> None:
    film.PatientName = f"SYNTHETIC^{name.upper()}"
    film.PatientID = f"SYNTHETIC-{name.upper()}"
    film.IssuerOfPatientID = "ROENTGEN SYNTHETIC"
    film.PatientBirthDate = ""
    film.PatientSex = radiograph.sex or ""
    if radiograph.age is not None:
        film.PatientAge = f"{int(radiograph.age):03d}Y"
    film.PatientComments = "SYNTHETIC: made by a computer, nobody's film"


def _describe_study(
    film: Dataset, radiograph: Radiograph, synthesis: Synthesis, series: int
) -> None:
    film.StudyID = "SYNTHETIC"
    film.StudyDate = film.StudyTime = film.AccessionNumber = film.ReferringPhysicianName = ""
    film.StudyDescription = "SYNTHETIC CHEST RADIOGRAPH"
    film.Modality = "CR"
    film.SeriesNumber = series
    film.SeriesDescription = f"SYNTHETIC {radiograph.view or 'CHEST'}"
    film.BodyPartExamined = "CHEST"
    film.ViewPosition = radiograph.view or ""
    film.Manufacturer = "Roentgen (synthetic images)"
    film.ManufacturerModelName = "roentgen-cxr"
    film.SoftwareVersions = [_version(), f"model {synthesis.model}"[:64]]


def _describe_image(film: Dataset, radiograph: Radiograph, synthesis: Synthesis) -> None:
    film.InstanceNumber = 1
    film.ImageType = ["DERIVED", "SECONDARY"]
    film.SyntheticData = "YES"
    film.BurnedInAnnotation = "NO"
    film.LossyImageCompression = "00"
    film.DerivationDescription = (
        "SYNTHETIC: drawn by a diffusion model from the text in Image Comments; it shows no "
        "patient and is not for diagnosis"
    )
    # Rows run to the patient's left, columns to the feet; which way a lateral faces is not known.
    frontal = radiograph.view in ("PA", "AP")
    film.PatientOrientation = ["L", "F"] if frontal else ""
    film.ImageComments = _comment(radiograph, synthesis)
    block = film.private_block(GROUP, CREATOR, create=True)
    for element, kind, value in (
        (0x01, "UT", synthesis.prompt),
        (0x02, "UT", synthesis.negative_prompt or ""),
        (0x03, "LO", str(synthesis.seed)),  # too large for a DICOM integer string
        (0x04, "DS", f"{synthesis.guidance_scale:.10g}"),
        (0x05, "IS", str(synthesis.steps)),
        (0x06, "LO", synthesis.scheduler),
        (0x07, "LO", synthesis.model),
        (0x08, "UT", radiograph.id),
    ):
        block.add_new(element, kind, value)


def _comment(radiograph: Radiograph, synthesis: Synthesis) -> str:
    told = [f"{key}: {value}" for key, value in synthesis.as_text().items()]
    said = [f"{name} {state}" for name, state in states(radiograph.findings).items()]
    lines = ["SYNTHETIC", *told, *([f"Asked for: {', '.join(said)}"] if said else [])]
    comment = "\n".join(lines)
    return comment if len(comment) <= _LONGEST_COMMENT else comment[: _LONGEST_COMMENT - 1] + "…"


def _set_pixels(film: Dataset, image: NDArray[np.uint8], bits: int) -> None:
    """Gray of 256 levels over all of `bits`, with the window that shows them as they were."""
    top = (1 << bits) - 1
    film.SamplesPerPixel = 1
    film.PhotometricInterpretation = "MONOCHROME2"
    film.Rows, film.Columns = image.shape
    film.BitsAllocated = 8 if bits == 8 else 16
    film.BitsStored, film.HighBit, film.PixelRepresentation = bits, bits - 1, 0
    film.WindowCenter, film.WindowWidth = (top + 1) // 2, top + 1
    words = np.rint(image * (top / 255)).astype("u1" if bits == 8 else "<u2").tobytes()
    film.PixelData = words + b"\0" * (len(words) % 2)
    film["PixelData"].VR = "OB" if bits == 8 else "OW"


@cache
def _version() -> str:
    return version("roentgen-cxr")


def _uid(*identity: object) -> UID:
    """A UID of a name-based UUID (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, _joined(*identity)).int}")


def _digest(*identity: object) -> str:
    return hashlib.sha256(_joined(*identity).encode()).hexdigest()[:16]


def _joined(*identity: object) -> str:
    return "\x1f".join(map(str, identity))
