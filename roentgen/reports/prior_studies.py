"""Removal of comparisons with prior studies from report sections.

A generator that learns "unchanged" or "increased since ___" learns words that its image cannot
show (Ramesh et al. 2022, "Improving radiology report generation systems by removing hallucinated
references to non-existent priors"). What the image itself shows is kept: "Stable cardiomegaly,
unchanged from prior." becomes "Cardiomegaly."; "The heart is unchanged." is removed, since it
describes nothing without the prior study.
"""

import re

from roentgen.reports.sentences import sentences

_STUDY = (
    r"(?:stud(?:y|ies)|exam(?:ination)?s?|radiographs?|films?|x-?rays?|chest(?: (?:x-?rays?"
    r"|radiographs?|films?|ct))?|cts?(?: scans?| chest)?|scans?|images?|imaging|reports?"
    r"|comparisons?|one|chest)\b"
)
_EARLIER = r"(?:prior|previous|earlier|preceding|most recent|recent|last|outside|old|comparison)"
_OTHER = (
    rf"(?:(?:the|an?|that|these|this|patient's|her|his|multiple|several|\d+) )*"
    rf"(?:{_EARLIER} )+(?:\S+ ){{0,3}}?{_STUDY}|(?:the )?{_EARLIER}s?(?= ?(?:[.,;)]|and\b|$))"
)
_SAME = r"(?:unchanged|stable|similar|the same|constant)"
_HOW = (
    r"(?:(?:largely|relatively|grossly|essentially|overall|roughly|fairly|otherwise|very|not"
    r"|significantly|substantially|slightly|mildly|minimally|somewhat|again|still|also|mostly) )*"
)
_ASPECT = r"(?: in (?:\w+ )?(?:appearance|size|position|extent|configuration|location|contour)s?)?"
_SINCE = rf"(?:(?:since|from|to|with|than|as|on) (?:the )?(?:{_OTHER}))"
# The study compared with, anywhere in the sentence.
_COMPARED = re.compile(
    rf",? ?\(?(?:\b(?:as|when|and) )?(?:\b(?:in )?compar(?:ed|ison|ing)(?: is made)?"
    rf" (?:to|with)|\brelative to|\bsince"
    rf"|(?:\b(?:which|that) (?:was|were) )?(?<!not )(?<!well )(?:also |as )?\bseen (?:on|in)"
    rf"|\bsimilar to|\bas (?:seen )?(?:on|in|of)) (?:{_OTHER})"
    r"(?: (?:of|from|dated) [^,.;]*)?\)?,?"
    rf"|,? ?\b(?:as|when) compared(?: to| with)?(?=[.,;]|$),?"
    rf"|^(?:in the interval|again|since (?:that time|then)),? ",
    re.I,
)
# The remainder of a comparison: "larger", "more conspicuous".
_COMPARATIVE = re.compile(
    r",?(?: (?:(?:that|which|and) )?(?:is|are|appears?|has|have))? (?:slightly |mildly "
    r"|minimally )?"
    r"(?:larger|smaller|increased|decreased|(?:more|less) (?:prominent|conspicuous|pronounced"
    r"|extensive|marked))(?: in (?:size|extent|conspicuity))?(?=\W*$)",
    re.I,
)
# A clause at the end: "without new infiltrate", ", no interval change".
_NOTHING_NEW = re.compile(
    r"(?<=\w)[,;]? (?:with |and |but )?(?:no|without)(?: \w+){0,3} (?:new|change|interval)\b[^;.]*",
    re.I,
)
_SEEN = r"(?:seen|noted|demonstrated|identified|visualized|evident|present|appreciated|observed)"
# (pattern of a comparison, replacement), applied in this order.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.I), replacement)
    for pattern, replacement in (
        # A predicate that states no change.
        (
            rf" (?:is|are) {_HOW}{_SAME}{_ASPECT}(?: {_SINCE})* and"
            r"(?= (?:represents?|indicates?|suggests?|is|are|has|have|likely)\b)",
            "",
        ),
        (
            rf"[,;]? (?:and|but)? ?{_HOW}\b{_SAME}{_ASPECT}(?: {_SINCE})+(?=\W*$|[,;])",
            "",
        ),
        (
            rf" (?:(?:which|that|and|but) )?(?:is|are|appears?|remains?) {_HOW}{_SAME}{_ASPECT}"
            rf"(?: {_SINCE})*(?=\W*$|[,;])",
            "",
        ),
        # The contour of heart and mediastinum is described only by a word other than "stable".
        (
            rf",?(?: and| with)? ?\b{_HOW}(?:stable|unchanged) (?:(?:cardiac|mediastinal|hilar"
            rf"|heart"
            r"|cardiomediastinal|and|size|appearance of the) ?)*(?:contours?|silhouettes?|size)"
            r"(?=\W*$|,)",
            "",
        ),
        (r",? in (?:stable|unchanged) (?:position|alignment|location)s?\b", ""),
        # A predicate beside another one: "enlarged but unchanged", "stable and normal".
        (
            rf",? (?:and|but|yet|although|though) (?:is |are )?{_HOW}{_SAME}{_ASPECT}(?=\W*$|[,;])",
            "",
        ),
        (rf", {_HOW}{_SAME}{_ASPECT}(?=\W*$|[,;])", ""),
        (rf"(?<=\bis )({_HOW}){_SAME}{_ASPECT}(?: and|,(?: and)?) (?=\w)", ""),
        (rf"(?<=\bare )({_HOW}){_SAME}{_ASPECT}(?: and|,(?: and)?) (?=\w)", ""),
        # Worsening, and devices that were placed, are visible on the image itself.
        (
            r"\b(?:(?:there (?:is|has been) |an? |slight |mild |minimal |significant |marked )*"
            r"interval )(?:development|worsening|progression|increase|enlargement|appearance"
            r"|placement|insertion)(?: in(?: the)? size)? (?:of|in) (?:an? |the )?(?:new )?",
            "",
        ),
        (r"^re-?demonstrated (?=\w)", ""),
        (r"\b(?:there is )?(?:again )?re-?demonstration of (?:an? |the )?", ""),
        (r"\b(?:there is )?stability of (?:an? |the )?", ""),
        (r"(?:,? (?:as|which (?:was|were)))? (?:previously|prior) (?=" + _SEEN + r"\b)", " "),
        (r"\b(?:previously|again|persistently|stably)[- ](?:seen|noted|described|identified) ", ""),
        (r"\bremains\b(?= (?!stable|unchanged|similar))", "is"),
        (r"\bremain\b(?= (?!stable|unchanged|similar))", "are"),
        (r"\b(?:continues|continue) to (?:be|have)\b", "is"),
        (rf"\b(?:once )?again(?= {_SEEN})|\bagain,? (?=(?:an?|the|is|are|there)\b)", ""),
        (r"(?<=seen) (?:once )?again\b|\bre-?demonstrated\b", " seen"),
        (r"\b(?:once again|again|persistently|as before|at this time)\b,?", ""),
        # An adjective before its noun.
        (
            r"\b(?:(?:slightly|overall|relatively|grossly|essentially) )?(?:unchanged|stable"
            r"|persistent|persisting|continued|residual|new|interval|unresolved"
            r"|increasing|worsening|enlarging|decreasing|improving),?"
            r"(?: (?:in )?appearance of(?: the)?| appearing|-appearing)? (?=[a-z0-9])"
            r"(?!(?:in|on|from|since|to|and|but|compared|as|at|with|when|for|exam\w*|chest|study"
            r"|appearance|appearances|change\w*|findings?|decrease\w*|resol\w*|improve\w*|clear\w*"
            r"|remov\w*|increase\w*|development|contours?|comparison|position|size|over|heart"
            r"|mediast\w*|cardiomediastinal|cardiac|cardio)\b)",
            "",
        ),
    )
)
_EMPTY_NEGATION = re.compile(
    r"\b(?:no|not|without|nor|neither|any|never)\b(?: [\w-]+,?){0,4}? (?:new|newly|interval"
    r"|changed?"
    r"|changes? (?:from|since|in)|progress\w*|worsen\w*|developed|previous\w*|prior (?:stud"
    r"|exam)\w*)\b",
    re.I,
)
_CHANGES_BY_ITSELF = re.compile(
    r"\b(?:degenerative|arthritic|surgical|operative|chronic|fibrotic|emphysematous|atelectatic"
    r"|cystic|osteoarthritic|inflammatory|bony|interstitial|sternotomy|related|granulomatous"
    r"|spondylitic|hypertrophic|post\w*|mild|moderate)\b",
    re.I,
)
_ASKS = re.compile(r"^(?:comparison|correlation)\b.*\b(?:could|would|may|is|recommend\w*)\b", re.I)
# Comparisons that remain when all that can be removed is removed.
_STILL_COMPARES = re.compile(
    rf"\b(?:unchanged|interval(?:ly)?|previously|comparisons?|compared|comparable|newly|new|stable"
    r"|stability|redemonstrat\w*|no longer|since|persist\w*|resolved|resolving|resolution"
    r"|improv\w+|worsen\w*|worse(?! (?:than|on|at|in) (?:the )?(?:left|right|base))"
    r"|increasing(?:ly)?|decreasing(?:ly)?|progress(?:ed|ion|ing)"
    r"|continued|continues?|remains?|remained|(?:has|have) (?:\w+ly |been )*(?:increased|decreased"
    r"|changed|cleared|developed|enlarged|grown|removed|moved|re-?expanded|been removed|advanced"
    r"|withdrawn)|again|changed|unresolved|similar (?:to|in)|not (?:significantly )?different"
    r"|(?:prior|previous|earlier|preceding)(?: \S+){0,3}? "
    rf"{_STUDY}|(?:from|to|than|with|on|the|since) (?:prior|previous|earlier)s?(?=\W*$|[,;]))\b"
    r"|\b(?:no|any|little|without)(?: \w+){0,3} change\b|\bchange (?:from|since|compared)\b"
    r"|\b(?:larger|smaller|more \w+|less \w+|greater|lower|higher) than (?:on |in )?(?:the )?"
    r"(?:prior|previous|before)|\binterim\b|\bthere (?:has|have) been\b|\b(?:removal|extubation"
    r"|re-?expansion) of\b"
    r"|\bextubated\b|^comparison\b|^correlat\w+ with\b|\bon (?:the )?(?:prior|previous)\b",
    re.I,
)
_HINT = re.compile(
    r"unchanged|stable|stabil|similar|interval|prior|previous|earlier|preceding|compar|\bnew|again"
    r"|since|persist|residual|remain|resol|improv|wors|increas|decreas|progress|continu|demonstrat"
    r"|no longer|\bchange|interim|cleared|develop|enlarged|than|relative|remov|extubat|as before"
    r"|\bsame\b"
    r"|recent",
    re.I,
)
_LOOSE_END = re.compile(
    r"[ ,;]+(?:is|are|was|were|appears?|has|have|been|be|and|but|or|with|in|of|the|an?|to|from"
    r"|which"
    r"|there|as|that|on|at|than|also|slightly|overall|otherwise)(?=\W*$)",
    re.I,
)
_NO_CONTENT = re.compile(
    r"^(?:(?:the|there|this|these|it|is|are|an?|of|in|overall|otherwise|also|and|no|grossly"
    r"|cardiac|cardio|mediastinal|cardiomediastinal|pulmonary|hilar|silhouettes?|contours?|hearts?"
    r"|sizes?|lungs?|chests?|mediastinum|vasculature|findings?|appearances?|exams?|examinations?"
    r"|study|studies|stud\w+|radiographs?|structures?|osseous|bony|bilateral|left|right|volumes?"
    r"|soft|tissues?|thorax|visualized|airways?|hila|hilum|trachea|increased|decreased|larger"
    r"|smaller|noted|seen"
    r"|borders?|changes?|x-ray|not|significantly|disease|process|abnormality|acute)\b\W*)*$",
    re.I,
)
_TIDY: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\s+"), " "),
    (re.compile(r" (?=[.,;:)])"), ""),
)
_TIDY += ((re.compile(r"^[\s,;:.)-]+"), ""), (re.compile(r"[,;](?=\s*[.,;])"), ""))
_TIDY += ((re.compile(r"\b([Aa])n (?=[bcdfgjklmnpqrstvwxyz])"), r"\1 "),)
_TIDY += ((re.compile(r"\b([Aa]) (?=[aeio])"), r"\1n "),)
_WORD = re.compile(r"[a-z]{2}", re.I)


