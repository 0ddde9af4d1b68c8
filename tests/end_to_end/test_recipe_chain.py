"""The committed recipes of MIMIC-CXR, run one after the other on a small tree of the corpus.

The tree has the published names and headers, noise for images and reports written for this test.
Every folder is where the recipes have it; only the DICOM recipe, which makes the same folder as the
JPEG one, writes beside it. Overridden are sizes, steps, counts, the base (a small model) and what
comes from a hub or is published elsewhere: feature extractors, CLIP and pretrained classifiers.
"""

import csv
import gzip
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import open_clip
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import StableDiffusionPipeline
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from safetensors.torch import save_file

from eval import evaluate
from roentgen import prepare
from roentgen.dataset.dataset import open_dataset
from roentgen.record.radiograph import Radiograph
from sample import export, generate, screen
from train import controlnet, finetune

# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).parents[2]
MAINS: dict[str, Callable[[], None]] = {
    "roentgen.prepare": prepare.main,
    "train.finetune": finetune.main,
    "train.controlnet": controlnet.main,
    "sample.generate": generate.main,
    "sample.screen": screen.main,
    "sample.export": export.main,
    "eval.evaluate": evaluate.main,
}
SIZE = 32  # pixels; the small model's latents are 8x8

# ---------------------------------------------------------------- what each recipe is run with

_TRAIN = {
    "base": "base",
    "steps": 2,
    "batch_size": 4,
    "gradient_accumulation": 2,
    "validation.images": 4,
}
_SAMPLE = {"prompts.dataset.limit": 12, "prompts.count": 2, "sampler.steps": 2}
_CLASSIFIER = {
    "classifier.network": "roentgen",
    "classifier.pretrained": "null",
    "classifier.resize": "null",
    "classifier.steps": 2,
    "bootstrap": 20,
    "utility.seeds": "[0, 1]",
}
_FIDELITY = {"extractors": "[{name: roentgen}]", "fidelity.bootstrap": 20}
_PRIVACY = {"privacy.membership_images": 20, "privacy.timesteps": "[300]"}


@dataclass(frozen=True)
class Step:
    """A recipe, what is run before it, and its overrides."""

    after: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)


_PREPARE = {"size": SIZE, "workers": 1, "split.validate_share": 0.4}
STEPS: dict[str, Step] = {
    "data/mimic_cxr_jpg": Step((), _PREPARE),
    "data/mimic_cxr": Step((), _PREPARE | {"output": "runs/dicom"}),
    "data/vindr": Step((), _PREPARE),
    **{
        f"train/{name}": Step(("data/mimic_cxr_jpg",), _TRAIN)
        for name in ("roentgen", "roentgen_v2", "lora")
    },
    "train/sd15": Step(("data/mimic_cxr_jpg",), _TRAIN | {"preview.steps": 2, "preview.count": 1}),
    "train/controlnet": Step(
        ("train/sd15", "data/vindr"),
        {
            **{name: value for name, value in _TRAIN.items() if name != "base"},
            "mask_fidelity.images": 4,
            "mask_fidelity.steps": 2,
            "mask_fidelity.segmenter.steps": 2,
        },
    ),
    **{
        f"sample/{name}": Step((f"train/{name}",), _SAMPLE)
        for name in ("roentgen", "roentgen_v2", "sd15", "lora")
    },
    "sample/controlnet": Step(
        ("train/controlnet",), {"prompts.masks.limit": 4, "sampler.steps": 2}
    ),
    "sample/single_disease": Step(
        ("train/roentgen_v2",), {"prompts.labels.images": 60, "sampler.steps": 2}
    ),
    "sample/screen_roentgen": Step(
        ("sample/roentgen",),
        {
            **{
                f"reference_classifier.{name}": value
                for name, value in _CLASSIFIER.items()
                if "class" in name
            },
            "reference_classifier.min_cases": 2,
            "outliers.extractor": "roentgen",
            "outliers.weights": "null",
            "attempts": 1,
        },
    ),
    "sample/export_roentgen": Step(("sample/screen_roentgen",)),
    "eval/roentgen": Step(
        ("sample/roentgen",),
        _CLASSIFIER | _FIDELITY | _PRIVACY | {"text_encoder.before": "base", "min_cases": 2},
    ),
    "eval/chexgenbench": Step(
        ("sample/sd15",),
        _CLASSIFIER | _FIDELITY | _PRIVACY | {"alignment.clip": "[{name: small, model: clip}]"},
    ),
    "eval/best_practices": Step(
        ("sample/single_disease",),
        _CLASSIFIER | {"utility.radiographs": "[20, null]", "utility.multiples": "[1, 10]"},
    ),
}


