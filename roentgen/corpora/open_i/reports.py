"""The XML reports of Open-i, the Indiana University collection."""

import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from roentgen.errors import InputError
from roentgen.record.radiograph import Report

_LARGEST = 4 << 20  # bytes; the largest report of the collection has 20 kB

_DAMAGE = (
    *(tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError),
    *(struct.error, ValueError, OverflowError),
)


@dataclass(frozen=True, kw_only=True)
class OpenIReport:
    """One report: its sections as written ("XXXX" where de-identified), MeSH terms and images."""

    id: str  # "CXR1"
    report: Report
    major: tuple[str, ...]  # terms given by annotators: "Cardiomegaly/mild"
    images: tuple[str, ...]  # "CXR1_1_IM-0001-3001"


def read_reports(source: Path) -> Iterator[OpenIReport]:
    """The reports of a folder of XML files, or of NLMCXR_reports.tgz without unpacking it.

    Raises InputError naming the file for one that cannot be read.
    """
    for name, data in report_files(source):
        yield parse_xml(data, name)


def report_files(source: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each XML file; names from an archive are never used as paths."""
    if source.is_dir():
        for path in sorted(source.rglob("*.xml")):
            yield path.name, _content(path)
    elif source.is_file():
        yield from _archived(source)
    else:
        raise InputError(f"no such folder or archive of reports: {source}")


def _content(path: Path) -> bytes:
    """Content of a file; empty if it cannot be read, which `parse_xml` reports."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST + 1)
    except OSError:
        return b""


def _archived(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        # Not "r|*": as a stream, an archive cut off between two members would seem complete.
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xml"):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield member.name.rpartition("/")[2], file.read(_LARGEST + 1)
    except _DAMAGE as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise InputError(f"archive {source} cannot be read: {reason}") from None


def parse_xml(data: bytes, name: str) -> OpenIReport:
    """One report. Raises InputError, naming the file, if it is not an Open-i report."""
    if not data:
        raise InputError(f"{name} is empty or cannot be read")
    if len(data) > _LARGEST:
        raise InputError(f"{name} is larger than {_LARGEST} bytes: too large for a report")
    if b"<!DOCTYPE" in data:
        raise InputError(f"{name} has a document type definition: no Open-i report has one")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{name} is not well-formed XML: {error}") from None
    identity = root.find("uId")
    report_id = "" if identity is None else identity.get("id", "")
    if not report_id:
        raise InputError(f"{name} has no uId: it is not an Open-i report")
    sections: dict[str, str] = {}
    for element in root.iter("AbstractText"):
        text = "".join(element.itertext()).strip()
        if text:
            sections[element.get("Label", "")] = text
    terms = ((element.text or "").strip() for element in root.iterfind("MeSH/major"))
    return OpenIReport(
        id=report_id,
        report=Report(
            findings=sections.get("FINDINGS"),
            impression=sections.get("IMPRESSION"),
            indication=sections.get("INDICATION"),
            comparison=sections.get("COMPARISON"),
        ),
        major=tuple(term for term in terms if term),
        images=tuple(dict.fromkeys(e.get("id", "") for e in root.iter("parentImage"))),
    )
