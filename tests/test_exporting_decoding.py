"""Decoding inside the served graph, compared with images.decode."""

import functools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from helpers import encode as encode_plain
from helpers import random_deep, random_image, with_chunk
from PIL import Image, PngImagePlugin

from tf_pix2pix import images
from tf_pix2pix.exporting.decoding import MAX_BLOCKS, decode_or_refuse

FORMATS = ("PNG", "BMP", "GIF", "JPEG", "WEBP")
MAX_PIXELS = 4096
# Both use libjpeg-turbo's accurate DCT and fancy upsampling and agree exactly here; other versions may round apart.
JPEG_DIFFERENCE = 2


def encode(image: Image.Image, kind: str, **options) -> bytes:
    return encode_plain(image, kind, **({"lossless": True} if kind == "WEBP" else {}) | options)


@functools.cache
def make_decoder(channels, depth, widen):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(encoded):
        return decode_or_refuse(encoded, channels, MAX_PIXELS, depth, widen)

    return decode


def decode(encoded: bytes, channels: int = 3, depth: str = "uint8", widen: bool = True) -> np.ndarray | None:
    """The image that the graph decodes, [h, w, channels], or None if it refuses the file."""
    image, ok = make_decoder(channels, depth, widen)(encoded)
    assert ok or not np.any(image)
    return image.numpy() if ok else None


def expect(encoded: bytes, channels: int = 3, depth: str = "uint8", widen: bool = True) -> np.ndarray | None:
    """The image that training reads, or None if it skips the file."""
    value_range = None if widen else (0.0, 4095.0)
    try:
        return images.with_channels(images.with_depth(images.decode(encoded), depth, value_range), channels)
    except ValueError:
        return None


def assert_equal(name: str, encoded: bytes, channels: int = 3, depth: str = "uint8", widen: bool = True) -> bool:
    """Asserts that the graph and training read the same, or that both refuse. Returns whether they accept."""
    decoded, expected = decode(encoded, channels, depth, widen), expect(encoded, channels, depth, widen)
    assert (decoded is None) == (expected is None), name
    if decoded is not None:
        assert (decoded.shape, decoded.dtype) == (expected.shape, expected.dtype), name
        tolerance = JPEG_DIFFERENCE * (257 if depth == "uint16" else 1) if encoded.startswith(b"\xff\xd8") else 0
        assert np.abs(decoded.astype(int) - expected).max() <= tolerance, name
    return decoded is not None


def photo(channels: int) -> Image.Image:
    """33x47 pixels without hard edges, of all values."""
    small = Image.fromarray(random_image(channels, 6, 9, channels))
    return small.resize((47, 33), Image.Resampling.BICUBIC)


def encode_all(**options) -> dict[str, bytes]:
    """One RGB image in all formats, with those options of Pillow that a format knows."""
    return {kind: encode(photo(3), kind, **options) for kind in FORMATS}


def make_accepted() -> dict[str, bytes]:
    """Files that the graph decodes where channels and depth allow it."""
    rgb, rgba = photo(3), photo(4)
    gray, palette, few = rgb.convert("L"), rgb.quantize(200), rgb.quantize(13)
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
        "BMP": ("RGB", "RGBA"),
        "GIF": ("1", "L", "P", "RGB"),
        "WEBP": ("L", "LA", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB"),
    }
    sources = {
        "rgb": rgb,
        "gray": gray,
        "gray as rgb": gray.convert("RGB"),
        "rgba": rgba,
        "opaque": rgb.convert("RGBA"),
        "gray and alpha": rgba.convert("LA"),
        "opaque gray": gray.convert("LA"),
        "palette": palette,
        "palette of 13": few,
        "1 bit": gray.convert("1"),
        "one pixel": Image.new("RGB", (1, 1), (1, 2, 3)),
    }
    files = {
        f"{kind} {name}": encode(image, kind)
        for name, image in sources.items()
        for kind in modes
        if image.mode in modes[kind]
    }
    bmp, pixels = encode(rgb, "BMP"), np.asarray(rgb)
    rows = np.pad(pixels[::-1, :, ::-1].reshape(33, -1), ((0, 0), (0, 3))).tobytes()  # top row first
    files |= {
        "PNG transparent palette": encode(palette, "PNG", transparency=3),
        "PNG palette of 13, unused transparency": encode(few, "PNG", transparency=15),
        "PNG transparent gray": encode(gray, "PNG", transparency=np.asarray(gray)[0, 0].item()),
        "PNG transparent rgb": encode(rgb, "PNG", transparency=tuple(pixels[0, 0].tolist())),
        "PNG transparent 1 bit": encode(gray.convert("1"), "PNG", transparency=0),
        "PNG 16 bits": images.encode(random_deep(0, 4, 5, 3)),
        "GIF interlaced": encode(palette, "GIF", interlace=1),
        "GIF animated": encode(palette, "GIF", save_all=True, append_images=[gray, few], loop=0, comment=b"by us"),
        "BMP from the top": bmp[:22] + struct.pack("<i", -33) + bmp[26:54] + rows,
        "BMP with a profile behind": bmp + bytes(100),
        "WEBP lossy": encode(rgb, "WEBP", lossless=False, quality=80),
        "WEBP lossy rgba": encode(rgba, "WEBP", lossless=False, quality=80),
        "JPEG rgb inside": encode(rgb, "JPEG", keep_rgb=True),
    }
    for subsampling, progressive in ((0, True), (1, False), (2, True)):
        options = {"subsampling": subsampling, "progressive": progressive, "quality": 90}
        files[f"JPEG {options}"] = encode(rgb, "JPEG", **options)
    return files


