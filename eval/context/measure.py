"""Clinical context: findings from context alone, and context read from images."""

import difflib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from eval.config import ContextConfig
from eval.context.context_alone import context_alone
from eval.context.context_arrays import Answers, answers_of, words_of
from eval.context.display import (
    CEILING_KEY,
    CHANCE_KEY,
    REFERENCES,
    headline,
    methods,
    plots,
    summary,
    tables,
    verdicts,
)
from eval.context.word_scores import (
    WordScores,
    fit_word_probes,
    not_shown,
    score_words,
    shuffled,
)
from eval.domain import Domain
from eval.features import features_of, open_extractor
from eval.report.section import PageSection
from roentgen.dataset.image_set import ImageSet
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.metrics.estimates import NotMeasured
from roentgen.metrics.features.feature_set import whole
from roentgen.prompts.context_words import ContextRule, shipped_rules

OFF = "or set context=null"


class Context(Domain[ContextConfig]):
    """Whether context tells findings, and whether images show the context they were given."""

    def check(self) -> None:
        """Raise InputError for missing context, rules without values, or missing weights."""
        for images in (self.sets.train, self.sets.test):
            if not any(radiograph.context for radiograph in images.radiographs):
                raise InputError(
                    f"no radiograph of {images.dataset.folder}, split {images.splits[0].name!r}, "
                    f"has clinical context: prepare it with context, {OFF}"
                )
        self._check_rules()
        if all(np.isnan(self._answers(images)).all() for images in self.sets.synthetic.values()):
            names = ", ".join(self.sets.synthetic)
            raise InputError(
                f"no image of the synthetic sets ({names}) was requested with context words: "
                f"sample them with context in the prompt style, {OFF}"
            )
        open_extractor(self.config.extractors[0])

    def precompute(self) -> None:
        """Extract this process's share of the features."""
        launch = this_launch()
        extractor = open_extractor(self.config.extractors[0], launch.device())
        for images in self.sets.all():
            features_of(self.config, images, extractor, launch)

    def measure(self) -> PageSection:
        """Findings from context, and context from every set's images."""
        config, sets, settings = self.config, self.sets, self.settings
        alone = context_alone(sets.train, sets.test, self.rules, config, settings.folds)
        scores = self._word_scores()
        counts = {images.name: self._counts(images) for images in sets.all()}
        return PageSection(
            name="context",
            title="Context: does it tell findings, and do images show it?",
            methods=methods(
                config,
                settings,
                self.rules,
                alone,
                extractor=str(open_extractor(config.extractors[0]).definition),
            ),
            references=REFERENCES,
            numbers={"alone": alone, "images": scores, "counts": counts},
            summary=summary(scores),
            verdicts=verdicts(alone, scores, sets.main),
            headline=headline(scores, sets.main),
            tables=tables(config.findings, words_of(self.rules), alone, scores, counts),
            plots=plots(alone, scores),
        )

    @cached_property
    def rules(self) -> tuple[ContextRule, ...]:
        """The rules that have an answer for any radiograph of the reference."""
        rules = self.config.context_rules or shipped_rules()
        radiographs = (*self.sets.train.radiographs, *self.sets.test.radiographs)
        answers = answers_of(radiographs, rules)
        return tuple(r for r, of in zip(rules, answers.T, strict=True) if not np.isnan(of).all())

    def _check_rules(self) -> None:
        """Raise InputError for a configured rule without a value, or if no rule has one."""
        asked = self.config.context_rules or ()
        lost = [rule for rule in asked if rule not in self.rules]
        if self.rules and not lost:
            return
        radiographs = (*self.sets.train.radiographs, *self.sets.test.radiographs)
        there = sorted({value.name for r in radiographs for value in r.context})
        if not lost:
            raise InputError(
                f"no shipped context rule is of a value that the radiographs have "
                f"({', '.join(there)}): give context_rules, {OFF}"
            )
        rule = lost[0]
        near = difflib.get_close_matches(rule.name, there, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"they have {', '.join(there)}"
        raise InputError(
            f"context_rules of {rule.word!r}: no radiograph has a value named {rule.name!r}; {hint}"
        )

    def _answers(self, images: ImageSet) -> Answers:
        return answers_of(images.radiographs, self.rules)

    def _counts(self, images: ImageSet) -> dict[str, dict[str, int]]:
        """How many images of a set each word describes, does not, and is not known for."""
        names = {1.0: "yes", 0.0: "no"}
        return {
            word: dict(Counter(names.get(value, "not known") for value in column))
            for word, column in zip(
                words_of(self.rules), self._answers(images).T.tolist(), strict=True
            )
        }

    def _word_scores(self) -> dict[str, WordScores]:
        """The scores of the held-out radiographs, the same with shuffled words, and each set."""
        config, sets, words = self.config, self.sets, words_of(self.rules)
        extractor = open_extractor(config.extractors[0])

        def features(images: ImageSet) -> Any:
            return whole(features_of(config, images, extractor).features)

        answers = self._answers(sets.train)
        probes = fit_word_probes(
            features(sets.train), answers, sets.train.patients, words, config.min_cases
        )

        def scored(
            images: ImageSet, truth: Answers, hidden: Mapping[str, NotMeasured]
        ) -> WordScores:
            probabilities = probes(features(images))
            patients = images.patients
            return score_words(
                probabilities, truth, patients, words, probes.not_learned, hidden, config
            )

        truth = self._answers(sets.test)
        hidden = not_shown(scored(sets.test, truth, {}))
        return {
            **{
                name: scored(images, self._answers(images), hidden)
                for name, images in sets.synthetic.items()
            },
            CEILING_KEY: scored(sets.test, truth, hidden),
            CHANCE_KEY: scored(sets.test, shuffled(truth, config.seed), hidden),
        }
