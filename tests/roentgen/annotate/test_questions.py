"""The tree of questions: what is shipped, and what is refused."""

from roentgen.annotate.questions import load_questions


def test_the_shipped_tree_is_read() -> None:
    tree = load_questions()
    assert len(tree.findings) == 13
