"""Decoding of image files inside the served graph.

TensorFlow's decoders allocate the memory that a header declares, ignore EXIF, and misread some files without an error.
So graph operations read each header first. Files are string scalars here, positions in them int64 scalars.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import tensorflow as tf

MAX_BLOCKS = 2**15  # in one file, which are read in about a second

# An orientation outside of EXIF: in XMP, as Pillow finds it, or in text chunks of PNG, which are not read here.
_OTHER_ORIENTATION = r'(?s)\C*(tiff:Orientation(="|>)[2-8]|XML:com\.adobe\.xmp\x00\x01|Raw profile type exif\x00)\C*'


def decode_or_refuse(
    encoded: tf.Tensor, channels: int, max_pixels: int, depth: str = "uint8", widen: bool = True
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes an image file, or refuses it. Never raises, so that one bad file does not fail the rest of a batch.

    An accepted image equals the one that training reads (images.decode, with_depth, with_channels). Refused are:
    - files whose headers declare more than max_pixels pixels, before memory is allocated for them;
    - transparency if channels is 1 or 3, and colors if channels is 1;
    - 16-bit files if depth is "uint8", and 8-bit files if depth is "uint16" and widen is False;
    - damaged files, and formats other than PNG, JPEG, GIF, BMP and WebP;
    - PNG with transparent gray of 2 or 4 bits, JPEG with four inks (CMYK) or arithmetic coding, animated WebP;
    - GIF whose first frame, the decoded one, has a transparent index, lacks a palette, or differs from the canvas size;
    - BMP with a palette, 16 bits a pixel, compression, bit masks or a 12-byte (OS/2) header;
    - damaged EXIF, and an orientation in XMP alone or, in PNG, possibly in compressed XMP or in EXIF as text.
    A few damaged files are accepted here but not in training, because TensorFlow finds all their pixels: PNG with a
    wrong checksum in a chunk without pixels, GIF with wrong LZW codes, WebP with an odd header.

    Args:
      encoded: the file, a string scalar.
      channels: 1 (gray), 3 (RGB) or 4 (RGBA).
      max_pixels: the largest accepted height x width.
      depth: dtype of the image, "uint8" or "uint16".
      widen: whether 8-bit files are accepted if depth is "uint16"; 255 becomes 65535.

    Returns:
      image: [h, w, channels] of dtype `depth`, turned upright as EXIF says; one black pixel if the file is refused.
      ok: bool scalar, False if the file is refused.
    """
    decoders = {b"\x89PNG\r\n\x1a\n": partial(_decode_png, depth=depth, widen=widen), b"\xff\xd8\xff": _decode_jpeg}
    decoders |= {b"GIF87a": _decode_gif, b"GIF89a": _decode_gif, b"BM": _decode_bmp, b"RIFF": _decode_webp}
    refusal = tf.zeros([1, 1, channels], depth), tf.constant(False)

    def try_decoder(decode):
        @tf.autograph.experimental.do_not_convert
        def accept(encoded):
            rgba = decode(encoded, max_pixels)
            if rgba.dtype != depth:
                rgba = tf.cast(_check(rgba, widen, "8 bits"), tf.uint16) * 257
            return _with_channels(rgba, channels), True

        # A dataset of the image, which is missing if decoding raises, and of the refusal; the first element counts.
        dataset = tf.data.Dataset.from_tensors(encoded).map(accept).ignore_errors()
        return dataset.concatenate(tf.data.Dataset.from_tensors(refusal)).take(1).get_single_element()

    matches = [_bytes(encoded, 0, len(magic)) == magic for magic in decoders]
    branches = [lambda decode=decode: try_decoder(decode) for decode in decoders.values()] + [lambda: refusal]
    image, ok = tf.switch_case(tf.argmax(tf.stack([*matches, True]), output_type=tf.int32), branches)
    return tf.ensure_shape(image, [None, None, channels]), ok


