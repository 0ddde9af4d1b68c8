"""Films as DICOM files, and files damaged at random."""

import functools
import io
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

MakeDicom = Callable[..., bytes]
# By pydicom's own encoders, of which none shares code with the decoder that reads the film.
_ENCODERS = {
    uid.RLELossless: "pydicom",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
}


def _make_dicom(
    pixels: np.ndarray,
    *,
    syntax: uid.UID = uid.ExplicitVRLittleEndian,
    stored: int | None = None,
    frame: bytes | None = None,
    **elements: Any,
) -> bytes:
    """A film of `pixels` [H, W] with so many bits stored; `elements` by keyword.

    An element is a value, None to leave it out, or (VR, value). `frame` is the compressed image
    where pydicom has no encoder.
    """
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    film.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    film.file_meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3")
    film.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    film.SOPInstanceUID = uid.UID("1.2.3")
    film.Modality = "DX"
    film.Rows, film.Columns = pixels.shape
    film.BitsAllocated = 8 * pixels.itemsize
    film.BitsStored = stored or film.BitsAllocated
    film.HighBit = film.BitsStored - 1
    film.PixelRepresentation = int(pixels.dtype.kind == "i")
    film.SamplesPerPixel = 1
    film.PhotometricInterpretation = "MONOCHROME2"
    order: Literal["<", ">"] = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    film.PixelData = content + b"\0" * (len(content) % 2)
    film["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    if syntax in _ENCODERS and frame is None:
        film.compress(syntax, encoding_plugin=_ENCODERS[syntax], generate_instance_uid=False)
    elif syntax.is_compressed:
        assert frame is not None, syntax.name
        film.PixelData = encapsulate([frame])
        film["PixelData"].VR = "OB"
        film["PixelData"].is_undefined_length = True
    film.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the films are wrong on purpose
        for keyword, value in elements.items():
            if value is None:
                delattr(film, keyword)
            elif isinstance(value, tuple):
                film.add_new(keyword, *value)
            else:
                setattr(film, keyword, value)
        film.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _lossless_jpeg(pixels: np.ndarray, bits: int) -> bytes:
    """By liblj92, which shares no code with libjpeg-turbo."""
    return bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=bits))


def _mutants(original: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies with bytes changed anywhere or near the begin, cut, filled with zeros, or put in."""
    random = np.random.default_rng(seed)
    for number in range(count):
        data = bytearray(original)
        place = int(random.integers(1, len(data)))
        match number % 5:
            case 0:
                for at in random.integers(0, len(data), random.integers(1, 6)):
                    data[at] = random.integers(256)
            case 1:
                for at in random.integers(0, min(len(data), 700), random.integers(1, 4)):
                    data[at] ^= 1 << random.integers(8)
            case 2:
                del data[place:]
            case 3:
                data[place:] = bytes(len(data) - place)
            case 4:
                data[place:place] = random.bytes(int(random.integers(1, 40)))
        yield bytes(data)


SECONDS, MEGABYTES = 20, 500  # of a case: processor time, and growth of the memory in use
# What no damaged file may lead to: a process, a connection, an unpickled class.
_FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.")


def _refuse_code(event: str, _: object) -> None:
    assert not event.startswith(_FORBIDDEN), event


def _run_cases(case: Callable[[int], str], cases: range, log: Path) -> None:
    """Write a line for each case: its number and, once it has ended, how."""
    sys.addaudithook(_refuse_code)
    warnings.simplefilter("ignore")  # as users run it
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    allowed = pages * resource.getpagesize() + (8 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    most = None
    with log.open("a", buffering=1, errors="backslashreplace") as file:
        for number in cases:
            file.write(f"{number} ")
            file.flush()
            signal.alarm(10 * SECONDS)
            started = time.process_time()
            try:
                ended = case(number)
            except BaseException as error:
                ended = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            took = time.process_time() - started
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            grown, most = megabytes - (most or megabytes), megabytes
            if took > SECONDS or grown > MEGABYTES:
                ended = f"took {took:.0f} s and {grown} MB more, then {ended}"
            file.write(f"{ended}\n")
    os._exit(0)  # else threads are joined that ended with the fork


def _fuzz(case: Callable[[int], str], count: int, log: Path) -> tuple[Counter[str], list[str]]:
    """The words that a case returns, counted, and what the other cases ended with.

    Cases run in a process of their own, which a signal may end; it is then started again.
    """
    log.touch()
    first = 0
    while first < count:
        process = multiprocessing.get_context("fork").Process(
            target=_run_cases, args=(case, range(first, count), log)
        )
        process.start()
        process.join()
        *_, last = log.read_text().split("\n")
        if process.exitcode == 0:
            break
        assert last, process.exitcode  # it failed between two cases
        with log.open("a") as file:
            file.write(f"exit status {process.exitcode}\n")
        first = int(last) + 1
    ends = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert len(ends) == count
    failures = [f"{number}: {end}" for number, end in ends if " " in end]
    return Counter(end for _, end in ends if " " not in end), failures


@pytest.fixture
def fuzz(tmp_path: Path) -> Callable[..., tuple[Counter[str], list[str]]]:
    """`fuzz(case, count)` runs case(0), case(1), ...; see `_fuzz`."""
    return functools.partial(_fuzz, log=tmp_path / "fuzz.log")


@pytest.fixture(scope="session")
def make_dicom() -> MakeDicom:
    """Makes a DICOM file; see `_make_dicom`."""
    return _make_dicom


@pytest.fixture(scope="session")
def lossless_jpeg() -> Callable[[np.ndarray, int], bytes]:
    """Encodes pixels of so many bits as a lossless JPEG of process 14."""
    return _lossless_jpeg


@pytest.fixture(scope="session")
def mutants() -> Callable[..., Iterator[bytes]]:
    """Damages a file in many ways; see `_mutants`."""
    return _mutants