class Chain:
    """Runs each recipe once, those before it first; the current folder is the tree's."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._done: set[str] = set()

    def run(self, name: str) -> None:
        """Run the recipe's own command with its overrides, unless that was done."""
        if name in self._done:
            return
        for earlier in STEPS[name].after:
            self.run(earlier)
        path = ROOT / f"configs/{name}.yaml"
        (module,) = set(re.findall(r"-m ((?:roentgen|train|sample|eval)\.\w+)", path.read_text()))
        overrides = [f"--{key}={value}" for key, value in STEPS[name].overrides.items()]
        self._patch.setattr(sys, "argv", [module, str(path), *overrides])
        AcceleratorState._reset_state(reset_partial_state=True)
        MAINS[module]()
        self._done.add(name)


@pytest.fixture(scope="module")
def chain(
    tmp_path_factory: pytest.TempPathFactory, save_small: Callable[[Path], Path]
) -> Iterator[Chain]:
    """The tree with all that the recipes' headers say they need."""
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_mimic(folder / "data")
        write_vindr(folder / "data/vindr-cxr/1.0.0")
        save_small(folder / "base")
        write_clip(folder / "clip")
        yield Chain(patch)


# ---------------------------------------------------------------------------- the corpora

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old {who} with {why}  // {question}

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  Chest radiograph from ___.

 FINDINGS:

 {findings}
{impression}"""
# Indication, question, findings, impression, and CheXpert's labels of them.
CASES: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    (
        "cough and fever",
        "pneumonia?",
        "The lungs are well expanded and clear.  There is no focal consolidation, effusion, or\n"
        " pneumothorax.  The cardiomediastinal silhouette is normal.",
        "No acute cardiopulmonary process.",
        {"No Finding": "1.0"},
    ),
    (
        "shortness of breath",
        "heart failure?",
        "Moderate cardiomegaly.  There is vascular congestion with interstitial edema and small\n"
        " bilateral pleural effusions.",
        "Cardiomegaly with mild pulmonary edema and small bilateral pleural effusions.",
        {"Cardiomegaly": "1.0", "Edema": "1.0", "Pleural Effusion": "1.0"},
    ),
    (
        "chest pain after a fall",
        "pneumothorax?",
        "There is a small right apical pneumothorax.  No displaced rib fracture is identified.",
        "Small right apical pneumothorax.",
        {"Pneumothorax": "1.0", "Fracture": "0.0"},
    ),
    (
        "productive cough",
        "consolidation?",
        "There is a focal opacity in the right lower lobe.  Bibasilar atelectasis is present.",
        "Right lower lobe consolidation, which may represent pneumonia.  Bibasilar atelectasis.",
        {"Consolidation": "1.0", "Pneumonia": "-1.0", "Atelectasis": "1.0", "Lung Opacity": "1.0"},
    ),
    (
        "known effusion",
        "interval change?",
        "A large left pleural effusion is again seen, with adjacent compressive atelectasis.",
        "1. Large left pleural effusion.\n\n 2. Adjacent atelectasis.",
        {"Pleural Effusion": "1.0", "Atelectasis": "1.0"},
    ),
    (
        "fever in a smoker",
        "pneumonia?",
        "Patchy opacities in the left upper lobe.  The heart is mildly enlarged.",
        "Left upper lobe pneumonia.  Mild cardiomegaly.",
        {"Pneumonia": "1.0", "Cardiomegaly": "1.0", "Consolidation": "1.0", "Edema": "0.0"},
    ),
)
LABELS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum"),
    *("Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion"),
    *("Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices"),
)
METADATA = (
    *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription"),
    *("ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime"),
    *("ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning"),
    "PatientOrientationCodeSequence_CodeMeaning",
)
PATIENTS = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
ADMISSIONS = (
    *("subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type"),
    *("admit_provider_id", "admission_location", "discharge_location", "insurance", "language"),
    *("marital_status", "race", "edregtime", "edouttime", "hospital_expire_flag"),
)
TRAIN, TEST = 90, 30  # patients of p10 to p18 and of p19, each with one PA radiograph
NO_IMPRESSION, TOO_LONG = 3, 5  # patients whose radiograph the published filters exclude
LONG = "There is no evidence of pneumonia, effusion or pneumothorax in either lung at this time. "


@dataclass(frozen=True)
class Study:
    """One patient's study: a PA and, of some, a lateral radiograph."""

    number: int

    @property
    def subject(self) -> str:
        group = 19 if self.number >= TRAIN else 10 + self.number % 9
        return f"{group}{self.number:06d}"

    @property
    def id(self) -> str:
        return f"5{self.number:07d}"

    @property
    def views(self) -> dict[str, str]:
        views = ("PA", "LATERAL") if self.number % 10 == 0 else ("PA",)
        return {
            view: "-".join(f"{(self.number * 2 + k) * 7919 + part:08x}" for part in range(5))
            for k, view in enumerate(views)
        }

    @property
    def folder(self) -> str:
        return f"files/p{self.subject[:2]}/p{self.subject}/s{self.id}"

    @property
    def report(self) -> str:
        why, question, findings, impression, _ = CASES[self.number % len(CASES)]
        if self.number == TOO_LONG:
            impression = LONG * 5
        section = "" if self.number == NO_IMPRESSION else f"\n IMPRESSION:\n\n {impression}\n"
        who = "woman" if self.number % 2 else "man"
        return REPORT.format(
            who=who, why=why, question=question, findings=findings, impression=section
        )


