"""Which metric sees which planted defect, in sets of simulated radiographs.

A set is judged as on the page: its 95% interval beside that of real radiographs of other patients.
A defect is seen where the two do not overlap, with the set on the worse side.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from eval.alignment.scores import ALL, alignment, laterality_accuracy
from eval.fidelity.scores import FLOOR, _fid, _prdc, kernels
from eval.fidelity.sharpness import Sharpness, _compared, _measured
from eval.fidelity.two_sample import two_sample_auroc
from roentgen.corpora.phantom import PhantomConfig
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    bootstrap_weights,
    calibrate,
    share_above,
)
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.images.power_spectrum import decibels
from roentgen.preparation.config import PrepareConfig
from roentgen.prepare import prepare
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Classifier, Prediction, train_classifier
from roentgen.vision.copy_finder import CopyFinder
from roentgen.vision.features.extractor import load_extractor
from roentgen.vision.image_halves import (
    HalfImages,
    frontal_rows,
    labels_by_side,
    predict_by_side,
)
from roentgen.vision.network_settings import ClassifierConfig
from tests.eval.defects import (
    DEFECTS,
    STRENGTHS,
    Donors,
    Row,
    of_hospital,
    planted,
)

SIZES = (500, 200)  # images of a set
CLEAN_DRAWS = 20
SAMPLES = 100  # bootstrap resamples
FINDINGS: tuple[FindingName, ...] = (
    "Cardiomegaly",
    "Pleural Effusion",
    "Pneumothorax",
    "Consolidation",
)
FALSE_ALARMS = 0.01  # of near-duplicates


Worse = Literal["above", "below", "beside"]
METRICS: Mapping[str, Worse] = {
    "FID": "above",
    "KID": "above",
    "two-sample AUROC": "above",
    "precision": "below",
    "recall": "below",
    "coverage": "below",
    "detail": "beside",
    "softer": "above",
    "sharper": "above",
    "spectrum": "above",
    "finding AUROC": "below",
    "view accuracy": "below",
    "side accuracy": "below",
    "near-duplicates": "above",
}


class Compared(NamedTuple):
    """A metric of a set, and of real radiographs of other patients."""

    value: Estimate
    real: Estimate

    def is_seen(self, worse: Worse) -> bool:
        """Whether the intervals do not overlap, the set's on the worse side."""
        set_low, set_high, low, high = (
            self.value.low,
            self.value.high,
            self.real.low,
            self.real.high,
        )
        if set_low is None or set_high is None or low is None or high is None:
            return False
        sides = {"above": set_low > high, "below": set_high < low}
        return any(sides.values()) if worse == "beside" else sides[worse]


OfSets = Mapping[str, Mapping[str, Compared]]  # by set and metric
Found = Mapping[int, OfSets]  # by images of a set


@dataclass(frozen=True)
class DrawnSet:
    """What metrics read of an image set, in memory."""

    rows: tuple[Row, ...]
    findings: tuple[FindingName, ...] = FINDINGS

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def radiographs(self) -> tuple[Radiograph, ...]:
        return tuple(radiograph for radiograph, _ in self.rows)

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        return np.stack([image for _, image in self.rows])

    @cached_property
    def patients(self) -> list[str]:
        return [radiograph.patient_id for radiograph in self.radiographs]

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        return label_matrix(self.radiographs, self.findings, "ignore")

    @cached_property
    def views(self) -> NDArray[np.int64]:
        return view_indices(self.radiographs)


class PerImage(NamedTuple):
    """What is measured of each image by itself: the first axis of all is that of the images."""

    features: NDArray[np.float32]
    detail: Floats
    shares: Floats  # of power, by band
    findings: Floats
    views: Floats
    sides: Floats  # (N, findings, 2)


class Instruments:
    """The extractor, the reference classifiers and the copy finder; measures an image once."""

    def __init__(self, train: DrawnSet) -> None:
        config = ClassifierConfig(pretrained="embedded", steps=300)
        self._extractor = load_extractor("roentgen", None)
        self._classifier = _trained(train.images, train.labels, train.views, config)
        self._sides = _trained_on_halves(train, config)
        self._finder = CopyFinder(train.images)
        self._known: dict[bytes, tuple[Any, ...]] = {}
        self._similar: dict[bytes, float] = {}

    def measure(self, images: NDArray[np.uint8]) -> PerImage:
        """Of (N, H, W)."""
        keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
        new = sorted({key: k for k, key in enumerate(keys) if key not in self._known}.values())
        if new:
            found = self._of(images[new])
            for k, *values in zip(new, *found, strict=True):
                self._known[keys[k]] = tuple(values)
        columns = zip(*(self._known[key] for key in keys), strict=True)
        return PerImage(*(np.stack(column) for column in columns))

    def similarity(self, images: NDArray[np.uint8]) -> Floats:
        """(N,): to the most similar training image."""
        keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
        new = sorted({key: k for k, key in enumerate(keys) if key not in self._similar}.values())
        if new:
            found = self._finder.nearest(images[new]).similarity
            self._similar.update({keys[k]: value for k, value in zip(new, found, strict=True)})
        return np.array([self._similar[key] for key in keys])

    def _of(self, images: NDArray[np.uint8]) -> PerImage:
        features = np.concatenate(
            [self._extractor(images[k : k + 64]) for k in range(0, len(images), 64)]
        )
        detail, shares = _measured(images)
        prediction = self._classifier.predict(images)
        sides = predict_by_side(self._sides, images)
        return PerImage(features, detail, shares, prediction.findings, prediction.views, sides)


