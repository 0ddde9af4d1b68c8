"""Text encoder: whether fine-tuning taught it what reports say of findings."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.config import EvaluateConfig
from eval.config_sections import TextEncoderConfig
from eval.report.plots import dots
from eval.report.section import Cell, Line, Part, Table
from eval.sets import Sets
from eval.text_encoder.probes import (
    STRENGTH,
    Known,
    compare,
    cut_texts,
    embed_texts,
    known_findings,
)
from eval.text_encoder.reports import Reports, reports_of_films, reports_of_open_i
from roentgen.cache import Cache, Contents, open_cache
from roentgen.diffusion.backbones.stable_diffusion import (
    find_model,
    load_text_encoder,
    module_fingerprint,
)
from roentgen.distributed import SINGLE_PROCESS, Launch, this_launch
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.metrics.estimates import BOOTSTRAP

_CHUNK = 32
_WORDS = {"auroc": "AUROC", "balanced_accuracy": "Balanced accuracy"}
_MINIMUM = 20  # reports


def check_text_encoder(config: EvaluateConfig, sets: Sets) -> None:
    """Raise InputError for a model or reports that are absent, or too few reports."""
    told = _section(config)
    for model in (told.before, told.after):
        find_model(model)
    n = len(_reports(config, sets).texts)
    if n < _MINIMUM:
        raise InputError(
            f"text_encoder: {n} reports have the section {told.text!r}; at least {_MINIMUM} are "
            "needed: set text_encoder.reports or text_encoder.text, or text_encoder=null"
        )


def fill_text_encoder(config: EvaluateConfig, sets: Sets) -> None:
    """Embed the reports with both encoders."""
    reports, launch = _reports(config, sets), this_launch()
    for model in (_section(config).before, _section(config).after):
        _embed(config, reports, model, launch)


def measure_text_encoder(config: EvaluateConfig, sets: Sets) -> Part:
    """What both encoders' embeddings of the same reports know, on the same folds and resamples."""
    told, reports = _section(config), _reports(config, sets)
    known: dict[str, Known] = {}
    encoders: dict[str, dict[str, Any]] = {}
    for name, model in (("before", told.before), ("after", told.after)):
        embeddings, encoders[name] = _embed(config, reports, model, SINGLE_PROCESS)
        known[name] = known_findings(
            embeddings,
            reports.labels,
            reports.patients,
            config.findings,
            folds=told.folds,
            min_cases=config.min_cases,
            samples=config.bootstrap,
            seed=config.seed,
        )
    found = compare(known["before"], known["after"], config.findings)
    cases = {
        name: {
            "present": int((reports.labels[:, j] == 1).sum()),
            "absent": int((reports.labels[:, j] == 0).sum()),
        }
        for j, name in enumerate(config.findings)
    }
    plot = dots(
        {
            name: {label: found["auroc"][label][name] for label in (*config.findings, "mean")}
            for name in ("before", "after")
        },
        "AUROC of findings read from report embeddings, with 95 % intervals. Dashed: chance.",
        chance=0.5,
    )
    gain = Line(
        measure="Text encoder: mean AUROC of findings in reports, after less before",
        sets={sets.main: found["auroc"]["mean"]["difference"]},
    )
    return Part(
        name="text_encoder",
        title="Text encoder: what does it know of findings?",
        definition=_definition(config, reports, encoders),
        numbers={
            "n": len(reports.texts),
            "excluded": reports.excluded,
            "encoders": encoders,
            "cases": cases,
            **found,
        },
        summary=(gain,),
        tables=tuple(_table(config, found, cases, metric) for metric in _WORDS),
        plots=(plot,) if plot else (),
    )


def _definition(
    config: EvaluateConfig, reports: Reports, encoders: dict[str, dict[str, Any]]
) -> tuple[str, ...]:
    told = _section(config)
    excluded = "; ".join(f"{count} {why}" for why, count in reports.excluded.items())
    cut = ", ".join(f"{e['cut']} by the one {name}" for name, e in encoders.items())
    models = ", ".join(f"{k}: {e['model']} (weights {e['weights']})" for k, e in encoders.items())
    return (
        f"The {told.text} of {len(reports.texts)} reports: {reports.source}. Left out: "
        f"{excluded or 'none'}. Encoders: {models}.",
        "Embedding: the mean of the last hidden states over a text's tokens, without the begin "
        f"token; of texts that are longer than an encoder's limit the end was cut ({cut}).",
        "Probe: logistic regression for each finding on standardised embeddings (penalty "
        f"{STRENGTH:g}); {told.folds} folds by patient, the same for both encoders, each judged "
        "by probes fitted on the others. AUROC is over pairs within a fold. Balanced accuracy: "
        "the mean of sensitivity and specificity, called where the odds are above those of "
        "presence in what was fitted on. Relative gain: after / before - 1.",
        BOOTSTRAP.format(samples=config.bootstrap, what="patients, paired between encoders"),
    )


def _table(
    config: EvaluateConfig, found: dict[str, Any], cases: dict[Any, dict[str, int]], metric: str
) -> Table:
    keys = ("before", "after", "difference", "relative_gain")
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            f"{cases[name]['present']} / {cases[name]['absent']}",
            *(found[metric][name][key] for key in keys),
        )
        for name in config.findings
    ]
    rows.append(("Mean", None, *(found[metric]["mean"][key] for key in keys)))
    return Table(
        name=f"text-encoder-{metric.replace('_', '-')}",
        caption=f"{_WORDS[metric]} of findings read from report embeddings",
        columns=("Finding", "present / absent", "before", "after", "difference", "relative gain"),
        rows=tuple(rows),
    )


def _embed(
    config: EvaluateConfig, reports: Reports, model: str, launch: Launch
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The reports' embeddings (N, D), made unless they are kept, and what there is to say."""
    encoder, tokenizer, windows = load_text_encoder(model)
    weights = module_fingerprint(encoder)
    width = int(embed_texts(encoder, tokenizer, windows, reports.texts[:1]).shape[1])
    key = fingerprint_of([list(reports.texts), weights, windows, "mean over tokens"])
    contents = Contents(
        key=key, items=len(reports.texts), tensors={"embedding": (torch.float32, (width,))}
    )

    encoder.to(launch.device())

    def encode(items: range) -> dict[str, torch.Tensor]:
        texts = reports.texts[items.start : items.stop]
        return {"embedding": embed_texts(encoder, tokenizer, windows, texts)}

    cache: Cache = open_cache(
        config.caches_folder / f"reports-{key}",
        contents,
        encode,
        told="reports",
        chunk=_CHUNK,
        name_of=lambda item: f"report {item + 1}",
        processes=launch,
    )
    embeddings = cache.read("embedding", range(len(reports.texts))).numpy()
    cut = cut_texts(tokenizer, windows, reports.texts)
    return embeddings, {"model": model, "weights": weights, "width": width, "cut": cut}


def _reports(config: EvaluateConfig, sets: Sets) -> Reports:
    told = _section(config)
    if told.reports is not None:
        return reports_of_open_i(told.reports, config.findings, told.text)
    source = f"those of the test split of {sets.test.dataset.folder}, with its findings"
    return reports_of_films(
        sets.test.radiographs, config.findings, told.text, config.not_mentioned, source
    )


def _section(config: EvaluateConfig) -> TextEncoderConfig:
    assert config.text_encoder is not None
    return config.text_encoder
