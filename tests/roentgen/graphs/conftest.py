"""Random graphs whose text, spans, labels and relations agree, and texts with marked words."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from roentgen.graphs.graph import LABELS, RELATION_TYPES, GraphSchema
from roentgen.graphs.word_meanings import WordKind, WordMeanings
from roentgen.record.statement import Span, SpanRole, StatementState

WORDS = ["lung", "left", "right", "effusion", "small", "Small", "no", "heart", ".", ",", "tube"]
Drawn = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def drawn_graph() -> Drawn:
    def draw(
        draws: np.random.Generator, schema: GraphSchema = "v1", entities: int | None = None
    ) -> dict[str, Any]:
        """A graph as JSON. Relations lead to later entities: none is a cycle."""
        n = int(draws.integers(0, 9)) if entities is None else entities
        tokens = draws.choice(WORDS, size=max(1, 3 * n + int(draws.integers(5)))).tolist()
        starts = sorted(draws.choice(len(tokens), size=n, replace=False).tolist())
        members = {}
        for i, start in enumerate(starts):
            end = min(start + int(draws.integers(2)), len(tokens) - 1)
            later = draws.choice(np.arange(i + 1, n), size=min(n - i - 1, 2), replace=False)
            members[str(i + 1)] = {
                "tokens": " ".join(tokens[start : end + 1]),
                "label": str(draws.choice(list(LABELS[schema]))),
                "start_ix": start,
                "end_ix": end,
                "relations": [
                    [str(draws.choice(RELATION_TYPES)), str(j + 1)]
                    for j in later[: int(draws.integers(3))].tolist()
                ],
            }
        return {
            "text": " ".join(tokens),
            "entities": members,
            "data_source": "MIMIC-CXR",
            "data_split": "train",
        }

    return draw


@pytest.fixture(scope="session")
def marked() -> Callable[[str], tuple[str, tuple[Span, ...]]]:
    """A text and its spans from one that marks them: "[severity Small] [finding effusion]"."""

    def read(source: str) -> tuple[str, tuple[Span, ...]]:
        text, spans, at = "", [], 0
        for mark in re.finditer(r"\[(\w+) ([^]]+)\]", source):
            text += source[at : mark.start()]
            spans.append(Span(cast("SpanRole", mark[1]), len(text), len(text) + len(mark[2])))
            text += mark[2]
            at = mark.end()
        return text + source[at:], tuple(spans)

    return read


class FewWords:
    """The meanings of the words of these tests."""

    _STATED: ClassVar[dict[str, dict[str, StatementState]]] = {
        "normal heart": {"cardiomegaly": "absent"},
        "heart normal": {"cardiomegaly": "absent"},
        "enlarged heart": {"cardiomegaly": "present"},
        "heart enlarged": {"cardiomegaly": "present"},
        "cardiac silhouette enlarged": {"cardiomegaly": "present"},
        "heart size unchanged": {"cardiomegaly": "stable"},
        "lungs clear": {"lung opacity": "absent"},
        "silhouette normal": {"cardiomegaly": "absent", "enlarged cardiomediastinum": "absent"},
    }
    _NAMES: ClassVar[dict[str, str]] = {
        "effusion": "pleural effusion",
        "effusions": "pleural effusion",
        "opacity": "lung opacity",
        "opacities": "lung opacity",
        "tube": "support devices",
        "lobe collapse": "lobar atelectasis",
        "collapse": "atelectasis",
        **{name: name for name in ("pleural effusion", "nodular opacity", "pneumonia", "mass")},
        **{name: name for name in ("fracture", "rib fracture", "cardiomegaly", "chest tube")},
        **{name: name for name in ("atelectasis", "pneumothorax", "edema")},
    }
    _ATTRIBUTES: ClassVar[dict[str, tuple[tuple[WordKind, str], ...]]] = {
        **{side: (("side", side),) for side in ("left", "right", "bilateral")},
        "small": (("severity", "small"),),
        "mild": (("severity", "small"),),
        "mildly": (("severity", "small"),),
        "moderate": (("severity", "moderate"),),
        "large": (("severity", "large"),),
        "bibasilar": (("side", "bilateral"), ("place", "basal")),
        "base": (("place", "basal"),),
        "lobe": (("place", "lobe"),),
        "lobes": (("place", "lobe"),),
        "heart": (("place", "heart"),),
        "rib": (("place", "rib"),),
        **{
            f"{which} {lobe}": (("place", f"{which} lobe"),)
            for which in ("upper", "middle", "lower")
            for lobe in ("lobe", "lobes")
        },
        "stable": (("change", "unchanged"),),
        **{change: (("change", change),) for change in ("new", "increased", "decreased")},
    }

    def findings(self, words: str) -> Mapping[str, StatementState]:
        if words in self._STATED:
            return self._STATED[words]
        return {self._NAMES[words]: "present"} if words in self._NAMES else {}

    def attributes(self, words: str) -> Sequence[tuple[WordKind, str]]:
        return self._ATTRIBUTES.get(words, ())


@pytest.fixture(scope="session")
def meanings() -> WordMeanings:
    return FewWords()
