"""Reports of MIMIC-CXR: a tree of texts, or the published zip without unpacking it."""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from roentgen.corpora.scanning.scan import FolderListing, first_of, wrong_root
from roentgen.errors import InputError
from roentgen.reports.language import language_of
from roentgen.untrusted_files import read_bounded

_LARGEST = 1 << 20  # bytes; a report has a few thousand
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_PREFIXES = ("files/", "mimic-cxr-reports/files/", "")
_REPORT = re.compile(r"p1\d/p1\d{7}/s(\d+)\.txt")
_EXPECTED = "files/p10/p10000032/s50414267.txt or mimic-cxr-reports.zip"


def report_name(subject: str, study: str) -> str:
    """Path of a report below `files/`."""
    return f"p{subject[:2]}/p{subject}/s{study}.txt"


class ReportSource(Protocol):
    """Reports by study."""

    def place(self, subject: str, study: str) -> str | None:
        """Place of a study's report, as `read_report` takes it; None if there is none."""

    def studies(self) -> Iterator[tuple[str, str]]:
        """All studies in order, (study, place of its report) each."""


def open_reports(source: Path) -> ReportSource:
    """The reports of a zip, or of a folder with the tree below `files/` or at its top.

    Raises InputError for one that holds no such tree.
    """
    if source.is_file():
        return ZippedReports(source)
    if not source.is_dir():
        raise InputError(f"no such folder or zip of reports: {source}")
    for prefix in _PREFIXES:
        if any((source / prefix / f"p{group}").is_dir() for group in range(10, 20)):
            return ReportTree(FolderListing(source), prefix)
    raise wrong_root("reports", source, _EXPECTED)


def default_reports(root: Path) -> Path:
    """Default place of the reports: their zip, the unpacked folder, or among the images."""
    return first_of(root, ("mimic-cxr-reports.zip", "mimic-cxr-reports")) or root


@dataclass(frozen=True)
class ReportTree:
    """Reports as files."""

    listing: FolderListing
    prefix: str

    def place(self, subject: str, study: str) -> str | None:
        """The report's path below the folder."""
        path = self.prefix + report_name(subject, study)
        return path if self.listing.has(path) else None

    def studies(self) -> Iterator[tuple[str, str]]:
        """All studies in order, (study, place of its report) each."""
        for group in sorted(self.listing.names(self.prefix.rstrip("/"))):
            for patient in sorted(self.listing.names(f"{self.prefix}{group}")):
                folder = f"{group}/{patient}"
                for name in sorted(self.listing.names(f"{self.prefix}{folder}")):
                    if found := _REPORT.fullmatch(f"{folder}/{name}"):
                        yield found[1], f"{self.prefix}{folder}/{name}"


class ZippedReports:
    """Reports in a zip; a place is "offset,compressed size,method,checksum".

    So a worker that reads a report need not read the directory of 227,835 entries first.
    """

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                self._places = {
                    info.filename: f"{info.header_offset},{info.compress_size},"
                    f"{info.compress_type},{info.CRC}"
                    for info in archive.infolist()
                }
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise InputError(f"{path} is not a complete zip file: {error}") from None
        prefixes = [p for p in _PREFIXES if any(n.startswith(f"{p}p1") for n in self._places)]
        if not prefixes:
            first = next(iter(self._places), "nothing")
            raise InputError(f"{path}: expected files/p10/p10000032/s50414267.txt, found {first}")
        self._prefix = prefixes[0]

    def place(self, subject: str, study: str) -> str | None:
        """Place of the report in the zip."""
        return self._places.get(self._prefix + report_name(subject, study))

    def studies(self) -> Iterator[tuple[str, str]]:
        """All studies in order, (study, place of its report) each."""
        for name, place in sorted(self._places.items()):
            if found := _REPORT.fullmatch(name.removeprefix(self._prefix)):
                yield found[1], place


def read_report(source: Path, place: str) -> str:
    """The text of a report. Raises InputError for one that cannot be read."""
    try:
        if source.is_dir():
            data = read_bounded(source / place, _LARGEST)
        else:
            data = _unzip(source, *map(int, place.split(",")))
        return _decoded(data)
    except (OSError, zlib.error, struct.error, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the report cannot be read: {reason}") from None


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        guess = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "Latin-1"
        with suppress(UnicodeDecodeError):
            if guess == "Latin-1" and language_of(data.decode("gb18030")) == "Chinese":
                guess = "GBK"
        raise InputError(
            f"the report is not text in UTF-8, but perhaps in {guess}: convert it"
        ) from None


def _unzip(source: Path, offset: int, size: int, method: int, checksum: int) -> bytes:
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or size > _LARGEST:
        raise InputError("the report's zip entry is not stored or deflated, or too large")
    with source.open("rb") as file:
        file.seek(offset)
        mark, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(name + extra, 1)
        data = file.read(size)
    if method == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _LARGEST + 1)
    if len(data) > _LARGEST:
        raise InputError(f"the report is larger than {_LARGEST} bytes")
    if mark != b"PK\x03\x04" or zlib.crc32(data) != checksum:
        raise InputError("the report's zip entry is damaged")
    return data
