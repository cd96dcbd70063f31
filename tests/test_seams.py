import io
import tarfile

import numpy as np
import pytest
from helpers import random_image
from PIL import Image

from tf_pix2pix.datasets.synthetic_facades import facade
from tf_pix2pix.seams import JOINED, SINGLE, look_joined, look_single, middle_seam_ratio, pair_seam_ratio, seam_ratio

PAIRS = [facade(7, index, (128, 128)) for index in range(20)]  # photo and labels


def halves(image):
    return np.hsplit(image, 2)


def test_the_ratio_is_the_jump_over_the_typical_step():
    """A ramp of 2 levels a column, in rows that differ, with a jump of 10 levels at the seam."""
    rows = np.arange(0, 160, 10)[:, np.newaxis]
    left = (rows + 2 * np.arange(12))[:, :, np.newaxis].astype(np.uint8)
    right = left + np.uint8(22 + 10)
    assert seam_ratio(left, right) == pytest.approx(5)
    assert seam_ratio(left.astype(np.uint16) * 257, right.astype(np.uint16) * 257) == pytest.approx(5)
    assert seam_ratio(left.astype(np.float32) - 90, right.astype(np.float32) - 90) == pytest.approx(5)
    assert middle_seam_ratio(np.hstack([left, right])) == pytest.approx(5)
    assert np.isnan(middle_seam_ratio(np.hstack([left, right])[:, 1:]))  # cannot be two halves


def test_single_images_continue_and_pairs_do_not():
    photos, labels = zip(*PAIRS, strict=True)
    for singles in (photos, labels):
        assert look_single([pair_seam_ratio(*halves(image)) for image in singles])
        assert look_single([pair_seam_ratio(*reversed(halves(image))) for image in singles])  # B is the input
        assert not look_joined([middle_seam_ratio(image) for image in singles])
    ratios = [pair_seam_ratio(*pair) for pair in PAIRS]
    assert look_joined(ratios) and not look_single(ratios)
    assert look_joined([middle_seam_ratio(np.hstack(pair)) for pair in PAIRS])


def test_even_noisy_small_and_different_images_cannot_tell():
    white, noise = np.full((40, 40, 3), 255, np.uint8), random_image(0, 40, 40)
    photo = PAIRS[0][0]
    unclear = [(white, white), (noise, random_image(1, 40, 40)), (photo[:7], photo[:7]), (photo[:, :7], photo[:, :7])]
    unclear += [(photo, photo[:64]), (photo, photo[:, :, :1]), (photo, photo.astype(np.uint16))]
    for left, right in unclear:
        assert np.isnan(seam_ratio(left, right)) and np.isnan(pair_seam_ratio(left, right))
    assert seam_ratio(white, white // 4) > JOINED  # although even


def test_an_object_on_a_plain_background_beside_itself_in_gray_is_not_a_single_image():
    """The background is darker at the bottom, so that its rows differ, and continues from one half to the other."""
    photo = np.repeat(np.arange(40, 240, 2, dtype=np.uint8), 100 * 3).reshape(100, 100, 3)
    photo[20:80, 20:80] = PAIRS[0][0][:60, :60]
    gray = np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))
    assert seam_ratio(gray, photo) < SINGLE
    assert np.isnan(pair_seam_ratio(gray, photo))


def test_a_set_is_judged_by_the_median_of_enough_images():
    unclear = [np.nan] * 3
    assert look_single([1.0, 1.2, 30.0, *unclear]) and look_joined([5.0, 5.0, 0.1, *unclear])
    for ratios in ([1.0, 1.0], [1.0] * 3 + unclear * 2, unclear, []):
        assert not look_single(ratios)
    for ratios in ([9.0, 9.0], [9.0] * 3 + unclear * 2, unclear, []):
        assert not look_joined(ratios)
    assert not look_single([3.0] * 9) and not look_joined([3.0] * 9)


def test_real_facades(real_facades):
    with tarfile.open(real_facades / "facades.tar.gz") as archive:
        files = [archive.extractfile(member) for member in archive if "/val/" in member.name and member.isfile()]
        whole = [np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")) for file in files]
    assert len(whole) == 40
    photos = [halves(image)[0] for image in whole]
    assert look_joined([middle_seam_ratio(image) for image in whole])
    assert not look_single([pair_seam_ratio(*halves(image)) for image in whole])
    assert look_single([pair_seam_ratio(*halves(photo)) for photo in photos])
    assert not look_joined([middle_seam_ratio(photo) for photo in photos])
