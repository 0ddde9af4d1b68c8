"""Titles of report sections, in the words of English, Spanish and Chinese templates.

Spellings and their counts over MIMIC-CXR are those of its authors' section parser (Johnson et al.,
github.com/MIT-LCP/mimic-cxr, txt/section_parser.py).
"""

import difflib
import re
import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

# "views": a view, or "report", as the title of the findings where there is no other. "body": an
# organ or a finding. "diagnosis": the impression, or before the findings why the patient came.
# "other": not read.
Section = Literal[
    "findings",
    "views",
    "body",
    "impression",
    "diagnosis",
    "indication",
    "history",
    "comparison",
    "addendum",
    "wet read",
    "final",
    "other",
]


class Title(NamedTuple):
    """What a title names."""

    section: Section
    name: str  # its words, in lower case
    exact: bool = False  # it has no other words: it is a title in any case
    strong: bool = False  # it begins a section anywhere; "date", "study" do not


# The first name whose words are in a title decides. Those of the second group need all of it.
_NAMES: tuple[tuple[Section, str], ...] = (
    ("addendum", "addendum|addenda|adenda|adendum"),
    ("wet read", "wet read|preliminary report|preliminary read"),
    ("other", "notification|notifications|communication|communications|notificacion"),
    ("comparison", "prior findings|previous findings|previous impression|prior impression"),
    ("history", "clinical findings|hallazgos clinicos|clinical impression"),
    ("impression", "impression|impressions|conclusion|conclusions|impresion|conclusiones"),
    ("findings", "findings|hallazgos|hallazgo"),
    ("comparison", "comparison|comparisons|reference exam|comparacion|estudios previos"),
    ("indication", "indication|indications|reason for|clinical question|indicacion|indicaciones"),
    ("indication", "motivo|datos clinicos|informacion clinica"),
    ("history", "history|clinical information|antecedentes|historia clinica|clinical details"),
    ("history", "clinical diagnosis|admitting diagnosis|diagnostico clinico|clinical data"),
    ("history", "provisional diagnosis|working diagnosis|diagnostico de sospecha"),
    ("other", "recommendation|recommendations|recomendacion|recomendaciones|recommend"),
    ("other", "technique|tecnica|critical result|critical results|electronically signed"),
)
_WHOLE_NAMES: tuple[tuple[Section, str], ...] = (
    ("final", "final report"),
    ("impression", "summary|opinion|interpretation|assessment|juicio diagnostico|pfi"),
    ("impression", "juicio clinico|interpretacion|resumen|impresion diagnostica"),
    ("diagnosis", "diagnosis|diagnoses|diagnostico|diagnosticos"),
    ("findings", "finding|result|results|discussion|narrative|description|observations"),
    ("findings", "observation|descripcion|resultado|resultados"),
    ("views", "report|body of report|informe"),
    ("comparison", "estudio previo|prior studies|previous studies|prior exams|prior exam"),
    ("indication", "reason|sospecha|clinical concern|justificacion"),
    ("history", "historia|clinical background|clinical context|symptoms"),
    ("other", "exam|examination|study|procedure|protocol|views|view|projection|projections"),
    ("other", "attestation|dictated by|signed by"),
    ("other", "signed|transcribed by|dictated|radiologist|attending|resident|ordering provider"),
    ("other", "ordering physician|referring physician|accession number|accession|mrn|patient"),
    ("other", "patient name|name|date|time|date of exam|date of birth|dob|age|sex|gender|dose"),
    ("other", "radiation dose|follow up|followup|plan|procedimiento|exploracion"),
    ("other", "estudio|prueba|proyeccion|proyecciones|medico|radiologo|fecha|nombre|edad|sexo"),
    ("other", "critical findings communication|department|hospital|exam type|contrast"),
)
_KNOWN = [(s, f" {name} ") for s, names in _NAMES for name in names.split("|")]
_KNOWN_WHOLE = [(s, f" {name} ") for s, names in _WHOLE_NAMES for name in names.split("|")]
_TITLE_WORDS = frozenset(word for _, name in (*_KNOWN, *_KNOWN_WHOLE) for word in name.split())
_OTHER_WORDS = (
    "clinical final preliminary patient patients radiographic radiologic radiological radiology"
    " imaging relevant brief pertinent additional overall key main major the of for and or to s"
    " exam examination study studies report type performed prior previous chest x ray xray cxr"
    " clinico clinica radiologico radiologica radiologicos diagnostica de del la el los y"
    " consulta peticion solicitud estudio impression findings recommendation recommendations"
    " plan conclusion conclusions comparison history indication technique diagnosis"
    " interpretation summary portable pa ap lat lateral frontal view views one two upright"
    " supine radiograph radiographs"
)
_FILLERS = frozenset(_OTHER_WORDS.split())
_ENDS = _TITLE_WORDS | _FILLERS
_CHINESE: tuple[tuple[Section, str], ...] = (
    ("other", r".*(?:日期|时间|医师|医生|号码?)|姓名|性别|年龄|科室|备注|建议"),
    ("other", r"检查(?:方法|技术|部位|项目)"),
    ("history", r"(?:临床|入院|术前|初步)(?:诊断|印象|资料|病史|症状|信息)"),
    ("history", r"病史|现病史|主诉|既往史|病情.*"),
    ("indication", r"(?:检查|申请|送检)(?:目的|原因)|适应证|适应症"),
    ("comparison", r"对比|比较|前片|对照|既往检查"),
    ("addendum", r"补充报告?|更正|补充说明"),
    ("findings", r".{0,5}(?:所见|表现|描述)|检查结果|结果|报告内容"),
    ("impression", r".{0,5}(?:诊断意见|诊断印象|诊断结果|诊断|印象|结论|意见|提示)"),
)
_SIMPLIFIED = str.maketrans(  # traditional characters
    "檢見現診斷結論資訊臨術對較齡時間號醫師報備註適應項議補說",
    "检见现诊断结论资讯临术对较龄时间号医师报备注适应项议补说",
)
_CHINESE_TITLES = tuple((section, re.compile(pattern)) for section, pattern in _CHINESE)
_SINGLE: dict[str, Section] = {
    "impression": "impression",
    "conclusion": "impression",
    "findings": "findings",
    "finding": "findings",
    "indication": "indication",
    "comparison": "comparison",
    "history": "history",
}
_VIEWS = re.compile(
    r"\b(?:chest|cxr|portable|pa|ap|lateral|frontal|views?|upright|supine|radiographs?|bone window"
    r"|torax|radiografia|rx)\b"
)
# Words of titles within findings: organs, devices and findings.
_BODY = re.compile(
    r"\b(?:lungs?|pleura\w*|hearts?|cardi\w*|mediastin\w*|bon(?:es|y)|osseous|soft tissues?"
    r"|devices?|tubes?|lines?|catheters?|airways?|hila\w*|diaphragm\w*|abdomen|vascular\w*"
    r"|vasculature|ribs?|spine|other|parenchyma\w*|hardware|pulmonary|aort\w*|trachea|skelet\w*"
    r"|musculoskeletal|thorax|pneumo\w*|effusions?|consolidations?|opacit\w+|atelectas[ie]s|edema"
    r"|nodules?|mass(?:es)?|fractures?|infiltrates?|emphysema|pulmon\w*|corazon|silueta|huesos?"
    r"|diafragma\w*|derrames?|neumo\w*|tubos?|partes blandas)\b"
)


