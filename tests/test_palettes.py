import dataclasses
import io
import json

import numpy as np
import pytest
from conftest import random_picture
from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.input_pipeline import prepare
from tf_pix2pix.palettes import NoisyColors, Palette, Snapped, count_strange, find_palette, fitting, read_palette

COLORS = np.array([[0, 0, 170], [255, 85, 0], [0, 255, 255], [170, 255, 85]], np.uint8)


def pairs_of(*pictures):
    """Pairs of photos (A) and these (B)."""
    photos = [random_picture(seed, *picture.shape[:2]) for seed, picture in enumerate(pictures)]
    return Pairs([f"pair {number}" for number in range(len(pictures))], lambda i: (photos[i], pictures[i]))


def label_map(seed, colors=COLORS, blocks=6):
    labels = np.random.default_rng(seed).integers(0, len(colors), (blocks, blocks)).repeat(17, 0).repeat(17, 1)
    return colors[labels]


def as_jpeg(picture, quality=85):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return images.decode(file.getvalue())


def test_colours_are_found_in_the_order_of_their_values():
    found = find_palette(pairs_of(*(label_map(seed) for seed in range(3))), 1, "B")
    np.testing.assert_array_equal(found.colors, COLORS[[0, 2, 3, 1]])


def test_gray_pictures_have_a_palette_of_levels_and_become_rgb_among_others():
    grays = np.array([[0], [1], [2], [33]], np.uint8)
    np.testing.assert_array_equal(find_palette(pairs_of(label_map(0, grays)), 1, "B").colors, grays)
    mixed = find_palette(pairs_of(label_map(0, grays), label_map(1)), 1, "B").colors
    assert {*map(tuple, mixed.tolist())} == {(g, g, g) for g in grays[:, 0].tolist()} | {*map(tuple, COLORS.tolist())}


def test_the_noise_of_jpeg_is_refused_and_the_clear_colours_named():
    with pytest.raises(InputError, match="noise of JPEG.*--palette=FILE") as error:
        find_palette(pairs_of(*(as_jpeg(label_map(seed)) for seed in range(3))), 1, "the target side (B)")
    clear = np.array(json.loads(str(error.value)[str(error.value).index("{") :])["colors"])
    assert all(np.abs(clear[:4] - color).max(axis=1).min() <= 2 for color in COLORS)  # the most frequent come first


def test_photos_on_one_colour_are_no_label_maps():
    photo = np.full((200, 200, 3), 255, np.uint8)
    photo[50:120, 60:150] = np.random.default_rng(0).normal(120, 50, (70, 90, 3)).clip(0, 255)
    with pytest.raises(InputError, match="leave it in colours"):
        find_palette(pairs_of(as_jpeg(photo, 95)), 1, "B")


def test_the_colours_under_the_noise_are_those_of_all_pictures():
    pictures = [as_jpeg(label_map(seed, COLORS[seed : seed + 3])) for seed in range(2)]
    with pytest.raises(NoisyColors, match="in 2 of its pictures") as error:
        find_palette(pairs_of(*pictures), 1, "B")
    clear = np.array(error.value.colors)
    assert all(np.abs(clear - color).max(axis=1).min() <= 3 for color in COLORS.astype(int))


def test_photos_are_refused():
    with pytest.raises(InputError, match="the input side .A. has .* colours or more in 1 .* leave it in colours"):
        find_palette(pairs_of(label_map(0)), 0, "the input side (A)")
    with pytest.raises(InputError, match="gray levels"):
        find_palette(pairs_of(random_picture(0, 50, 50, 1)), 1, "B")
    with pytest.raises(InputError, match="one colour only"):
        find_palette(pairs_of(np.zeros((8, 8, 3), np.uint8)), 1, "B")


def test_deeper_pictures_have_no_palette():
    with pytest.raises(InputError, match="pair 0.*uint16.*8 bits"):
        find_palette(pairs_of(np.zeros((8, 8, 1), np.uint16)), 1, "B")


FILES = {
    "a.json": '{"colors": [[255, 0, 0], [0, 0, 255]], "names": ["wall", "sky"]}',
    "a.txt": "# mine\n255 0 0 wall\n\n0 0 255 sky\n",
    "a.gpl": "GIMP Palette\nName: mine\nColumns: 2\n#\n255   0   0\twall\n  0   0 255\tsky\n",
}


@pytest.mark.parametrize("name", FILES)
def test_palette_files(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    palette = read_palette(tmp_path / name)
    np.testing.assert_array_equal(palette.colors, [[255, 0, 0], [0, 0, 255]])
    assert palette.names == ("wall", "sky")


def test_a_palette_is_its_json_again():
    palette = Palette(COLORS, tuple("abcd"), (4, 3, 2, 1))
    again = Palette.from_json(json.loads(json.dumps(palette.to_json())))
    np.testing.assert_array_equal(again.colors, COLORS)
    assert (again.names, again.counts) == (palette.names, palette.counts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting property name"),
        ("[1]", "no object with a list"),
        ('{"colors": [[0, 0, 0]]}', "1 colours; a palette has 2 to 256"),
        ('{"colors": [[0, 0, 0], [0, 0, 256]]}', r"\[0, 0, 256\] is not"),
        ('{"colors": [[0, 0, 0], [0, 0]]}', r"\[0, 0\] is not"),
        ('{"colors": [[0, 0, 0], [1]]}', r"\[1\] is not"),
        ('{"colors": [[0, 0, 1.0], [1, 1, 1]]}', "is not"),
        ('{"colors": [0, 0]}', "twice"),
        ('{"colors": [0, 1], "names": ["a"]}', "names or counts are no list of 2"),
        ('{"colors": [0, 1], "names": 2}', "names or counts are no list of 2"),
        ("1 2 red\n", 'the line "1 2 red"'),
        ("", "0 colours"),
    ],
)
def test_damaged_palette_files(tmp_path, text, said):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"palette={path}: .*{said}"):
        read_palette(path)


