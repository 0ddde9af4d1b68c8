"""MIMIC-CXR-JPG writer: files/p10/p10000032/s50414267/ID.jpg and its tables.

patients.csv.gz has sex and age as MIMIC-IV's hosp/patients.csv.gz does.
"""

import hashlib
from contextlib import ExitStack
from pathlib import Path

from roentgen.imaging.images import image_size
from roentgen.record.finding import FINDING_NAMES
from roentgen.record.radiograph import Radiograph
from sample.exports.config import MimicCxrJpgFormat
from sample.exports.export_source import ExportSource
from sample.exports.numbering import IdentityNumbers
from sample.exports.serialization import as_jpeg, contradiction, label_values, open_csv

_TABLES = {
    "mimic-cxr-2.0.0-metadata.csv.gz": (
        *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription"),
        *("ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime"),
        *("ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning"),
        "PatientOrientationCodeSequence_CodeMeaning",
    ),
    "mimic-cxr-2.0.0-split.csv.gz": ("dicom_id", "study_id", "subject_id", "split"),
    "mimic-cxr-2.0.0-chexpert.csv.gz": ("subject_id", "study_id", *FINDING_NAMES),
    "patients.csv.gz": (
        *("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"),
    ),
    "identities.csv": ("dicom_id", "subject_id", "study_id", "id", "patient", "study"),
}
_VIEWS = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral", None: None}
_YEAR = 2150  # of each patient's first study; MIMIC's dates are shifted to such years


def exclusion_reason(radiograph: Radiograph) -> str | None:
    """Why MIMIC-CXR-JPG's tables cannot hold a radiograph, None if they can."""
    return contradiction(radiograph)


def write(radiographs: ExportSource, folder: Path, settings: MimicCxrJpgFormat) -> list[str]:
    """Write tables and images; returns the lines for the card."""
    subjects = IdentityNumbers(10_000_000, 10_000_000)
    studies = IdentityNumbers(50_000_000, 10_000_000)
    ages: dict[int, int] = {}  # of subjects, in _YEAR
    with ExitStack() as stack:
        metadata, splits, labels, patients, identities = (
            stack.enter_context(open_csv(folder / name, columns))
            for name, columns in _TABLES.items()
        )
        for radiograph in radiographs:
            r, values = radiograph, label_values(radiograph).values()
            new = (r.patient_id,) not in subjects
            subject = subjects(r.patient_id)
            if new:
                known = None if r.age is None else int(r.age)
                patients.add(subject, r.sex, known, _YEAR, "2011 - 2013", None)
                ages[subject] = known or 0
            year = _YEAR if r.age is None else _YEAR + int(r.age) - ages[subject]
            # Labels and dates belong to a study: images that differ in them get separate studies.
            key = (r.patient_id, r.study_id, *values, year)
            new = key not in studies
            study = studies(*key)
            if new:
                labels.add(subject, study, *values)
            name = dicom_id(r.id)
            picture = as_jpeg(r, settings.quality)
            width, height = image_size(picture)
            procedure = None if r.synthesis is None else "SYNTHETIC CHEST RADIOGRAPH"
            date = (f"{year}0101", "0")
            image = (r.view, height, width, *date, None, _VIEWS[r.view], None)
            metadata.add(name, subject, study, procedure, *image)
            splits.add(name, study, subject, r.split)
            identities.add(name, subject, study, r.id, r.patient_id, r.study_id)
            path = folder / f"files/p{str(subject)[:2]}/p{subject}/s{study}/{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)
    return [
        "`torchxrayvision.datasets.MIMIC_Dataset(imgpath='files', "
        "csvpath='mimic-cxr-2.0.0-chexpert.csv.gz', "
        "metacsvpath='mimic-cxr-2.0.0-metadata.csv.gz')` reads it.",
        "identities.csv has the set's own id, patient and study of each image: numbers are derived "
        "from them and refer to no patient of MIMIC.",
        "Labels belong to a study in this layout: images of one study that differ in them are in "
        "separate studies.",
        f"patients.csv.gz has sex and age as MIMIC-IV's table does; dates are invented so that a "
        f"patient's first study is in {_YEAR}.",
        "Subjects p19 are not a test set here; the split table defines it.",
        "Sides, severities, races, reports, masks and boxes are not part of this layout; JPEG "
        "changes gray levels slightly.",
    ]


def dicom_id(identity: str) -> str:
    """A name in MIMIC's form: five groups of eight hexadecimal digits, from the radiograph's id."""
    digits = hashlib.sha256(identity.encode()).hexdigest()
    return "-".join(digits[start : start + 8] for start in range(0, 40, 8))
