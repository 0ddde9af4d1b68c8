"""Programs to kill: their settings, smallest inputs, and files that differ from run to run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import save_small_model

Settings = dict[str, Any]
_TINY_CLASSIFIER = {"steps": 2, "batch_size": 8, "widths": [8, 8, 8]}


@dataclass(frozen=True)
class Program:
    """A program with its settings, given the folder with the results of those that it `needs`."""

    settings: Callable[[Path], Settings]
    needs: tuple[str, ...] = ()
    varying: tuple[str, ...] = ()  # patterns of files that differ from run to run


def make_base(folder: Path) -> None:
    """The model that training starts from: the only input that no program makes."""
    save_small_model(folder / "base")


def _prepare(inputs: Path) -> Settings:
    return {"phantom": {"train": 16, "validate": 4, "test": 16}, "size": 32, "workers": 1}


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
        "reference": {"folder": str(inputs / "roentgen.prepare")},
        "synthetic": {"made": str(inputs / "sample.generate")},
        "findings": ["Cardiomegaly", "Pleural Effusion"],
        "fidelity": {"bootstrap": 20},
        "classifier": _TINY_CLASSIFIER,
        "bootstrap": 20,
    }


PROGRAMS = {
    "roentgen.prepare": Program(_prepare),
    "train.finetune": Program(
        _finetune, ("roentgen.prepare",), ("out/metrics.jsonl", "out/tensorboard/*")
    ),
    "train.controlnet": Program(
        _controlnet, ("roentgen.prepare",), ("out/metrics.jsonl", "out/tensorboard/*")
    ),
    "train.average": Program(_average, ("train.finetune",)),
    "train.autoencoder": Program(_autoencoder, ("roentgen.prepare",)),
    "sample.generate": Program(_generate, ("train.finetune",)),
    "sample.screen": Program(_screen, ("roentgen.prepare", "sample.generate")),
    "sample.export": Program(_export, ("sample.generate",)),
    "eval.evaluate": Program(_evaluate, ("roentgen.prepare", "sample.generate")),
}
