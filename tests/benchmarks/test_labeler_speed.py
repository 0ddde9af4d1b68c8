"""Reports are labeled faster than films are read."""

import importlib.util
import time
from pathlib import Path

import pytest

from roentgen.corpora.open_i.open_i import read_reports
from roentgen.labelers.rules.rule_labeler import label_report

PACKAGE = importlib.util.find_spec("torchxrayvision")


@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision, which holds the reports, is absent")
def test_five_hundred_reports_a_second_on_each_core() -> None:
    # Time of the processor, not of the clock: what else the machine does must not matter. Reports
    # are labeled one by one in prepare's workers, so two cores do twice as many.
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    source = Path(PACKAGE.origin).parent / "data" / "NLMCXR_reports.tgz"
    reports = [item.report for item in read_reports(source)]
    started = time.process_time()
    labels = sum(len(label_report(report)) for report in reports)
    rate = len(reports) / (time.process_time() - started)
    print(f"{rate:.0f} reports/s on one core")
    assert labels > len(reports)
    assert rate >= 500