STUDIES = [Study(number) for number in range(TRAIN + TEST)]


def write_mimic(data: Path) -> None:
    """MIMIC-CXR-JPG, MIMIC-CXR and two tables of MIMIC-IV, where the recipes have them."""
    jpg, dicom = data / "mimic-cxr-jpg/2.1.0", data / "mimic-cxr/2.1.0"
    tables: dict[Path, list[list[Any]]] = {
        jpg / "mimic-cxr-2.0.0-metadata.csv.gz": [list(METADATA)],
        jpg / "mimic-cxr-2.0.0-split.csv.gz": [["dicom_id", "study_id", "subject_id", "split"]],
        jpg / "mimic-cxr-2.0.0-chexpert.csv.gz": [["subject_id", "study_id", *LABELS]],
        dicom / "cxr-record-list.csv.gz": [["subject_id", "study_id", "dicom_id", "path"]],
        dicom / "cxr-study-list.csv.gz": [["subject_id", "study_id", "path"]],
        data / "mimic-iv/3.1/hosp/patients.csv.gz": [list(PATIENTS)],
        data / "mimic-iv/3.1/hosp/admissions.csv.gz": [list(ADMISSIONS)],
    }
    metadata, split, labels, records, studies, patients, admissions = tables.values()
    dicom.mkdir(parents=True)
    with zipfile.ZipFile(dicom / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED) as reports:
        for study in STUDIES:
            report, subject = f"{study.folder}.txt", study.subject
            reports.writestr(report, study.report)
            studies.append([subject, study.id, report])
            found = CASES[study.number % len(CASES)][4]
            labels.append([subject, study.id, *(found.get(name, "") for name in LABELS)])
            sex, age, year = "MF"[study.number % 2], 30 + study.number % 50, 2150 + study.number
            patients.append([subject, sex, age, year, "2014 - 2016", ""])
            race = ("WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN")[study.number % 3]
            stay = [f"{year}-01-01 10:00:00", f"{year}-01-05 12:00:00", "", "EW EMER.", "P1"]
            where = ["EMERGENCY ROOM", "HOME", "Medicare", "English", "MARRIED", race, "", "", 0]
            admissions.append([subject, 2 * 10**7 + study.number, *stay, *where])
            for view, image in study.views.items():
                about = ["CHEST (PA AND LAT)", view, 64, 64, f"{year}0102", "101530.000"]
                codes = ["CHEST (PA AND LAT)", "postero-anterior", "Erect"]
                metadata.append([image, subject, study.id, *about, *codes])
                split.append([image, study.id, subject, "train"])
                records.append([subject, study.id, image, f"{study.folder}/{image}.dcm"])
                pixels = clouds([study.number, len(view)])
                tags = {"ViewPosition": view, "StudyDate": f"{year}0102"}
                write(dicom / study.folder / f"{image}.dcm", dicom_file(pixels, **tags))
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, format="JPEG", quality=95)
                write(jpg / study.folder / f"{image}.jpg", file.getvalue())
    for path, rows in tables.items():
        write(path, gzip.compress(as_csv(rows)))


