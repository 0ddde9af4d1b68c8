"""Contact sheet: many images with captions."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_FONT_SIZE = 12
_LINE = 15  # pixels a caption line
_MAX_LINES = 3
_MARGIN = 4
_SMALLEST_CELL = 160  # pixels; smaller images are enlarged by an integer factor to fit a caption


def contact_sheet(
    images: Sequence[np.ndarray], captions: Sequence[str], columns: int
) -> np.ndarray:
    """uint8 [H, W] images, captions below, as one uint8 [height, width] sheet.

    If any image is in color, [H, W, 3], the sheet is too. Captions wrap to the cell and end in "…"
    after three lines.
    """
    if len(images) != len(captions) or not images or columns < 1:
        raise ValueError(f"{len(images)} images, {len(captions)} captions, {columns} columns")
    cells = [_enlarge(image) for image in images]
    width = max(_SMALLEST_CELL, *(image.shape[1] for image in cells))
    height = max(image.shape[0] for image in cells)
    font = ImageFont.load_default(_FONT_SIZE)
    texts = [_wrap(caption, width, font) for caption in captions]
    cell_height = height + _LINE * max(len(text) for text in texts)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (
        columns * (width + _MARGIN) + _MARGIN,
        rows * (cell_height + _MARGIN) + _MARGIN,
    )
    mode = "RGB" if any(image.ndim == 3 for image in images) else "L"
    sheet = Image.new(mode, size, "#181818")
    draw = ImageDraw.Draw(sheet)
    for i, (image, text) in enumerate(zip(cells, texts, strict=True)):
        left = _MARGIN + (i % columns) * (width + _MARGIN)
        top = _MARGIN + (i // columns) * (cell_height + _MARGIN)
        sheet.paste(Image.fromarray(image), (left + (width - image.shape[1]) // 2, top))
        for line, words in enumerate(text):
            draw.text((left, top + height + line * _LINE), words, fill="white", font=font)
    return np.asarray(sheet)


def _enlarge(image: np.ndarray) -> np.ndarray:
    """Pixels repeated by the integer factor that brings the width nearest to the smallest cell."""
    factor = max(1, _SMALLEST_CELL // image.shape[1])
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _wrap(caption: str, width: int, font: _Font) -> list[str]:
    lines = [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    clipped = [_clip(line, width, font) for line in lines[:_MAX_LINES]]
    if len(lines) > _MAX_LINES:
        clipped[-1] = _clip(f"{clipped[-1]} …", width, font)
    return clipped


def _clip(line: str, width: int, font: _Font) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"
