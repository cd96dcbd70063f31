"""Images to look at: a contact sheet, and the pairs whose images are shifted against each other."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tf_pix2pix.data_check.inspection import as_rgb, shrink
from tf_pix2pix.data_check.registration import Shift, gradients

_GAP, _TEXT = 6, 13  # pixels


def draw_sheet(cells: Sequence[tuple[str, Sequence[Image.Image]]], columns: int, image_size: int) -> np.ndarray:
    """Draws cells in a grid -> uint8 [h, w, 3].

    Args:
      cells: a caption and the images side by side, equally many in all cells, each from `fit`.
      columns: cells in a row.
      image_size: the longer side of the images in pixels.
    """
    cell_width = len(cells[0][1]) * (image_size + 2) + _GAP
    cell_height = image_size + _TEXT + 2 * _GAP
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (min(columns, len(cells)) * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_TEXT - 2)
    for number, (caption, shown) in enumerate(cells):
        x, y = _GAP + number % columns * cell_width, _GAP + number // columns * cell_height
        for place, image in enumerate(shown):
            sheet.paste(image, (x + place * (image_size + 2), y + _TEXT + 2))
        while caption and draw.textlength(caption, font) > cell_width - _GAP:
            caption = "..." + caption.removeprefix("...")[1:]  # the end of a path says more than its start
        draw.text((x, y), caption, fill="black", font=font)
    return np.asarray(sheet)


def fit(image: Image.Image, size: int) -> Image.Image:
    """Resizes an image so that its longer side has `size` pixels."""
    scale = size / max(image.size)
    new_size = tuple(max(1, round(scale * length)) for length in image.size)
    return image.resize(new_size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)


def draw_shift(a: np.ndarray, b: np.ndarray, shift: Shift, size: int) -> list[Image.Image]:
    """Draws A, B, the edges of A (red) over those of B (blue), and the same with B moved to where A is."""
    shown = [as_rgb(side) for side in (a, b)]
    red, blue = (_edges(image) for image in shown)
    height, width = red.shape
    offset = round(shift.dy * height / a.shape[0]), round(shift.dx * width / a.shape[1])
    aligned = np.roll(blue, (-offset[0], -offset[1]), axis=(0, 1))
    overlays = [_overlay(red, other).resize(shown[0].size) for other in (blue, aligned)]
    return [fit(image, size) for image in (*shown, *overlays)]


def _edges(shown: Image.Image) -> np.ndarray:
    """The strength of an RGB image's edges, float32 [h, w] in [0, 1]; the strongest twentieth of the pixels is 1."""
    strength = np.hypot(*gradients(shrink(shown))).max(axis=2)
    return np.clip(strength / max(np.percentile(strength, 95), 1e-6), 0, 1)


def _overlay(red: np.ndarray, blue: np.ndarray) -> Image.Image:
    """Two images of edges on white, in red and blue, dark where both have edges."""
    colors = np.stack([1 - blue, 1 - np.maximum(red, blue), 1 - red], axis=2)
    return Image.fromarray((255 * colors).astype(np.uint8))
