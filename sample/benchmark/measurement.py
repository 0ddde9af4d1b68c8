"""Measurement of sampler settings: cost and quality of each row, and the output folder."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from roentgen.checksums import (
    read_checked_json,
    read_checksums,
    write_checked_json,
)
from roentgen.config import config_to_dict
from roentgen.cpu.threads import choose_threads
from roentgen.dataset.dataset import RadiographDataset, RadiographSplit, open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.generator import Generator
from roentgen.generation.planned_images import PlannedImage
from roentgen.manifest import (
    fingerprint_of,
    fingerprint_of_files,
    inherit_licenses,
    portable,
    provenance,
    read_manifest,
    write_manifest,
)
from roentgen.metrics.classification.finding_scores import finding_scores, resamples
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import Estimate, normal_estimate
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.fid_at_n import fid_replicates, matched_distance
from roentgen.metrics.features.frechet import Sample
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.storage import (
    CHECKSUMS,
    MANIFEST,
    atomic_folder,
    check_output,
    discard_folder,
    reserve_output,
    write_file,
    write_json,
)
from roentgen.terminal.progress import Progress
from roentgen.vision.classifier import Classifier, Prediction, load_classifier
from roentgen.vision.features.extractor import load_extractor
from roentgen.vision.features.network import Extractor
from roentgen.vision.view_accuracy import view_accuracy
from sample.benchmark.bench_table import BenchRow, csv_table, markdown_table, plot
from sample.benchmark.config import BenchConfig
from sample.condition_sources import condition_sources
from sample.plan import plan_for, prompt_check
from sample.prompts.config import PromptsConfig

ROWS, RESULTS = "rows", "results.json"
MINIMUM = 20  # images; FID of fewer is meaningless
_READ, _SUBSETS = 64, 10
_LEAST_CASES = 10  # images with and without a finding to measure its AUROC


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Model, prompts and reference features, common to all rows."""

    generator: Generator
    images: list[PlannedImage]
    notes: list[str]  # on the prompts
    requested: list[Radiograph]  # the source of each image's prompt, without pixels
    held_out: FeatureSet
    floor: FeatureSet
    extractor: Extractor
    classifier: Classifier | None
    config: BenchConfig

    @property
    def n(self) -> int:
        """The number of images at which FID is measured."""
        return min(len(self.images), len(self.floor))


def bench(config: BenchConfig) -> list[BenchRow]:
    """Measure what is missing, write the results, and return all rows.

    Raises InputError for what the user must change.
    """
    with reserve_output(config.output):
        _check_output(config.output)
        return _bench(config)


def _bench(config: BenchConfig) -> list[BenchRow]:
    dataset = open_dataset(config.prompts.folder)
    choose_threads()
    shared = _prepare(config, dataset)
    for settings in config.rows():  # invalid settings are refused before any image is drawn
        Sampler(shared.generator.components, settings, live=True)
    identity = {
        "model": shared.generator.model["fingerprint"],
        "dataset": dataset.fingerprint,
        "classifier": config.classifier and fingerprint_of_files(config.classifier.iterdir()),
        "prompts": {k: v for k, v in config_to_dict(config.prompts).items() if k != "folder"},
        **{name: getattr(config, name) for name in ("floor_split", "samples", "seed")},
    }
    unfinished = config.output.resolve().with_name(f".{config.output.resolve().name}.measuring")
    measured = _read_rows(config.output / ROWS) | _read_rows(unfinished)
    rows: list[BenchRow] = []
    for number, settings in enumerate(config.rows(), 1):
        key = fingerprint_of([identity, config_to_dict(settings)])
        if key not in measured:
            measured[key] = measure(shared, settings, f"row {number} of {len(config.rows())}")
            unfinished.mkdir(exist_ok=True)
            write_checked_json(unfinished / f"{key}.json", measured[key].to_json())
        rows.append(measured[key])
    manifests = {"model": shared.generator.model, "dataset": dataset.manifest}
    _write(shared, measured, rows, manifests)
    if unfinished.exists():
        discard_folder(unfinished, config.output)
    return rows