_PARTS = re.compile(r"[^\W\d_]+")


@lru_cache(maxsize=4096)
def title_of(text: str) -> Title | None:
    """The title that a text is, in any case; None if it names no section."""
    title = _plain(text)
    if not title.isascii():
        simplified = title.replace(" ", "").translate(_SIMPLIFIED)
        for section, pattern in _CHINESE_TITLES:
            if pattern.fullmatch(simplified):  # "与前片(2023年)比较：" is text
                return Title(section, title, exact=True, strong=section != "comparison")
    if _TITLE_WORDS.isdisjoint(title.split()):
        return None
    words = f" {title} "
    for section, name in _KNOWN:
        if name in words:
            rest = words.replace(name, "  ", 1).split()
            return Title(section, title, exact=_FILLERS.issuperset(rest), strong=True)
    for section, name in _KNOWN_WHOLE:
        if name in words:
            rest = words.replace(name, "  ", 1).split()
            of_view = section == "other" and _VIEWS.search(" ".join(rest))
            if _FILLERS.issuperset(rest) and not of_view:
                return Title(section, title, exact=True, strong=section != "other")
    return None


@lru_cache(maxsize=4096)
def title_in_capitals(text: str) -> Title:
    """The title that the start of a line in capitals is."""
    if known := title_of(text):
        return known
    title = _plain(text)
    if title.isalpha():  # "imoression", "findngs", "comparision"
        similar = [name for name in _SINGLE if len(set(name) - set(title)) <= 1]
        if near := difflib.get_close_matches(title, similar, 1, 0.85):
            return Title(_SINGLE[near[0]], near[0], exact=True, strong=True)
    if _BODY.search(title):
        return Title("body", title)
    return Title("views" if _VIEWS.search(title) else "other", title)


def names_body(text: str) -> bool:
    """Whether a text names an organ, a device or a finding: the title of a part of the findings."""
    return _BODY.search(_plain(text)) is not None


@lru_cache(maxsize=4096)
def ends_title(word: str) -> bool:
    """Whether a title may end in a word."""
    word = _plain(word)
    return not word.isascii() or not _ENDS.isdisjoint(word.split()[-1:])


def _plain(text: str) -> str:
    """A title's words in lower case, without marks, digits and accents."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(_PARTS.findall(text.lower()))
