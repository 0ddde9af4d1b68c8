"""Language of texts: sentences as radiologists write them, and texts that are of no language."""

import pytest

from roentgen.reports.language import language_counts, language_of, language_of_report

SENTENCES = [
    ("There is a small left pleural effusion without pneumothorax.", "English"),
    ("Derrame pleural en el lado izquierdo, sin neumotórax.", "Spanish"),
    ("Épanchement pleural gauche avec un infiltrat au lobe inférieur.", "French"),
    ("Kein Erguss, das Herz ist nicht vergrößert.", "German"),
    ("Derrame pleural à esquerda, sem sinais de congestão e com cardiomegalia.", "Portuguese"),
    ("心影增大，左侧少量胸腔积液，未见气胸。", "Chinese"),
    ("右侧PICC，CT示双肺纹理增多。", "Chinese"),
    ("心影增大，左側少量胸腔積液，未見氣胸。", "Chinese"),
    ("Ｔｈｅｒｅ ｉｓ ｎｏ ｅｆｆｕｓｉｏｎ．", "English"),
    ("心臓は正常です。", None),
    ("心影 and the heart is large and there is an effusion in the left base", None),
    ("no", None),
    ("12:30 ___", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "language"), SENTENCES)
def test_words_and_script_name_the_language(text: str, language: str | None) -> None:
    assert language_of(text) == language
    assert language_of_report(text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("cardiomegaly, no pneumothorax", "English"),
        ("No acute disease.", "English"),
        ("Small left effusion", "English"),
        ("LARGE LEFT EFFUSION", "English"),
        (" derram pleural izquierd . sin cambi signific respect radiografi previ .", "Spanish"),
        ("sign radiolog epoc .", "Spanish"),
        ("cardiomegali . siluet aument", "Spanish"),
        ("pneumothorax", None),
        ("normal", None),
    ],
)
def test_terms_name_the_language_of_a_report(text: str, language: str | None) -> None:
    assert language_of_report(text) == language


def test_texts_are_counted_by_language() -> None:
    counts = language_counts(text for text, _ in SENTENCES)
    assert counts == {"English": 2, "Spanish": 1, "French": 1, "German": 1, "Portuguese": 1} | {
        "Chinese": 3,
        None: 5,
    }