def test_a_palette_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match="nothing: No such file"):
        read_palette(tmp_path / "nothing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="binary is no text"):
        read_palette(tmp_path / "binary")


def test_a_given_palette_has_the_channels_of_the_pictures():
    grays = Palette(np.array([[0], [9]], np.uint8), ("a", "b"))
    fitted = fitting(grays, pairs_of(label_map(0)), 1, "B")
    np.testing.assert_array_equal(fitted.colors, [[0, 0, 0], [9, 9, 9]])
    assert fitted.names == ("a", "b")
    with pytest.raises(InputError, match="B has gray pictures .pair 0."):
        fitting(Palette(COLORS), pairs_of(label_map(0, grays.colors)), 1, "B")


def test_pictures_of_the_palette_stay_as_they_are(capsys):
    source = pairs_of(label_map(0), label_map(1))
    snapped = Snapped(source, {1: COLORS})
    for index in (0, 1, 1):  # the second time it is not counted
        for side in range(2):
            np.testing.assert_array_equal(snapped.pairs.read(index)[side], source.read(index)[side])
    both = np.concatenate([source.read(index)[1] for index in range(2)])
    assert snapped.counts(1) == tuple((both == color).all(axis=2).sum() for color in COLORS)
    snapped.report(1, "B")
    assert capsys.readouterr().err == ""


def test_other_colours_become_the_nearest_and_are_counted(capsys):
    clean = label_map(0)
    strange = clean.copy()
    strange[:2, :3] = [250, 90, 10]
    snapped = Snapped(pairs_of(clean, strange, as_jpeg(clean, 95)), {1: COLORS})
    expected = clean.copy()
    expected[:2, :3] = COLORS[1]
    np.testing.assert_array_equal(snapped.pairs.read(1)[1], expected)
    snapped.pairs.read(0)
    snapped.report(1, "target pictures")
    said = capsys.readouterr().err
    assert f"target pictures: {6 / (2 * 102 * 102):.2%} of the pixels" in said
    assert "pair 1 (6 pixels)" in said
    assert {*map(tuple, snapped.pairs.read(2)[1].reshape(-1, 3).tolist())} == {*map(tuple, COLORS.tolist())}


def test_pictures_with_other_channels_are_widened_or_named():
    opaque = images.with_channels(label_map(0), 4)
    snapped = Snapped(pairs_of(opaque, opaque // 2, np.zeros((9, 9, 1), np.uint8)), {1: COLORS})
    np.testing.assert_array_equal(snapped.pairs.read(0)[1], label_map(0))
    with pytest.raises(InputError, match="pair 1: it has transparency.*3 channels"):
        snapped.pairs.read(1)
    np.testing.assert_array_equal(snapped.pairs.read(2)[1][0, 0], COLORS[0])


def test_all_pictures_are_counted_also_of_a_set_that_is_verified(capsys):
    """Which would be read when training comes to them: too late to say what colours they have."""
    strange = label_map(2)
    strange[0, 0] = 1
    source = dataclasses.replace(pairs_of(label_map(0), label_map(1), strange), verified=True)
    snapped = Snapped(source, {1: COLORS})
    prepare(snapped.pairs, direction="AtoB", size=(30, 30))
    assert sum(snapped.counts(1)) == 3 * 102 * 102
    snapped.report(1, "target pictures")
    assert "1 pictures: pair 2 (1 pixels)" in capsys.readouterr().err


def test_noise_of_many_colours_becomes_the_nearest_of_many():
    colors, noise = random_picture(0, 16, 16).reshape(-1, 3), random_picture(1, 60, 60)
    expected = colors[np.argmin(np.sum((noise[:, :, np.newaxis].astype(int) - colors) ** 2, axis=3), axis=2)]
    np.testing.assert_array_equal(Snapped(pairs_of(noise), {1: colors}).pairs.read(0)[1], expected)
    assert count_strange(noise, colors) == (noise != expected).any(axis=2).sum()


def test_an_unreadable_first_picture_is_no_matter_to_a_given_palette():
    def read(index):
        if index == 0:
            raise InputError("pair 0 is broken")
        return random_picture(0, 9, 9), np.full((9, 9, 4), 255, np.uint8)

    assert fitting(Palette(COLORS), Pairs(["pair 0", "pair 1"], read), 1, "B").colors.shape == (4, 4)


def test_without_palettes_pairs_are_as_they_were():
    source = pairs_of(label_map(0))
    assert Snapped(source, {}).pairs is source
