"""Language of a text: its script, its function words, and words that reports have.

PadChest's reports are Spanish word stems without accents ("derram pleural izquierd") with few
function words, and many an English report is "No acute disease.": such words decide for reports.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

NAMES = {"en": "English", "es": "Spanish", "zh": "Chinese"}  # languages that findings are read in

_FUNCTION_WORDS = {
    "English": "the of and is are in to with without there no not has been at on or",
    "Spanish": "el la los las de del y en con sin se no una un por al es o",
    "French": "le la les des du de et est en sans avec une un dans pas au aux ou",
    "German": "der die das und ist im in mit ohne kein keine nicht eine ein bei des oder",
    "Portuguese": "o a os as de do da dos das e em no na com sem uma um não",
}
_REPORT_WORDS = {
    "English": "a an effusion effusions opacity opacities lung lungs heart clear left right chest"
    " cardiomegaly atelectasis pneumonia enlarged seen size small large mild moderate lobe"
    " active unchanged lines tube acute disease process abnormality abnormalities findings"
    " evidence stable cardiopulmonary bilateral fractures within limits cardiac silhouette"
    " inferior superior lesion hernia negative exam emphysema",
    "Spanish": "derrame derram izquierdo izquierda izquierd derecho derecha derech hallazgos"
    " hallazg hallazgo torax neumotorax neumonia neumoni cardiomegali siluet aumento aument"
    " cambios cambi signific significativos previ previa previo observan observ observa"
    " radiografi radiograf atelectasi infiltr infiltrado pinzamient pinzamiento"
    " engrosamient dens densid sen senos hili hilios imag imagenes imagen pulmon"
    " mediastino cardiaca lobul lobulo patolog agud elongacion aortic estudi calcif"
    " calcificacion fractur cronic granulom cateter tub sond marcapas dentr radiolog"
    " visualiz apreci condens liger patron motiv consult epoc engros discret cifosis sutur"
    " esternotomi ambos vertic sospech compar radiologic cerclaj neumon probabl compatibl"
    " segment medi anterior pacient ambas elong ateromatos artrosis espondilosis quist"
    " alter significacion escoliosis consolid pleuroparenquimat biapical",
    "French": "épanchement gauche droite droit cœur poumons absence foyer",
    "German": "erguss pleuraerguss herz lunge links rechts vergrößert nachweis unauffällig",
    "Portuguese": "direito direita esquerdo esquerda pulmões coração sinais",
}
_FEWEST = 2  # known words, below which a text is of no certain language
_CHINESE_SHARE = 0.3  # of the letters; the others are "CT", "PICC"
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_OTHER_WIDE = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")  # kana and hangul
_WORD = re.compile(r"[^\W\d_]+")


def _by_word(*tables: Mapping[str, str]) -> dict[str, list[str]]:
    languages: dict[str, list[str]] = {}
    for table in tables:
        for language, words in table.items():
            for word in words.split():
                languages.setdefault(word, []).append(language)
    return languages


_BY_FUNCTION_WORD = _by_word(_FUNCTION_WORDS)
_BY_WORD = _by_word(_FUNCTION_WORDS, _REPORT_WORDS)


def language_of(text: str) -> str | None:
    """The language with the most function words in a text; None if that is not certain."""
    return _language(text, _BY_FUNCTION_WORD)


def language_of_report(text: str) -> str | None:
    """The language of a report's text, which may be a few terms; None if it is not certain."""
    return _language(text, _BY_WORD)


def language_counts(texts: Iterable[str]) -> Counter[str | None]:
    """The number of reports' texts in each language; None: in no certain one."""
    return Counter(map(language_of_report, texts))


def _language(text: str, by_word: Mapping[str, list[str]]) -> str | None:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)  # letters of full width
        if chinese := len(_CHINESE.findall(text)):
            letters = sum(map(len, _WORD.findall(text)))
            certain = chinese >= _CHINESE_SHARE * letters and not _OTHER_WIDE.search(text)
            return "Chinese" if certain else None
    found = Counter(
        language for word in _WORD.findall(text.lower()) for language in by_word.get(word, ())
    )
    (first, most), (_, next_most) = [*found.most_common(2), (None, 0), (None, 0)][:2]
    return first if most >= _FEWEST and most > next_most else None
