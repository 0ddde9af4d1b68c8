import csv
from collections import defaultdict
from pathlib import Path

import pytest

from roentgen.labelers.rules.rule_labeler import label_report, statements_of
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Report
from roentgen.record.statement import Statement

Row = dict[str, str]


def read_sentences() -> dict[str, list[Row]]:
    """The rows of each sentence: findings with state, side and severity.

    "a|b": either is right, "any" and "~" are not scored, "none": no side or severity.
    """
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    with (Path(__file__).parent / "chinese_sentences.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["sentence"]].append(row)
    return rows


SENTENCES = read_sentences()


def labels(text: str) -> tuple[Finding, ...]:
    return label_report(Report(findings=text), "zh")


def statement(text: str) -> Statement:
    """The only statement of a text."""
    (only,) = statements_of(Report(findings=text), "zh")
    return only


def allows(wanted: str, value: str | None) -> bool:
    return wanted in ("any", "~") or (value or "none") in wanted.split("|")


def is_right(row: Row, found: tuple[Finding, ...]) -> bool:
    named = [finding for finding in found if finding.name == row["finding"]]
    if row["state"] == "any" or not named:
        return row["state"] == "any" or "not mentioned" in row["state"].split("|")
    return any(
        allows(row["state"], finding.state)
        and allows(row["side"], finding.side)
        and allows(row["severity"], finding.severity)
        for finding in named
    )


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences_are_read_right(sentence: str) -> None:
    found = labels(sentence)
    assert all(is_right(row, found) for row in SENTENCES[sentence]), found


def test_sentences_are_many_and_half_of_them_have_a_side_a_doubt_or_a_negation() -> None:
    hard = [
        sentence
        for sentence, rows in SENTENCES.items()
        if any(r["state"] != "present" or r["side"] not in ("none", "~") for r in rows)
    ]
    assert len(SENTENCES) >= 150
    assert len(hard) >= len(SENTENCES) / 2


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("右肺结节，直径约8mm。", 8),
        ("右肺结节，直径约０．８ｃｍ。", 8),
        ("右肺肿块，大小约3.5×4.2cm。", 42),
        ("右肺肿块，大小约3.5*4.2厘米。", 42),
        ("右肺结节约5毫米。", 5),
    ],
)
def test_sizes_are_in_millimeters(text: str, size: float) -> None:
    assert statement(text).size_mm == size


@pytest.mark.parametrize(
    ("simplified", "other"),
    [
        ("两肺纹理增多，左侧少量胸腔积液。", "兩肺紋理增多，左側少量胸腔積液。"),
        ("右肺下叶实变，未见气胸。", "右肺下葉實變，未見氣胸。"),
        ("右侧气胸，考虑肺炎？", "右侧气胸,考虑肺炎?"),
        ("心影增大；主动脉结钙化", "心影增大;主动脉结钙化"),
        ("ＰＩＣＣ导管尖端位于上腔静脉。", "PICC导管尖端位于上腔静脉。"),
    ],
)
def test_other_forms_of_characters_read_alike(simplified: str, other: str) -> None:
    assert labels(simplified) == labels(other) != ()


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("右肺上叶结节", ("upper lobe",)),
        ("右肺中下叶炎症", ("middle lobe", "lower lobe")),
        ("右肺中叶及下叶炎症", ("middle lobe", "lower lobe")),
        ("右上肺野斑片影", ("upper zone",)),
        ("右下肺不张", ("lower zone",)),
        ("右肺尖结节", ("apical",)),
        ("右肺底斑片影", ("basal",)),
        ("右肺门区肿块", ("perihilar",)),
        ("右侧心影后斑片影", ("retrocardiac",)),
    ],
)
def test_places(text: str, places: tuple[str, ...]) -> None:
    (extent,) = statement(text).extents
    assert (extent.side, extent.places) == ("right", places)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("左侧胸腔积液较前明显增多。", "increased"),
        ("左侧胸腔积液，较前略有吸收。", "decreased"),
        ("左侧胸腔积液较前变化不著。", "unchanged"),
        ("新发左侧胸腔积液。", "new"),
        ("左侧胸腔积液增多。", "increased"),
    ],
)
def test_changes(text: str, change: str) -> None:
    assert statement(text).change == change


@pytest.mark.parametrize(
    "text", ["骨骼及软组织未见明显异常。", "气管居中。", "PICC导管在位。", "未见气胸。"]
)
def test_a_part_of_the_chest_is_not_all_of_it(text: str) -> None:
    assert Finding(name="No Finding") not in labels(text)
