"""Programs to kill: their settings, smallest inputs, and files that differ from run to run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import save_small_model

Settings = dict[str, Any]
_TINY_CLASSIFIER = {"steps": 2, "batch_size": 8, "widths": [8, 8, 8]}
_REPORT = (  # of Open-i
    '<eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>'
    '<AbstractText Label="IMPRESSION">Small effusion.</AbstractText></Abstract></Article>'
    "</MedlineCitation><MeSH><major>Pleural Effusion/small</major></MeSH></eCitation>"
)


@dataclass(frozen=True)
class Program:
    """A program with its settings, given the folder with the results of those that it `needs`."""

    settings: Callable[[Path], Settings]
    needs: tuple[str, ...] = ()
    varying: tuple[str, ...] = ()  # patterns of files that differ from run to run
    output: str = "out"  # its name, below the folder of a run
    overwrites: bool = True  # if so requested; else it adds to an older output
    change: str | None = None  # an option for another result; None: it may be run again
    clock: str | None = None  # the module by whose clock results state how long they took


def make_base(folder: Path) -> None:
    """The inputs that no program makes: a model that training starts from, and reports."""
    save_small_model(folder / "base")
    (folder / "reports").mkdir()
    for number in range(20):
        (folder / "reports" / f"{number}.xml").write_text(_REPORT.format(number=number))


def _prepare(inputs: Path) -> Settings:
    return {"phantom": {"train": 20, "validate": 4, "test": 20}, "size": 32, "workers": 1}


def _annotate(inputs: Path) -> Settings:
    return {
        "dataset": {"folder": str(inputs / "roentgen.prepare")},
        "rules": {"language": "en"},
        "exports": ["maplez_csv", "chexpert_csv"],
        "part_reports": 8,
    }


def _finetune(inputs: Path) -> Settings:
    return {
        "base": str(inputs / "base"),
        "data": {"folder": str(inputs / "roentgen.prepare")},
        "steps": 2,
        "batch_size": 2,
        "learning_rate": {"unet": 1e-3, "text_encoder": 1e-3},
        "ema": {"decay": 0.9, "posthoc": {"every": 1}},
        "checkpoint": {"every": 1, "keep": 1},
        "validation": {"images": 2},
        "log_every": 1,
        "resume": True,
    }


def _controlnet(inputs: Path) -> Settings:
    return {
        "base": str(inputs / "base"),
        "data": {"folder": str(inputs / "roentgen.prepare")},
        "structures": ["lungs", "heart"],
        "steps": 2,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "new_layer_learning_rate": 1e-3,
        "checkpoint": {"every": 1, "keep": 1},
        "validation": {"images": 2},
        "mask_fidelity": None,
        "log_every": 1,
        "resume": True,
    }


def _average(inputs: Path) -> Settings:
    return {"run": str(inputs / "train.finetune"), "width": 0.1}


def _autoencoder(inputs: Path) -> Settings:
    return {
        "data": str(inputs / "roentgen.prepare"),
        "phases": [{"steps": 1, "batch_size": 1, "crop": 16}],
    }


def _generate(inputs: Path) -> Settings:
    return {
        "model": str(inputs / "train.finetune" / "model"),
        "prompts": {
            "findings": ["cardiomegaly", "small left effusion"],
            "views": ["PA"],
            "count": 10,
        },
        "sampler": {"steps": 2, "batch_size": 4, "device": "cpu"},
        "split": "train",
    }


def _screen(inputs: Path) -> Settings:
    return {
        "dataset": str(inputs / "sample.generate"),
        "reference": {"folder": str(inputs / "roentgen.prepare"), "held_out_split": "test"},
        "attempts": 1,
        "labels": None,
        "view": None,
        "outliers": None,
        "copies": None,
        "quality": None,
    }


def _export(inputs: Path) -> Settings:
    return {
        "dataset": str(inputs / "sample.generate"),
        "folder": {},
        "webdataset": {},
        "chexpert": {},
        "mimic_cxr_jpg": {},
        "dicom": {},
    }


def _evaluate(inputs: Path) -> Settings:
    return {
        "reference": {
            name: {"folder": str(inputs / "roentgen.prepare"), "split": name}
            for name in ("train", "test")
        },
        "synthetic": {"made": str(inputs / "sample.generate")},
        "findings": ["Cardiomegaly", "Pleural Effusion"],
        "fidelity": {"bootstrap": 20},
        "classifier": _TINY_CLASSIFIER,
        "bootstrap": 20,
    }


def _bench(inputs: Path) -> Settings:
    return {
        "model": str(inputs / "base"),
        "prompts": {"folder": str(inputs / "roentgen.prepare"), "split": "test"},
        "floor_split": "train",
        "grids": [{"steps": [2, 3]}],
        "sampler": {"batch_size": 10, "device": "cpu"},
        "samples": 20,
    }


def _mask_sheet(inputs: Path) -> Settings:
    return {
        "dataset": str(inputs / "roentgen.prepare"),
        "structures": ["lungs", "heart"],
        "rows": 1,
        "columns": 1,
    }


def _extractor(inputs: Path) -> Settings:
    return {
        "dataset": str(inputs / "roentgen.prepare"),
        "validate_split": "test",
        "classifier": _TINY_CLASSIFIER,
    }


def _labeler(inputs: Path) -> Settings:
    return {"reports": str(inputs / "reports"), "half": "held_out"}


def _reconstruction(inputs: Path) -> Settings:
    return {
        "model": str(inputs / "base"),
        "reference": {
            name: {"folder": str(inputs / "roentgen.prepare"), "split": name}
            for name in ("train", "test")
        },
        "bootstrap": 20,
    }


PROGRAMS = {
    "roentgen.prepare": Program(_prepare, change="--fit=crop"),
    "roentgen.annotate.__main__": Program(
        _annotate, ("roentgen.prepare",), change="--exports=[maplez_csv]"
    ),
    "train.finetune": Program(
        _finetune,
        ("roentgen.prepare",),
        ("out/metrics.jsonl", "out/tensorboard/*"),
        change="--seed=1",
    ),
    "train.controlnet": Program(
        _controlnet,
        ("roentgen.prepare",),
        ("out/metrics.jsonl", "out/tensorboard/*"),
        change="--seed=1",
    ),
    "train.average": Program(_average, ("train.finetune",), change="--width=0.2"),
    "train.autoencoder": Program(_autoencoder, ("roentgen.prepare",), change="--seed=1"),
    "sample.generate": Program(_generate, ("train.finetune",), change="--seed=1"),
    "sample.screen": Program(_screen, ("roentgen.prepare", "sample.generate"), change="--seed=1"),
    "sample.export": Program(_export, ("sample.generate",), change="--dicom=null"),
    "sample.bench": Program(
        _bench, ("roentgen.prepare",), overwrites=False, clock="sample.benchmark.measurement"
    ),
    "sample.mask_sheet": Program(_mask_sheet, ("roentgen.prepare",), output="out.png"),
    "eval.evaluate": Program(
        _evaluate,
        ("roentgen.prepare", "sample.generate"),
        change="--seed=1",
        clock="eval.evaluation",
    ),
    "eval.train_extractor": Program(_extractor, ("roentgen.prepare",), change="--seed=1"),
    "eval.labeler": Program(_labeler, change="--errors=3"),
    "eval.reconstruction": Program(_reconstruction, ("roentgen.prepare",), change="--seed=1"),
}
