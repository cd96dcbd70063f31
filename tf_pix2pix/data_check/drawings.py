"""What is looked at: a contact sheet of pairs, and the pairs whose pictures are shifted against each other."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tf_pix2pix.data_check.looking import as_rgb, reduce
from tf_pix2pix.data_check.registration import Shift, gradients

_GAP, _TEXT = 6, 13  # pixels


def sheet(cells: Sequence[tuple[str, Sequence[Image.Image]]], columns: int, side: int) -> np.ndarray:
    """Cells of a caption and some pictures side by side, in rows of so many cells -> uint8 [h, w, 3].

    All cells have as many pictures as the first, each made by `fitted`.
    """
    cell_width = len(cells[0][1]) * (side + 2) + _GAP
    cell_height = side + _TEXT + 2 * _GAP
    rows = -(-len(cells) // columns)
    whole = Image.new("RGB", (min(columns, len(cells)) * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(size=_TEXT - 2)
    for number, (caption, pictures) in enumerate(cells):
        x, y = _GAP + number % columns * cell_width, _GAP + number // columns * cell_height
        for place, picture in enumerate(pictures):
            whole.paste(picture, (x + place * (side + 2), y + _TEXT + 2))
        while caption and draw.textlength(caption, font) > cell_width - _GAP:
            caption = "..." + caption.removeprefix("...")[1:]  # the end of a path tells more than its start
        draw.text((x, y), caption, fill="black", font=font)
    return np.asarray(whole)


def fitted(picture: np.ndarray, side: int) -> Image.Image:
    """[h, w, c] -> RGB to look at, the longer side of so many pixels."""
    return _fit(as_rgb(picture), side)


def shifted_cell(a: np.ndarray, b: np.ndarray, shift: Shift, side: int) -> list[Image.Image]:
    """A, B, their edges over each other as they are (A red, B blue), and with B put where A is."""
    shown = [as_rgb(picture) for picture in (a, b)]
    edges = [_edges(picture) for picture in shown]
    height, width = edges[0].shape
    by = round(shift.dy * height / a.shape[0]), round(shift.dx * width / a.shape[1])
    aligned = np.roll(edges[1], (-by[0], -by[1]), axis=(0, 1))
    overlaid = _overlaid(edges[0], edges[1]), _overlaid(edges[0], aligned)
    return [_fit(picture, side) for picture in (*shown, *(image.resize(shown[0].size) for image in overlaid))]


def _edges(shown: Image.Image) -> np.ndarray:
    """RGB -> float32 [h, w] in [0, 1], 1 at its strongest twentieth of edges."""
    strength = np.hypot(*gradients(reduce(shown))).max(axis=2)
    return np.clip(strength / max(np.percentile(strength, 95), 1e-6), 0, 1)


def _overlaid(red: np.ndarray, blue: np.ndarray) -> Image.Image:
    """Edges on white, the first red, the second blue, both dark."""
    colours = np.stack([1 - blue, 1 - np.maximum(red, blue), 1 - red], axis=2)
    return Image.fromarray((255 * colours).astype(np.uint8))


def _fit(shown: Image.Image, side: int) -> Image.Image:
    scale = side / max(shown.size)
    size = tuple(max(1, round(scale * length)) for length in shown.size)
    return shown.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)
