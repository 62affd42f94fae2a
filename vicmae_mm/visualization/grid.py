"""A grid of pictures with column titles and captions."""
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Section = tuple[str, Sequence[Sequence[np.ndarray]]]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MIN_CELL = 192  # px; smaller pictures are enlarged by an integer factor
GAP = 6  # px between cells
FONT_SIZE = 16
BAR = FONT_SIZE + 12  # px, height of a line of text
BACKGROUND, TEXT, FAINT = (255, 255, 255), (0, 0, 0), (90, 90, 90)


def draw_grid(titles: Sequence[str], sections: Sequence[Section],
              footnote: str = '') -> np.ndarray:
    """Draw sections of rows under common column titles, as uint8 (height, width, 3) RGB.

    A section has a caption and rows of one uint8 (H, W, 3) RGB picture per column, all of the same
    size. ``footnote`` is the text at the bottom, of any number of lines.
    """
    height, width = sections[0][1][0][0].shape[:2]
    # An integer factor and nearest neighbour, so that pixels and patch borders stay sharp.
    scale = math.ceil(MIN_CELL / min(height, width, MIN_CELL))
    cell_h, cell_w = height * scale, width * scale
    font = ImageFont.load_default(size=FONT_SIZE)
    total_width = len(titles) * (cell_w + GAP) + GAP
    notes = footnote.splitlines()
    num_rows = sum(len(rows) for _, rows in sections)
    total_height = BAR * (1 + len(sections) + len(notes)) + num_rows * (cell_h + GAP) + GAP
    canvas = Image.new('RGB', (total_width, total_height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        centre = GAP + column * (cell_w + GAP) + cell_w // 2
        draw.text((centre, BAR // 2), title, TEXT, font, anchor='mm')
    y = BAR
    for caption, rows in sections:
        caption = _shorten(caption, font, total_width - 2 * GAP)
        draw.text((GAP, y + BAR // 2), caption, TEXT, font, anchor='lm')
        y += BAR
        for row in rows:
            for column, picture in enumerate(row):
                cell = Image.fromarray(picture).resize((cell_w, cell_h), Image.Resampling.NEAREST)
                canvas.paste(cell, (GAP + column * (cell_w + GAP), y))
            y += cell_h + GAP
    for line in notes:
        draw.text((GAP, y + BAR // 2), line, FAINT, font, anchor='lm')
        y += BAR
    return np.array(canvas)


def _shorten(text: str, font: Font, width: int) -> str:
    """Shorten a text that is too wide at its front."""
    # Captions are paths, whose end says more.
    if font.getlength(text) <= width:
        return text
    while text and font.getlength('...' + text) > width:
        text = text[1:]
    return '...' + text
