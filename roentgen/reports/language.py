"""Language of a text, by its function words."""

from collections import Counter

_FUNCTION_WORDS = {
    "English": "the of and is are in to with without there no not has been at on or",
    "Spanish": "el la los las de del y en con sin se no una un por al es o",
    "French": "le la les des du de et est en sans avec une un dans pas au aux ou",
    "German": "der die das und ist im in mit ohne kein keine nicht eine ein bei des oder",
    "Portuguese": "o a os as de do da dos das e em no na com sem uma um não",
}
_LANGUAGES: dict[str, list[str]] = {}
for _language, _words in _FUNCTION_WORDS.items():
    for _word in _words.split():
        _LANGUAGES.setdefault(_word, []).append(_language)
_FEWEST = 2  # function words, below which a text is of no certain language


def language_of(text: str) -> str | None:
    """The language with the most function words in a text; None if that is not certain."""
    found = Counter(
        language for word in text.lower().split() for language in _LANGUAGES.get(word, ())
    )
    (first, most), (_, next_most) = [*found.most_common(2), (None, 0), (None, 0)][:2]
    return first if most >= _FEWEST and most > next_most else None
