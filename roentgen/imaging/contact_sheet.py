"""Contact sheet: many images with captions."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CONTACT_SHEET = "contact_sheet.png"  # in the folder of a dataset
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_BACKGROUND = "#181818"
_SMALLEST_FONT = 12  # pixels
_SIDES_PER_FONT = 18  # a caption's font has this share of the image's side
_MAX_LINES = 5
_GAP = 2  # between images of one caption


def contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    columns: int | None = None,
    *,
    side: int = 160,
) -> np.ndarray:
    """uint8 [H, W] images, captions below, as one uint8 [height, width] sheet.

    If any image is in color, [H, W, 3], the sheet is too. Without a number of columns the sheet is
    as square as it can be. Images whose shorter side has fewer than `side` pixels are enlarged by
    an integer factor. Captions wrap between words, after five lines they end in "…", and the size
    of their letters follows that of the images.
    """
    if len(images) != len(captions) or not images or (columns is not None and columns < 1):
        raise ValueError(f"{len(images)} images, {len(captions)} captions, {columns} columns")
    cells = [_enlarge(image, side) for image in images]
    width, height = (max(image.shape[axis] for image in cells) for axis in (1, 0))
    size = max(_SMALLEST_FONT, max(min(image.shape[:2]) for image in cells) // _SIDES_PER_FONT)
    font, line = ImageFont.load_default(size), round(size * 1.25)
    texts = [wrap(caption, width, font) for caption in captions]

    def heights(columns: int) -> list[int]:
        """Of the rows."""
        starts = range(0, len(texts), columns)
        return [height + line * (1 + max(map(len, texts[i : i + columns]))) for i in starts]

    if columns is None:  # those of the sheet that the smallest square holds
        columns = min(
            range(1, len(cells) + 1), key=lambda n: max(n * (width + size), sum(heights(n)))
        )
    columns = min(columns, len(cells))
    bottoms = np.cumsum(heights(columns)).tolist()
    shape = (columns * (width + size) + size, size + bottoms[-1])
    sheet = Image.new(_mode(images), shape, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for i, (image, text) in enumerate(zip(cells, texts, strict=True)):
        left = size + i % columns * (width + size)
        top = size + (bottoms[i // columns - 1] if i >= columns else 0)
        sheet.paste(Image.fromarray(image), (left + (width - image.shape[1]) // 2, top))
        for number, words in enumerate(text):
            place = (left, top + height + line // 4 + number * line)
            draw.text(place, words, fill="white", font=font)
    return np.asarray(sheet)


def side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images in a row, as one image of a sheet that has one caption for all of them."""
    widths = [image.shape[1] for image in images]
    size = (sum(widths) + _GAP * (len(images) - 1), max(image.shape[0] for image in images))
    row = Image.new(_mode(images), size, _BACKGROUND)
    for number, image in enumerate(images):
        row.paste(Image.fromarray(image), (sum(widths[:number]) + _GAP * number, 0))
    return np.asarray(row)


def _mode(images: Iterable[np.ndarray]) -> str:
    return "RGB" if any(image.ndim == 3 for image in images) else "L"


def _enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """Pixels repeated by the least integer factor that brings the shorter side to `side`."""
    factor = -(-side // min(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def wrap(caption: str, width: int, font: Font) -> list[str]:
    """Lines of at most so many pixels; only words longer than a line are divided."""
    lines = []
    for paragraph in caption.splitlines():
        lines.append("")
        for word in paragraph.split():
            for part in _parts(word, width, font):
                longer = f"{lines[-1]} {part}".strip()
                if font.getlength(longer) <= width:
                    lines[-1] = longer
                else:
                    lines.append(part)
    if len(lines) > _MAX_LINES:
        words = [*lines[_MAX_LINES - 1].split(), "…"]
        while len(words) > 1 and font.getlength(" ".join(words)) > width:
            del words[-2]
        lines[_MAX_LINES - 1 :] = [" ".join(words)]
    return lines


def _parts(word: str, width: int, font: Font) -> list[str]:
    """A word in pieces that fit into a line: itself, if it does."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