@pytest.mark.parametrize(
    ("channels", "depth", "accepted"), [(1, "uint8", 11), (3, "uint8", 33), (4, "uint8", 43), (4, "uint16", 43)]
)
def test_every_kind_of_file_is_decoded_as_in_training(channels, depth, accepted):
    files = make_accepted()
    assert sum(assert_equal(name, encoded, channels, depth) for name, encoded in files.items()) >= accepted


def make_16_bits() -> dict[str, bytes]:
    sources = {str(channels): random_deep(channels, 9, 6, channels) for channels in (1, 2, 3, 4)}
    sources["opaque"] = images.with_channels(sources["3"], 4)
    sources["gray as rgb"] = images.with_channels(sources["1"], 3)
    files = {name: images.encode(image) for name, image in sources.items()}
    for channels in ("1", "3"):
        color = struct.pack(f">{channels}H", *sources[channels][2, 3])
        files[f"transparent {channels}"] = with_chunk(files[channels], b"tRNS", color)
    for orientation in range(1, 9):
        exif = make_exif(orientation).tobytes().removeprefix(b"Exif\0\0")
        files[f"turned {orientation}"] = with_chunk(files["3"], b"eXIf", exif)
    return files


@pytest.mark.parametrize(("channels", "accepted"), [(1, 2), (4, 16)])
def test_16_bits_are_decoded_as_in_training(channels, accepted):
    files = make_16_bits()
    assert sum(assert_equal(name, encoded, channels, "uint16") for name, encoded in files.items()) == accepted
    assert not any(assert_equal(name, encoded, channels) for name, encoded in files.items())  # as 8 bits


def test_8_bits_become_16_only_if_asked_for():
    for name, encoded in (encode_all() | make_16_bits()).items():
        assert assert_equal(name, encoded, 4, "uint16", widen=False) == (name not in FORMATS)


def make_exif(orientation: int, byte_order: str = ">") -> Image.Exif:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F], exif[0x0112], exif[0x8769] = "maker", orientation, {0x829A: 0.01}
    return exif


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_exif_turns_an_image_upright(byte_order):
    for orientation in range(10):
        for name, encoded in encode_all(exif=make_exif(orientation, byte_order).tobytes()).items():
            assert assert_equal(name, encoded)
            if name in ("PNG", "JPEG", "WEBP"):
                assert decode(encoded).shape == ((47, 33, 3) if 5 <= orientation <= 8 else (33, 47, 3))
    xmp = b'<tiff:Orientation="6"/>'  # EXIF prevails over it
    assert assert_equal("JPEG", encode(photo(3), "JPEG", exif=make_exif(8), xmp=xmp))
    assert assert_equal("JPEG", encode(photo(3), "JPEG", xmp=b"<x/>"))