VINDR = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
    *("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding"),
)
BOXED = ("Pleural effusion", "Pneumothorax", "Consolidation", "Atelectasis", "No finding")
EDGES = ("x_min", "y_min", "x_max", "y_max")


def write_vindr(root: Path) -> None:
    """VinDr-CXR as PhysioNet has it: three readers of training images, one reading of test ones."""
    for part, count in (("train", 60), ("test", 5)):
        readers = ("R8", "R9", "R10") if part == "train" else ()
        boxes = [["image_id", *(["rad_id"] if readers else []), "class_name", *EDGES]]
        labels = [["image_id", *(["rad_id"] if readers else []), *VINDR]]
        for number in range(count):
            image, name = f"{part}{number:027d}", BOXED[number % len(BOXED)]
            edges = [""] * 4 if name == "No finding" else ["8", "10", str(30 + number % 9), "40"]
            for reader in readers or ("",):
                first = [image, reader] if reader else [image]
                boxes.append([*first, name, *edges])
                labels.append([*first, *("1" if word == name else "0" for word in VINDR)])
            pixels = clouds(number)
            write(root / part / f"{image}.dicom", dicom_file(pixels, PatientSex="F"))
        write(root / f"annotations/annotations_{part}.csv", as_csv(boxes))
        write(root / f"annotations/image_labels_{part}.csv", as_csv(labels))


def write_clip(folder: Path) -> None:
    """A CLIP of a few weights in open_clip's layout."""
    config: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = open_clip.CLIP(**config).state_dict()
    save_file({name: value.clone() for name, value in state.items()}, folder / "clip.safetensors")


def clouds(seed: Any) -> np.ndarray:
    """uint8 [64, 64] of gray clouds, as the small model's random weights draw them too."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.normal(132, 20, (16, 16)).astype(np.float32))
    smooth = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC))
    return (smooth + generator.normal(0, 16, (64, 64))).clip(0, 255).astype(np.uint8)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def as_csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def dicom_file(pixels: np.ndarray, **tags: str) -> bytes:
    """A digital radiograph of 8 bits."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, UID("1.2.3")
    data.Modality, data.PhotometricInterpretation = "DX", "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.BitsAllocated, data.BitsStored = 1, 8, 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


# ---------------------------------------------------------------------------- the tests


def radiographs(folder: str) -> list[Radiograph]:
    """Those of all splits, without pixels."""
    dataset = open_dataset(Path(folder))
    return [r for split in dataset.splits for r in dataset.split(split).without_images()]


def results(folder: str) -> dict[str, Any]:
    """An evaluation's numbers; its page is there."""
    assert (Path(folder) / "report.html").stat().st_size > 10_000
    read: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text())
    return read


def impression(number: int) -> str:
    """A study's impression as a prompt has it: list numbers and line breaks are cleaned."""
    return " ".join(re.sub(r"\d\. ", "", CASES[number % len(CASES)][3]).split())


def test_the_dataset_has_impressions_labels_and_demographics(chain: Chain) -> None:
    chain.run("data/mimic_cxr_jpg")
    dataset = open_dataset(Path("runs/mimic_cxr/dataset"))
    assert dataset.splits == ("train", "validate", "test")
    found = {r.id: r for r in radiographs("runs/mimic_cxr/dataset")}
    expected = [study for study in STUDIES if study.number not in (NO_IMPRESSION, TOO_LONG)]
    assert found.keys() == {study.views["PA"] for study in expected}
    for study in expected:
        radiograph = found[study.views["PA"]]
        assert radiograph.report is not None
        assert radiograph.report.impression == impression(study.number)
        assert (radiograph.split == "test") == study.subject.startswith("19")
        assert radiograph.age == 30 + study.number % 50
        assert None not in (radiograph.sex, radiograph.race, radiograph.view)
        labels = CASES[study.number % len(CASES)][4]
        assert {finding.name for finding in radiograph.findings} == labels.keys()
    assert not dataset.licenses[0]["may_share"]


def test_the_dicom_files_give_the_same_dataset(chain: Chain) -> None:
    chain.run("data/mimic_cxr_jpg")
    chain.run("data/mimic_cxr")
    jpg, dicom = (
        {r.id: r for r in radiographs(f)} for f in ("runs/mimic_cxr/dataset", "runs/dicom")
    )
    assert jpg.keys() == dicom.keys()
    for name, radiograph in jpg.items():
        other = dicom[name]
        assert (other.split, other.report, other.view) == (
            radiograph.split,
            radiograph.report,
            radiograph.view,
        )
        assert (other.age, other.sex, other.race) == (
            radiograph.age,
            radiograph.sex,
            radiograph.race,
        )
        assert other.findings, "read from the report"


