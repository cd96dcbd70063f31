"""The decoding inside the served graph, against Pillow's as images.py uses it."""

import functools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_deep, random_picture
from PIL import Image, PngImagePlugin
from test_images import encoded
from test_images_coding import with_chunk

from tf_pix2pix import images
from tf_pix2pix.exporting.decoding import decode_or_refuse
from tf_pix2pix.exporting.parsing import MOST_BLOCKS

FORMATS = ("PNG", "BMP", "GIF", "JPEG", "WEBP")
MAX_PIXELS = 4096
# Both use libjpeg-turbo's accurate DCT and fancy upsampling: no difference is seen here. Its versions may round apart.
JPEG_DIFFERENCE = 2


@functools.cache
def decoder(channels, format):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(data):
        return decode_or_refuse(data, channels, MAX_PIXELS, format)

    return decode


def decoded(data: bytes, channels: int, format: images.Format = images.EIGHT_BITS):
    """What the graph makes of it: [h, w, channels] of the format's depth, None where it is refused."""
    picture, ok = decoder(channels, format)(data)
    assert ok or not np.any(picture)
    return picture.numpy() if ok else None


def expected(data: bytes, channels: int, format: images.Format = images.EIGHT_BITS):
    if data.startswith((b"II", b"\x93NUMPY")):  # TIFF and NPY, which TensorFlow does not know
        return None
    try:
        return images.with_channels(images.with_depth(images.decode(data), format), channels)
    except ValueError:
        return None


def differing(kinds: dict[str, bytes], channels: int, format: images.Format = images.EIGHT_BITS) -> list[str]:
    """The names of those that the graph decodes otherwise than Python does."""
    names = []
    for name, data in kinds.items():
        ours, theirs = decoded(data, channels, format), expected(data, channels, format)
        tolerance = JPEG_DIFFERENCE * (257 if format.depth == "uint16" else 1) if name.startswith("JPEG") else 0
        if ours is None or theirs is None:
            same = ours is theirs
        else:
            same = (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            same = same and np.abs(ours.astype(int) - theirs).max() <= tolerance
        if not same:
            names.append(name)
    return names


def photo(channels: int) -> Image.Image:
    """33x47 pixels without hard edges, all values in use."""
    small = Image.fromarray(random_picture(channels, 6, 9, channels))
    return small.resize((47, 33), Image.Resampling.BICUBIC)


def of_every_format(**options) -> dict[str, bytes]:
    """One RGB picture in all formats, with options of Pillow's that take effect where a format knows them."""
    return {format: encoded(photo(3), format, lossless=True, **options) for format in FORMATS}


def bmp(header: int, bits: int, height: int, masks: tuple[int, ...], pixels: bytes) -> bytes:
    """A BMP of width 3 that Pillow does not write; the height is negative where the first row is the top one."""
    fields = struct.pack("<IiiHHIIiiII", header, 3, height, 1, bits, 3 if masks else 0, 0, 0, 0, 0, 0)
    fields = (fields + struct.pack(f"<{len(masks)}I", *masks)).ljust(max(header, 40 + 4 * len(masks)), b"\0")
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(fields)) + fields + pixels


