"""CheXpert writer: RELEASE/train.csv, RELEASE/train/patientN/studyN/viewN_frontal.jpg."""

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from roentgen.csv_table import CsvTable
from roentgen.record.radiograph import Radiograph
from sample.exports.config import ChexpertFormat
from sample.exports.export_source import ExportSource
from sample.exports.numbering import IdentityNumbers
from sample.exports.serialization import (
    as_jpeg,
    as_png,
    contradiction,
    label_values,
    open_csv,
)

_SPLITS = {"train": "train", "validate": "valid", "test": "test"}
_SEXES = {"F": "Female", "M": "Male", None: "Unknown"}
_LABELS = (  # in the order of train.csv
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *_LABELS)
_IDENTITIES = ("Path", "id", "patient_id", "study_id")


def exclusion_reason(radiograph: Radiograph) -> str | None:
    """Why CheXpert's tables cannot hold a radiograph, None if they can."""
    if radiograph.view is None:
        return "view unknown: CheXpert's table needs frontal or lateral"
    return contradiction(radiograph)


def write(radiographs: ExportSource, folder: Path, settings: ChexpertFormat) -> list[str]:
    """Write tables and images; returns the lines for the card."""
    root = folder / settings.release
    root.mkdir()
    path_of = ChexpertPaths()
    with ExitStack() as stack:
        identities = stack.enter_context(open_csv(folder / "identities.csv", _IDENTITIES))
        tables: dict[str, CsvTable] = {}
        for split in ("train", "valid"):  # both exist, if only with their header
            tables[split] = stack.enter_context(open_csv(root / f"{split}.csv", COLUMNS))
        for radiograph in radiographs:
            split = _SPLITS[radiograph.split]
            if split not in tables:
                tables[split] = stack.enter_context(open_csv(root / f"{split}.csv", COLUMNS))
            path = Path(settings.release, split, f"{path_of(radiograph)}.{settings.image}")
            is_png, quality = settings.image == "png", settings.quality
            encoded = as_png(radiograph) if is_png else as_jpeg(radiograph, quality)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(encoded)
            tables[split].add(path.as_posix(), *_cells(radiograph))
            names = (radiograph.id, radiograph.patient_id, radiograph.study_id)
            identities.add(path.as_posix(), *names)
    return [
        f"`torchxrayvision.datasets.CheX_Dataset(imgpath='{settings.release}', "
        f"csvpath='{settings.release}/train.csv')` reads it; paths in the tables begin with "
        f"{settings.release}/.",
        "identities.csv has the set's own id, patient and study of each path: numbers of patients "
        "are derived from them and refer to no patient of CheXpert.",
        "The set's validation split is valid.csv; a test split is test.csv, in the same format.",
        "Age is in whole years, and 0 where it is not known; sex may be Unknown.",
        "Sides, severities, races, reports, masks and boxes are not part of this layout; JPEG "
        "changes gray levels slightly (image: png does not).",
    ]


class ChexpertPaths:
    """Paths of radiographs in CheXpert's folders; studies and views are numbered in order."""

    def __init__(self) -> None:
        self._patients = IdentityNumbers(10_000_000, 10_000_000)
        self._studies: dict[tuple[str, str], int] = {}
        self._counts: Counter[object] = Counter()  # studies of a patient, views of a study

    def __call__(self, radiograph: Radiograph) -> str:
        """patient12345678/study1/view1_frontal."""
        patient, study = radiograph.patient_id, (radiograph.patient_id, radiograph.study_id)
        if study not in self._studies:
            self._counts[patient] += 1
            self._studies[study] = self._counts[patient]
        self._counts[study] += 1
        kind = "lateral" if radiograph.view == "LATERAL" else "frontal"
        view = f"view{self._counts[study]}_{kind}"
        return f"patient{self._patients(patient)}/study{self._studies[study]}/{view}"


def _cells(radiograph: Radiograph) -> Iterable[object]:
    lateral = radiograph.view == "LATERAL"
    labels = label_values(radiograph)
    return (
        _SEXES[radiograph.sex],
        int(radiograph.age or 0),
        "Lateral" if lateral else "Frontal",
        None if lateral else radiograph.view,
        *(labels[name] for name in _LABELS),
    )