@pytest.mark.parametrize("name", ["roentgen", "roentgen_v2", "sd15", "lora"])
def test_a_model_is_trained_on_impressions_and_sampled_for_them(chain: Chain, name: str) -> None:
    chain.run(f"sample/{name}")
    pipeline = StableDiffusionPipeline.from_pretrained(f"runs/mimic_cxr/{name}/model")
    assert pipeline.unet.config.sample_size == 8
    assert Path(f"runs/mimic_cxr/{name}/lora").is_dir() == (name == "lora")
    real = {r.id: r for r in radiographs("runs/mimic_cxr/dataset")}
    drawn = radiographs(f"runs/mimic_cxr/synthetic_{name}")
    assert len(drawn) == 24
    for radiograph in drawn:
        made = radiograph.synthesis
        assert made is not None
        source = real[str(made.from_radiograph)]
        assert source.split == "test"
        assert source.report is not None
        words = {"F": "female", "M": "male"}[str(source.sex)]
        who = f"{source.age:.0f} year old {source.race} {words}. "
        begin = {"roentgen": "", "roentgen_v2": who}.get(name, "<view-pa> ")
        assert made.prompt == f"{begin}{source.report.impression}"
        assert radiograph.findings == source.findings


def test_a_controlnet_is_trained_on_boxes_and_draws_to_them(chain: Chain) -> None:
    chain.run("sample/controlnet")
    drawn = radiographs("runs/mimic_cxr/synthetic_controlnet")
    assert drawn
    table = datasets.load_from_disk("runs/mimic_cxr/synthetic_controlnet")["train"]
    structures = {mask["structure"] for masks in table["masks"] for mask in masks}
    assert structures <= {"pleural effusion", "pneumothorax", "consolidation", "atelectasis"}
    assert structures
    assert all(r.synthesis and r.synthesis.prompt for r in drawn)


def test_single_diseases_come_with_planned_demographics(chain: Chain) -> None:
    chain.run("sample/single_disease")
    drawn = radiographs("runs/mimic_cxr/synthetic_single_disease")
    assert len(drawn) == 60
    assert sum(r.findings[0].name == "No Finding" for r in drawn) == 12
    assert sum(r.sex == "F" for r in drawn) == 30
    assert {r.race for r in drawn} == {"white", "black", "asian"}
    prompts = [r.synthesis.prompt for r in drawn if r.synthesis]
    assert all(re.match(r"\d+ year old (white|black|asian) (fe)?male, \w", p) for p in prompts)


def test_a_set_is_screened_and_exported(chain: Chain) -> None:
    chain.run("sample/export_roentgen")
    screened = radiographs("runs/mimic_cxr/screened")
    assert 0 < len(screened) <= 24
    assert Path("runs/mimic_cxr/export/mimic_cxr_jpg/files").is_dir()
    assert list(Path("runs/mimic_cxr/export/webdataset").rglob("*.tar"))
    card = Path("runs/mimic_cxr/export/webdataset/README.md").read_text()
    assert "PhysioNet Credentialed Health Data" in card


def test_roentgens_protocol(chain: Chain) -> None:
    chain.run("eval/roentgen")
    found = results("runs/mimic_cxr/report_roentgen")
    assert found["fidelity"]["roentgen"]["fid"]["generated"]["value"] > 0
    for domain in ("alignment", "diversity", "utility", "text_encoder", "privacy"):
        assert found[domain] is not None
    assert found["text_encoder"]["n"] == TEST


def test_chexgenbenchs_protocol(chain: Chain) -> None:
    chain.run("eval/chexgenbench")
    found = results("runs/mimic_cxr/report_chexgenbench")
    assert found["fidelity"]["roentgen"]["fid"]["sd15"]["value"] > 0
    assert found["alignment"]["clip"]["small"]["sets"]["sd15"]["score"]["value"] is not None
    assert found["privacy"] is not None


def test_the_best_practices_protocol(chain: Chain) -> None:
    chain.run("eval/best_practices")
    found = results("runs/mimic_cxr/report_best_practices")
    assert found["utility"] is not None
    assert found["fidelity"] is None
