import json

import numpy as np
import pytest
from helpers import encode, random_image
from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.datasets import published
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import (
    PALETTES,
    ColorCounts,
    NoisyColors,
    Palette,
    color_codes,
    count_classes,
    count_colors,
    counting,
    find_palette,
    read_palette,
)

COLORS = np.array([[0, 0, 170], [255, 85, 0], [0, 255, 255], [170, 255, 85]], np.uint8)
GRAYS = np.array([[0], [1], [2], [33]], np.uint8)


def make_palette(colors, **fields):
    return Palette(tuple(map(tuple, np.asarray(colors).tolist())), **fields)


def label_map(seed, colors=COLORS):
    labels = np.random.default_rng(seed).integers(0, len(colors), (6, 6)).repeat(17, 0).repeat(17, 1)
    return colors[labels]


def as_jpeg(image, quality=85):
    return images.decode(encode(Image.fromarray(image), "JPEG", quality=quality))


def count(*label_maps):
    """The colors of images called image 0, image 1, ..."""
    counted = ColorCounts()
    for number, image in enumerate(label_maps):
        counted.add(count_colors(image), f"image {number}")
    return counted


def test_colors_are_found_in_the_order_of_their_values():
    label_maps = [label_map(seed) for seed in range(3)]
    found = find_palette(count(*label_maps), "target")
    np.testing.assert_array_equal(found.array, COLORS[[0, 2, 3, 1]])
    pixels = np.concatenate(label_maps)
    assert found.counts == tuple((pixels == color).all(axis=2).sum() for color in found.array)
    mixed = find_palette(count(label_map(0, GRAYS), label_map(1)), "target")  # gray levels become RGB among colors
    assert {*mixed.colors} == {(gray, gray, gray) for gray in GRAYS[:, 0].tolist()} | {*map(tuple, COLORS.tolist())}


def test_jpeg_noise_is_refused_and_the_clear_colors_of_all_images_are_listed():
    with pytest.raises(NoisyColors, match="target images have .*2 images.*JPEG noise.*--palette=FILE") as error:
        find_palette(count(*(as_jpeg(label_map(seed, COLORS[seed : seed + 3])) for seed in range(2))), "target")
    message = str(error.value)
    assert json.loads(message[message.index("{") :])["colors"] == error.value.colors
    clear = np.array(error.value.colors)
    assert all(np.abs(clear - color).max(axis=1).min() <= 3 for color in COLORS.astype(int))


PHOTO_ON_WHITE = np.full((200, 200, 3), 255, np.uint8)
PHOTO_ON_WHITE[50:120, 60:150] = np.random.default_rng(0).normal(120, 50, (70, 90, 3)).clip(0, 255)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (random_image(0, 50, 50), r"have at least \d+ colors \(1 image\), too many for label maps; train w"),
        (random_image(0, 50, 50, 1), r"have at least 256 gray levels"),
        (as_jpeg(PHOTO_ON_WHITE, 95), "train without a palette, or list the label maps' colors with --pal"),
        (np.zeros((8, 8, 3), np.uint8), "have only one color, so classes are missing; check which side"),
    ],
)
def test_photos_and_single_colors_are_refused(image, message):
    with pytest.raises(InputError, match=f"input images .*{message}") as error:
        find_palette(count(image), "input")
    assert not isinstance(error.value, NoisyColors)