def make_refused() -> dict[str, bytes]:
    """Files that training reads, or may read, and that the graph refuses whatever the channels are."""
    rgb = photo(3)
    palette, few = rgb.quantize(200), rgb.quantize(13)
    cmyk = encode(rgb.convert("CMYK"), "JPEG")
    gif, webp = encode(few, "GIF"), encode(photo(4), "WEBP", save_all=True, append_images=[photo(4).rotate(90)])
    frame = gif.index(b",", 13 + 3 * 16)
    bmp = bytearray(encode(rgb.convert("RGBA"), "BMP"))
    exif = make_exif(6)
    jpeg = encode(rgb, "JPEG", exif=exif)
    entry = jpeg.index(b"\x01\x12\x00\x03")
    text, compressed = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n   0\n")
    compressed.add_itxt("XML:com.adobe.xmp", '<tiff:Orientation="6"/>', zip=True)
    plain = PngImagePlugin.PngInfo()
    plain.add_itxt("XML:com.adobe.xmp", "<tiff:Orientation>8</tiff:Orientation>")
    return {
        "TIFF": encode(rgb, "TIFF"),
        "NPY": images.encode(np.asarray(rgb), "npy"),
        "PNG transparent gray of 4 bits": with_chunk(
            with_4_bits(encode(Image.new("L", (2, 2)), "PNG")), b"tRNS", b"\0\1"
        ),
        "PNG EXIF as text": encode(rgb, "PNG", pnginfo=text),
        "PNG compressed XMP": encode(rgb, "PNG", pnginfo=compressed),
        "PNG XMP": encode(rgb, "PNG", pnginfo=plain),
        "JPEG XMP": encode(rgb, "JPEG", xmp=b'<x tiff:Orientation="3"/>'),
        "WEBP XMP": encode(rgb, "WEBP", xmp=b'<x tiff:Orientation="3"/>'),
        "JPEG CMYK": cmyk,
        "JPEG CMYK without Adobe's segment": cmyk.replace(b"\xff\xee\0\x0eAdobe", b"\xff\xee\0\x0eother"),
        "JPEG EXIF of another type": jpeg[: entry + 3] + b"\x02" + jpeg[entry + 4 :],
        "JPEG EXIF of another order": jpeg.replace(b"Exif\0\0MM", b"Exif\0\0XX"),
        "GIF transparent": encode(palette, "GIF", transparency=3),
        "GIF smaller than its canvas": gif[:6] + struct.pack("<HH", 60, 50) + gif[10:],
        "GIF aside": gif[: frame + 1] + struct.pack("<HH", 9, 5) + gif[frame + 5 :],
        "GIF without a palette": gif[:10] + bytes([gif[10] & 0x7F]) + gif[11:13] + gif[13 + 3 * 16 :],
        "BMP palette": encode(palette, "BMP"),
        "BMP gray": encode(rgb.convert("L"), "BMP"),
        "BMP 1 bit": encode(rgb.convert("1"), "BMP"),
        "BMP masks": bytes(bmp[:30] + b"\3" + bmp[31:]),
        "BMP 16 bits": bytes(bmp[:28] + b"\x10" + bmp[29:]),
        "WEBP animated": webp,
        "WEBP animated without alpha": encode(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)]),
        "JPEG XL": b"\xff\x0a" + bytes(100),
        "text": b"not an image",
        "empty": b"",
    }