def _trained(
    images: Any, labels: NDArray[np.float32], views: NDArray[np.int64], config: ClassifierConfig
) -> Classifier:
    return train_classifier(images, labels, views, findings=FINDINGS, config=config, seed=0)


def _trained_on_halves(train: DrawnSet, config: ClassifierConfig) -> Classifier:
    frontal = DrawnSet(tuple(train.rows[k] for k in frontal_rows(train.radiographs)))
    by_side = labels_by_side(frontal.radiographs, FINDINGS, "ignore")
    labels = by_side.transpose(0, 2, 1).reshape(2 * len(frontal), -1)
    return _trained(HalfImages(frontal.images), labels, np.repeat(frontal.views, 2), config)


class Judge:
    """Measures sets of n images beside real radiographs: the train split as the floor."""

    def __init__(self, train: DrawnSet, test: DrawnSet) -> None:
        self._train, self._test = train, test
        self._instruments = Instruments(train)

    def compare(
        self, sets: Mapping[str, DrawnSet], n: int, with_copies: Callable[[str], bool]
    ) -> dict[str, dict[str, Compared]]:
        """By set and metric; near-duplicates, the slowest, of some sets alone."""
        everyone = {**sets, FLOOR: self._train, "test": self._test}
        measured = {name: self._instruments.measure(s.images) for name, s in everyone.items()}
        found: dict[str, dict[str, Compared]] = {name: {} for name in sets}

        def add(metric: str, values: Mapping[str, Estimate], real: str = FLOOR) -> None:
            for name in sets:
                found[name][metric] = Compared(values[name], values[real])

        for metric, values in _distances(everyone, measured, n).items():
            add(metric, values)
        for metric, values in _sharpness(everyone, measured).items():
            add(metric, values)
        scores = {name: _alignment(s, measured[name]) for name, s in everyone.items()}
        for metric in ("finding AUROC", "view accuracy", "side accuracy"):
            add(metric, {name: of_set[metric] for name, of_set in scores.items()}, "test")
        similar = self._instruments.similarity(self._test.images)
        threshold = calibrate(similar, self._test.patients, FALSE_ALARMS)
        shares = {"test": share_above(similar, self._test.patients, threshold)}
        for name in filter(with_copies, sets):
            of_set = self._instruments.similarity(sets[name].images)
            shares[name] = share_above(of_set, sets[name].patients, threshold)
            found[name]["near-duplicates"] = Compared(shares[name], shares["test"])
        return found


def _distances(
    everyone: Mapping[str, DrawnSet], measured: Mapping[str, PerImage], n: int
) -> dict[str, Mapping[str, Estimate]]:
    features = {
        name: FeatureSet(features=measured[name].features, patients=s.patients)
        for name, s in everyone.items()
    }
    test = features.pop("test")
    options: dict[str, int] = {"samples": SAMPLES, "seed": 0}
    patients = {name: len(set(item.patients)) for name, item in features.items()}
    floor = numpy_generator(0, "floor", n).permutation(len(features[FLOOR]))[:n]
    drawn = {**features, FLOOR: features[FLOOR].take(np.sort(floor))}
    shares = _prdc(drawn, test, k=5, **options)
    return {
        "FID": _fid(features, test, n, patients, subsets=5, **options)["fid"],
        "KID": kernels(drawn, test, clip=False, **options)["kid"],
        **{name: shares[name] for name in ("precision", "recall", "coverage")},
        "two-sample AUROC": {
            name: two_sample_auroc(item, test, name=name, **options) for name, item in drawn.items()
        },
    }


