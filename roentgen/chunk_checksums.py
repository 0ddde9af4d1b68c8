"""Checksums of the chunks of large files: computed while they are written, verified in parallel."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

CHUNK = 2**26  # bytes of a checksum: 67 MB
PIECE = 2**22  # bytes read at once in verification
THREADS = 8  # of hashing; hashing and reading release the GIL


class FileRecord(TypedDict):
    """Size and checksums of a file."""

    bytes: int
    sha256: list[str]  # of each CHUNK bytes


def find_chunk_damage(
    folder: Path, records: Mapping[str, FileRecord], part: int = 0, parts: int = 1
) -> list[str]:
    """Descriptions of the damage of files in a folder; empty if they are intact.

    Chunks are divided among processes: this one checks every `parts`th from `part` on.
    """
    wrong, chunks = [], []
    for name, record in records.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            wrong.append(f"{name}: {error.strerror}")
            continue
        if size != record["bytes"]:
            wrong.append(f"{name} has {size} bytes in place of {record['bytes']}")
            continue
        chunks += [(name, number, digest) for number, digest in enumerate(record["sha256"])]

    def check(chunk: tuple[str, int, str]) -> str | None:
        name, number, digest = chunk
        try:
            same = _chunk_digest(folder / name, number) == digest
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
        return None if same else f"{name} holds other bytes than were written"

    with ThreadPoolExecutor(THREADS) as pool:
        found = [line for line in pool.map(check, chunks[part::parts]) if line]
    return list(dict.fromkeys(wrong + found))


def _chunk_digest(path: Path, number: int) -> str:
    digest, room = hashlib.sha256(), CHUNK
    buffer = memoryview(bytearray(PIECE))
    with path.open("rb", buffering=0) as file:
        file.seek(number * CHUNK)
        while room and (count := file.readinto(buffer[: min(PIECE, room)])):
            digest.update(buffer[:count])
            room -= count
    return digest.hexdigest()
