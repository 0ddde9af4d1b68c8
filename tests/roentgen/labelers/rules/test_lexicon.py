import pytest

from roentgen.errors import InputError
from roentgen.labelers.rules.lexicon import Lexicon, lexicon
from roentgen.labelers.rules.tokens import words_of
from roentgen.record.doubt import doubt_of
from roentgen.statements.hierarchy import findings, places

SIDES = {"left", "right", "bilateral"}
SMALLEST = {"modifiers": "before", "cues": {}, "transparent": (), "suffix": "", "spelled": ()}


def test_every_phrase_matches_by_itself() -> None:
    own = lexicon("en")
    for words in own.phrases():
        spans = [(phrase.start, phrase.end) for phrase in own.find(words)]
        assert (0, len(words)) in spans, words


def test_names_are_those_of_the_hierarchy_and_of_the_table_of_doubt() -> None:
    own = lexicon("en")
    for words in own.phrases():
        meaning = own.meaning_of(" ".join(words))
        if meaning is None:  # a separator within it
            continue
        match meaning.kind:
            case "finding":
                assert set(meaning.names) <= set(findings()), words
            case "structure":
                assert set(meaning.names) <= {*findings(), "abnormality"}, words
            case "place":
                known = {*places(), *SIDES, "elliptic", "upper", "mid", "lower"}
                assert set(meaning.names) <= known, words
            case "doubt" | "doubted":
                assert doubt_of(meaning.names[0]), words


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pneumothroax", "pneumothorax"),
        ("pnuemonia", "pneumonia"),
        ("atelectesis", "atelectasis"),
        ("cardiomegally", "cardiomegaly"),
        ("consoldation", "consolidation"),
        ("emphysemia", "emphysema"),
        ("effusoin", "effusion"),
        ("pneumomediastinm", "pneumomediastinum"),
    ],
)
def test_long_words_are_corrected(written: str, meant: str) -> None:
    own = lexicon("en")
    assert [p.names for p in own.find([written])] == [p.names for p in own.find([meant])]
    assert own.find([written])


@pytest.mark.parametrize(
    "word",
    [
        *("injection", "infusion", "perfusion", "clarification", "lobulated", "hypotension"),
        *("deceased", "connections", "spondylitis", "stimulation", "masking", "literal", "edam"),
    ],
)
def test_other_words_stay(word: str) -> None:
    assert lexicon("en").find([word]) == []


def test_words_without_meaning_are_skipped_inside_a_phrase() -> None:
    for text in ("cannot be definitively excluded", "cannot be entirely excluded"):
        (phrase,) = lexicon("en").find(words_of(text, "en"))
        assert phrase.kind == "doubted"


def test_sides_and_severities_inside_a_phrase_are_found() -> None:
    words = words_of("fluid in the left pleural space", "en")
    found = lexicon("en").find(words)
    assert [(phrase.kind, phrase.names) for phrase in found] == [
        ("side", ("left",)),
        ("finding", ("pleural effusion",)),
    ]


@pytest.mark.parametrize(
    ("text", "millimeters"),
    [("4 mm", 4), ("2.5 cm", 25), ("1.2 x 3 cm", 30), ("3 centimeters", 30), ("11 mm.", 11)],
)
def test_sizes_are_in_millimeters(text: str, millimeters: float) -> None:
    (size,) = lexicon("en").find(words_of(text, "en"))
    assert size.kind == "size"
    assert float(size.names[0]) == millimeters


@pytest.mark.parametrize("text", ["4", "4 hours", "x 3", "3. 5"])
def test_other_numbers_are_no_sizes(text: str) -> None:
    assert all(phrase.kind != "size" for phrase in lexicon("en").find(words_of(text, "en")))


def test_unknown_sections_and_cues_of_a_file_of_words_are_named() -> None:
    with pytest.raises(InputError, match="unknown section: finding"):
        Lexicon("en", SMALLEST | {"finding": {}})
    with pytest.raises(InputError, match="unknown cue: denies"):
        Lexicon("en", SMALLEST | {"cues": {"denies": ["no"]}})