def kinds() -> dict[str, bytes]:
    rgb, rgba = photo(3), photo(4)
    gray, opaque, palette, few = rgb.convert("L"), rgb.convert("RGBA"), rgb.quantize(200), rgb.quantize(13)
    pictures = {
        "rgb": rgb,
        "gray": gray,
        "gray as rgb": gray.convert("RGB"),
        "rgba": rgba,
        "opaque": opaque,
        "gray and alpha": rgba.convert("LA"),
        "opaque gray": opaque.convert("LA"),
        "palette": palette,
        "palette of 13": few,
        "palette of 2": rgb.quantize(2),
        "1 bit": gray.convert("1"),
        "one pixel": Image.new("RGB", (1, 1), (1, 2, 3)),
        "cmyk": rgb.convert("CMYK"),
    }
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
        "BMP": ("1", "L", "P", "RGB", "RGBA"),
        "GIF": ("1", "L", "P", "RGB", "RGBA"),
        "WEBP": ("L", "LA", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB", "CMYK"),
    }
    files = {
        f"{format} {name}": encoded(picture, format, lossless=True)
        for name, picture in pictures.items()
        for format in modes
        if picture.mode in modes[format]
    }
    corner = np.asarray(rgb)[0, 0].tolist()
    files |= {
        "PNG transparent palette": encoded(palette, "PNG", transparency=3),
        "PNG transparent palette of 13": encoded(few, "PNG", transparency=3),
        "PNG palette of 13, unused transparency": encoded(few, "PNG", transparency=15),
        "PNG transparent gray": encoded(gray, "PNG", transparency=np.asarray(gray)[0, 0].item()),
        "PNG transparent rgb": encoded(rgb, "PNG", transparency=tuple(corner)),
        "PNG transparent 1 bit": encoded(gray.convert("1"), "PNG", transparency=0),
        "PNG 16 bits": encoded(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG"),
        "PNG 16 bits rgb": images.encode(random_deep(0, 4, 5, 3)),
        "GIF transparent": encoded(palette, "GIF", transparency=3),
        "GIF unused transparency": encoded(few, "GIF", transparency=200),
        "GIF interlaced": encoded(palette, "GIF", interlace=1),
        "GIF not interlaced": encoded(palette, "GIF", interlace=0),
        "GIF animated": encoded(palette, "GIF", save_all=True, append_images=[gray, few], loop=0, comment=b"by us"),
        "WEBP lossy": encoded(rgb, "WEBP", quality=80),
        "WEBP lossy rgba": encoded(rgba, "WEBP", quality=80),
        "WEBP animated": encoded(rgb, "WEBP", save_all=True, append_images=[gray.convert("RGB")], lossless=True),
        "WEBP animated rgba": encoded(rgba, "WEBP", save_all=True, append_images=[opaque], lossless=True),
        "JPEG rgb inside": encoded(rgb, "JPEG", keep_rgb=True),
        "TIFF": encoded(rgb, "TIFF"),
        "JPEG XL": b"\xff\x0a" + bytes(100),
        "JPEG XL in a box": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100),
        "nothing": b"",
        "text": b"no picture",
    }
    # A frame that leaves a part of its canvas free, and one that sticks out of it, with a palette of their own.
    gif = encoded(few, "GIF")
    frame = gif.index(b",", 13 + 3 * 16)
    files["GIF smaller than its canvas"] = gif[:6] + struct.pack("<HH", 60, 50) + gif[10:]
    files["GIF aside"] = gif[: frame + 1] + struct.pack("<HH", 9, 5) + gif[frame + 5 :]
    own = gif[:10] + bytes([gif[10] & 0x7F]) + gif[11:13] + gif[13 + 3 * 16 : frame + 9]
    files["GIF with a table of the frame"] = own + b"\x83" + gif[13 : 13 + 3 * 16] + gif[frame + 10 :]
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            options = {"subsampling": subsampling, "progressive": progressive, "quality": 90}
            files[f"JPEG {options}"] = encoded(rgb, "JPEG", **options)
    colours, alpha = (0xFF0000, 0xFF00, 0xFF), 0xFF000000
    rows = bytes(range(1, 25))
    files |= {
        "BMP of 32 bits": bmp(40, 32, 2, (), rows),
        "BMP from the top": bmp(40, 32, -2, (), rows),
        "BMP with masks": bmp(40, 32, 2, colours, rows),
        "BMP with alpha": bmp(56, 32, 2, (*colours, alpha), rows),
        "BMP with no alpha": bmp(56, 32, 2, (*colours, 0), rows),
        "BMP with opaque alpha": bmp(124, 32, 2, (*colours, alpha), b"\7\7\7\xff" * 6),
    }
    return files


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_kind_of_picture_is_decoded_as_python_does(channels):
    files = kinds()
    assert differing(files, channels) == []
    taken = sum(decoded(data, channels) is not None for data in files.values())
    assert taken >= {1: 15, 3: 50, 4: 60}[channels]


