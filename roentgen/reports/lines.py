"""Line structure of a text: which line ends end a statement, and which are only wrapped.

Reports come as lines without stops ("No pneumothorax", "Small left effusion") and as sentences
that are wrapped at some width. A line end is a wrapped one if the line asks for more ("of the"), if
the next goes on ("is seen"), or if the next line's first word did not fit.
"""

import re
from functools import cached_property

# The start of a list item: "- ", "2) ", "1、".
BULLETS = "-–*•●▪◦■+"
ITEM = re.compile(
    rf"(?:[{BULLETS}]+(?=\s)|\(?\d{{1,2}}(?:[.)](?=\s|[A-Z][a-z])|[.)）、．](?=[\u4e00-\u9fff])))\s*"
)
WIDE = "\u2e80"  # the first of the characters of East Asia, which take two columns
NARROWEST = 60  # columns: nobody wraps reports at fewer
_WORDS = (  # after these a sentence continues
    "a an the of in on at to by for from with without and or but nor as than that this these which"
    " is are was were be been being has have had may can could would should will might no not any"
    " some there it its via per into over under above below between through near versus vs"
    " approximately about measuring measures rib ribs level levels grade stage type his her"
    " de del la el los las un una y o con sin en por al se es son"
)
_ADJECTIVES = (
    "left right small large mild moderate severe minimal tiny trace massive bilateral new acute"
    " focal pleural pulmonary lower upper middle mid basilar basal apical interstitial patchy"
    " slight extensive chronic increased decreased enlarged possible probable likely"
)
_ENDS_WIDE = (
    "少量 中量 大量 微量 轻度 中度 重度 左侧 右侧 双侧"
    " 左 右 双 两 的 及 和 与 或 伴 见 可见 未见 考虑"
)
_STARTS = (  # and these continue one
    "is are was were be been has have had may can could would should will of in on at to by for"
    " from with and or but nor as than that which versus vs consistent compatible suggestive seen"
    " noted de del y o con en por"
)
_NAMES_OF = (  # written with a capital within a sentence
    "dr drs mr mrs ms xray x-ray swan swan-ganz dobbhoff dobhoff kerley hickman foley port-a-cath"
    " portacath mediport bochdalek morgagni chilaiditi french hounsfield groshong quinton schmorl"
    " harrington impella january february march april may june july august september october"
    " november december"
)
_DENIALS = ("no", "none", "nil")
_ASKS = frozenset(_WORDS.split())
_ASKS_WITHOUT_CASE = _ASKS | frozenset(_ADJECTIVES.split())
_ASKS_WIDE = tuple(_ENDS_WIDE.split())
_CONTINUES = frozenset(_STARTS.split())
_NAMES = frozenset(_NAMES_OF.split())
_LINE_ENDS = "\r\v\f\x85\u2028\u2029"  # that of Windows is two characters
_LAST = re.compile(r"\S+$")
_FIRST = re.compile(r"\S+")
_LONGEST_WORD = 100  # characters that are looked at before a line end
_TITLED = re.compile(r"[A-Z][A-Za-z ,/()-]{1,40}:")
_TITLED_WITHOUT_CASE = re.compile(_TITLED.pattern, re.I)


def with_line_feeds(text: str) -> str:
    """The text with a line feed for every line end of any system, character for character."""
    if "\r" in text:
        text = text.replace("\r\n", " \n")
    for mark in _LINE_ENDS:
        if mark in text:
            text = text.replace(mark, "\n")
    return text


class LineStructure:
    """The line ends of one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def parts(self, end: int, start: int) -> bool:
        """Whether a line that ends at `end` and the next, which begins at `start`, are apart."""
        text = self._text
        if text[start : start + 1] in BULLETS and ITEM.match(text, start):
            return True
        line = text[max(0, end - _LONGEST_WORD) : end].rstrip()
        last, first = _LAST.search(line), _FIRST.match(text, start)
        if last is None or first is None or not (line[-1].isalnum() or line[-1] in "_)]%\"'"):
            return False
        if line.endswith(_ASKS_WIDE):
            return False
        before, after = last[0].lower().strip("(\"'"), first[0].lower().strip(",:;.")
        if before in _DENIALS and _TITLED.match(text, start):  # "Pneumothorax: no"
            return True
        if after == "no" and before not in _ASKS:  # nobody wraps before a denial
            return True
        letter, second = text[start], first[0][1:2]
        # An ordinary word with a capital begins a statement; an abbreviation may not.
        begins = letter.isupper() and (not second or second.islower())
        begins = begins and self._has_case and after not in _NAMES
        titled = (_TITLED if self._has_case else _TITLED_WITHOUT_CASE).match(text, start)
        ends = begins or (titled and self._fits(end, first[0]))  # "LEFT" ends "EFFUSION: LEFT"
        if before in (_ASKS if ends else _ASKS_WITHOUT_CASE):
            return False
        if titled or ITEM.match(text, start):
            return True
        if after in _CONTINUES or (self._has_case and letter.islower()):
            return False
        return begins or self._fits(end, first[0])

    def _fits(self, end: int, word: str) -> bool:
        """Whether a word had place on the line that ends at `end`."""
        line = self._text[self._text.rfind("\n", 0, end) + 1 : end]
        return _columns(line.rstrip()) + 1 + _columns(word) <= self._width

    @cached_property
    def _width(self) -> int:
        longest = max(_columns(line.rstrip()) for line in self._text.split("\n"))
        return max(longest, NARROWEST)

    @cached_property
    def _has_case(self) -> bool:
        """Whether capitals begin sentences: not in a text of capitals, nor in one without any."""
        return not (self._text.isupper() or self._text.islower())


def _columns(line: str) -> int:
    """Width of a line."""
    return len(line) if line.isascii() else sum(1 + (char >= WIDE) for char in line)
