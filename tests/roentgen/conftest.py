"""Films as DICOM files, and files damaged at random."""

import io
import warnings
from collections.abc import Callable, Iterator
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