def test_counting_is_bounded(monkeypatch):
    """Of an image with many colors a sample stands for all pixels, and after many colors no more images are counted."""
    noise = random_image(0, 300, 300)
    codes, pixels, _ = count_colors(noise)
    assert len(codes) <= 2 * counting.MANY_COLORS
    assert pixels.sum() == pytest.approx(noise[..., 0].size, rel=0.01)
    monkeypatch.setattr(counting, "MAX_COUNTED", 5)
    counted = count(label_map(0), label_map(1, COLORS // 2), label_map(2, COLORS // 3))
    assert (counted.images, len(counted.counts)) == (2, 8)


FILES = {
    "a.json": '{"colors": [[255, 0, 0], [0, 0, 255]], "names": ["wall", "sky"]}',
    "a.txt": "# mine\n255 0 0 wall\n\n0 0 255 sky\n",
    "a.gpl": "GIMP Palette\nName: mine\nColumns: 2\n#\n255   0   0\twall\n  0   0 255\tsky\n",
}


@pytest.mark.parametrize("name", FILES)
def test_palette_files(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    assert read_palette(tmp_path / name) == Palette(((255, 0, 0), (0, 0, 255)), ("wall", "sky"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[1]", 'expected an object with a list "colors"'),
        ('{"colors": [[0, 0, 0]]}', "1 colors; a palette has 2 to 256"),
        ('{"colors": [[0, 0, 0], [0, 0, 256]]}', r"color \[0, 0, 256\]: expected 1, 3 or 4 whole numbers in 0..255"),
        ('{"colors": [[0, 0, 0], [1]]}', r"color \[1\]: .*the same for all colors"),
        ('{"colors": [[1, 2, 3], [1, 2, 3]]}', r"duplicate color \(1, 2, 3\); use a different color for each class"),
        ('{"colors": [0, 1], "names": ["a"]}', "names and counts must be lists of 2, one for each color"),
        ("1 2 red\n", 'the line "1 2 red" does not begin with R G B or a gray level'),
        (b"\xff\xfe\x00\x81", "not a text file; write JSON, or lines of R G B and a name"),
        (None, "No such file"),
    ],
)
def test_files_that_are_not_palettes_are_refused(tmp_path, text, message):
    path = tmp_path / "p.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f"--palette={path}: .*{message}"):
        read_palette(path)


def test_known_palettes_are_read_by_name_and_a_file_of_that_name_by_its_path(tmp_path, monkeypatch, capsys):
    for name, palette in PALETTES.items():
        assert read_palette(name) == palette == Palette.from_json(palette.to_json())
        assert len({*palette.colors}) == len({*palette.names}) == len(palette.colors)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facades").write_text(FILES["a.txt"])
    assert read_palette("facades") == PALETTES["facades"]
    assert "--palette=facades: the named palette; for the file of this name pass --palette=./facades" in (
        capsys.readouterr().out
    )
    assert read_palette("./facades").names == ("wall", "sky")
    with pytest.raises(InputError, match="--palette=facade: No such file.*; pass a file or one of facades, cmp, cit"):
        read_palette("facade")


@pytest.mark.parametrize("name", ["facades", "cmp"])
def test_noisy_label_maps_in_the_colors_of_a_known_palette_name_it(name):
    colors = PALETTES[name].array
    label_maps = [as_jpeg(label_map(seed, colors[seed : seed + 3])) for seed in range(6)]
    with pytest.raises(NoisyColors, match=f"JPEG noise: pass --palette={name}, and each pixel gets the nearest color"):
        find_palette(count(*label_maps), "input")


def test_the_facades_palette_has_the_colors_of_the_published_label_maps(real_facades):
    """The median color of the flat areas of each class is its color, give or take two levels."""
    pairs = published.load("facades", data_dir=real_facades)["train"].spread(60)
    palette = PALETTES["facades"]
    pixels = []
    for index in range(len(pairs)):
        label_map = pairs.read(index)[1]
        flat = np.ptp(np.lib.stride_tricks.sliding_window_view(label_map, (5, 5), (0, 1)), axis=(3, 4)).max(axis=2) < 24
        pixels.append(label_map[2:-2, 2:-2][flat])
    pixels = np.concatenate(pixels)
    classes, _ = palette.classify(color_codes(pixels))
    medians = [np.median(pixels[classes == label], axis=0) for label in range(len(palette.colors))]
    np.testing.assert_allclose(medians, palette.array, atol=2)


def test_a_palette_changes_its_channels_without_loss():
    grays = make_palette(GRAYS, names=(*"abcd",))
    assert grays.with_channels(3) == make_palette(GRAYS.repeat(3, 1), names=(*"abcd",))
    with pytest.raises(ValueError, match="colors do not fit"):
        make_palette(COLORS).with_channels(1)


def test_known_colors_stay_and_jpeg_noise_becomes_the_nearest():
    palette, clean = make_palette(COLORS), label_map(0)
    assert palette.map_colors(clean) is clean and palette.count_unknown(clean) == 0
    assert {*map(tuple, palette.map_colors(as_jpeg(clean)).reshape(-1, 3).tolist())} == {*palette.colors}


def test_pixels_that_jpeg_has_blurred_get_the_color_of_the_closest_clear_pixel():
    """Between red-orange and lime the blur lies nearest to yellow or orange."""
    palette = PALETTES["facades"]
    labels = np.array([9, 6, 0])[np.random.default_rng(0).integers(0, 3, (12, 12))].repeat(11, 0).repeat(11, 1)
    truth = palette.array[labels]
    noisy = images.decode(encode(Image.fromarray(truth), "JPEG", quality=90, subsampling=2))
    wrong = {of: np.mean((of(noisy) != truth).any(axis=2)) for of in (palette.map_colors, palette.restore_colors)}
    assert wrong[palette.map_colors] > 0.04 and wrong[palette.restore_colors] < 0.01
    assert palette.restore_colors(truth) is truth
    noisy = noisy.copy()
    noisy[20:23, 20:60] = [255, 255, 255]  # far from every color, but flat: no blur
    np.testing.assert_array_equal(palette.restore_colors(noisy)[21, 21:59], palette.map_colors(noisy)[21, 21:59])
    assert (palette.restore_colors(np.full_like(truth, 128)) == palette.map_colors(np.full_like(truth, 128))).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_nearest_color_is_that_of_least_squared_difference(channels):
    colors = np.unique(random_image(0, 16, 16, channels).reshape(-1, channels), axis=0)[::-1]
    noise = random_image(1, 60, 60, channels)
    distances = np.sum((noise[:, :, np.newaxis].astype(int) - colors) ** 2, axis=3)
    expected = colors[np.argmin(distances, axis=2)]
    np.testing.assert_array_equal(make_palette(colors).map_colors(noise), expected)
    assert make_palette(colors).count_unknown(noise) == (noise != expected).any(axis=2).sum()


def test_classes_are_counted_and_unknown_colors_by_image():
    unknown = label_map(1)
    unknown[:2, :3] = [250, 90, 10]
    unknown[9, 9] = [250, 90, 11]
    palette, by_image = count_classes(make_palette(COLORS), count(label_map(0), unknown))
    assert by_image == {"image 1": 7}
    mapped = np.concatenate([label_map(0), palette.map_colors(unknown)])
    assert palette.counts == tuple((mapped == color).all(axis=2).sum() for color in COLORS)
