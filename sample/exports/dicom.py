r"""DICOM writer: Computed Radiography Image Storage (PS3.3 A.2) of synthetic radiographs.

No viewer or archive should mistake one for an acquired radiograph: Synthetic Data is YES, Image
Type DERIVED\SECONDARY, and patient, study, series and comments all begin with SYNTHETIC. There is
no date, as there was no examination. Every identifier is derived from the set's fingerprint: the
same set has the same ones and no two sets share one.
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

from roentgen.record.finding import states
from roentgen.record.radiograph import Radiograph, Synthesis
from sample.exports.config import DicomFormat
from sample.exports.export_source import ExportSource
from sample.exports.serialization import file_stem, open_csv, pixels

CREATOR = "ROENTGEN SYNTHETIC 1"  # of the private block in group 0071
GROUP = 0x0071
_NAMESPACE = uuid.UUID("46cc5614-d506-41e1-ab4f-3414db2a1641")
_SOFTWARE = UID("2.25.10347702510505278882171221668445636420")  # Implementation Class UID
_LONGEST_COMMENT = 10_240  # characters of a DICOM long text
_COLUMNS = (
    *("file", "id", "patient_id", "study_id", "PatientID"),
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
)


def exclusion_reason(radiograph: Radiograph) -> str | None:
    """Why no DICOM file is written for a radiograph, None if one is."""
    if radiograph.synthesis is None:
        return "not synthetic: no DICOM header is invented for an acquired radiograph"
    return None


def write(radiographs: ExportSource, folder: Path, settings: DicomFormat) -> list[str]:
    """Write a file for each image; returns the lines for the card."""
    series: Counter[tuple[str, str]] = Counter()  # of each study
    with open_csv(folder / "identities.csv", _COLUMNS) as table:
        for radiograph in radiographs:
            study = (radiograph.patient_id, radiograph.study_id)
            series[study] += 1
            file = make_dicom(
                radiograph, radiographs.dataset.fingerprint, settings.bits, series[study]
            )
            patient = str(file.PatientID)
            path = Path(radiograph.split, patient, f"{file_stem(radiograph.id)}.dcm")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            file.save_as(folder / path, enforce_file_format=True)
            uids = (file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID)
            names = (radiograph.id, radiograph.patient_id, radiograph.study_id)
            table.add(path.as_posix(), *names, patient, *uids)
    return [
        f"Computed Radiography images of {settings.bits} bits, uncompressed: "
        "SPLIT/PatientID/ID.dcm. identities.csv has the set's own id, patient and study of each.",
        "Synthetic Data (0008,001C) is YES, Image Type DERIVED\\SECONDARY, and patient, study, "
        "series and comments begin with SYNTHETIC; there is no date.",
        "Identifiers are derived from the set's fingerprint and the radiograph's id: the same "
        "export again gives the same ones.",
        f'Image Comments have prompt, seed and model; the private block "{CREATOR}" of group '
        f"{GROUP:04X} has 01 prompt, 02 negative prompt, 03 seed, 04 guidance scale, 05 steps, "
        "06 scheduler, 07 model fingerprint, 08 id in the set.",
        "View Position is PA, AP or LATERAL (left or right is not known), blank where the view is "
        "not known; Patient Orientation is given for frontal images only. Pixel spacing is not "
        "known. Masks and reports are not written.",
    ]


def make_dicom(radiograph: Radiograph, fingerprint: str, bits: int, series: int) -> Dataset:
    """The DICOM dataset of a synthetic radiograph; `series` is its number in its study.

    View Position is an attribute of the series, so each image has its own series.
    """
    synthesis = radiograph.synthesis
    assert synthesis is not None, radiograph.id
    identity = (fingerprint, radiograph.patient_id)
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.ImplementationClassUID = _SOFTWARE
    file.file_meta.ImplementationVersionName = f"ROENTGEN {_version()}"[:16]
    file.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    file.SpecificCharacterSet = "ISO_IR 192"
    file.SOPClassUID = ComputedRadiographyImageStorage
    file.StudyInstanceUID = _uid("study", *identity, radiograph.study_id)
    file.SeriesInstanceUID = _uid("series", *identity, radiograph.id, bits)
    file.SOPInstanceUID = _uid("instance", *identity, radiograph.id, bits)
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    _describe_patient(file, radiograph, _digest(*identity))
    _describe_study(file, radiograph, synthesis, series)
    _describe_image(file, radiograph, synthesis)
    _set_pixels(file, pixels(radiograph), bits)
    return file


def _describe_patient(file: Dataset, radiograph: Radiograph, name: str) -> None:
    file.PatientName = f"SYNTHETIC^{name.upper()}"
    file.PatientID = f"SYNTHETIC-{name.upper()}"
    file.IssuerOfPatientID = "ROENTGEN SYNTHETIC"
    file.PatientBirthDate = ""
    file.PatientSex = radiograph.sex or ""
    if radiograph.age is not None:
        file.PatientAge = f"{int(radiograph.age):03d}Y"
    file.PatientComments = "SYNTHETIC: generated by a computer, not a patient's radiograph"


def _describe_study(
    file: Dataset, radiograph: Radiograph, synthesis: Synthesis, series: int
) -> None:
    file.StudyID = "SYNTHETIC"
    file.StudyDate = file.StudyTime = file.AccessionNumber = file.ReferringPhysicianName = ""
    file.StudyDescription = "SYNTHETIC CHEST RADIOGRAPH"
    file.Modality = "CR"
    file.SeriesNumber = series
    file.SeriesDescription = f"SYNTHETIC {radiograph.view or 'CHEST'}"
    file.BodyPartExamined = "CHEST"
    file.ViewPosition = radiograph.view or ""
    file.Manufacturer = "Roentgen (synthetic images)"
    file.ManufacturerModelName = "roentgen-cxr"
    file.SoftwareVersions = [_version(), f"model {synthesis.model}"[:64]]


def _describe_image(file: Dataset, radiograph: Radiograph, synthesis: Synthesis) -> None:
    file.InstanceNumber = 1
    file.ImageType = ["DERIVED", "SECONDARY"]
    file.SyntheticData = "YES"
    file.BurnedInAnnotation = "NO"
    file.LossyImageCompression = "00"
    file.DerivationDescription = (
        "SYNTHETIC: generated by a diffusion model from the text in Image Comments; it shows no "
        "patient and is not for diagnosis"
    )
    # Rows run to the patient's left, columns to the feet; the direction of laterals is unknown.
    frontal = radiograph.view in ("PA", "AP")
    file.PatientOrientation = ["L", "F"] if frontal else ""
    file.ImageComments = _comment(radiograph, synthesis)
    block = file.private_block(GROUP, CREATOR, create=True)
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
    metadata = [f"{key}: {value}" for key, value in synthesis.as_text().items()]
    found = [f"{name} {state}" for name, state in states(radiograph.findings).items()]
    found += [v.name if v.value else f"not {v.name}" for v in radiograph.context]
    lines = ["SYNTHETIC", *metadata, *([f"Requested: {', '.join(found)}"] if found else [])]
    comment = "\n".join(lines)
    return comment if len(comment) <= _LONGEST_COMMENT else comment[: _LONGEST_COMMENT - 1] + "…"


def _set_pixels(file: Dataset, image: NDArray[np.uint8], bits: int) -> None:
    """256 gray levels spread over all of `bits`, with a window that displays them unchanged."""
    top = (1 << bits) - 1
    file.SamplesPerPixel = 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.Rows, file.Columns = image.shape
    file.BitsAllocated = 8 if bits == 8 else 16
    file.BitsStored, file.HighBit, file.PixelRepresentation = bits, bits - 1, 0
    file.WindowCenter, file.WindowWidth = (top + 1) // 2, top + 1
    words = np.rint(image * (top / 255)).astype("u1" if bits == 8 else "<u2").tobytes()
    file.PixelData = words + b"\0" * (len(words) % 2)
    file["PixelData"].VR = "OB" if bits == 8 else "OW"


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
