"""Language of texts: sentences as radiologists write them, and texts that are of no language."""

import pytest

from roentgen.reports.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("There is a small left pleural effusion without pneumothorax.", "English"),
        ("Derrame pleural en el lado izquierdo, sin neumotórax.", "Spanish"),
        ("Épanchement pleural gauche avec un infiltrat au lobe inférieur.", "French"),
        ("Kein Erguss, das Herz ist nicht vergrößert.", "German"),
        ("Derrame pleural à esquerda, sem sinais de congestão e com cardiomegalia.", "Portuguese"),
        ("cardiomegaly, no pneumothorax", None),
        ("no", None),
        ("", None),
    ],
)
def test_function_words_name_the_language(text: str, language: str | None) -> None:
    assert language_of(text) == language
