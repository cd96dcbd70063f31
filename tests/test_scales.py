import pytest

from tf_pix2pix.scales import FAR, is_far, relative_scale, training_scale


@pytest.mark.parametrize(
    ("own", "fit", "scale"),
    [
        ((600, 600), "stretch", 143 / 600),
        ((286, 143), "stretch", 0.5**0.5),  # the geometric mean of 0.5 and 1
        ((286, 572), "cover", 0.5),
        ((100, 100), "cover", 1.43),
        ((600, 600), "none", 1.0),
        ((100, 100), "none", 1.0),
    ],
)
def test_training_scale(own, fit, scale):
    assert training_scale(own, (143, 143), fit) == pytest.approx(scale)


SIZES = [(143, 143), (128, 128)]


@pytest.mark.parametrize(
    ("own", "files", "fit", "expected"),
    [
        ((600, 600), (600, 600), "stretch", 600 / 143),  # such as the training files
        ((1200, 1200), (600, 600), "stretch", 600 / 143),  # more pixels or a larger view: at least this
        ((300, 300), (600, 600), "stretch", 300 / 143),  # a part, or a smaller copy
        ((143, 143), (600, 600), "stretch", 1.0),  # resized as training does
        ((128, 128), (600, 600), "stretch", 1.0),
        ((64, 64), (600, 600), "stretch", 1.0),  # a part at 4.2, or a smaller copy at 0.5
        ((60, 60), (60, 60), "stretch", 60 / 128),
        ((128, 128), (60, 60), "stretch", 1.0),
        ((600, 600), (150, 150), "stretch", 150 / 143),  # training hardly resized
        ((600, 1200), (600, 1200), "cover", 600 / 143),
        ((600, 600), (600, 600), "none", 1.0),
        ((5000, 5000), (600, 600), "none", 1.0),  # a larger map
    ],
)
def test_relative_scale_is_the_most_favorable(own, files, fit, expected):
    assert relative_scale(own, files, SIZES, fit) == pytest.approx(expected)


def test_far_is_a_factor_either_way():
    assert [is_far(scale) for scale in (0.6, 1 / FAR, 1.0, FAR, 1.6)] == [True, False, False, False, True]
