"""Diversity: similarity of images within a set."""

from functools import partial

from eval.config import DiversityConfig
from eval.diversity.display import REFERENCES, headline, methods, summary, tables, verdict
from eval.diversity.scores import (
    matched_vendi,
    prompt_key,
    random_pairs,
    view_and_findings_key,
    within_group,
)
from eval.domain import Domain
from eval.features import features_of, open_extractor
from eval.report.section import PageSection
from roentgen.distributed import this_launch
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.images.ms_ssim import scale_weights


class Diversity(Domain[DiversityConfig]):
    """MS-SSIM and Vendi score of every set and of held-out radiographs."""

    def check(self) -> None:
        """Raise InputError for images too small for MS-SSIM, or missing extractor weights."""
        scale_weights(self.sets.test.size)
        open_extractor(self.config.extractors[0])

    def precompute(self) -> None:
        """Extract this process's share of the features."""
        launch = this_launch()
        extractor = open_extractor(self.config.extractors[0], launch.device())
        for images in (*self.sets.synthetic.values(), self.sets.test):
            features_of(self.config, images, extractor, launch)

    def measure(self) -> PageSection:
        """MS-SSIM by kind of pair, and the Vendi score."""
        config, compared = self.config, {**self.sets.synthetic, "test": self.sets.test}
        extractor = open_extractor(config.extractors[0])
        features = {n: features_of(config, images, extractor) for n, images in compared.items()}
        vendi = matched_vendi(features, config.seed)
        samples, seed = config.bootstrap, config.seed
        per_group, groups = self.settings.images_per_prompt, self.settings.prompts
        within = partial(
            within_group, per_group=per_group, max_groups=groups, samples=samples, seed=seed
        )
        paired = partial(random_pairs, pairs=self.settings.pairs, samples=samples, seed=seed)
        within_prompt = {
            name: within(images.images, images.radiographs, prompt_key)
            for name, images in compared.items()
            if any(r.synthesis for r in images.radiographs)
        }
        alike = {
            name: within(images.images, images.radiographs, view_and_findings_key)
            for name, images in compared.items()
        }
        within_finding: dict[str, dict[str, Estimate]] = {
            finding: {n: paired(s.images, s.radiographs, finding) for n, s in compared.items()}
            for finding in config.findings
        }
        whole_set = {n: paired(s.images, s.radiographs, None) for n, s in compared.items()}
        columns: dict[str, dict[str, Estimate]] = {
            "Same prompt": within_prompt,
            "Same view and findings": alike,
            **within_finding,
            "Whole set": whole_set,
        }
        return PageSection(
            name="diversity",
            title="Diversity: how similar are images to each other?",
            methods=methods(
                self.settings,
                size=self.sets.test.size,
                samples=config.bootstrap,
                vendi_images=vendi["test"].n,
                extractor=str(extractor.definition),
            ),
            references=REFERENCES,
            numbers={
                "within_prompt": within_prompt,
                "within_view_and_findings": alike,
                "within_finding": within_finding,
                "whole_set": whole_set,
                "vendi": vendi,
            },
            summary=summary(alike, vendi),
            verdicts=verdict(alike, self.sets.main),
            headline=headline(alike),
            tables=tables(columns, vendi),
        )
