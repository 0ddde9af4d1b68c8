"""Filter set-up: from the configuration to trained networks and filters with their limits."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.features.extractor import load_extractor
from roentgen.vision.network_cache import NetworkCache
from sample.screening.config import ScreenConfig
from sample.screening.filters.checked_filter import PredictedImages, ScreeningFilter
from sample.screening.filters.copies import CopiesFilter
from sample.screening.filters.demographics import demographics_filter
from sample.screening.filters.duplicates import duplicates_limit
from sample.screening.filters.labels import labels_filter, requested_findings
from sample.screening.filters.laterality import (
    laterality_filter,
    lateralized_findings,
    requested_sides,
)
from sample.screening.filters.outliers import outliers_filter
from sample.screening.filters.quality import quality_filter
from sample.screening.filters.view import view_filter
from sample.screening.label_agreement import LabelAgreement
from sample.screening.reference_classifiers import ReferenceClassifiers
from sample.screening.rounds import Screener


def distinct_requests(rows: ImageSet) -> list[Radiograph]:
    """One radiograph, without pixels, for each distinct request that filters tell apart."""
    kinds: dict[tuple[Any, ...], Radiograph] = {}
    for radiograph in rows.without_images():
        has = radiograph.sex is not None, radiograph.age is not None
        kinds.setdefault((radiograph.findings, radiograph.view, *has), radiograph)
    return list(kinds.values())


def make_screener(
    config: ScreenConfig, rows: ImageSet, train: ImageSet, held_out: ImageSet
) -> Screener:
    """The filters, with networks trained or cached and limits set on held-out radiographs.

    Raises InputError for what a filter cannot check.
    """
    requested = distinct_requests(rows)
    reference = config.reference_classifier
    classifiers = ReferenceClassifiers(
        config=reference,
        cache=NetworkCache(folder=config.caches_folder, progress=True),
        seed=config.seed,
    )
    training, independent_images = classifiers.split_by_patient(train)
    findings = requested_findings(requested, config.labels.findings) if config.labels else ()
    check_requests(config, requested, findings)
    for images in (training, independent_images):
        if images is not None:
            classifiers.check_cases(findings, images)
    classifier = independent_classifier = agreement = limit = None
    if config.labels or config.view or config.demographics:
        classifier = independent_classifier = classifiers.reference(findings, training)
        if independent_images is not None:
            seed = config.seed + 1
            independent_classifier = classifiers.trained(findings, independent_images, seed)
        agreement = LabelAgreement(
            findings,
            independent_classifier.spec.findings,
            PredictedImages(held_out.radiographs, held_out.images, independent_classifier),
            reference.not_mentioned,
            reference.min_cases,
        )
    if config.duplicates:
        limit = duplicates_limit(config.duplicates, train.images, train.patients, config.seed)
    predicted = PredictedImages(held_out.radiographs, held_out.images, classifier)
    print(f"screen: setting limits on {len(held_out.images)} held-out radiographs", flush=True)  # noqa: T201
    filters = _filters(config, requested, findings, classifiers, training, train, predicted)
    return Screener(
        filters=list(filters),
        classifier=classifier,
        duplicates=limit,
        shift=config.duplicates.shift if config.duplicates else 0,
        agreement=agreement,
        independent_classifier=independent_classifier,
    )


def _filters(
    config: ScreenConfig,
    requested: Sequence[Radiograph],
    findings: Sequence[FindingName],
    classifiers: ReferenceClassifiers,
    training: ImageSet,
    train: ImageSet,
    held_out: PredictedImages,
) -> Iterator[ScreeningFilter]:
    """The filters of single images, in the order of FILTERS."""
    min_cases = classifiers.config.min_cases
    not_mentioned = classifiers.config.not_mentioned
    classifier = held_out.classifier
    if config.labels:
        assert classifier is not None
        yield labels_filter(
            config.labels,
            findings,
            classifier.spec.findings,
            label_matrix(requested, findings),
            held_out,
            not_mentioned=not_mentioned,
            min_cases=min_cases,
        )
    if config.laterality:
        lateralized = lateralized_findings(requested, config.laterality.findings)
        yield laterality_filter(
            config.laterality,
            lateralized,
            classifiers.laterality(lateralized, training),
            requested_sides(requested, lateralized),
            held_out,
            not_mentioned=not_mentioned,
            min_cases=min_cases,
        )
    if config.view:
        yield view_filter(config.view, view_indices(requested), held_out, min_cases=min_cases)
    if config.quality:
        yield quality_filter(config.quality, held_out, min_cases=min_cases)
    if config.outliers:
        o = config.outliers
        weights = o.weights or ("embedded" if o.extractor == "roentgen" else None)
        extractor = load_extractor(o.extractor, weights, this_launch().device())
        sample = numpy_generator(config.seed, "outliers").permutation(len(train.images))[: o.images]
        compared = train.take(np.sort(sample))
        yield outliers_filter(o, extractor, compared.images, held_out, min_cases=min_cases)
    if config.demographics:
        predicted = PredictedImages(training.radiographs, training.images, classifier)
        yield demographics_filter(
            config.demographics, requested, predicted, held_out, min_cases=min_cases
        )
    if config.copies:
        yield CopiesFilter(config.copies, train.images, train.ids, held_out, config.seed)


def check_requests(
    config: ScreenConfig, requested: Sequence[Radiograph], findings: Sequence[FindingName]
) -> None:
    """Raise InputError for a filter without a request to check, before networks are trained."""
    if config.labels and np.isnan(label_matrix(requested, findings)).all():
        raise InputError(
            f"labels: no prompt of the set states whether {', '.join(findings) or 'a finding'} is "
            "present or absent (prompts from free text state none): set labels: null"
        )
    if config.view and all(radiograph.view is None for radiograph in requested):
        raise InputError("view: no prompt of the set states a view: set view: null")
    if config.laterality and not lateralized_findings(requested, config.laterality.findings):
        raise InputError(
            "laterality: no prompt of the set requests a finding on one side of a frontal view: "
            "set laterality: null"
        )
    if config.demographics and all(r.sex is None and r.age is None for r in requested):
        raise InputError(
            "demographics: no prompt of the set states a sex or an age: set demographics: null"
        )