def measure(shared: Bench, settings: SamplerSettings, name: str) -> BenchRow:
    """Draw all images with these settings and measure them; `name` labels the progress bar."""
    sampler = Sampler(shared.generator.components, settings)
    gflop = unet_gflop(sampler, shared.images[0])
    size = settings.batch_size
    features: list[NDArray[np.float32]] = []
    predictions: list[Prediction] = []
    seconds: list[float] = []  # per image, of each full batch
    bar = Progress(len(shared.images), name, "image", leave=False)
    with bar:
        for first in range(0, len(shared.images), size):
            batch = shared.images[first : first + size]
            started = time.perf_counter()
            pixels = np.stack(list(sampler.sample(batch)))
            if len(batch) == size or not seconds:
                seconds.append((time.perf_counter() - started) / len(batch))
            features.append(shared.extractor(pixels))
            if shared.classifier is not None:
                predictions.append(shared.classifier.predict(pixels))
            bar.update(len(batch))
    patients = [image.patient_id for image in shared.images]
    generated = FeatureSet(features=np.concatenate(features), patients=patients)
    fid, replicates = _fid(shared, generated, "row")  # one name: rows are resampled alike
    view = auroc = None
    if shared.classifier is not None:
        prediction = Prediction(*map(np.concatenate, zip(*predictions, strict=True)))
        findings = shared.classifier.spec.findings
        samples, seed = shared.config.samples, shared.config.seed
        view, auroc = prompt_agreement(
            prediction, shared.requested, patients, findings, samples=samples, seed=seed
        )
    return BenchRow(
        settings=config_to_dict(settings),
        n=shared.n,
        evaluations=sampler.evaluations,
        gflop=gflop,
        images_per_second=1 / median(seconds),
        fid=fid,
        replicates=replicates.tolist(),
        view_accuracy=view,
        mean_auroc=auroc,
        redrawn=len(sampler.redrawn),
    )


def unet_gflop(sampler: Sampler, image: PlannedImage) -> float:
    """The UNet's work for one image: 10^9 floating-point operations of its products."""
    sampler.latents([image])  # the prompt's embedding is cached
    with FlopCounterMode(display=False) as counter:
        sampler.latents([image])
    return float(counter.get_total_flops()) / 1e9


def prompt_agreement(
    prediction: Prediction,
    requested: Sequence[Radiograph],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    *,
    samples: int,
    seed: int,
) -> tuple[Estimate, Estimate]:
    """The view accuracy, and the mean AUROC of requested findings, by a classifier.

    Findings that fewer than 10 patients have or lack are excluded from the mean.
    """
    _, mean_auroc = finding_scores(
        weighted_auroc,
        prediction.findings,
        label_matrix(requested, findings),
        patients,
        resamples(patients, samples, seed),
        findings,
        {},
        _LEAST_CASES,
    )
    return view_accuracy(prediction.views, view_indices(requested), patients), mean_auroc


def _prepare(config: BenchConfig, dataset: RadiographDataset) -> Bench:
    prompts = PromptsConfig(dataset=config.prompts)
    generator = Generator(
        config.model, config.sampler, seed=config.seed, sources=condition_sources(prompts)
    )
    check = prompt_check(generator, prompts)
    images = list(plan_for(generator, prompts, check))
    if len(images) < MINIMUM:
        raise InputError(f"{len(images)} prompts are too few for FID: at least {MINIMUM}")
    sources = {r.id: r for r in dataset.split(config.prompts.split).without_images()}
    splits = dataset.disjoint_splits(config.prompts.split, config.floor_split)
    extractor = load_extractor("roentgen")
    held_out, floor = (features_of(config, split, extractor) for split in splits)
    return Bench(
        generator=generator,
        images=images,
        notes=check.notes(portable(config.model)),
        requested=[sources[str(image.from_radiograph)] for image in images],
        held_out=held_out,
        floor=floor,
        extractor=extractor,
        classifier=None if config.classifier is None else load_classifier(config.classifier),
        config=config,
    )


