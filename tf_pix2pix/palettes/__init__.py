"""Palettes of label maps: known by name, read from a file, or found among counted colors."""

from tf_pix2pix.palettes.counting import ColorCounts, NoisyColors, count_classes, count_colors, find_palette
from tf_pix2pix.palettes.known import PALETTES, read_palette
from tf_pix2pix.palettes.palette import MAX_COLORS, Palette, code_colors, color_codes

__all__ = [
    "MAX_COLORS",
    "PALETTES",
    "ColorCounts",
    "NoisyColors",
    "Palette",
    "code_colors",
    "color_codes",
    "count_classes",
    "count_colors",
    "find_palette",
    "read_palette",
]
