"""Reports that no findings are read from: counted and listed, whatever their language or layout."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from roentgen.config import load_config
from roentgen.dataset.dataset import open_dataset
from roentgen.imaging.images import encode_png
from roentgen.labelers.rules import lexicon
from roentgen.labelers.rules.report_language import language_to_read
from roentgen.preparation.report_reading import count_language, language_line, unread
from roentgen.prepare import PrepareConfig, prepare
from roentgen.record.radiograph import Radiograph, Report

FRENCH = "Il y a un épanchement dans le poumon gauche."
SPANISH = "Derrame pleural izquierdo, sin neumotórax."
CHINESE = "左侧少量胸腔积液，未见气胸。"
ENGLISH = "Small left pleural effusion."
WORDS = Path(lexicon.__file__).parent / "words"


def with_report(report: Report) -> Radiograph:
    return Radiograph(
        id="s1",
        patient_id="p",
        study_id="s",
        split="train",
        image=encode_png(np.zeros((8, 8), np.uint8)),
        report=report,
        source="",
        license="",
    )


def prepared(root: Path, texts: list[str], **settings: str) -> tuple[str, list[tuple[str, ...]]]:
    """The summary, and the findings of each text, of a dataset of one image for each text."""
    lines = ["image\tpatient\tfindings"]
    for number, text in enumerate(texts):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24), dtype=np.uint8)
        (root / f"{number}.png").write_bytes(encode_png(pixels))
        lines.append(f"{number}.png\t{number}\t{text}")
    (root / "t.tsv").write_text("\n".join(lines), encoding="utf-8")
    config = root / "config.yaml"
    config.write_text(f"""
output: {root / "out"}
size: 16
workers: 1
split: {{fractions: {{train: 1.0, validate: 0.0, test: 0.0}}}}
reports: {{label_findings: true}}
table:
  root: {root}
  file: t.tsv
  image: image
  patient_id: patient
  report: {{findings: findings}}
  licenses: [{{name: CC0-1.0, data_use: null, may_share: true}}]
""")
    overrides = [f"--{name}={value}" for name, value in settings.items()]
    summary = prepare(load_config(PrepareConfig, [str(config), *overrides]))
    rows = sorted(open_dataset(root / "out").split("train"), key=lambda row: int(row.id))
    return summary, [tuple(finding.name for finding in row.findings) for row in rows]


@pytest.mark.parametrize(
    ("setting", "read", "line"),
    [
        ("en", {3}, "of 4 reports 1 are in Chinese and 1 are in French and 1 are in Spanish"),
        ("es", {1}, "of 4 reports 1 are in Chinese and 1 are in English and 1 are in French"),
        ("zh", {2}, "of 4 reports 1 are in English and 1 are in French and 1 are in Spanish"),
        ("auto", {1, 2, 3}, "of 4 reports 1 are in French"),
    ],
)
def test_findings_are_read_in_the_language_that_is_set(
    tmp_path: Path, setting: str, read: set[int], line: str
) -> None:
    for code in {"es", "zh"} & {setting, *(("es", "zh") if setting == "auto" else ())}:
        if not (WORDS / f"{code}.yaml").exists():
            pytest.skip(f"the labeler has no words of {code}")
    texts = [FRENCH, SPANISH, CHINESE, ENGLISH]
    summary, findings = prepared(tmp_path, texts, **{"reports.language": setting})
    assert f"{line}: no findings are read from them (reports.language={setting} reads" in summary
    assert {n for n, found in enumerate(findings) if "Pleural Effusion" in found} == read
    assert all(not found for n, found in enumerate(findings) if n not in read)


def test_reports_in_the_language_that_is_set_are_not_mentioned(tmp_path: Path) -> None:
    summary, findings = prepared(tmp_path, [ENGLISH, "Effusion", "nan", "NaN", "None", "n/a"])
    assert "no findings are read" not in summary
    assert [len(found) for found in findings] == [1, 1, 0, 0, 0, 0]
    rows = open_dataset(tmp_path / "out").split("train")
    assert [row.report for row in rows if int(row.id) > 1] == [None] * 4


def test_a_report_of_which_nothing_is_left_is_listed(tmp_path: Path) -> None:
    summary, _ = prepared(tmp_path, [ENGLISH, "Dr. ___ was paged.", "___ ___", "XXXX."])
    assert "  3: report (none): cleaning leaves nothing of its text" in summary
    with (tmp_path / "out/unmapped.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] == "report"]
    assert [row[1:] for row in rows] == [
        [name, "1", "cleaning leaves nothing of its text"] for name in ("1", "2", "3")
    ]


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (Report(), "it has no section that is known"),
        (Report(indication="Fever.", comparison="None."), "only indication and comparison"),
    ],
)
def test_a_report_without_a_text_that_is_read_is_listed(report: Report, why: str) -> None:
    given = with_report(report)
    (lost,) = unread(given, given)
    assert lost[:2] == ("report", "s1")
    assert lost.why.startswith("no findings, impression or untitled text")
    assert why in lost.why
    read = replace(given, report=Report(impression="Edema."))
    assert [*unread(read, read)] == [*unread(replace(given, report=None), given)] == []


@pytest.mark.parametrize(
    ("text", "setting", "language"),
    [
        (ENGLISH, "en", "en"),
        ("Pneumothorax", "en", "en"),
        ("Pneumothorax", "es", "es"),
        ("Pneumothorax", "auto", None),
        (SPANISH, "en", None),
        (SPANISH, "auto", "es"),
        (CHINESE, "auto", "zh"),
        (FRENCH, "auto", None),
    ],
)
def test_language_of_a_report(
    text: str, setting: Literal["en", "es", "zh", "auto"], language: str | None
) -> None:
    assert language_to_read(Report(impression=text), setting) == language
    assert language_to_read(Report(last_paragraph=text), setting) == language


def test_a_line_counts_texts_of_no_certain_language_only_where_none_is_set() -> None:
    languages = Counter({"English": 3, "no certain language": 2})
    assert language_line(languages, "en") is None
    assert language_line(languages, "auto") == (
        "of 5 reports 2 are in no certain language: no findings are read from them "
        "(reports.language=auto reads English, Spanish, Chinese)"
    )


def test_sentences_in_another_language_are_counted() -> None:
    languages: Counter[str] = Counter()
    for text in (
        "There is no effusion. The heart is enlarged. Derrame pleural derecho con atelectasia.",
        "Small left effusion. No pneumothorax. Derrame pleural derecho con atelectasia.",
        "No effusion is seen in the lung. ETT in place.",
    ):
        count_language(Report(findings=text), languages)
    assert language_line(languages, "en") == (
        "of 3 reports 1 are in English with sentences in Spanish and 1 are in no certain language "
        "with sentences in English and Spanish: only those in English are read"
    )
