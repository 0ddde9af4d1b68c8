"""Hostile XML and archives: refused with one line, in bounded time and memory."""

import gzip
import io
import os
import tarfile
import time
import tracemalloc
from pathlib import Path

import pytest

from roentgen.corpora.open_i.open_i import parse_xml, read_reports
from roentgen.errors import InputError

REPORT = '<eCitation><uId id="CXR1"/>{}</eCitation>'
SECTION = '<AbstractText Label="FINDINGS">{}</AbstractText>'


@pytest.mark.parametrize("tag", ["a", "AbstractText"])
@pytest.mark.parametrize("depth", [40, 20_000])
def test_nested_elements_are_refused_at_once(tag: str, depth: int) -> None:
    text = REPORT.format(f"<{tag}>x" * depth + f"</{tag}>" * depth)
    started = time.process_time()
    expected = r"^1\.xml cannot be read as XML: it has more than 32 elements"
    with pytest.raises(InputError, match=expected):
        parse_xml(text.encode(), "1.xml")
    assert time.process_time() - started < 1


def test_many_elements_side_by_side_are_read() -> None:
    text = REPORT.format(SECTION.format("clear") * 10_000)
    assert parse_xml(text.encode(), "1.xml").report.findings == "clear"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("definition", ['<!ENTITY a "x">', '<!ENTITY a SYSTEM "/etc/passwd">', ""])
def test_document_types_are_refused_in_every_encoding(encoding: str, definition: str) -> None:
    entity = "&a;" if definition else ""
    text = f'<!DOCTYPE x [{definition}]><x><uId id="1"/>{SECTION.format(entity)}</x>'
    declared = "" if encoding.endswith(("le", "be")) else "<?xml version='1.0'?>"
    with pytest.raises(InputError, match=r"^1\.xml "):
        parse_xml((declared + text).encode(encoding), "1.xml")


def test_utf_16_without_a_document_type_is_read() -> None:
    text = '<?xml version="1.0" encoding="utf-16"?>' + REPORT.format(SECTION.format("no <b>x</b>"))
    assert parse_xml(text.encode("utf-16"), "1.xml").report.findings == "no x"


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("zeros.bin")
    header.size = 1 << 40
    blocks = [header.tobuf(), bytes(512)]
    (tmp_path / "reports.tgz").write_bytes(gzip.compress(b"".join(blocks)))
    with pytest.raises(InputError, match=r"reports\.tgz cannot be read: it unpacks to more than"):
        list(read_reports(tmp_path / "reports.tgz"))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_an_archive_is_never_read_whole(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 100 << 20
    with gzip.open(tmp_path / "reports.tgz", "wb") as file:
        file.write(header.tobuf())
        for _ in range(100):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"it has a header that is too large"):
        list(read_reports(tmp_path / "reports.tgz"))
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roentgen.untrusted_files.LARGEST_TAR", 10_000)
    members = [(tarfile.TarInfo(f"{n}.txt"), b"") for n in range(30)]
    with pytest.raises(InputError, match="it unpacks to more than 10000 bytes"):
        list(read_reports(packed(tmp_path / "reports.tgz", members)))
    assert list(read_reports(packed(tmp_path / "reports.tgz", members[:5]))) == []


def test_a_plain_tar_is_read(tmp_path: Path) -> None:
    data = REPORT.format(SECTION.format("clear")).encode()
    info = tarfile.TarInfo("a/1.xml")
    path = packed(tmp_path / "reports.tgz", [(info, data)])
    (tmp_path / "reports.tar").write_bytes(gzip.decompress(path.read_bytes()))
    for name in ("reports.tgz", "reports.tar"):
        assert [report.id for report in read_reports(tmp_path / name)] == ["CXR1"]


def test_pipes_and_endless_devices_among_the_reports_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.xml")
    with pytest.raises(InputError, match=r"1\.xml is empty or cannot be read"):
        list(read_reports(tmp_path))
    (tmp_path / "1.xml").unlink()
    (tmp_path / "1.xml").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"1\.xml is empty or cannot be read"):
        list(read_reports(tmp_path))
