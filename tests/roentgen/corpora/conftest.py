"""Trees of all corpora, for tests of the program."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from roentgen.preparation.config import READERS
from tests.roentgen.corpora.corpus_tree import CorpusTree


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[[str], CorpusTree]:
    """Writes the `small_tree` of a corpus's own tests into `tmp_path / "corpus"`."""

    def make(name: str) -> CorpusTree:
        folder, _, module = READERS[name].__module__.rpartition(".")
        tests = import_module(f"tests.{folder}.test_{module}")
        corpus: CorpusTree = tests.small_tree(tmp_path / "corpus")
        corpus.write()
        return corpus

    return make