def _sharpness(
    everyone: Mapping[str, DrawnSet], measured: Mapping[str, PerImage]
) -> dict[str, Mapping[str, Estimate]]:
    numbers = _compared(
        {
            name: Sharpness(
                detail=measured[name].detail,
                fine_power=np.nan_to_num(measured[name].shares[:, -1]),
                spectrum=decibels(measured[name].shares),
                patients=np.asarray(s.patients),
                weights=_with_ones(s.patients, name),
            )
            for name, s in everyone.items()
        }
    )
    detail = numbers["detail"]
    return {
        "detail": detail["ratio"],
        "softer": detail["below"],
        "sharper": detail["above"],
        "spectrum": numbers["spectrum_distance"],
    }


def _with_ones(patients: Sequence[str], name: str) -> NDArray[np.int32]:
    weights = bootstrap_weights(patients, SAMPLES, _seed_of(name))
    return np.concatenate([np.ones_like(weights[:1]), weights])


def _seed_of(name: str) -> int:
    """A seed of a set's name."""
    return int(numpy_generator(0, "sensitivity", name).integers(2**31))


def _alignment(images: DrawnSet, measured: PerImage) -> dict[str, Estimate]:
    scores = alignment(
        Prediction(measured.findings, measured.views),
        cast(ImageSet, images),
        {},
        min_cases=5,
        samples=SAMPLES,
        seed=0,
    )
    rows = frontal_rows(images.radiographs)
    frontal = DrawnSet(tuple(images.rows[k] for k in rows))
    sides = labels_by_side(frontal.radiographs, FINDINGS, "ignore")
    of_sides = laterality_accuracy(measured.sides[rows], sides, frontal.patients, FINDINGS, {}, 5)
    return {
        "finding AUROC": scores["mean_auroc"],
        "view accuracy": scores["view_accuracy"],
        "side accuracy": of_sides[ALL],
    }


def rows_of(folder: Path, split: str) -> tuple[Row, ...]:
    """Every other patient of the second hospital."""
    opened = open_dataset(folder).split(split)
    records = list(opened.without_images())
    rows = map(Row, records, opened.images(range(len(records))))
    return tuple(of_hospital(row, int(row.radiograph.patient_id[-6:])) for row in rows)


def phantoms(
    folder: Path, name: str, seed: int, train: int, test: int = 0, bones: float = 0.0
) -> Path:
    """A set of simulated studies of 128 pixels, drawn once."""
    if not (folder / name).exists():
        drawn = PhantomConfig(train=train, validate=0, test=test, masks=False, missing_bones=bones)
        prepare(PrepareConfig(output=folder / name, size=128, seed=seed, phantom=drawn, workers=1))
    return folder / name


def measure(folder: Path) -> Found:
    """By n, set and metric; sets are "clean K" and "DEFECT STRENGTH K"."""
    real = phantoms(folder, "real", 1, 400, 320)
    pool = rows_of(phantoms(folder, "pool", 2, 1000), "train")
    bones = {
        share: phantoms(folder, f"ribs {share:g}", 2, 330, bones=share)
        for share in STRENGTHS["missing ribs"]
    }
    train, test = (DrawnSet(rows_of(real, split)) for split in ("train", "test"))
    without = {share: rows_of(path, "train") for share, path in bones.items()}
    donors = Donors(
        train=train.rows,
        others=pool[len(without[1]) :],
        without_bones={s: {r.id: image for r, image in rows} for s, rows in without.items()},
    )
    judge = Judge(train, test)
    result = {}
    for n in SIZES:
        sets = {f"clean {k}": DrawnSet(drawn(pool, n, k)) for k in range(CLEAN_DRAWS)}
        for defect in DEFECTS:
            for strength in STRENGTHS[defect]:
                made = planted(defect, strength, pool[:n], donors)
                sets[f"{defect} {strength:g}"] = DrawnSet(made)
        print(f"n = {n}: {len(sets)} sets", flush=True)
        result[n] = judge.compare(sets, n, lambda name: name.startswith(("clean", "copies")))
    return result


def drawn(pool: Sequence[Row], n: int, draw: int) -> tuple[Row, ...]:
    """n images of random patients; draw 0 is the set that defects are planted in."""
    if draw == 0:
        return tuple(pool[:n])
    patients = sorted({row.radiograph.patient_id for row in pool})
    order = numpy_generator(0, "clean draw", n, draw).permutation(len(patients))
    place = {patients[k]: number for number, k in enumerate(order.tolist())}
    return tuple(sorted(pool, key=lambda row: place[row.radiograph.patient_id])[:n])


def is_seen(found: OfSets, name: str, metric: str) -> bool:
    """Whether the metric sees the defect of a set."""
    return found[name][metric].is_seen(METRICS[metric])


def alarms(found: OfSets, metric: str) -> int:
    """The clean sets that the metric sees a defect in."""
    return sum(is_seen(found, name, metric) for name in found if name.startswith("clean"))