DEEP = images.Format("uint16")


def deep_kinds() -> dict[str, bytes]:
    """PNGs of 16 bits: all colours, transparent ones, turned ones."""
    pictures = {f"PNG of {channels}": random_deep(channels, 9, 6, channels) for channels in (1, 2, 3, 4)}
    pictures["PNG opaque"] = images.with_channels(pictures["PNG of 3"], 4)
    pictures["PNG gray as rgb"] = images.with_channels(pictures["PNG of 1"], 3)
    files = {name: images.encode(picture) for name, picture in pictures.items()}
    for channels in (1, 3):
        colour = struct.pack(f">{channels}H", *pictures[f"PNG of {channels}"][2, 3])
        files[f"PNG transparent {channels}"] = with_chunk(files[f"PNG of {channels}"], b"tRNS", colour)
    for orientation in range(1, 9):
        exif = turned(orientation).tobytes().removeprefix(b"Exif\0\0")
        files[f"PNG turned {orientation}"] = with_chunk(files["PNG of 3"], b"eXIf", exif)
    return files


@pytest.mark.parametrize("channels", [1, 4])
def test_deep_pictures_are_decoded_as_python_does(channels):
    """And those of 8 bits, which become 16."""
    deep, files = deep_kinds(), kinds()
    assert differing(deep | files, channels, DEEP) == []
    taken = [sum(decoded(data, channels, DEEP) is not None for data in some.values()) for some in (deep, files)]
    assert taken[0] >= {1: 2, 4: 16}[channels]
    assert taken[1] >= {1: 15, 4: 60}[channels]
    assert all(decoded(data, channels) is None for data in deep.values())  # into 8 bits


def test_8_bits_do_not_become_16_of_a_range():
    """A range says what 16 bits are of, not what 8 are."""
    few = images.Format("uint16", (0.0, 4095.0))
    files = deep_kinds() | of_every_format()
    assert differing(files, 3, few) == []
    assert [name for name, data in of_every_format().items() if decoded(data, 3, few) is not None] == []


def test_a_deep_picture_that_is_cut_short_is_refused():
    data = images.encode(random_deep(0, 20, 20, 3))
    for share in (0.1, 0.4, 0.7, 0.95):
        assert decoded(data[: int(share * len(data))], 3, DEEP) is None, share


def test_a_jpeg_of_four_inks_is_converted_as_pillow_does():
    """With Adobe's marker as CMYK and as YCCK, without it, and with less than a whole one."""
    cmyk = encoded(photo(3).convert("CMYK"), "JPEG", quality=95, exif=turned(6))
    begin = cmyk.index(b"\xff\xee\0\x0eAdobe")
    before, marker, after = cmyk[:begin], cmyk[begin : begin + 16], cmyk[begin + 16 :]
    files = {
        "JPEG CMYK": cmyk,
        "JPEG YCCK": before + marker[:-1] + b"\2" + after,
        "JPEG without the marker": before + after,
        "JPEG with half of it": before + b"\xff\xee\0\x09Adobe\0\x64" + after,
        "JPEG with another's": before + marker.replace(b"Adobe", b"other") + after,
        "JPEG with half of it and a whole one": before + b"\xff\xee\0\x09Adobe\0\x64" + marker[:-1] + b"\2" + after,
    }
    assert differing(files, 3) == []
    assert {decoded(data, 3).shape for data in files.values()} == {(47, 33, 3)}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_indices_behind_the_palette_are_black():
    """Or gray, where the palette is of grays in order."""
    indices = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    files = {}
    for name, palette in (("colours", bytes(range(60, 252))), ("grays", bytes(np.arange(64).repeat(3).tolist()))):
        rgb = np.frombuffer(palette, np.uint8).reshape(64, 3)
        gif = encoded(indices, "GIF")
        files[f"GIF {name}"] = gif[:10] + b"\xf5" + gif[11:13] + palette + gif[13 + 3 * 256 :]
        bmp = encoded(indices, "BMP")
        bgrx = np.pad(rgb[:, ::-1], ((0, 0), (0, 1))).tobytes()
        fields = struct.pack("<I", 54 + len(bgrx)) + bmp[14:46] + struct.pack("<II", 64, 64)
        files[f"BMP {name}"] = bmp[:10] + fields + bgrx + bmp[54 + 4 * 256 :]
    assert differing(files, 3) == []
    assert all(decoded(data, 3) is not None for data in files.values())