def _with_channels(rgba, channels):
    if channels < 4:
        rgba = _check(rgba, tf.reduce_all(rgba[:, :, 3] == rgba.dtype.max), "transparency")
    if channels == 1:
        rgba = _check(rgba, tf.reduce_all(rgba[:, :, 1:3] == rgba[:, :, :1]), "colors")
    return rgba[:, :, :channels]


def _decode_png(encoded, max_pixels, depth, widen):
    encoded = _check(encoded, _bytes(encoded, 12, 4) == b"IHDR", "missing header")
    encoded = _check_size(encoded, _number(encoded, 20, 4), _number(encoded, 16, 4), max_pixels)
    bits, color_type = _number(encoded, 24, 1), _number(encoded, 25, 1)
    encoded = _check(encoded, (bits > 8) | widen if depth == "uint16" else bits <= 8, "another bit depth")

    def read_chunk(position, _):
        return _bytes(encoded, position + 4, 4), position + 8, position + 12 + _number(encoded, position, 4)

    transparency, exif = _find_blocks(encoded, 8, read_chunk, [b"tRNS", b"eXIf"], last=b"IEND")
    is_transparent = transparency[0] >= 0
    is_misread = is_transparent & (color_type == 0) & ((bits == 2) | (bits == 4))  # by Pillow, so by training
    encoded = _check(encoded, ~is_misread, "transparent gray of 2 or 4 bits")
    rgba = tf.io.decode_png(encoded, channels=4, dtype=depth)  # 255 becomes 65535
    has_alpha = is_transparent | (color_type >= 4)  # otherwise libpng's alpha is wrong below 8 bits
    return _turn_upright(tf.cond(has_alpha, lambda: rgba, lambda: _opaque(rgba[:, :, :3])), encoded, exif)


def _decode_jpeg(encoded, max_pixels):
    def read_segment(position, _):
        marker = _number(encoded, position, 2)
        is_segment = (marker > 0xFF01) & ((marker < 0xFFD0) | (marker > 0xFFD9))
        position = _check(position, is_segment, "not a segment")
        is_frame = (marker >= 0xFFC0) & (marker <= 0xFFC2)  # the kinds that TensorFlow reads
        is_exif = (marker == 0xFFE1) & (_bytes(encoded, position + 4, 6) == b"Exif\0\0")
        kind = tf.where(is_exif, b"exif", tf.where(is_frame, b"frame", _bytes(encoded, position, 2)))
        size = tf.where(marker == 0xFFFF, np.int64(1), 2 + _number(encoded, position + 2, 2))
        return kind, position + 4, position + size

    frame, exif = _find_blocks(encoded, 2, read_segment, [b"frame", b"exif"], last=b"\xff\xda")
    encoded = _check(encoded, (frame[0] >= 0) & (_number(encoded, frame[0] + 5, 1) != 4), "no frame, or four inks")
    encoded = _check_size(encoded, _number(encoded, frame[0] + 1, 2), _number(encoded, frame[0] + 3, 2), max_pixels)
    rgb = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")  # as Pillow
    return _turn_upright(_opaque(rgb), encoded, exif)


def _decode_gif(encoded, max_pixels):
    def color_table_size(position):
        flags = _number(encoded, position, 1)
        return flags // 128 * 3 * 2 ** (flags % 8 + 1)

    def read_block(position, previous):
        """A frame or an extension is a header and sub-blocks, the last of them empty; each is a block here."""
        byte = _number(encoded, position, 1)
        is_header = (previous == b"") | (previous == b"extension end")
        is_frame, is_extension = is_header & (byte == ord(",")), is_header & (byte == ord("!"))
        position = _check(position, is_frame | is_extension | ~is_header, "not a block")
        is_transparent = (_bytes(encoded, position, 2) == b"!\xf9") & (_number(encoded, position + 3, 1) % 2 == 1)
        header = tf.where(is_frame, b"frame", tf.where(is_transparent, b"transparent", b"extension"))
        is_in_frame = (previous == b"frame") | (previous == b"frame data")
        sub_block = tf.where(is_in_frame, b"frame", b"extension") + tf.where(byte == 0, b" end", b" data")
        frame_size = 11 + color_table_size(position + 9)
        size = tf.where(is_frame, frame_size, tf.where(is_extension, np.int64(2), byte + 1))
        return tf.where(is_header, header, sub_block), position + 1, position + size

    wanted = [b"transparent", b"frame", b"frame end"]
    transparent, frame, end = _find_blocks(encoded, 13 + color_table_size(10), read_block, wanted, last=b"frame end")
    encoded = _check_size(encoded, _number(encoded, 8, 2, True), _number(encoded, 6, 2, True), max_pixels)
    covers_canvas = _bytes(encoded, frame[0], 8) == bytes(4) + _bytes(encoded, 6, 4)
    is_usable = (transparent[0] < 0) & (end[0] >= 0) & covers_canvas
    encoded = _check(encoded, is_usable, "transparent, cut short, or not the canvas' size")
    # Cut behind the first frame: giflib allocates memory for all of them.
    return _opaque(tf.io.decode_gif(_bytes(encoded, 0, end[1]) + b";")[0])


