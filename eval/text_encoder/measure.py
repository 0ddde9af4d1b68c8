"""Text encoder: findings that report embeddings encode, before and after fine-tuning."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.config import TextEncoderConfig
from eval.domain import Domain
from eval.finding_probes import ProbeScores, probe_findings
from eval.report.section import PageSection
from eval.text_encoder.display import REFERENCES, methods, plots, summary, tables, verdict
from eval.text_encoder.reports import Reports, reports_of_open_i, reports_of_radiographs
from eval.text_encoder.scores import compare, count_truncated, embed_texts
from roentgen.cache import Cache, CacheContents, open_cache
from roentgen.diffusion.backbones.model_folder import find_model
from roentgen.diffusion.backbones.stable_diffusion import load_text_encoder, module_fingerprint
from roentgen.distributed import SINGLE_PROCESS, Launch, this_launch
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of
from roentgen.metrics.estimates import count_patients
from roentgen.preparation.prompt_sources import report_remedy

_CHUNK = 32
_MINIMUM = 20  # patients


class TextEncoder(Domain[TextEncoderConfig]):
    """Probes of both encoders' embeddings of the same reports, on the same folds and resamples."""

    def check(self) -> None:
        """Raise InputError for a missing model, missing reports, or too few of them."""
        for model in (self.settings.before, self.settings.after):
            find_model(model)
        n = count_patients(self.reports.patients)
        if n < _MINIMUM:
            prepared = self.sets.test.dataset.manifest["provenance"].get("config") or {}
            raise InputError(
                f"text_encoder: reports of {n} patients have the section {self.settings.text!r}; "
                f"at least {_MINIMUM} are needed: set text_encoder.reports or text_encoder.text, "
                f"or text_encoder=null; or for the reference, {report_remedy(prepared)}"
            )

    def precompute(self) -> None:
        """Embed the reports with both encoders."""
        launch = this_launch()
        for model in (self.settings.before, self.settings.after):
            self._embed(model, launch)

    def measure(self) -> PageSection:
        """AUROC and balanced accuracy of both encoders' probes, and their differences."""
        config, settings, reports = self.config, self.settings, self.reports
        probed: dict[str, ProbeScores] = {}
        encoders: dict[str, dict[str, Any]] = {}
        for name, model in (("before", settings.before), ("after", settings.after)):
            embeddings, encoders[name] = self._embed(model, SINGLE_PROCESS)
            probed[name] = probe_findings(
                embeddings,
                reports.labels,
                reports.patients,
                config.findings,
                folds=settings.folds,
                min_cases=config.min_cases,
                samples=config.bootstrap,
                seed=config.seed,
            )
        found = compare(probed["before"], probed["after"], config.findings)
        cases = {
            name: {
                "present": int((reports.labels[:, j] == 1).sum()),
                "absent": int((reports.labels[:, j] == 0).sum()),
            }
            for j, name in enumerate(config.findings)
        }
        return PageSection(
            name="text_encoder",
            title="Text encoder: does it encode findings?",
            methods=methods(settings, reports, encoders, config.bootstrap),
            references=REFERENCES,
            numbers={
                "n": len(reports.texts),
                "excluded": reports.excluded,
                "encoders": encoders,
                "cases": cases,
                **found,
            },
            summary=summary(self.sets.main, found),
            verdicts=verdict(found),
            tables=tables(config.findings, found, cases),
            plots=plots(config.findings, found),
        )

    @cached_property
    def reports(self) -> Reports:
        """Open-i's reports, or those of the test split."""
        findings, section = self.config.findings, self.settings.text
        if self.settings.reports is not None:
            return reports_of_open_i(self.settings.reports, findings, section)
        test = self.sets.test
        source = f"those of the test split of {test.dataset.folder}, with its findings"
        return reports_of_radiographs(
            test.radiographs, findings, section, self.config.not_mentioned, source
        )

    def _embed(self, model: str, launch: Launch) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The reports' embeddings (N, D), cached, and the facts about the encoder."""
        texts = self.reports.texts
        encoder, tokenizer, chunks = load_text_encoder(model)
        weights = module_fingerprint(encoder)
        width = int(embed_texts(encoder, tokenizer, chunks, texts[:1]).shape[1])
        key = fingerprint_of([list(texts), weights, chunks, "mean over tokens"])
        contents = CacheContents(
            key=key, items=len(texts), tensors={"embedding": (torch.float32, (width,))}
        )

        encoder.to(launch.device())

        def encode(items: range) -> dict[str, torch.Tensor]:
            part = texts[items.start : items.stop]
            return {"embedding": embed_texts(encoder, tokenizer, chunks, part)}

        cache: Cache = open_cache(
            self.config.caches_folder / f"reports-{key}",
            contents,
            encode,
            label="reports",
            chunk=_CHUNK,
            name_of=lambda item: f"report {item + 1}",
            processes=launch,
        )
        embeddings = cache.read("embedding", range(len(texts))).numpy()
        truncated = count_truncated(tokenizer, chunks, texts)
        return embeddings, {
            "model": model,
            "weights": weights,
            "width": width,
            "truncated": truncated,
        }
