"""Fidelity of a model's VAE: `python -m eval.reconstruction configs/eval/reconstruction.yaml`.

A latent diffusion model cannot generate detail that its VAE loses. Held-out images are encoded and
decoded: PSNR measures the loss, and the AUROC of a classifier trained on original images whether
their findings can still be read. Writes reconstruction.json and reconstruction.png (original
above, VAE below).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.alignment.scores import alignment
from eval.config import ReferenceSetConfig
from eval.report.output import File, check_results, write_results
from eval.report.section import as_json, cell_text
from eval.sets import dataset_of, read_reference, read_set
from roentgen.config import load_config
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import NotMentioned
from roentgen.diffusion.backbones.model_folder import find_model, model_fingerprint
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.vae import Images, psnr, reconstruct
from roentgen.errors import run_program
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import encode_png
from roentgen.manifest import provenance, read_manifest
from roentgen.metrics.classification.finding_scores import not_learnable
from roentgen.record.radiograph import FindingName
from roentgen.storage import MANIFEST, reserve_output
from roentgen.vision.classifier import Classifier, train_classifier
from roentgen.vision.network_settings import ClassifierConfig


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """Settings of a VAE's evaluation."""

    model: str
    """A pipeline folder, a repository id, or "tiny"."""
    reference: ReferenceSetConfig
    """Real radiographs: the classifier learns on the train split, the test split is
    reconstructed."""
    output: Path
    """Folder of reconstruction.json and reconstruction.png; it may hold other files."""
    overwrite: bool = False
    """Replace the results in the output folder."""
    findings: tuple[FindingName, ...] = ()
    """Findings whose AUROC is compared; empty: PSNR alone."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or count it as "absent"."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The classifier."""
    min_cases: int = 5
    """A finding with positives or negatives of fewer patients is not measured."""
    bootstrap: int = 1000
    """Bootstrap resamples for intervals."""
    seed: int = 0
    """Of the classifier and the resamples."""


def main() -> None:
    """Measure and print."""
    config = load_config(ReconstructionConfig)
    with reserve_output(config.output):
        measure(config)


def measure(config: ReconstructionConfig) -> dict[str, Any]:
    """Measure, print and write; returns the results."""
    check_results(config.output, overwrite=config.overwrite)
    model = find_model(config.model)
    splits = read_reference(config.reference)
    findings, not_mentioned = config.findings, config.not_mentioned
    train, test = (
        read_set(
            split.name,
            dataset_of(split),
            [split.name],
            findings=findings,
            not_mentioned=not_mentioned,
        )
        for split in splits
    )
    originals = test.images[:]
    images = np.stack(list(reconstruct(load_components(config.model).vae, originals)))
    decibel = psnr(originals, images)
    numbers: dict[str, Any] = {
        "model": model_fingerprint(model),
        "n": len(test),
        "psnr_db": {"mean": float(decibel.mean()), "least": float(decibel.min())},
    }
    if config.findings:
        numbers["auroc"] = _aurocs(config, train, test, images)
    results: dict[str, Any] = as_json(numbers)
    examples = range(0, len(test), max(len(test) // 8, 1))[:8]
    rows = [originals[k] for k in examples] + [images[k] for k in examples]
    captions = ["original"] * len(examples) + [f"{decibel[k]:.1f} dB" for k in examples]
    sheet = contact_sheet(rows, captions, columns=len(examples))
    files: dict[str, File] = {
        "reconstruction.png": encode_png(sheet),
        "reconstruction.json": results,
    }
    of_model = {"kind": "model", "fingerprint": results["model"], "path": str(model)}
    if (model / MANIFEST).exists():
        of_model = read_manifest(model, "model")
    inputs = {
        "train": train.dataset.manifest,
        "test": test.dataset.manifest,
        "model": {"licenses": []} | of_model,
    }
    made_by = provenance("eval.reconstruction", config, inputs)
    write_results(config.output, files, results, inputs, made_by, overwrite=config.overwrite)
    print(f"PSNR {decibel.mean():.2f} dB, least {decibel.min():.2f}, n = {len(test)}")  # noqa: T201
    for name, value in numbers.get("auroc", {}).items():
        print(f"mean AUROC on {name}: {cell_text(value['mean_auroc'])}")  # noqa: T201
    return results


def _aurocs(
    config: ReconstructionConfig, train: ImageSet, test: ImageSet, images: Images
) -> dict[str, Any]:
    """One classifier's AUROC on the originals and on their reconstructions."""
    classifier: Classifier = train_classifier(
        train.images,
        train.labels,
        train.views,
        findings=config.findings,
        config=config.classifier,
        seed=config.seed,
    )
    return {
        name: alignment(
            classifier.predict(pixels),
            test,
            not_learnable(train.labels, train.patients, config.findings, config.min_cases),
            min_cases=config.min_cases,
            samples=config.bootstrap,
            seed=config.seed,
        )
        for name, pixels in (("originals", test.images), ("reconstructions", images))
    }


if __name__ == "__main__":
    run_program(main)