def with_4_bits(png: bytes) -> bytes:
    header = b"IHDR" + png[16:24] + b"\4" + png[25:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def test_files_that_would_be_misread_are_refused():
    for name, encoded in make_refused().items():
        assert [decode(encoded, channels) for channels in (1, 3, 4)] == [None] * 3, name
        assert decode(encoded, 4, "uint16") is None, name


def test_a_file_that_is_cut_short_is_refused():
    """Or decoded completely, if less than its last 20 bytes are missing."""
    files = make_accepted() | encode_all()
    del files["GIF animated"]  # its first frame may be complete
    for name, encoded in files.items():
        whole = decode(encoded, 4)
        if whole is None:
            continue
        for share in (0.1, 0.7, 0.95):
            assert decode(encoded[: min(int(share * len(encoded)), len(encoded) - 20)], 4) is None, (name, share)
        for missing in (1, 4, 12):
            rest = decode(encoded[:-missing], 4)
            assert rest is None or np.array_equal(rest, whole), (name, missing)
    deep = images.encode(random_deep(0, 20, 20, 3))
    assert decode(deep[: len(deep) // 2], 3, "uint16") is None
    gif = encode(photo(3), "GIF")
    pixels = gif.index(b",", 13 + 3 * 256) + 11  # the first block of them; all blocks stay complete, pixels lack
    assert decode(gif) is not None
    assert decode(gif[:pixels] + b"\x14" + gif[pixels + 1 : pixels + 21] + b"\0;") is None


def read_peak_memory() -> float:
    """MB that this process held at most since the last reset."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def test_memory_is_allocated_for_accepted_sizes_only():
    large = Image.new("L", (6000, 6000), 200)  # 144 MB as RGBA
    bombs = {kind: encode(large, kind) for kind in ("PNG", "JPEG", "GIF")}
    bombs["BMP"] = encode(large.convert("1"), "BMP")  # 4.5 MB in the file
    bombs |= make_webp_headers(6000, 6000)
    png = encode(photo(3), "PNG")
    bombs["PNG chunk of 2 GB"] = png[:33] + struct.pack(">I4s", 2**31 - 1, b"iTXt") + png[33:]
    gif = encode(photo(3), "GIF")
    bombs["GIF frame behind"] = gif[:-1] + b",\0\0\0\0" + struct.pack("<HH", 60000, 6000) + b"\0\x08\1\0\0;"
    decode(bombs["PNG"])  # allocates what the decoder needs once
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # resets the peak
    before = read_peak_memory()
    for name, encoded in bombs.items():
        assert (decode(encoded) is not None) == (name == "GIF frame behind"), name
    assert read_peak_memory() - before < 50  # less than any of them decoded; the BMP's file itself is read


def make_webp_headers(height: int, width: int) -> dict[str, bytes]:
    """Small WebP files of every kind whose headers declare this size."""
    lossless, lossy = (bytearray(encode(photo(3), "WEBP", lossless=flag)) for flag in (True, False))
    lossless[21:25] = ((height - 1) << 14 | width - 1).to_bytes(4, "little")
    lossy[26:30] = struct.pack("<HH", width, height)
    extended = bytearray(encode(photo(4), "WEBP", exif=make_exif(1)))
    extended[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return {"WEBP lossless": bytes(lossless), "WEBP lossy": bytes(lossy), "WEBP extended": bytes(extended)}


def test_a_webp_that_does_not_match_its_header_is_refused():
    assert all(decode(encoded, 4) is not None for encoded in make_webp_headers(33, 47).values())
    assert decode(make_webp_headers(8, 8)["WEBP extended"], 4) is None


def test_the_limit_is_a_number_of_pixels():
    for kind in FORMATS:
        for height, width, fits in ((64, 64, True), (16, 256, True), (65, 64, False), (1, 4097, False)):
            encoded = encode(Image.new("RGB", (width, height)), kind)
            assert (decode(encoded) is not None) == fits, (kind, height, width)
    assert decode(encode(Image.new("RGB", (65, 64)), "WEBP", lossless=False)) is None


def test_the_number_of_blocks_is_limited():
    jpeg, gif, png = (encode(photo(3), kind) for kind in ("JPEG", "GIF", "PNG"))
    colors = 13 + 3 * 256

    def make_files(blocks):
        return {
            "JPEG": jpeg[:2] + b"\xff" * blocks + jpeg[2:],
            "GIF": gif[:colors] + b"!\xfe\1x\0" * (blocks // 3 + 1) + gif[colors:],
            "PNG": png[:33] + struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt")) * blocks + png[33:],
        }

    assert all(assert_equal(name, encoded) for name, encoded in make_files(MAX_BLOCKS // 10).items())
    assert [decode(encoded) for encoded in make_files(MAX_BLOCKS + 1).values()] == [None] * 3
    # Read as a signed number, a chunk's length would lead back to itself.
    assert decode(png[:33] + (2**32 - 12).to_bytes(4, "big") + png[37:]) is None


def test_a_refused_row_leaves_the_others_alone():
    png = encode(photo(3), "PNG")

    @tf.function(autograph=False)
    def sum_rows(rows):
        def sum_row(row):
            image, ok = decode_or_refuse(row, 3, MAX_PIXELS)
            return tf.reduce_sum(tf.cast(image, tf.int64)), ok

        return tf.map_fn(sum_row, rows, fn_output_signature=(tf.int64, tf.bool))

    sums, ok = sum_rows(tf.constant([png, b"", make_refused()["JPEG CMYK"], encode(photo(3), "JPEG")[:-300], png]))
    assert ok.numpy().tolist() == [True, False, False, False, True]
    assert sums.numpy().tolist() == [expect(png).sum(dtype=int), 0, 0, 0, expect(png).sum(dtype=int)]
