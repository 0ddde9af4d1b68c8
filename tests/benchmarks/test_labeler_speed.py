"""Reports are read faster than radiographs are decoded."""

import importlib.util
import time
from pathlib import Path

import pytest

from roentgen.corpora.open_i.open_i import read_reports
from roentgen.labelers.rules.rule_labeler import label_report
from roentgen.record.radiograph import Report
from roentgen.reports.sections import parse_report

PACKAGE = importlib.util.find_spec("torchxrayvision")


def as_text(report: Report) -> str:
    """A report as a file has it."""
    sections = {"FINDINGS": report.findings, "IMPRESSION": report.impression}
    return "\n\n".join(f"{title}:\n{text}" for title, text in sections.items() if text)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    source = Path(PACKAGE.origin).parent / "data" / "NLMCXR_reports.tgz"
    return [as_text(item.report) for item in read_reports(source)]


@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision, which holds the reports, is absent")
def test_1500_reports_a_second_on_each_core(texts: list[str]) -> None:
    # Time of the processor, not of the clock: what else the machine does must not matter. Reports
    # are read one by one in prepare's workers, so two cores read twice as many.
    started = time.process_time()
    labels = sum(len(label_report(parse_report(text))) for text in texts)
    rate = len(texts) / (time.process_time() - started)
    print(f"{rate:.0f} reports/s on one core")
    assert labels > len(texts)
    assert rate >= 1500


@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision, which holds the reports, is absent")
def test_a_megabyte_takes_at_most_a_second(texts: list[str]) -> None:
    text = "FINDINGS:\n" + " ".join(
        text.partition("\n")[2].partition("\n\nIMPRESSION:")[0] for text in texts
    )
    text = (text * 3)[:1_000_000]
    started = time.process_time()
    labels = label_report(parse_report(text))
    seconds = time.process_time() - started
    print(f"{seconds:.2f} s")
    assert labels
    assert seconds <= 1
