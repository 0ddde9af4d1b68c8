import re

import numpy as np
import pytest

from roentgen.graphs.graph import (
    LABELS,
    Entity,
    Graph,
    LabelMeaning,
    label_meaning,
    label_of,
    schema_of_label,
    tokens_of,
)


@pytest.mark.parametrize(
    ("v1", "xl", "meaning"),
    [
        ("ANAT-DP", "Anatomy::definitely present", LabelMeaning("anatomy", "present")),
        ("OBS-DP", "Observation::definitely present", LabelMeaning("observation", "present")),
        ("OBS-U", "Observation::uncertain", LabelMeaning("observation", "uncertain")),
        ("OBS-DA", "Observation::definitely absent", LabelMeaning("observation", "absent")),
    ],
)
def test_both_schemas_mean_the_same(v1: str, xl: str, meaning: LabelMeaning) -> None:
    assert label_meaning(v1) == label_meaning(xl) == meaning
    assert (schema_of_label(v1), schema_of_label(xl)) == ("v1", "xl")
    assert (label_of(meaning, "v1"), label_of(meaning, "xl")) == (v1, xl)


def test_xl_has_measurements_and_states_of_anatomy() -> None:
    assert len(LABELS["xl"]) == 12
    size = label_meaning("Observation::measurement::uncertain")
    assert size == LabelMeaning("observation", "uncertain", measurement=True)
    assert label_meaning("Anatomy::definitely absent") == LabelMeaning("anatomy", "absent")
    assert size is not None
    assert label_of(size, "v1") is None
    assert label_meaning("OBS-XX") is None
    assert schema_of_label("") is None


def test_the_schema_of_a_graph_is_that_of_its_first_known_label() -> None:
    unknown = Entity("1", "heart", "HEART", 0, 0)
    known = Entity("2", "large", "OBS-DP", 1, 1)
    assert Graph("heart large", (unknown, known)).schema == "v1"
    assert Graph("heart large", (unknown,)).schema is None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("No effusion/pneumothorax.", "No effusion / pneumothorax ."),
        ("AP,1:35 (supine)?", "AP , 1 : 35 ( supine ) ?"),
        ("left-sided 3.5 cm; ___", "left-sided 3 . 5 cm; ___"),
        (" \n", ""),
    ],
)
def test_tokens_are_those_of_version_1(text: str, tokens: str) -> None:
    assert [text[a:b] for a, b in tokens_of(text)] == tokens.split()


def test_tokens_are_parted_as_by_spaces_around_punctuation() -> None:
    draws = np.random.default_rng(0)
    for _ in range(2000):
        text = "".join(draws.choice(list("ab -;/:,.!?()\n'%"), size=30))
        spaced = re.sub(r"([/,:.!?()])", r" \1 ", text)
        assert [text[a:b] for a, b in tokens_of(text)] == spaced.split()
