"""Encoded pictures to pixels inside a graph: the policy of images.decode and images.with_channels, in TensorFlow ops.

TensorFlow's own decoders know neither EXIF, nor transparent GIFs, nor palettes in BMP, nor how deep a PNG is, and
take the memory that a header asks for. So headers are read here first.
"""

import numpy as np
import tensorflow as tf

from tf_pix2pix import images
from tf_pix2pix.exporting.parsing import EXIF_PREFIX, checked, find_blocks, length, number, read_orientation, walk

_RAMP = np.arange(256, dtype=np.uint8)[:, np.newaxis].repeat(3, axis=1)  # the palette of gray levels
_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"  # a JPEG's segment: the inks are stored inverted, and are CMYK


def decode_or_refuse(
    encoded: tf.Tensor, channels: int, max_pixels: int, depth: str = "uint8", widen: bool = True
) -> tuple[tf.Tensor, tf.Tensor]:
    """Bytes of a PNG, JPEG, GIF, BMP or WebP file, a string scalar -> (uint8 or uint16 [h, w, channels], bool scalar).

    The picture is upright as EXIF says, and of the format's depth. False, and one black pixel, where images.decode,
    images.with_depth or images.with_channels raises; where it has more than max_pixels pixels; and for what they take
    and this does not: TIFF and NPY, BMP of 16 bits, with RLE, odd masks or an OS/2 header, arithmetic JPEG, damaged
    EXIF, and PNG whose metadata is EXIF as text or compressed XMP. It never raises: the other rows of a served request
    go on.

    Of damaged files, a few are taken here though images.decode raises, where TensorFlow's decoders find pixels all the
    same: GIF with wrong LZW codes, PNG with a wrong checksum of a chunk that is not for the pixels (a tRNS is left out
    then), WebP with an odd header. A few others are refused here though Pillow reads past the damage.
    """

    import types
    format = types.SimpleNamespace(depth=depth, range=None if widen else 1)

    def png(encoded, max_pixels):
        return _png(encoded, max_pixels, format)

    formats = {b"\x89PNG\r\n\x1a\n": png, b"\xff\xd8\xff": _jpeg, b"GIF": _gif, b"BM": _bmp, b"RIFF": _webp}
    starts = [tf.strings.substr(encoded, 0, len(magic)) == magic for magic in formats]

    def branch(read):
        @tf.autograph.experimental.do_not_convert
        def decoded(encoded):
            return _with_channels(_with_depth(read(encoded, max_pixels), format), channels), True

        # A dataset of one, or of none where decoding fails, and the refusal behind it.
        dataset = tf.data.Dataset.from_tensors(encoded).map(decoded).ignore_errors()
        return dataset.concatenate(tf.data.Dataset.from_tensors(refusal)).take(1).get_single_element()

    refusal = tf.zeros([1, 1, channels], format.depth), tf.constant(False)
    branches = [lambda read=read: branch(read) for read in formats.values()] + [lambda: refusal]
    picture, ok = tf.switch_case(tf.argmax(tf.stack([*starts, True]), output_type=tf.int32), branches)
    return tf.ensure_shape(picture, [None, None, channels]), ok


def _with_depth(rgba, format):
    if rgba.dtype == format.depth:
        return rgba
    rgba = checked(rgba, tf.constant(format.range is None), "8 bits a channel")
    return tf.cast(rgba, tf.uint16) * 257


def _with_channels(rgba, channels):
    if channels < 4:
        rgba = checked(rgba, tf.reduce_all(rgba[:, :, 3] == rgba.dtype.max), "transparency")
    if channels == 1:
        rgba = checked(rgba, tf.reduce_all(rgba[:, :, 1:3] == rgba[:, :, :1]), "colours")
    return rgba[:, :, :channels]


