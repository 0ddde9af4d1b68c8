"""A local language model as a reader: choices scored by their log-probabilities."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from roentgen.annotate.readers.choice_scores import SharedPrefix, whole_scores
from roentgen.annotate.readers.choices import Answer, ChoiceQuestion, TokenCount
from roentgen.annotate.readers.config import LocalModelConfig
from roentgen.annotate.readers.model_files import read_model
from roentgen.annotate.readers.prompt import TRIAL_REPORT
from roentgen.annotate.readers.token_paths import PromptTokenizer, TokenPaths, shared_length
from roentgen.errors import InputError, require

_NO_REPORT = "N/A"  # in place of a report, for the prior of choices
_TRIAL = (  # computed with and without a cache, before any report
    ChoiceQuestion("Is there a pleural effusion?", ("yes", "no", "not mentioned")),
    ChoiceQuestion("Where is it?", ("left", "left and right")),
)
_LARGEST_ERROR = 0.01  # of log-probabilities in float32
_ROUNDED_ERROR = 0.5  # in formats of 16 bits


class LocalModel:
    """A causal language model with its tokenizer."""

    def __init__(self, config: LocalModelConfig) -> None:
        """Raises InputError if its files cannot be read, or it cannot be used as a reader."""
        self.config = config
        self.network, tokenizer, self.identity = read_model(config)
        require(
            config.plain_prompt or bool(tokenizer.chat_template),
            f"model.path {config.path} has no chat template: give a model that is tuned to "
            "instructions, or set model.plain_prompt: true",
        )
        self.ends = _ends(self.network, tokenizer)
        require(bool(self.ends), f"model.path {config.path} has no token that ends a text")
        self.prompts = PromptTokenizer(tokenizer, plain=config.plain_prompt)
        settings = self.network.config.get_text_config()
        self.most_tokens = config.max_tokens or getattr(settings, "max_position_embeddings", None)
        self._check_cache()
        self._without_report = LocalInterview(self, _NO_REPORT)
        self._priors: dict[ChoiceQuestion, Tensor | None] = {}

    @contextmanager
    def open(self, report: str) -> Iterator["LocalInterview"]:
        """Begin with a report."""
        yield LocalInterview(self, report)

    def priors(self, questions: Sequence[ChoiceQuestion]) -> list[Tensor | None]:
        """The log-probabilities of choices without a report; each question is computed once."""
        new = [each for each in dict.fromkeys(questions) if each not in self._priors]
        self._priors |= dict(zip(new, self._without_report.scores(new), strict=True))
        return [self._priors[question] for question in questions]

    def _check_cache(self) -> None:
        """Raises InputError unless scores on a cache are those of whole prompts, one at a time."""
        try:
            found = LocalInterview(self, TRIAL_REPORT).scores(_TRIAL)
            paths = [self.prompts.paths(TRIAL_REPORT, question) for question in _TRIAL]
            expected = [whole_scores(self.network, path, self.ends) for path in paths]
            pairs = zip(found, expected, strict=True)
            errors = [(a - b).abs().max().item() for a, b in pairs if a is not None]
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as failure:
            reason = f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0][:100]}"
        else:
            error = max(errors, default=0)  # none where the trial is too long for it
            if error <= (_LARGEST_ERROR if self.network.dtype == torch.float32 else _ROUNDED_ERROR):
                return
            reason = f"log-probabilities differ by {error:.3g}"
        raise InputError(
            f"model.path {self.config.path} cannot compute a report once for several questions "
            f"({reason}): give a causal model with attention alone"
        )


class LocalInterview:
    """A report before a local model, which computes it at the first question."""

    def __init__(self, reader: LocalModel, report: str) -> None:
        self._reader, self._report = reader, report
        self._start = reader.prompts.start(report)
        self._shared: SharedPrefix | None = None
        self._tokens = TokenCount()

    @property
    def tokens(self) -> TokenCount:
        """What its questions have taken."""
        return self._tokens

    def ask(self, questions: Sequence[ChoiceQuestion]) -> list[Answer]:
        """The probability of each choice among those of its question."""
        scores = self.scores(questions)
        if self._reader.config.subtract_prior:
            priors = self._reader.priors(questions)
            scores = [
                None if a is None or b is None else a - b
                for a, b in zip(scores, priors, strict=True)
            ]
        return [
            Answer(fault="too long") if each is None else Answer(tuple(each.softmax(0).tolist()))
            for each in scores
        ]

    def scores(self, questions: Sequence[ChoiceQuestion]) -> list[Tensor | None]:
        """The log-probabilities of choices; None where the prompt is too long for the model."""
        paths = [self._reader.prompts.paths(self._report, question) for question in questions]
        limit = self._reader.most_tokens or math.inf
        fitting = [i for i, path in enumerate(paths) if path.length <= limit]
        found = dict(zip(fitting, self._computed([paths[i] for i in fitting]), strict=True))
        return [found.get(i) for i in range(len(paths))]

    def _computed(self, paths: Sequence[TokenPaths]) -> list[Tensor]:
        """The scores of prompts that fit, on top of what all of them begin with."""
        if not paths:
            return []
        common = min(shared_length(self._start, path.prompt[:-1]) for path in paths)
        if self._shared is None or self._shared.length > common:
            self._start = self._start[:common]
            self._shared = SharedPrefix(self._reader.network, self._start, self._reader.ends)
            self._tokens += TokenCount(computed=common)
        alone = sum(len(path.prompt) for path in paths)
        self._tokens += TokenCount(alone - self._shared.length * len(paths), alone)
        return self._shared.scores(paths, self._reader.config.batch_size)


def _ends(network: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer."""
    configured = network.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    return sorted({each for each in (*several, tokenizer.eos_token_id) if each is not None})
