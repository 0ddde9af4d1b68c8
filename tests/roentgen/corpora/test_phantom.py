"""The phantom corpus: reproducible, patient-pure, and honest about its input."""

from dataclasses import replace
from typing import Any

import pytest

from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.errors import InputError


def test_a_study_is_the_same_whatever_else_is_drawn() -> None:
    few = PhantomReader(PhantomConfig(train=1, validate=0, test=1), 64, 3)
    many = PhantomReader(PhantomConfig(train=4, validate=1, test=2), 64, 3)
    wanted = few.plan()[0][0]
    assert wanted in many.plan()[0]
    first, again = few.read(wanted), many.read(wanted)
    assert first == again


def test_words_change_the_report_and_nothing_else() -> None:
    readers = [
        PhantomReader(PhantomConfig(train=1, validate=0, test=0, words=words), 64, 3)
        for words in ("radiology", "plain", "generic")
    ]
    films = [reader.read(reader.plan()[0][0])[0] for reader in readers]
    assert len({film.image for film in films}) == 1
    assert len({film.report for film in films}) == 3
    assert films[2].report is not None
    assert films[2].report.impression == "a chest radiograph"


def test_context_changes_the_indication_and_nothing_else() -> None:
    readers = [
        PhantomReader(PhantomConfig(train=12, validate=0, test=0, context=context), 32, 3)
        for context in (False, True)
    ]
    for item in readers[0].plan()[0]:
        without, with_context = (reader.read(item) for reader in readers)
        assert [film.context for film in without] == [()] * len(without)
        assert len({film.context for film in with_context}) == 1
        for plain, film in zip(without, with_context, strict=True):
            assert plain.report is not None
            assert film.report is not None
            report = replace(film.report, indication=plain.report.indication)
            assert replace(film, context=(), report=report) == plain
            febrile = film.context[0].value >= 38
            assert ("fever" in (film.report.indication or "")) == febrile


@pytest.mark.parametrize(
    ("changes", "named"), [({"train": -1}, "phantom.train"), ({"ap_share": 2.0}, "ap_share")]
)
def test_bad_numbers_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        PhantomConfig(**({"train": 1, "validate": 1, "test": 1} | changes))