def test_a_bmp_with_too_many_colours_is_refused():
    data = bytearray(encoded(photo(3).quantize(200), "BMP"))
    for colours, is_taken in ((256, True), (257, False), (2**31, False)):
        data[46:50] = struct.pack("<I", colours)
        assert differing({"BMP": bytes(data)}, 3) == []
        assert (decoded(bytes(data), 3) is not None) == is_taken


def test_damaged_files_that_pillow_refuses_may_be_taken():
    """As decode_or_refuse says: where the decoder finds the pixels. The picture is a whole one then."""
    png = PngImagePlugin.PngInfo()
    png.add(b"teSt", b"1234")
    data = encoded(photo(3), "PNG", pnginfo=png)
    damaged = data.replace(b"teSt1234", b"teSt1235")  # its checksum is wrong now
    assert expected(damaged, 3) is None
    assert np.array_equal(decoded(damaged, 3), expected(data, 3))


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_turns_a_picture_upright(orientation, byte_order):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F], exif[0x0112], exif[0x8769] = "maker", orientation, {0x829A: 0.01}
    files = of_every_format(exif=exif.tobytes())
    assert decoded(files["PNG"], 3).shape == ((47, 33, 3) if 5 <= orientation <= 8 else (33, 47, 3))
    assert differing(files, 3) == []


def xmp_files(text: str, **options) -> dict[str, bytes]:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text, **options)
    files = of_every_format(xmp=text.encode())
    return {"PNG": encoded(photo(3), "PNG", pnginfo=info), "JPEG": files["JPEG"], "WEBP": files["WEBP"]}


def test_xmp_turns_a_picture_where_exif_is_silent():
    for text in ('<é tiff:Orientation="6"/>', "<tiff:Orientation>8</tiff:Orientation>"):
        files = xmp_files(text)
        assert differing(files, 3) == []
        assert {decoded(data, 3).shape for data in files.values()} == {(47, 33, 3)}
    assert differing(xmp_files("nothing on it"), 3) == []
    upright = Image.Exif()
    upright[0x0112] = 1
    both = encoded(photo(3), "JPEG", exif=upright, xmp=b'tiff:Orientation="6"')
    assert differing({"JPEG": both}, 3) == []


def test_metadata_that_the_graph_cannot_read_is_refused():
    """Better no picture than one turned wrongly: compressed XMP, EXIF as text, EXIF of another type, and damaged."""
    deflated = xmp_files('<tiff:Orientation="6"/>', zip=True)["PNG"]
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n   0\n")
    as_text = encoded(photo(3), "PNG", pnginfo=info)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded(photo(3), "JPEG", exif=exif)
    entry = whole.index(b"\x01\x12\x00\x03")
    other_type = whole[: entry + 3] + b"\x02" + whole[entry + 4 :]
    no_tiff = whole.replace(b"Exif\0\0MM", b"Exif\0\0XX")
    assert decoded(whole, 3) is not None
    assert [decoded(data, 3) for data in (deflated, as_text, other_type, no_tiff)] == [None] * 4


def test_what_is_cut_short_is_refused():
    """Or complete: what may be missing of a file is less than its last 20 bytes."""
    for name, data in (kinds() | of_every_format()).items():
        whole = decoded(data, 4)
        if whole is None or name == "GIF animated":  # the first frame may be there
            continue
        for share in (0.1, 0.4, 0.7, 0.95):
            assert decoded(data[: min(int(share * len(data)), len(data) - 20)], 4) is None, (name, share)
        for missing in (1, 2, 4, 12):
            rest = decoded(data[:-missing], 4)
            assert rest is None or np.array_equal(rest, whole), (name, missing)


