"""Fidelity of a VAE: PSNR of reconstructions, and the findings that a classifier reads in them."""

from typing import Any

import numpy as np

from eval.alignment.scores import alignment
from eval.config import ReconstructionConfig
from eval.report.output import File, check_results, write_results
from eval.report.section import as_json, cell_text
from eval.sets import dataset_of, read_reference, read_set
from roentgen.cpu.threads import choose_threads
from roentgen.dataset.image_set import ImageSet
from roentgen.diffusion.backbones.model_folder import find_model, model_fingerprint
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.vae import Images, psnr, reconstruct
from roentgen.imaging.contact_sheet import contact_sheet, side_by_side
from roentgen.imaging.images import encode_png
from roentgen.manifest import provenance, read_manifest
from roentgen.metrics.classification.finding_scores import not_learnable
from roentgen.storage import MANIFEST
from roentgen.vision.classifier import Classifier, train_classifier


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
    originals, threads = test.images[:], choose_threads()
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
    pairs = [side_by_side([originals[k], images[k]]) for k in examples]
    captions = [f"original, and reconstruction of {decibel[k]:.1f} dB" for k in examples]
    sheet = contact_sheet(pairs, captions)
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
    made_by = provenance("eval.reconstruction", config, inputs, threads)
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
