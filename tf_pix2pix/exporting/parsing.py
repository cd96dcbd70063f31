"""Reading the bytes of encoded pictures inside a graph: numbers, blocks, and which side is up.

Files are string scalars, positions in them int64 scalars. What raises does so when the graph runs.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

MOST_BLOCKS = 2**15  # of one file; walking so many takes about a second
EXIF_PREFIX = b"Exif\0\0"

_ORIENTATION = 0x0112  # the EXIF tag
_XMP_ORIENTATION = r'tiff:Orientation(?:="|>)([0-9])'  # Pillow's


def checked(tensor: tf.Tensor, condition: tf.Tensor, otherwise: str) -> tf.Tensor:
    """The tensor, once the condition holds. Raises InvalidArgumentError where it does not."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [otherwise])]):
        return tf.identity(tensor)


def length(encoded: tf.Tensor) -> tf.Tensor:
    """The bytes of a file: int64."""
    return tf.cast(tf.strings.length(encoded), tf.int64)


def number(encoded: tf.Tensor, position, size: int, little=False) -> tf.Tensor:
    """The unsigned number of `size` bytes at a position: int64. What lies behind the end is 0."""
    some = tf.strings.substr(encoded, tf.minimum(tf.cast(position, tf.int64), length(encoded)), size)
    some = tf.strings.join([some, bytes(size)])
    digits = tf.cast(tf.io.decode_raw(tf.strings.substr(some, 0, size), tf.uint8), tf.int64)
    powers = 256 ** np.arange(size, dtype=np.int64)
    return tf.reduce_sum(digits * tf.where(little, powers, powers[::-1]))


def find_blocks(
    encoded: tf.Tensor,
    begin: int,
    end: tf.Tensor,
    read: Callable[[tf.Tensor], tuple],
    wanted: Sequence[bytes],
    last: bytes = b"none",
) -> list[tf.Tensor]:
    """The first block of each kind in a file that is blocks from `begin` to `end`.

    Args:
      read: a block's position -> (kind, a string; begin and end of its data; the next block's position).
      wanted: what the kind and the data after it start with.
      last: the kind of the last block that is looked at.

    Returns:
      For each kind int64 [2], begin and end of the data; -1 where there is none.

    Raises:
      InvalidArgumentError: there are more than MOST_BLOCKS.
    """
    lengths = [len(prefix) for prefix in wanted]

    def step(position, kind, found):
        kind, first, behind, after = read(position)
        head = kind + tf.strings.substr(encoded, first, tf.minimum(behind - first, max(lengths)))
        matches = tf.strings.substr(tf.fill([len(wanted)], head), [0] * len(wanted), lengths) == wanted
        is_first = (matches & (found[:, 0] < 0))[:, tf.newaxis]
        return after, kind, tf.where(is_first, tf.stack([first, behind]), found)

    def goes_on(position, kind, found):
        return (position < end) & (kind != last)

    start = tf.constant(begin, tf.int64), tf.constant(b""), tf.fill([len(wanted), 2], np.int64(-1))
    position, kind, found = walk(goes_on, step, start)
    return tf.unstack(checked(found, ~goes_on(position, kind, found), "too many blocks"))


def walk(goes_on: Callable, step: Callable, start: tuple) -> tuple:
    """tf.while_loop, of MOST_BLOCKS steps at most."""
    return tf.while_loop(goes_on, step, start, maximum_iterations=MOST_BLOCKS, parallel_iterations=1)


def read_orientation(encoded: tf.Tensor, exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """What EXIF, or else XMP, says of a picture: int64, 1 to 8 as in EXIF, 0 where they say nothing.

    Args:
      exif, xmp: blocks of find_blocks. Those of EXIF may have its prefix.

    Raises:
      InvalidArgumentError: EXIF is damaged.
    """

    def data(block):
        return tf.strings.substr(encoded, block[0], block[1] - block[0])

    orientation = tf.cond(exif[0] >= 0, lambda: _exif_orientation(data(exif)), lambda: np.int64(0))
    silent = (orientation == 0) & (xmp[0] >= 0)
    return tf.cond(silent, lambda: _xmp_orientation(data(xmp)), lambda: orientation)


def _exif_orientation(exif):
    """Of EXIF's bytes, with or without their prefix: int64, 0 where they say nothing."""
    prefixed = tf.strings.substr(exif, 0, len(EXIF_PREFIX)) == EXIF_PREFIX
    exif = tf.strings.substr(exif, tf.where(prefixed, len(EXIF_PREFIX), 0), tf.strings.length(exif))
    order = tf.strings.substr(exif, 0, 4)
    little = order == b"II\x2a\0"
    exif = checked(exif, little | (order == b"MM\0\x2a"), "damaged EXIF")
    begin = number(exif, 4, 4, little)
    count = number(exif, begin, 2, little)
    entries = tf.io.decode_raw(tf.strings.substr(exif, begin + 2, 12 * count), tf.uint8)
    entries = tf.reshape(entries, tf.stack([count, 12]))
    tags = tf.where(little, entries[:, 1::-1], entries[:, :2]) == [_ORIENTATION // 256, _ORIENTATION % 256]
    found = tf.where(tf.reduce_all(tags, axis=1))[:, 0]

    def value():
        entry = begin + 2 + 12 * found[-1]
        kind, size = number(exif, entry + 2, 2, little), number(exif, entry + 4, 4, little)
        entry = checked(entry, (kind == 3) & (size == 1), "odd EXIF")
        return number(exif, entry + 8, 2, little)

    return tf.cond(tf.size(found) > 0, value, lambda: np.int64(0))


def _xmp_orientation(xmp):
    """Of XMP's bytes: int64, 0 where they say nothing."""
    pattern = rf"(?s)\C*?{_XMP_ORIENTATION}\C*"
    digit = tf.strings.regex_replace(xmp, f"^{pattern}$", r"\1")
    return tf.cond(
        tf.strings.regex_full_match(xmp, pattern), lambda: tf.strings.to_number(digit, tf.int64), lambda: np.int64(0)
    )