def test_a_gif_with_pixels_missing_is_refused():
    """All its blocks are there."""
    gif = encoded(photo(3), "GIF")
    pixels = gif.index(b",", 13 + 3 * 256) + 11  # the first block of them
    assert decoded(gif, 3) is not None
    assert decoded(gif[:pixels] + b"\x14" + gif[pixels + 1 : pixels + 21] + b"\0;", 3) is None


def largest_memory() -> float:
    """MB that this process held at most since the last call of forget_memory."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def test_pictures_that_are_too_large_are_refused_before_memory_is_taken():
    large = Image.new("L", (6000, 6000), 200)  # 144 MB as RGBA
    bombs = {format: encoded(large, format) for format in ("PNG", "JPEG", "GIF")}
    bombs["BMP"] = encoded(large.convert("1"), "BMP")  # 4.5 MB in the file
    bombs |= webp_headers(6000, 6000)
    decoded(bombs["PNG"], 3)  # what is made once for the decoder
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forgets the largest
    before = largest_memory()
    for name, data in bombs.items():
        assert decoded(data, 3) is None, name
    assert largest_memory() - before < 50  # less than any of them decoded; the BMP's file itself is read


def webp_headers(height: int, width: int) -> dict[str, bytes]:
    """WebP files of every kind whose headers say so much, and which hold much less."""
    lossless, lossy = (bytearray(encoded(photo(3), "WEBP", lossless=flag)) for flag in (True, False))
    lossless[21:25] = ((height - 1) << 14 | width - 1).to_bytes(4, "little")
    lossy[26:30] = struct.pack("<HH", width, height)
    extended = bytearray(encoded(photo(4), "WEBP", save_all=True, append_images=[photo(4).rotate(90)]))
    extended[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return {"WEBP lossless": bytes(lossless), "WEBP lossy": bytes(lossy), "WEBP extended": bytes(extended)}


def test_a_webp_whose_frames_do_not_fit_its_header_is_refused():
    assert decoded(webp_headers(33, 47)["WEBP extended"], 4) is not None
    assert decoded(webp_headers(8, 8)["WEBP extended"], 4) is None


def test_the_limit_is_that_of_pixels():
    for format in FORMATS:
        for height, width, fits in ((64, 64, True), (16, 256, True), (65, 64, False), (1, 4097, False)):
            data = encoded(Image.new("RGB", (width, height)), format, lossless=True)
            assert (decoded(data, 3) is not None) == fits, (format, height, width)
    lossy = encoded(Image.new("RGB", (65, 64)), "WEBP")
    animated = encoded(Image.new("RGB", (65, 64)), "WEBP", save_all=True, append_images=[Image.new("RGB", (65, 64), 9)])
    assert decoded(lossy, 3) is None
    assert decoded(animated, 3) is None


def test_files_of_endless_blocks_are_refused():
    """The picture behind them is a good one: what ends the walk is its limit."""
    jpeg, gif, png = (encoded(photo(3), format) for format in ("JPEG", "GIF", "PNG"))
    colours = 13 + 3 * 256

    def files(blocks):
        return {
            "JPEG": jpeg[:2] + b"\xff" * blocks + jpeg[2:],
            "GIF": gif[:colours] + b"!\xfe\0" * (blocks // 2) + gif[colours:],
            "PNG": png[:33] + struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt")) * blocks + png[33:],
        }

    assert differing(files(MOST_BLOCKS // 10), 3) == []
    assert [decoded(data, 3) for data in files(MOST_BLOCKS + 1).values()] == [None] * 3


def test_a_chunk_of_a_negative_length_is_refused():
    """It would lead back to itself, were it read with a sign."""
    data = encoded(photo(3), "PNG")
    assert decoded(data[:33] + (2**32 - 12).to_bytes(4, "big") + data[37:], 3) is None
