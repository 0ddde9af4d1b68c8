"""Sentences as reports have them, with what they state: a state may be one of several."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from roentgen.labelers.rules.rule_labeler import label_report
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Report

Row = dict[str, str]


def sentences() -> dict[str, list[Row]]:
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    with Path(__file__).with_name("english_sentences.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["sentence"]].append(row)
    return rows


def fits(finding: Finding, row: Row) -> bool:
    """Whether a finding is as a row has it; what the row leaves blank is not compared."""
    given = {"side": finding.side, "severity": finding.severity}
    return finding.state in row["state"].split("|") and all(
        not row[key] or (value or "none") in row[key].split("|") for key, value in given.items()
    )


@pytest.mark.parametrize(("sentence", "rows"), sentences().items())
def test_each_sentence_is_read_right(sentence: str, rows: list[Row]) -> None:
    found = label_report(Report(findings=sentence))
    for row in rows:
        own = [finding for finding in found if finding.name == row["finding"]]
        if own:
            assert any(fits(finding, row) for finding in own), (row, own)
        else:
            assert "-" in row["state"].split("|"), row
