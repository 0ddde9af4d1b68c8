"""Damaged reports: plain text is always read, XML is read or refused with one line."""

import io
import re
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from roentgen.corpora.open_i.open_i import parse_xml, read_reports
from roentgen.errors import InputError
from roentgen.reports.cleaning import clean_section
from roentgen.reports.prior_studies import without_prior_comparisons
from roentgen.reports.sections import parse_report

Mutants = Callable[..., Iterator[bytes]]
SECONDS = 3  # of the processor
every_count = pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
TEXT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough.  // eval pneumonia

 COMPARISON:  ___.

 FINDINGS:

 Unchanged small left effusion, 2.5 cm. Heart size is normal:
 no edema. As compared to the previous radiograph, the tube was removed.

 WET READ: ___ ___ 9:31 AM
 IMPRESSION:

 1. No pneumonia.
 2. Stable cardiomegaly.
"""
XML = b"""<?xml version="1.0" encoding="utf-8"?>
<eCitation><meta type="rr"/><uId id="CXR1"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText>
<AbstractText Label="INDICATION">Positive TB test &amp; cough</AbstractText>
<AbstractText Label="FINDINGS">The cardiac silhouette is normal. XXXX lungs.</AbstractText>
<AbstractText Label="IMPRESSION">Normal chest.</AbstractText>
</Abstract></Article></MedlineCitation>
<MeSH><major>Cardiomegaly/mild</major><automatic>normal</automatic></MeSH>
<parentImage id="CXR1_1_IM-0001-3001"><figureId>F1</figureId></parentImage>
</eCitation>"""


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[a-z0-9]+", text.lower()))


@every_count
def test_a_damaged_report_still_has_sections_of_its_own_words(mutants: Mutants, count: int) -> None:
    read = 0
    for data in mutants(TEXT.encode(), count):
        text = data.decode(errors="replace")
        report = parse_report(text)
        found = [part for part in astuple(report) if part is not None]
        read += len(found) > 2
        for part in found:
            assert part == part.strip() != ""
            assert not words(part) - words(text)
            assert not words(without_prior_comparisons(part) or "") - words(part)
    assert read > count / 3  # cut ones have fewer


@every_count
def test_damaged_xml(mutants: Mutants, count: int) -> None:
    counted: Counter[str] = Counter()
    for data in mutants(XML, count):
        try:
            report = parse_xml(data, "1.xml")
            assert report.id
            parse_report(report.report.findings or "")
            counted["read"] += 1
        except InputError as error:
            told = str(error)
            counted["refused"] += 1
            if "\n" in told or not told.startswith("1.xml "):
                pytest.fail(f"not one clear line: {told!r}")
    print(dict(counted))
    assert counted["read"]
    assert counted["refused"]


@every_count
def test_xml_of_other_elements(count: int) -> None:
    # Well-formed: what is missing, doubled, moved or renamed reaches the reader.
    random = np.random.default_rng(0)
    counted: Counter[str] = Counter()
    for _ in range(count):
        root = ElementTree.fromstring(XML)
        elements = list(root.iter())[1:]
        for place in random.integers(0, len(elements), 2):
            chosen, other = elements[place], elements[random.integers(len(elements))]
            match random.integers(5):
                case 0:
                    chosen.clear()
                case 1:
                    chosen.tag = other.tag
                case 2:
                    chosen.text = None
                case 3:
                    chosen.attrib = {"Label": "\u2028 \u00e4\n"}
                case 4:
                    chosen.extend(ElementTree.fromstring(XML))
        try:
            report = parse_xml(ElementTree.tostring(root), "1.xml")
            assert report.id == "CXR1"
            assert all(isinstance(name, str) for name in (*report.images, *report.major))
            counted["read"] += 1
        except InputError as error:
            counted["refused"] += 1
            if "1.xml has no uId" not in str(error):
                pytest.fail(f"another reason: {error}")
    assert counted["read"]
    assert counted["refused"]


@every_count
def test_a_damaged_archive_of_reports(mutants: Mutants, count: int, tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            member.size = len(XML)
            archive.addfile(member, io.BytesIO(XML))
    path = tmp_path / "reports.tgz"
    refused = 0
    for data in mutants(file.getvalue(), count):
        path.write_bytes(data)
        try:
            assert len(list(read_reports(path))) <= 3
        except InputError as error:
            refused += 1
            if "\n" in str(error):
                pytest.fail(f"not one clear line: {error}")
    assert refused > count / 4


@pytest.mark.parametrize(
    "text",
    [
        *("A" * 100_000, "A " * 30_000, " " * 100_000, " \n" * 50_000, "_" * 100_000),
        *("A: " * 10_000, "AB: x\n" * 5_000, "FINDINGS:" * 5_000, ". FINDINGS" * 5_000),
        *("WET READ x\n" * 5_000, "FINAL REPORT\n" * 5_000, "IMORESSION: x\n" * 3_000),
        *("compared to the " * 4_000, "1. " * 10_000, "(" * 50_000, "clinical " * 5_000),
        *("XXXX of " * 3_000, "___ year " * 5_000, "dated ___, " * 5_000, "___-" * 10_000),
        "".join(f"TITLE{number}X: y\n" for number in range(5_000)),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_no_text_takes_long(text: str) -> None:
    # Patterns that go back over what they have read would take minutes.
    for function in (parse_report, clean_section, without_prior_comparisons):
        started = time.process_time()
        function(text)
        assert time.process_time() - started < SECONDS, function.__name__


def test_xml_that_unfolds_is_refused() -> None:
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    bomb = f'<!DOCTYPE x [<!ENTITY a0 "lol">{entities}]><x><uId id="1"/>&a9;</x>'
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(InputError, match=r"^1\.xml "):
            parse_xml(bomb.encode(encoding), "1.xml")
    deep = b"<a>" * 200_000 + b"</a>" * 200_000
    with pytest.raises(InputError, match=r"^1\.xml "):
        parse_xml(deep, "1.xml")
    random = np.random.default_rng(0)
    for _ in range(200):
        with pytest.raises(InputError, match=r"^1\.xml "):
            parse_xml(random.bytes(100), "1.xml")