def without_prior_comparisons(text: str) -> str:
    """A cleaned section without comparisons with prior studies; "" if nothing else is left.

    Comparing words are removed where the rest describes the image without them; the sentence is
    removed where it only states a change, a finding that is gone, or that nothing is new. Sentences
    without a comparison are returned verbatim.
    """
    rest = (_without_comparison(sentence) for sentence in sentences(text))
    return " ".join(sentence for sentence in rest if sentence)


def _without_comparison(sentence: str) -> str:
    """The part of a sentence that needs no prior study."""
    if not _HINT.search(sentence):
        return sentence
    if _ASKS.search(sentence):
        return ""
    rest, compared = _COMPARED.subn(" ", sentence)
    if compared:
        rest = _COMPARATIVE.sub("", rest)
    rest = _NOTHING_NEW.sub("", rest)
    if _EMPTY_NEGATION.search(rest):
        return ""
    for pattern, replacement in _RULES:
        rest = pattern.sub(replacement, rest)
    if rest == sentence and not _STILL_COMPARES.search(rest):
        return sentence
    for pattern, replacement in _TIDY:
        rest = pattern.sub(replacement, rest)
    rest = rest.strip()
    if _STILL_COMPARES.search(rest):
        return ""
    while (cut := _LOOSE_END.sub("", rest)) != rest:
        rest = cut
    if not _WORD.search(rest) or _NO_CONTENT.match(rest):
        return ""
    if sentence.endswith(".") and rest[-1] not in ".!?":
        rest += "."
    return rest[:1].upper() + rest[1:]
