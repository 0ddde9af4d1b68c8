"""Reports are labelled faster than films are read."""

import importlib.util
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from roentgen.corpora.open_i import read_reports
from roentgen.data.radiograph import Report
from roentgen.text.labeler import label_report

PACKAGE = importlib.util.find_spec("torchxrayvision")


def _label(reports: list[Report]) -> int:
    return sum(len(label_report(report)) for report in reports)


@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="torchxrayvision, which holds the reports, is absent")
def test_five_hundred_reports_a_second_on_two_cores() -> None:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    source = Path(PACKAGE.origin).parent / "data" / "NLMCXR_reports.tgz"
    reports = [item.report for item in read_reports(source)]
    parts = [reports[i : i + 100] for i in range(0, len(reports), 100)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_label, [[], []]))  # the workers start
        started = time.perf_counter()
        labels = sum(pool.map(_label, parts))
        rate = len(reports) / (time.perf_counter() - started)
    print(f"{rate:.0f} reports/s")
    assert labels > len(reports)
    assert rate >= 500
