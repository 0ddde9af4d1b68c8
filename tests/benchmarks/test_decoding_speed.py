"""Films are read much faster than by the ordinary means, both measured here, one thread each."""

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from roentgen.dataset.shards import ShardWriter
from roentgen.imaging.images import encode_png, prepare_image
from roentgen.record.radiograph import Radiograph

SIZE = 512
WIDTH, HEIGHT = 2500, 3000
REPEATS = 7
FILES = 4  # for a row of a dataset
_JPEGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gray": ("L", {}),
    "rgb": ("RGB", {}),
    "gray, progressive": ("L", {"progressive": True}),
    "rgb, progressive": ("RGB", {"progressive": True}),
}
_SYNTAXES = (
    *(uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless),
    *(uid.JPEG2000Lossless, uid.JPEGBaseline8Bit),
)


def film(top: int) -> np.ndarray:
    """Smooth shadows and noise, from 0 to `top`.

    At quality 95 the JPEG has 1.5 MB, as MIMIC-CXR-JPG's have on average (570 GB of 377,110).
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    levels = 120 + 60 * np.sin(x / 400) + 40 * np.cos(y / 300) + 12 * np.sin(y / 45 + x / 300)
    levels += np.random.default_rng(0).normal(0, 2, levels.shape)
    words: np.ndarray = (levels / 255 * top).clip(0, top).astype("u1" if top < 256 else "u2")
    return words


def seconds(*functions: Callable[[], object]) -> list[float]:
    """Median processor time of each, taken in turns; the clock's would count others' work."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(REPEATS):
        for function, taken in zip(functions, times, strict=True):
            started = time.process_time()
            function()
            taken.append(time.process_time() - started)
    return [statistics.median(taken) for taken in times]


def write_dicom(path: Path, syntax: uid.UID, *, window: bool = True) -> None:
    """A film of 12 bits, of 8 in baseline JPEG."""
    deep = syntax != uid.JPEGBaseline8Bit
    pixels = film(4095 if deep else 255)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID = "1.2.3"
    image.Modality, image.PhotometricInterpretation = "DX", "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PixelRepresentation = 1, 0
    image.BitsAllocated = 8 * pixels.itemsize
    image.BitsStored = 12 if deep else 8
    image.HighBit = image.BitsStored - 1
    if window:
        image.WindowCenter, image.WindowWidth = (2048, 3800) if deep else (128, 240)
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW" if deep else "OB"
    if syntax == uid.JPEGLosslessSV1:
        frame = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=12)
    elif syntax == uid.JPEGBaseline8Bit:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        frame = file.getvalue()
    elif syntax.is_compressed:
        image.compress(syntax, encoding_plugin=_encoder(syntax), generate_instance_uid=False)
        frame = b""
    if syntax.is_compressed and frame:
        image.PixelData = encapsulate([bytes(frame)])
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(path, enforce_file_format=True)


def _encoder(syntax: uid.UID) -> str:
    return "pyjpegls" if syntax == uid.JPEGLSLossless else "pylibjpeg"


@pytest.mark.slow
def test_jpeg_rows_three_times_as_fast_as_datasets_and_pil(tmp_path: Path) -> None:
    # From the file to the 512-pixel image in an Arrow file: `datasets` with all its defaults and
    # convert("RGB"), as training scripts of Stable Diffusion do, and what roentgen.prepare does.
    # convert("L"), which spares `datasets` two channels, is measured too.
    datasets.disable_progress_bars()
    ratios = {}
    for name, (mode, options) in _JPEGS.items():
        path = tmp_path / f"{name}.jpg"
        Image.fromarray(film(255)).convert(mode).save(path, quality=95, **options)
        rows = {"image": [str(path)] * FILES, "n": list(range(FILES))}
        source = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
        prepared: dict[str, Callable[[], object]] = {
            mode: lambda mode=mode, source=source: source.map(  # type: ignore[misc]
                lambda row: {"image": row["image"].convert(mode).resize((SIZE, SIZE))},
                load_from_cache_file=False,
            )
            for mode in ("L", "RGB")
        }

        def ours(path: Path = path) -> None:
            with ShardWriter(tmp_path / "ours.arrow") as shard:
                for number in range(FILES):
                    shard.add(
                        Radiograph(
                            id=str(number),
                            patient_id="p",
                            study_id="s",
                            split="train",
                            image=encode_png(prepare_image(path, SIZE, "pad")),
                            source="test",
                            license="CC0-1.0",
                        )
                    )

        gray, color, mine = seconds(prepared["L"], prepared["RGB"], ours)
        pixels = seconds(
            lambda source=source: source[0]["image"].convert("L").resize((SIZE, SIZE)),  # type: ignore[misc]
            lambda source=source: source[0]["image"].convert("RGB").resize((SIZE, SIZE)),  # type: ignore[misc]
            lambda path=path: prepare_image(path, SIZE, "pad"),  # type: ignore[misc]
        )
        ratios[name] = min(color / mine, pixels[1] / pixels[2])
        print(
            f"{name}, {path.stat().st_size / 1e6:.1f} MB: {mine / FILES * 1e3:.0f} ms a row, "
            f"datasets {gray / FILES * 1e3:.0f} in gray ({gray / mine:.1f} times), "
            f"{color / FILES * 1e3:.0f} in RGB ({color / mine:.1f}); pixels alone "
            f"{pixels[2] * 1e3:.0f} ms, {pixels[0] * 1e3:.0f} in gray "
            f"({pixels[0] / pixels[2]:.1f}), {pixels[1] * 1e3:.0f} in RGB "
            f"({pixels[1] / pixels[2]:.1f})"
        )
    # Progressive films must be read whole, whatever the scale: measured, without a goal.
    assert min(ratios["gray"], ratios["rgb"]) >= 3


@pytest.mark.slow
def test_dicom_half_as_fast_again_as_pixel_array_and_pil(tmp_path: Path) -> None:
    # The plain way has no windows and no orientation; levels run from the smallest to the largest.
    def plain(path: Path) -> Image.Image:
        pixels = pydicom.dcmread(path).pixel_array
        low, high = pixels.min(), pixels.max()
        gray = ((pixels - low) / (high - low) * 255).astype(np.uint8)
        return Image.fromarray(gray).resize((SIZE, SIZE))

    ratios = {}
    for syntax in _SYNTAXES:
        for window in (True, False):
            path = tmp_path / "film.dcm"
            write_dicom(path, syntax, window=window)
            name = f"{syntax.keyword}{'' if window else ', no window'}"
            decoder = get_decoder(syntax)
            if not decoder.is_available:
                (mine,) = seconds(lambda: prepare_image(path, SIZE, "pad"))  # noqa: B023
                print(f"{name}: {mine * 1e3:.0f} ms, pydicom has no decoder here")
                continue
            theirs, mine = seconds(lambda: plain(path), lambda: prepare_image(path, SIZE, "pad"))  # noqa: B023
            ratios[name] = theirs / mine
            print(
                f"{name}: {mine * 1e3:.0f} ms, plain {theirs * 1e3:.0f} ({theirs / mine:.1f} times)"
            )
    # MIMIC-CXR's own films are uncompressed. The others are measured, without a goal: the decoders
    # of RLE and of whole JPEG 2000 films (no window, no reduced decoding) take nearly all the time.
    native = uid.ExplicitVRLittleEndian.keyword
    assert min(ratios[native], ratios[f"{native}, no window"]) >= 1.5