def features_of(config: BenchConfig, split: RadiographSplit, extractor: Extractor) -> FeatureSet:
    """The features of a split's radiographs of the views that are drawn.

    Raises InputError if there are too few, or if they differ in size or are not square.
    """
    images, views = ImageSet.of(split), config.prompts.views
    rows = [k for k, r in enumerate(images.without_images()) if views is None or r.view in views]
    images = images.take(np.array(rows, int))
    if len(images) < MINIMUM:
        raise InputError(
            f"split {split.name!r} of {split.folder} has {len(images)} radiographs of these views: "
            f"FID needs at least {MINIMUM}"
        )
    parts = [extractor(images.images[i : i + _READ]) for i in range(0, len(images), _READ)]
    return FeatureSet(features=np.concatenate(parts), patients=images.patients)


def _fid(shared: Bench, features: FeatureSet, name: str) -> tuple[Estimate, NDArray[np.float64]]:
    """FID to the held-out radiographs at `n` images, and that of each resample."""
    n, samples, seed = shared.n, shared.config.samples, shared.config.seed
    value = matched_distance(features, Sample(shared.held_out.features), n, _SUBSETS, seed)
    replicates = fid_replicates({name: features}, shared.held_out, n, samples, seed)[name]
    return normal_estimate(value, replicates, n, least=0.0), replicates


def _check_output(folder: Path) -> None:
    """Raises InputError unless the folder is new, empty, or a benchmark's and nothing else."""
    check_output(folder, overwrite=True)
    if not (folder / MANIFEST).exists():
        return
    if not (folder / ROWS).is_dir():
        raise InputError(f"output folder {folder} is not that of a benchmark: choose another")
    written = {*read_checksums(folder, read_manifest(folder, "results")["checksums"])}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in {*written, CHECKSUMS, MANIFEST}:
            raise InputError(
                f"output folder {folder} would be replaced, but holds {name}, which no benchmark "
                "wrote: move it, or choose another output"
            )


def _read_rows(folder: Path) -> dict[str, BenchRow]:
    """Rows that were measured before, by key; a damaged one is measured again."""
    rows = {}
    for path in folder.glob("*.json"):
        with suppress(OSError, InputError, KeyError, TypeError):
            rows[path.stem] = BenchRow.from_json(read_checked_json(path))
    return rows


def _write(
    shared: Bench,
    measured: Mapping[str, BenchRow],
    rows: Sequence[BenchRow],
    manifests: dict[str, dict[str, Any]],
) -> None:
    """Write the output: all rows that were `measured`, by key, and tables of the requested."""
    config, floor = shared.config, _fid(shared, shared.floor, "floor")[0]
    results = {
        "extractor": str(shared.extractor.definition),
        "n": shared.n,
        "notes": shared.notes,
        "floor": asdict(floor),
        "rows": [row.to_json() for row in rows],
    }
    files: dict[str, str | bytes] = {
        "table.csv": csv_table(rows),
        "table.md": markdown_table(rows, floor, shared.notes),
        "plot.png": plot(rows, floor),
    }
    made_from = provenance("sample.bench", config, manifests, torch.get_num_threads())
    licenses = inherit_licenses(*manifests.values())
    with atomic_folder(config.output, overwrite=True) as folder:
        (folder / ROWS).mkdir()
        for key, row in measured.items():
            write_checked_json(folder / ROWS / f"{key}.json", row.to_json())
        write_json(folder / RESULTS, results)
        for name, content in files.items():
            write_file(folder / name, content)
        write_manifest(folder, "results", fingerprint_of(results), licenses, made_from)
