import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from roentgen.labelers.rules import lexicon
from roentgen.labelers.rules.rule_labeler import label_report, statements_of
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Report
from roentgen.record.statement import Statement
from roentgen.reports.sections import parse_report
from roentgen.statements.hierarchy import findings, places

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


def test_the_distance_of_a_device_is_not_its_size() -> None:
    assert statement("气管插管末端位于隆突上约3cm。").size_mm is None


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


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("右肺炎症，双肺门不大。", "right"),
        ("右侧气胸，左侧清晰。", "right"),
        ("左侧胸腔积液，右侧膈面光滑。", "left"),
        ("左侧气胸，右侧肋骨完整。", "left"),
        ("左侧胸腔积液，纵隔右移。", "left"),
        ("左肺肿块，右侧乳腺术后。", "left"),
    ],
)
def test_the_side_of_another_structure_is_not_that_of_the_finding(text: str, side: str) -> None:
    assert [finding.side for finding in labels(text) if finding.state == "present"] == [side]


def test_whole_report() -> None:
    report = parse_report(
        "检查部位：胸部正位（床旁）\n"
        "临床诊断：肺部感染？\n"
        "影像所见：\n"
        "    与前片（2023.10.2）比较：右侧胸腔积液较前增多，现为中等量；"
        "左侧胸腔积液较前吸收，现少量。双肺水肿较前减轻。"
        "右侧胸腔引流管已拔除，气管插管末端位于隆突上约3cm。未见明显气胸征象。\n"
        "诊断意见：\n"
        "1.双侧胸腔积液（右侧中量，左侧少量）。\n"
        "2.肺水肿，较前好转。\n"
    )
    assert label_report(report, "zh") == (
        Finding(name="Edema", side="bilateral"),
        Finding(name="Pleural Effusion", side="left", severity="small"),
        Finding(name="Pleural Effusion", side="right", severity="moderate"),
        Finding(name="Pneumothorax", state="absent"),
        Finding(name="Support Devices", detail="endotracheal tube"),
    )


def test_whole_normal_report_in_traditional_characters() -> None:
    report = parse_report(
        "【檢查所見】雙肺紋理清晰，肺野內未見明顯實質性病變，縱隔居中。"
        "心影大小、形態正常，雙側肋膈角銳利。\n"
        "【診斷意見】心肺膈未見明顯異常。"
    )
    assert label_report(report, "zh") == (
        Finding(name="Cardiomegaly", state="absent"),
        Finding(name="Lung Opacity", state="absent"),
        Finding(name="No Finding"),
        Finding(name="Pleural Effusion", state="absent"),
    )


def read_words() -> dict[str, Any]:
    """The Chinese file of words."""
    path = Path(lexicon.__file__).parent / "words" / "zh.yaml"
    words: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return words


def test_every_phrase_of_a_finding_alone_is_read_as_that_finding() -> None:
    for meaning, template in lexicon._entries(read_words()):
        for phrase in lexicon._expand(template) if meaning.kind == "finding" else ():
            found = {one.finding for one in statements_of(Report(findings=phrase), "zh")}
            assert found >= set(meaning.names) - {"abnormality"}, phrase


def test_no_phrase_has_two_meanings() -> None:
    meanings = defaultdict(set)
    for meaning, template in lexicon._entries(read_words()):
        for phrase in lexicon._expand(template):
            meanings["".join(phrase.split())].add(meaning)
    assert {phrase: found for phrase, found in meanings.items() if len(found) > 1} == {}


def test_names_are_nodes_of_the_hierarchy() -> None:
    words = read_words()
    named = {name for key in words["findings"] for name in key.split(", ")}
    assert named <= findings().keys() | {"abnormality"}
    located = {name for key in words["places"] for name in key.split(", ")}
    assert located <= places().keys() | {"left", "right", "bilateral"}