def _decode_bmp(encoded, max_pixels):
    offset, header, width, height = (_number(encoded, position, 4, little=True) for position in (10, 14, 18, 22))
    height = tf.minimum(height, 2**32 - height)  # negative: the first row is the top one
    encoded = _check_size(encoded, height, width, max_pixels)
    bits, compression = _number(encoded, 28, 2, little=True), _number(encoded, 30, 4)
    is_plain = (header >= 40) & (compression == 0) & ((bits == 24) | (bits == 32))
    encoded = _check(encoded, is_plain, "another kind of BMP")
    end = offset + (width * bits + 31) // 32 * 4 * height
    encoded = _bytes(_check(encoded, end <= _length(encoded), "cut short"), 0, end)
    return _opaque(tf.io.decode_bmp(encoded)[:, :, :3])


def _decode_webp(encoded, max_pixels):
    width = height = np.int64(0)  # of an unknown kind
    for kind, position, bits, less in ((b"VP8X", 24, 24, 1), (b"VP8L", 21, 14, 1), (b"VP8 ", 26, 16, 0)):
        is_kind, sides = _bytes(encoded, 8, 8) == b"WEBP" + kind, _number(encoded, position, 6, little=True)
        width = tf.where(is_kind, sides % 2**bits + less, width)
        height = tf.where(is_kind, sides // 2**bits % 2**bits + less, height)
    encoded = _check_size(encoded, height, width, max_pixels)
    flags = tf.where(_bytes(encoded, 12, 4) == b"VP8X", _number(encoded, 20, 1), 0)
    encoded = _check(encoded, flags & 0x02 == 0, "animation")  # if opaque, TensorFlow 2.21 writes past its buffer

    def read_chunk(position, _):
        size = _number(encoded, position + 4, 4, little=True)
        return _bytes(encoded, position, 4), position + 8, position + 8 + size + size % 2

    (exif,) = _find_blocks(encoded, 12, read_chunk, [b"EXIF"], last=b"EXIF")
    image = tf.io.decode_image(encoded, expand_animations=False)
    rgba = tf.cond(tf.shape(image)[2] == 4, lambda: image, lambda: _opaque(image[:, :, :3]))
    return _turn_upright(tf.ensure_shape(rgba, [None, None, 4]), encoded, exif)


def _opaque(rgb):
    return tf.concat([rgb, tf.fill(tf.shape(rgb[:, :, :1]), tf.constant(rgb.dtype.max, rgb.dtype))], axis=2)


def _turn_upright(rgba, encoded, exif):
    """Turns [h, w, 4] upright by the EXIF block of its file."""
    data = _bytes(encoded, exif[0], exif[1] - exif[0])
    orientation = tf.cond(exif[0] >= 0, lambda: _read_orientation(data), lambda: np.int64(0))
    is_elsewhere = tf.strings.regex_full_match(encoded, _OTHER_ORIENTATION)
    orientation = _check(orientation, (orientation > 0) | ~is_elsewhere, "an orientation outside of EXIF")
    rgba = tf.cond(tf.reduce_any(orientation == [5, 6, 7, 8]), lambda: tf.transpose(rgba, [1, 0, 2]), lambda: rgba)
    rgba = tf.cond(tf.reduce_any(orientation == [3, 4, 7, 8]), lambda: rgba[::-1], lambda: rgba)
    return tf.cond(tf.reduce_any(orientation == [2, 3, 6, 7]), lambda: rgba[:, ::-1], lambda: rgba)


def _read_orientation(exif):
    """The orientation in EXIF data, int64; 0 if it is missing."""
    exif = tf.strings.regex_replace(exif, r"^Exif\x00\x00", "")
    little = _bytes(exif, 0, 4) == b"II\x2a\0"
    exif = _check(exif, little | (_bytes(exif, 0, 4) == b"MM\0\x2a"), "damaged EXIF")
    begin = _number(exif, 4, 4, little)
    count = _number(exif, begin, 2, little)
    entries = tf.io.decode_raw(_bytes(exif, begin + 2, 12 * count), tf.uint8)
    entries = tf.reshape(entries, tf.stack([count, 12]))  # raises if some are missing
    entries = tf.where(little, tf.gather(entries, [1, 0, 3, 2, 7, 6, 5, 4, 9, 8], axis=1), entries[:, :10])
    found = tf.boolean_mask(entries, tf.reduce_all(entries[:, :2] == [0x01, 0x12], axis=1))
    found = _check(found, tf.reduce_all(found[:, 2:9] == [0, 3, 0, 0, 0, 1, 0]), "not one 16-bit number")
    return tf.reduce_sum(tf.cast(found[-1:, 9], tf.int64))


def _find_blocks(encoded, begin, read: Callable, wanted: Sequence[bytes], last: bytes) -> list[tf.Tensor]:
    """Finds the first block of each wanted kind, from position `begin` to the first block of kind `last`.

    `read` maps a block's position and the kind of the block before it, "" at first, to the block's own kind, the begin
    of its data and its end. Returns [begin, end] of each wanted block, [-1, -1] if it is missing.
    """

    def step(position, previous, found):
        kind, first, after = read(position, previous)
        after = _check(after, after <= _length(encoded), "cut short")  # libpng allocates what a chunk declares
        is_first = (kind == wanted) & (found[:, 0] < 0)
        return after, kind, tf.where(is_first[:, tf.newaxis], tf.stack([first, after]), found)

    def is_unfinished(position, kind, found):
        return (position < _length(encoded)) & (kind != last)

    state = tf.cast(begin, tf.int64), tf.constant(b""), tf.fill([len(wanted), 2], np.int64(-1))
    state = tf.while_loop(is_unfinished, step, state, maximum_iterations=MAX_BLOCKS, parallel_iterations=1)
    return tf.unstack(_check(state[2], ~is_unfinished(*state), "too many blocks"))


def _check(tensor, condition, problem):
    """Returns the tensor, or raises InvalidArgumentError."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [problem])]):
        return tf.identity(tensor)


def _check_size(encoded, height, width, max_pixels):
    fits = (height > 0) & (width > 0) & (height <= max_pixels) & (width <= max_pixels)
    return _check(encoded, fits & (height * width <= max_pixels), "no pixels, or too many")


def _length(encoded):
    return tf.cast(tf.strings.length(encoded), tf.int64)


def _bytes(encoded, position, size):
    """`size` bytes from a position on, fewer at the end of the file."""
    position, size = tf.cast(position, tf.int64), tf.cast(size, tf.int64)
    return tf.strings.substr(encoded, tf.minimum(position, _length(encoded)), size)


def _number(encoded, position, size, little=False):
    """An unsigned number of `size` bytes, as int64; bytes behind the end of the file are 0."""
    digits = tf.io.decode_raw(_bytes(_bytes(encoded, position, size) + bytes(size), 0, size), tf.uint8)
    powers = 256 ** np.arange(size, dtype=np.int64)
    return tf.reduce_sum(tf.cast(digits, tf.int64) * tf.where(little, powers, powers[::-1]))
