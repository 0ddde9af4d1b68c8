"""From a configuration to all that images are judged by."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import label_matrix, view_indices
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.randomness import numpy_generator
from roentgen.record.findings import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.features.extractor import load_extractor
from sample.screening.config import ScreenConfig
from sample.screening.gates.copies import CopiesGate
from sample.screening.gates.demographics import demographics_gate
from sample.screening.gates.duplicates import duplicates_limit
from sample.screening.gates.gate import Gate, Shown
from sample.screening.gates.labels import asked_findings, labels_gate
from sample.screening.gates.outliers import outliers_gate
from sample.screening.gates.quality import quality_gate
from sample.screening.gates.sides import asked_sides, sided_findings, sides_gate
from sample.screening.gates.view import view_gate
from sample.screening.label_agreement import Auditor
from sample.screening.proxy import (
    check_cases,
    proxy_and_auditor,
    side_network,
    the_proxy,
    trained,
)
from sample.screening.rounds import Judges


def distinct_asks(rows: ImageSet) -> list[Radiograph]:
    """One radiograph, without pixels, of each kind that gates tell apart in what is asked."""
    kinds: dict[tuple[Any, ...], Radiograph] = {}
    for radiograph in rows.without_images():
        told = radiograph.sex is not None, radiograph.age is not None
        kinds.setdefault((radiograph.findings, radiograph.view, *told), radiograph)
    return list(kinds.values())


def make_judges(
    config: ScreenConfig, rows: ImageSet, train: ImageSet, held_out: ImageSet
) -> Judges:
    """Networks are trained or taken from the caches, limits are set on held-out films.

    Raises InputError for what a gate cannot judge.
    """
    asked = distinct_asks(rows)
    learnt, audited = proxy_and_auditor(config.proxy, train, config.seed)
    findings = asked_findings(asked, config.labels.findings) if config.labels else ()
    check_asked(config, asked, findings)
    for films in (learnt, audited):
        if films is not None:
            check_cases(config.proxy, findings, films)
    proxy = audits = auditor = limit = None
    if config.labels or config.view or config.demographics:
        caches, seed = config.caches_folder, config.seed
        proxy = audits = the_proxy(config.proxy, findings, learnt, caches, seed)
        if audited is not None:
            audits = trained(config.proxy, findings, audited, caches, seed + 1)
        auditor = Auditor(
            findings,
            audits.spec.findings,
            Shown(held_out.radiographs, held_out.images, audits),
            config.proxy.not_mentioned,
            config.proxy.min_cases,
        )
    if config.duplicates:
        limit = duplicates_limit(config.duplicates, train.images, train.patients, config.seed)
    shown = Shown(held_out.radiographs, held_out.images, proxy)
    print(f"screen: setting limits on {len(held_out.images)} held-out films", flush=True)  # noqa: T201
    return Judges(
        gates=list(_gates(config, asked, findings, learnt, train, shown)),
        proxy=proxy,
        duplicates=limit,
        shift=config.duplicates.shift if config.duplicates else 0,
        auditor=auditor,
        audits=audits,
    )


def _gates(
    config: ScreenConfig,
    asked: Sequence[Radiograph],
    findings: Sequence[FindingName],
    learnt: ImageSet,
    train: ImageSet,
    held_out: Shown,
) -> Iterator[Gate]:
    """The gates that look at one image at a time, in the order of GATES."""
    min_cases, not_mentioned = config.proxy.min_cases, config.proxy.not_mentioned
    proxy = held_out.proxy
    if config.labels:
        assert proxy is not None
        yield labels_gate(
            config.labels,
            findings,
            proxy.spec.findings,
            label_matrix(asked, findings),
            held_out,
            not_mentioned=not_mentioned,
            min_cases=min_cases,
        )
    if config.sides:
        yield _sides(config, asked, learnt, held_out)
    if config.view:
        yield view_gate(config.view, view_indices(asked), held_out, min_cases=min_cases)
    if config.quality:
        yield quality_gate(config.quality, held_out, min_cases=min_cases)
    if config.outliers:
        o = config.outliers
        extractor = load_extractor(o.extractor, o.weights, this_launch().device())
        lot = numpy_generator(config.seed, "outliers").permutation(len(train.images))[: o.films]
        films = train.take(np.sort(lot))
        yield outliers_gate(o, extractor, films.images, held_out, min_cases=min_cases)
    if config.demographics:
        seen = Shown(learnt.radiographs, learnt.images, proxy)
        yield demographics_gate(config.demographics, asked, seen, held_out, min_cases=min_cases)
    if config.copies:
        yield CopiesGate(config.copies, train.images, train.ids, held_out, config.seed)


def _sides(
    config: ScreenConfig, asked: Sequence[Radiograph], learnt: ImageSet, held_out: Shown
) -> Gate:
    """The gate of sides, with the network that learns them."""
    assert config.sides is not None
    findings = sided_findings(asked, config.sides.findings)
    caches = config.caches_folder
    return sides_gate(
        config.sides,
        findings,
        side_network(config.proxy, findings, learnt, caches, config.seed),
        asked_sides(asked, findings),
        held_out,
        not_mentioned=config.proxy.not_mentioned,
        min_cases=config.proxy.min_cases,
    )


def check_asked(
    config: ScreenConfig, asked: Sequence[Radiograph], findings: Sequence[FindingName]
) -> None:
    """Raise InputError for a gate that has nothing to judge, before networks are trained."""
    if config.labels and np.isnan(label_matrix(asked, findings)).all():
        raise InputError(
            f"labels: no prompt of the set tells whether {', '.join(findings) or 'a finding'} is "
            "present or absent (prompts from texts tell none): set labels: null"
        )
    if config.view and all(radiograph.view is None for radiograph in asked):
        raise InputError("view: no prompt of the set tells a view: set view: null")
    if config.sides and not sided_findings(asked, config.sides.findings):
        raise InputError(
            "sides: no prompt of the set asks for a finding on one side of a frontal film: set "
            "sides: null"
        )
    if config.demographics and all(r.sex is None and r.age is None for r in asked):
        raise InputError(
            "demographics: no prompt of the set tells a sex or an age: set demographics: null"
        )