def _png(encoded, max_pixels, format):
    encoded = checked(encoded, tf.strings.substr(encoded, 12, 4) == b"IHDR", "no header")
    encoded = _fitting(encoded, number(encoded, 20, 4), number(encoded, 16, 4), max_pixels)
    bits, is_deep = number(encoded, 24, 1), format.depth == "uint16"
    encoded = checked(encoded, is_deep | (bits <= 8), "more than 8 bits a channel")

    def chunk(position):
        begin = position + 8
        end = begin + number(encoded, position, 4)
        return tf.strings.substr(encoded, position + 4, 4), begin, end, end + 4

    wanted = [b"tRNS", b"eXIf", b"iTXtXML:com.adobe.xmp\0\0", b"iTXtXML:com.adobe.xmp\0\1"]
    wanted += [b"tEXtRaw profile type exif\0", b"zTXtRaw profile type exif\0"]
    size = length(encoded)
    transparency, exif, xmp, *unread = find_blocks(encoded, 8, size, chunk, wanted, last=b"IEND")
    unreadable = tf.reduce_any([block[0] >= 0 for block in unread]) & (exif[0] < 0)
    encoded = checked(encoded, ~unreadable, "compressed metadata")
    has_alpha = (transparency[0] >= 0) | (number(encoded, 25, 1) >= 4)  # otherwise libpng's is wrong below 8 bits

    def pixels(dtype):
        rgba = tf.io.decode_png(encoded, channels=4, dtype=dtype)
        return _with_depth(tf.cond(has_alpha, lambda: rgba, lambda: _opaque(rgba[:, :, :3])), format)

    rgba = tf.cond(bits > 8, lambda: pixels(tf.uint16), lambda: pixels(tf.uint8)) if is_deep else pixels(tf.uint8)
    return _upright(rgba, encoded, exif, xmp)


def _jpeg(encoded, max_pixels):
    def segment(position):
        marker = number(encoded, position, 2)
        fill = marker == 0xFFFF
        bare = (marker >= 0xFFD0) & (marker <= 0xFFD9)
        position = checked(position, (marker > 0xFF01) & ~bare, "no segment")
        begin = position + tf.where(fill, np.int64(1), 4)
        end = tf.where(fill, begin, position + 2 + number(encoded, position + 2, 2))
        return tf.strings.substr(encoded, position, 2), begin, end, end

    wanted = [
        b"\xff\xc0",
        b"\xff\xc1",
        b"\xff\xc2",
        b"\xff\xe1" + EXIF_PREFIX,
        b"\xff\xe1http://ns.adobe.com/xap/1.0/\0",
    ]
    *frames, exif, xmp = find_blocks(encoded, 2, length(encoded), segment, wanted, last=b"\xff\xda")
    frame = tf.reduce_max(tf.stack(frames)[:, 0])
    encoded = checked(encoded, frame >= 0, "no frame")
    encoded = _fitting(encoded, number(encoded, frame + 1, 2), number(encoded, frame + 3, 2), max_pixels)
    # Four inks are inverted: to Pillow always, to TensorFlow after Adobe's segment. One of the file's own prevails.
    has_inks = number(encoded, frame + 5, 1) == 4
    rest = tf.strings.substr(encoded, 2, tf.strings.length(encoded))
    told = tf.cond(has_inks, lambda: tf.strings.join([b"\xff\xd8", _ADOBE, rest]), lambda: encoded)
    rgb = tf.io.decode_jpeg(told, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)
    return _upright(_opaque(rgb), encoded, exif, xmp)


