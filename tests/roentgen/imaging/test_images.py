"""Pixels: depth, colour, orientation, geometry, damage."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from roentgen.errors import InputError
from roentgen.imaging.images import (
    decode,
    encode_png,
    from_tensor,
    open_gray,
    prepare_image,
    to_tensor,
)

SHARED = Path(__file__).parents[3] / "../shared/cxr"


def ramp(height: int, width: int) -> np.ndarray:
    values = np.linspace(0, 255, height * width).reshape(height, width)
    return values.round().astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def test_png_keeps_every_pixel() -> None:
    image = ramp(5, 7)
    assert np.array_equal(decode(encode_png(image)), image)
    assert decode(encode_png(image)).flags.writeable


@pytest.mark.parametrize("top", [255, 1023, 4095, 65535])
def test_deep_pixels_are_scaled_by_their_depth(top: int) -> None:
    pixels = np.linspace(0, top, 64).round().astype(np.uint16).reshape(8, 8)
    expected = np.rint(pixels / top * 255)
    found = prepare_image(encoded(Image.fromarray(pixels)), None, "pad")
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("top", [1023, 2040, 2060, 4095, 30000])
def test_deep_pixels_with_a_hot_pixel_or_marker(top: int) -> None:
    plain = np.linspace(0, top, 4096).round().astype(np.uint16).reshape(64, 64)
    expected = np.rint(plain / top * 255)
    for value, place in ((4096, (5, 5)), (65535, (5, 5)), (65535, np.s_[20:26, 20:30])):
        marked = plain.copy()
        marked[place] = value
        found = prepare_image(encoded(Image.fromarray(marked)), None, "pad").astype(float)
        found[place] = expected[place]
        assert abs(found - expected).max() <= 2
        assert abs(found.mean() - expected.mean()) < 1


def test_deep_pixels_of_a_known_range_are_scaled_by_it() -> None:
    for top in (900, 4095, 65535):
        pixels = np.linspace(100, top, 4096).round().astype(np.uint16).reshape(64, 64)
        found = prepare_image(encoded(Image.fromarray(pixels)), None, "pad", white=65535)
        assert np.array_equal(found, np.rint(pixels / 65535 * 255))
    found = prepare_image(encoded(Image.fromarray(pixels)), None, "pad", white=4095)
    assert np.array_equal(found, np.rint(pixels.clip(0, 4095) / 4095 * 255))
    assert np.array_equal(
        prepare_image(encode_png(ramp(9, 9)), None, "pad", white=65535), ramp(9, 9)
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF", "white-is-zero TIFF", "signed"])
def test_deep_gray_files(kind: str) -> None:
    pixels = np.linspace(0, 4095, 4096).round().astype(np.uint16).reshape(64, 64)
    expected = np.rint((pixels.clip(4, 4091) - 4.0) / 4087 * 255)
    if kind == "signed":
        words = (pixels.astype(np.int16) - 2000).view(np.uint16)
        data = encoded(Image.fromarray(words), "TIFF", tiffinfo={339: 2})
    elif kind == "big-endian TIFF":
        data = encoded(Image.fromarray(pixels.astype(">u2")), "TIFF")
    elif kind == "white-is-zero TIFF":
        data = encoded(Image.fromarray(pixels), "TIFF", tiffinfo={262: 0})
        expected = 255 - expected
    else:
        data = encoded(Image.fromarray(pixels), kind)
    assert abs(prepare_image(data, None, "pad") - expected).max() <= 1


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("top", [4095, 65535])
def test_channels_of_16_bits_keep_their_depth(channels: int, top: int) -> None:
    gray = np.linspace(0, top, 4096).round().astype(np.uint16).reshape(64, 64)
    pixels = np.repeat(gray[..., None], channels, axis=2)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    data = bytes(imagecodecs.png_encode(pixels))
    tail = np.round(top * 4 / 4095)
    expected = ((gray - tail) / (top - 2 * tail)).clip(0, 1) * 255
    assert abs(prepare_image(data, None, "pad") - expected).max() <= 1
    assert abs(prepare_image(data, None, "pad", white=65535) - gray / 257).max() <= 0.51
    if channels in (2, 4):
        pixels[:9, :, -1] = 0
        assert not prepare_image(bytes(imagecodecs.png_encode(pixels)), None, "pad")[:9].any()


def test_a_jpeg_of_12_bits() -> None:
    pixels = np.linspace(0, 4095, 4096).round().astype(np.uint16).reshape(64, 64)
    data = bytes(imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12))
    assert abs(prepare_image(data, None, "pad") - pixels / 4095 * 255).max() <= 2
    with pytest.raises(InputError, match="truncated"):
        prepare_image(data[: len(data) // 2], None, "pad")
    color = bytes(imagecodecs.jpeg8_encode(np.stack([pixels] * 3, 2), level=90, bitspersample=12))
    with pytest.raises(InputError, match="64x64 pixels of 3 components of 12 bits"):
        prepare_image(color, None, "pad")


def test_color_palette_and_alpha_become_the_same_gray() -> None:
    gray = Image.fromarray(ramp(8, 8))
    opaque = gray.convert("RGBA")
    palette = gray.convert("P")
    for image in (gray.convert("RGB"), opaque, palette, gray.convert("LA")):
        assert np.array_equal(prepare_image(encoded(image), None, "pad"), ramp(8, 8))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "YCbCr"])
def test_a_tiff_of_any_mode_becomes_the_same_gray(mode: str, compression: str | None) -> None:
    gray = Image.fromarray(ramp(16, 16))
    image = gray.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr") else gray.convert(mode)
    found = prepare_image(encoded(image, "TIFF", compression=compression), None, "pad")
    assert abs(found.astype(int) - ramp(16, 16)).max() <= (mode == "YCbCr")


def test_a_tiff_of_colors_becomes_its_luminance() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    expected = np.rint(colors @ np.array([0.299, 0.587, 0.114]))
    image = Image.fromarray(colors)
    for kind in (image, image.convert("RGBA"), image.convert("CMYK")):
        found = prepare_image(encoded(kind, "TIFF"), None, "pad")
        assert abs(found - expected).max() <= 1
    clear = image.convert("RGBA")
    clear.putpixel((3, 2), (255, 255, 255, 0))
    assert prepare_image(encoded(clear, "TIFF"), None, "pad")[2, 3] == 0
    palette = Image.new("P", (16, 16))
    palette.putpalette([value for level in range(256) for value in (255 - level,) * 3])
    palette.putdata(ramp(16, 16).ravel().tolist())
    assert np.array_equal(prepare_image(encoded(palette, "TIFF"), None, "pad"), 255 - ramp(16, 16))


@pytest.mark.parametrize("planar", [False, True])
def test_a_tiff_of_channels_of_16_bits(planar: bool) -> None:
    colors = np.random.default_rng(0).integers(0, 65536, (16, 18, 3)).astype(np.uint16)
    stored = np.moveaxis(colors, 2, 0).copy() if planar else colors
    data = bytes(imagecodecs.tiff_encode(stored, photometric="rgb", planarconfig=1 + planar))
    found = np.asarray(open_gray(data, white=65535), float)
    assert abs(found - colors @ np.array([0.299, 0.587, 0.114]) / 257).max() <= 0.51


def test_a_tiff_of_one_bit() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (16, 16)).astype(bool)
    for compression in (None, "group4"):
        data = encoded(Image.fromarray(bits), "TIFF", compression=compression)
        assert np.array_equal(prepare_image(data, None, "pad"), 255 * bits)


def test_tiffs_that_are_refused() -> None:
    gray = Image.fromarray(ramp(16, 16))
    pages = encoded(gray, "TIFF", save_all=True, append_images=[gray])
    with pytest.raises(InputError, match="several frames"):
        prepare_image(pages, None, "pad")
    with pytest.raises(InputError, match="floating-point pixels have no known range"):
        prepare_image(encoded(gray.convert("F"), "TIFF"), None, "pad")
    with pytest.raises(InputError, match="signed pixels of 8 bits"):
        prepare_image(encoded(gray, "TIFF", tiffinfo={339: 2}), None, "pad")


def test_transparent_pixels_become_black() -> None:
    image = Image.new("RGBA", (4, 4), (200, 200, 200, 255))
    image.putpixel((1, 2), (200, 200, 200, 0))
    found = prepare_image(encoded(image), None, "pad")
    assert found[2, 1] == 0
    assert found[0, 0] == 200


def test_exif_orientation_is_obeyed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    upright = prepare_image(encoded(Image.fromarray(ramp(6, 4)), exif=exif), None, "pad")
    assert np.array_equal(upright, np.rot90(ramp(6, 4), k=-1))


def test_pad_keeps_the_aspect_and_centres_on_black() -> None:
    image = Image.new("L", (40, 20), 100)
    image.putpixel((0, 0), 101)
    found = prepare_image(encoded(image), 20, "pad")
    assert found.shape == (20, 20)
    assert not found[:5].any()
    assert not found[15:].any()
    assert (abs(found[5:15].astype(int) - 100) <= 1).all()


def test_crop_takes_the_centred_square() -> None:
    image = np.zeros((20, 40), np.uint8)
    image[:, 10:30] = ramp(20, 20)
    assert np.array_equal(prepare_image(encode_png(image), 20, "crop"), ramp(20, 20))


def test_left_stays_left() -> None:
    image = np.zeros((30, 30), np.uint8)
    image[:, :5] = 255
    for fit in ("pad", "crop"):
        found = prepare_image(encode_png(image), 12, fit)
        assert found[:, 0].min() > 200
        assert found[:, -1].max() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.png is empty"),
        (b"no image at all", "x.png cannot be decoded: not an image"),
        (encode_png(ramp(64, 64))[:120], "x.png cannot be decoded"),
        (encoded(Image.new("L", (9, 9), 7)), "x.png has no contrast"),
        (encoded(Image.fromarray(np.eye(4, dtype=np.float32)), "TIFF"), "x.png: floating-point"),
        (encoded(Image.new("1", (15000, 14000))), "x.png cannot be decoded: Image size"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        prepare_image(path, 32, "pad")
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.png: No such file"):
        prepare_image(tmp_path / "absent.png", 32, "pad")


def test_mutated_files_never_crash() -> None:
    random = np.random.default_rng(0)
    whole = Image.fromarray(ramp(40, 40))
    for original in (encoded(whole), encoded(whole, "JPEG"), encoded(whole, "TIFF")):
        for _ in range(150):
            data = bytearray(original)
            for place in random.integers(0, len(data), 4):
                data[place] = random.integers(0, 256)
            try:
                assert prepare_image(bytes(data), 16, "pad").shape == (16, 16)
            except InputError:
                continue


def test_tensors_hold_three_equal_channels_and_round_trip() -> None:
    image = ramp(16, 16)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min().item(), tensor.max().item()) == (-1, 1)
    assert torch.equal(tensor[0], tensor[2])
    assert np.array_equal(from_tensor(tensor), image)
    assert np.array_equal(from_tensor(torch.stack([tensor, -tensor]))[1], 255 - image)
    assert from_tensor(torch.full((3, 1, 1), 7.0)) == 255


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
def test_real_edge_cases_are_read() -> None:
    for path in sorted((SHARED / "edge_cases").glob("*g")):
        assert prepare_image(path, 64, "crop").std() > 10, path
