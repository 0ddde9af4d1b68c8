"""The time of reading a text grows with its length, whatever is repeated in it."""

import inspect
import re
import time
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.labelers.rules.rule_labeler import label_report
from roentgen.prompts import vocabulary
from roentgen.prompts.parser import parse_prompt
from roentgen.record.radiograph import Report
from roentgen.reports import (
    blanks,
    cleaning,
    correspondence,
    lines,
    prior_studies,
    sections,
    sentences,
    titles,
)


def words_in(module: ModuleType) -> set[str]:
    """The words in a module's source, those of its patterns among them."""
    return set(re.findall(r"[A-Za-z]{2,}", inspect.getsource(module)))


def read_prompt(text: str) -> None:
    with suppress(InputError):
        parse_prompt(text)


READERS: dict[str, Callable[[str], Any]] = {
    "sentences": sentences.sentences,
    "clean": cleaning.clean_section,
    "prior": prior_studies.without_prior_comparisons,
    "sections": sections.parse_report,
    "labels": lambda text: label_report(Report(findings=text)),
    "prompt": read_prompt,
}
MODULES = (
    *(blanks, cleaning, correspondence, lines, prior_studies, sections, sentences, titles),
    vocabulary,
)
WORDS = sorted(set().union(*map(words_in, MODULES)))
MARKS = [*"abcX_。：.,;:()-*1/ \n\r\t'\"?!<>[]|\u2028", "", "\n\n", "1 year old ", "<view-", "Dr. "]
FIRST = 1000  # characters; 2 and 4 times as many are read too
LINEAR = 7.0  # the growth of the time over 4 times the length: 4 if linear, 16 if quadratic
MEASURABLE = 0.03  # seconds; shorter ones are noise


def seconds(read: Callable[[str], Any], before: str, repeated: str, after: str, size: int) -> float:
    text = before + repeated * (size // len(repeated)) + after
    started = time.process_time()
    read(text)
    return time.process_time() - started


def grows(read: Callable[[str], Any], before: str, repeated: str, after: str) -> str | None:
    """The times of 1, 2 and 4 times a length if they grow faster than it; None if not."""
    taken = [seconds(read, before, repeated, after, FIRST)]
    if taken[0] > 1:  # a second for as little as this: more would take hours
        return str(taken)
    taken += [seconds(read, before, repeated, after, 2 * FIRST)]
    taken += [seconds(read, before, repeated, after, 4 * FIRST)]
    size = FIRST
    while taken[-1] < MEASURABLE and size < 4 * FIRST:
        size *= 2
        taken = [*taken[1:], seconds(read, before, repeated, after, 4 * size)]
    if taken[-1] < MEASURABLE or taken[-1] < LINEAR * taken[-3]:
        return None
    sizes = (size, 4 * size)
    again = [min(seconds(read, before, repeated, after, n) for _ in range(3)) for n in sizes]
    return str(taken) if again[1] > LINEAR * again[0] else None


def tokens(random: np.random.Generator, least: int, most: int) -> str:
    """Words of the patterns and marks, joined in any way."""
    count = random.integers(least, most + 1)
    chosen = (random.choice(WORDS if random.random() < 0.6 else MARKS) for _ in range(count))
    return "".join(token + random.choice(["", " "]) for token in chosen)


@pytest.mark.parametrize("count", [12, pytest.param(2000, marks=pytest.mark.slow)])
def test_random_repeats_are_read_in_linear_time(count: int) -> None:
    random = np.random.default_rng(count)
    for _ in range(count):
        before, repeated, after = tokens(random, 0, 3), tokens(random, 1, 3), tokens(random, 0, 2)
        for name, read in READERS.items():
            growth = grows(read, before, repeated or " ", after)
            assert growth is None, (name, before, repeated, after, growth)


@pytest.mark.parametrize(
    ("before", "repeated", "after"),
    [
        *[("", f"{word} ", "") for word in ("again", "relatively", "prior", "slightly", "the")],
        *[("", word, "x") for word in ("was called with ", "are stable ", "no new ", "(", "( ")],
        *[("", mark, "x") for mark in (".", ".)", "?!", "\n", "\n ", "1:", "a/", "___ ", "X-")],
        *[("WET READ", " ", "x"), ("WET READ", "\t", "x"), ("FINAL REPORT", " ", "x")],
        *[("FINDINGS", " ", "x"), ("A", "\t", "x"), ("clinical ", " ", "x"), ("a", "\n", "- ")],
        *[("1 year old a", " ", "x"), ("1 year old ", "a ", "x"), ("1", " ", "x")],
        *[("", "dr. ", ""), ("", "a. ", ""), ("1 ", "dr. ", ""), ("(a) ", "(", "")],
    ],
)
def test_repeats_that_once_took_long(before: str, repeated: str, after: str) -> None:
    for name, read in READERS.items():
        growth = grows(read, before, repeated, after)
        assert growth is None, (name, growth)


def test_a_megabyte_is_read_in_seconds() -> None:
    report = "FINDINGS: The heart is enlarged. There is a small left\n effusion at 3:45 pm.\n\n"
    report += "IMPRESSION: 1. Edema\n2. Dr. ___ was paged about the nodule.\n\n"
    for read in (sections.parse_report, sentences.sentence_spans, cleaning.clean_section):
        started = time.process_time()
        read(report * (1_000_000 // len(report)))
        assert time.process_time() - started < 3  # one, on a machine that does nothing else


def test_a_long_sentence_is_divided_between_words() -> None:
    text = "small effusion " * 200
    parts = sentences.sentences(text + ".")
    assert max(map(len, parts)) <= sentences.LONGEST_SENTENCE
    assert " ".join(parts) == f"{text}."
    assert {word for part in parts for word in part.split()} == {"small", "effusion", "."}
    assert sentences.sentences("a" * 2500) == ["a" * 1000, "a" * 1000, "a" * 500]


def test_words_before_a_period_are_read_at_any_length() -> None:
    first = "word" * 50 + " is seen by Dr. Smith."
    assert sentences.sentences(f"{first} No. 3 is clear.") == [first, "No. 3 is clear."]