def _webp(encoded, max_pixels):
    encoded = checked(encoded, tf.strings.substr(encoded, 8, 4) == b"WEBP", "no WebP")
    kind = tf.strings.substr(encoded, 12, 4)
    vp8x, vp8l, vp8 = (kind == wanted for wanted in (b"VP8X", b"VP8L", b"VP8 "))
    encoded = checked(encoded, vp8x | vp8l | vp8, "no WebP")
    canvas = number(encoded, 24, 6, little=True)  # two of 24 bits
    lossless = number(encoded, 21, 4, little=True)  # two of 14 bits
    lossy = number(encoded, 26, 4, little=True)  # two of 14 bits, each below 2 of scale
    width = tf.where(vp8x, canvas % 2**24 + 1, tf.where(vp8l, lossless % 2**14 + 1, lossy % 2**14))
    height = tf.where(vp8x, canvas // 2**24 + 1, tf.where(vp8l, lossless // 2**14 % 2**14 + 1, lossy // 2**16 % 2**14))
    encoded = _fitting(encoded, height, width, max_pixels)

    def chunk(position):
        begin = position + 8
        end = begin + number(encoded, position + 4, 4, little=True)
        return tf.strings.substr(encoded, position, 4), begin, end, end + end % 2

    size = tf.minimum(length(encoded), 8 + number(encoded, 4, 4, little=True))
    exif, xmp = find_blocks(encoded, 12, size, chunk, [b"EXIF", b"XMP "])
    flags = tf.where(vp8x, number(encoded, 20, 1), 0)
    is_animated, has_alpha = flags & 0x02 > 0, flags & 0x10 > 0

    def first_frame():  # told to have alpha: TensorFlow 2.21 writes past its buffer where an animation has none
        flag = tf.gather(tf.constant([bytes([byte]) for byte in range(256)]), flags | 0x10)
        told = tf.strings.join(
            [tf.strings.substr(encoded, 0, 20), flag, tf.strings.substr(encoded, 21, tf.strings.length(encoded))]
        )
        return tf.io.decode_image(told, channels=4, expand_animations=False)

    pixels = tf.cond(is_animated, first_frame, lambda: tf.io.decode_image(encoded, expand_animations=False))
    is_rgba = tf.where(is_animated, has_alpha, tf.shape(pixels)[2] == 4)
    rgba = tf.cond(is_rgba, lambda: pixels, lambda: _opaque(pixels[:, :, :3]))
    return _upright(tf.ensure_shape(rgba, [None, None, 4]), encoded, exif, xmp)


def _bmp(encoded, max_pixels):
    def field(position, size):
        return number(encoded, position, size, little=True)

    header, width, height = field(14, 4), field(18, 4), field(22, 4)
    encoded = checked(encoded, tf.reduce_any(header == [40, 52, 56, 64, 108, 124]), "another header")
    bottom_up = height < 2**31
    height = tf.where(bottom_up, height, 2**32 - height)
    encoded = _fitting(encoded, height, width, max_pixels)
    bits, compression = field(28, 2), field(30, 4)
    alpha = tf.where((compression == 3) & (header >= 56), field(66, 4), 0)
    masks = tf.stack([field(54, 4), field(58, 4), field(62, 4)])
    bgra = (bits == 32) & tf.reduce_all(masks == [0xFF0000, 0xFF00, 0xFF]) & ((alpha == 0) | (alpha == 0xFF000000))
    known = (compression == 0) | ((compression == 3) & bgra)
    encoded = checked(encoded, known & tf.reduce_any(bits == [1, 4, 8, 24, 32]), "an odd kind of BMP")

    stride = (width * bits + 31) // 32 * 4
    rows = tf.io.decode_raw(tf.strings.substr(encoded, field(10, 4), stride * height), tf.uint8)
    rows = tf.reshape(rows, tf.stack([height, stride]))  # fails where some are missing
    rows = tf.cond(bottom_up, lambda: rows[::-1], lambda: rows)

    def indexed():
        colours = field(46, 4)
        colours = checked(tf.where(colours == 0, 2**bits, colours), colours <= 256, "too many colours")
        bgr = tf.reshape(tf.io.decode_raw(tf.strings.substr(encoded, 14 + header, 4 * colours), tf.uint8), [-1, 4])
        palette = _filled(bgr[:, 2::-1])
        shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
        indices = tf.bitwise.right_shift(rows[:, :, tf.newaxis], shifts) & tf.cast(2**bits - 1, tf.uint8)
        return _opaque(tf.gather(palette, tf.cast(tf.reshape(indices, tf.stack([height, -1]))[:, :width], tf.int32)))

    def direct():
        pixels = tf.reshape(rows[:, : width * bits // 8], tf.stack([height, width, bits // 8]))
        rgb = pixels[:, :, 2::-1]
        return tf.cond(alpha > 0, lambda: tf.concat([rgb, pixels[:, :, 3:]], axis=2), lambda: _opaque(rgb))

    return tf.cond(bits <= 8, indexed, direct)


def _gif(encoded, max_pixels):
    """The first frame on its canvas. TensorFlow is given that frame alone, with a ramp for its palette: it decodes no
    other, and returns the indices."""
    version = tf.strings.substr(encoded, 3, 3)
    encoded = checked(encoded, (version == b"87a") | (version == b"89a"), "no GIF")
    size = length(encoded)
    colours_end = 13 + _gif_table(number(encoded, 10, 1))
    between, extension, pixels, over = 0, 1, 2, 3  # phases: in what the next block is

    def step(position, phase, control, picture):
        position = checked(position, position < size, "cut short")
        byte = number(encoded, position, 1)
        begins = phase == between
        is_extension, is_picture = begins & (byte == ord("!")), begins & (byte == ord(","))
        position = checked(position, ~begins | is_extension | is_picture, "no block")
        ends = ~begins & (byte == 0)
        is_control = is_extension & (tf.strings.substr(encoded, position, 2) == b"!\xf9")
        control = tf.where(is_control, position + 3, control)
        picture = tf.where(is_picture, position + 1, picture)
        pixels_begin = position + 11 + _gif_table(number(encoded, position + 9, 1))
        after = tf.where(is_picture, pixels_begin, position + tf.where(is_extension, np.int64(2), byte + 1))
        phase = tf.where(ends & (phase == pixels), over, tf.where(ends, between, phase))
        return after, tf.where(is_picture, pixels, tf.where(is_extension, extension, phase)), control, picture

    begin = colours_end, tf.constant(between), np.int64(-1), np.int64(-1)
    end, phase, control, picture = walk(lambda position, phase, *found: phase != over, step, begin)
    encoded = checked(encoded, phase == over, "too many blocks")

    left, top, width, height = (number(encoded, picture + offset, 2, little=True) for offset in (0, 2, 4, 6))
    canvas_width = tf.maximum(number(encoded, 6, 2, little=True), left + width)
    canvas_height = tf.maximum(number(encoded, 8, 2, little=True), top + height)
    encoded = _fitting(encoded, canvas_height, canvas_width, max_pixels)
    flags = number(encoded, picture + 8, 1)
    has_own = flags >= 128
    colours_begin = tf.where(has_own, picture + 9, 13)
    pixels_begin = picture + 9 + _gif_table(flags)
    colours_end = tf.where(has_own, pixels_begin, colours_end)
    sides = tf.strings.substr(encoded, picture + 4, 4)
    interlaced = tf.where(flags // 64 % 2 == 1, b"\x40", b"\0")
    data = tf.strings.substr(encoded, pixels_begin, end - pixels_begin)
    ramp = b"\xf7\0\0" + _RAMP.tobytes() + b",\0\0\0\0"
    indices = tf.io.decode_gif(tf.strings.join([b"GIF89a", sides, ramp, sides, interlaced, data, b";"]))[0, :, :, 0]

    has_transparent = (control >= 0) & (number(encoded, control, 1) % 2 == 1)
    transparent = tf.where(has_transparent, number(encoded, control + 3, 1), -1)
    borders = [[top, canvas_height - top - height], [left, canvas_width - left - width]]
    indices = tf.pad(indices, borders, constant_values=tf.cast(tf.maximum(transparent, 0), tf.uint8))
    palette = tf.io.decode_raw(tf.strings.substr(encoded, colours_begin, colours_end - colours_begin), tf.uint8)
    palette = _filled(tf.reshape(palette, [-1, 3]))
    alpha = tf.where(tf.range(256, dtype=tf.int64) == transparent, np.uint8(0), np.uint8(255))
    return tf.gather(tf.concat([palette, alpha[:, tf.newaxis]], axis=1), tf.cast(indices, tf.int32))


def _gif_table(flags):
    """The bytes of the colour table that a descriptor's flags announce."""
    return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)


def _filled(palette):
    """[n, 3] -> [256, 3]: black behind, or gray where the colours are the first grays, or none, as in Pillow."""
    size = tf.shape(palette)[0]
    behind = _RAMP * tf.cast(tf.reduce_all(palette == tf.constant(_RAMP)[:size]), tf.uint8)
    return tf.concat([palette, behind[size:]], axis=0)


def _upright(rgba, encoded, exif, xmp):
    """Turns [h, w, 4] as EXIF says, or XMP: blocks of find_blocks."""
    orientation = read_orientation(encoded, exif, xmp)

    def is_one_of(*orientations):
        return tf.reduce_any(orientation == list(orientations))

    rgba = tf.cond(is_one_of(5, 6, 7, 8), lambda: tf.transpose(rgba, [1, 0, 2]), lambda: rgba)
    rgba = tf.cond(is_one_of(3, 4, 7, 8), lambda: rgba[::-1], lambda: rgba)
    return tf.cond(is_one_of(2, 3, 6, 7), lambda: rgba[:, ::-1], lambda: rgba)


def _opaque(rgb):
    opaque = tf.constant(rgb.dtype.max, rgb.dtype)
    return tf.concat([rgb, tf.fill(tf.concat([tf.shape(rgb)[:2], [1]], axis=0), opaque)], axis=2)


def _fitting(encoded, height, width, max_pixels):
    fits = (height > 0) & (width > 0) & (height <= max_pixels) & (width <= max_pixels)
    return checked(encoded, fits & (height * width <= max_pixels), "no pixels, or too many")
