import numpy as np
import pytest
from helpers import REPOSITORY

from tf_pix2pix import images
from tf_pix2pix.metrics.grid import STRIDES, GridEnergy, alternation


def measure(*batches):
    energy = GridEnergy()
    for batch in batches:
        energy.update(batch)
    return energy.result()


@pytest.fixture(scope="module")
def demo():
    """The generated images and the targets in docs/demo.png, a sample grid of 128x128 pixels, float32 [4, h, w, 3]."""
    grid = images.decode((REPOSITORY / "docs" / "demo.png").read_bytes())
    columns = [np.stack([grid[14 + y * 132 :, 4 + x * 132 :][:128, :128] for y in range(4)]) for x in range(3)]
    blank = [np.full_like(column, 255) for column in columns]
    for x, column in enumerate(columns):  # the places are right: around them all is white
        blank[x][:] = column
    assert (images.sample_grid(["", "", ""], list(zip(*blank, strict=True)))[14:] == grid[14:]).all()
    return images.to_float(columns[1]).numpy(), images.to_float(columns[2]).numpy()


def noise(seed, n=8, size=(128, 128), channels=3, deviation=10.0):
    """White noise, deviation in 8-bit levels."""
    return np.random.default_rng(seed).normal(0, deviation / 127.5, (n, *size, channels)).astype(np.float32)


def stripes(width, period, amplitude):
    """A cosine of a period along a row, [1, 1, width, 1], amplitude in 8-bit levels."""
    return np.float32(amplitude / 127.5 * np.cos(2 * np.pi * np.arange(width) / period))[None, None, :, None]


def test_the_grid_of_the_demo_is_seen_and_its_targets_have_none(demo):
    generated, targets = GridEnergy(), GridEnergy()
    generated.update(demo[0])
    targets.update(demo[1])
    assert generated.result() == {
        "1/2": pytest.approx(4.6, abs=0.1),
        "1/4": pytest.approx(3.4, abs=0.1),
        "1/8": pytest.approx(1.1, abs=0.1),
    }
    assert generated.worst == generated.result()["1/2"]
    assert targets.worst < 0.0


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_planted_grid_has_its_energy(stride, axis, channels):
    """A cosine of amplitude a in white noise of variance v: the Hann window collects the power 2/3 N a^2 / 4 of it, or
    at 1/2 cycle 2/3 N a^2, beside v. Along the other axis there is nothing; the logarithms are averaged. The mean
    logarithm of noise alone is a little lower than that of its mean, for one channel by up to 0.5 dB."""
    batch, period = noise(0, channels=channels), STRIDES[stride]
    grid = stripes(128, period, 10.0)
    planted = batch + (grid if axis == "rows" else grid.swapaxes(1, 2))
    power = 64 * 2 / 3 * (1 if period == 2 else 0.25)
    expected = 10 * np.log10(1 + power) / 2
    before, after = measure(batch), measure(planted)
    assert after[stride] - before[stride] == pytest.approx(expected, abs=0.3)
    assert all(abs(value) < 0.3 for value in before.values())
    assert all(after[name] == pytest.approx(before[name], abs=0.1) for name in STRIDES if name != stride)


def test_a_grid_in_smooth_places_is_seen_beside_strong_textures():
    batch = noise(0, deviation=2.0)
    batch[:, :64] = noise(1, size=(64, 128), deviation=60.0)
    batch[:, 64:] += stripes(128, 2, 2.0)
    assert measure(batch)["1/2"] > 2.0


def test_slopes_and_edges_are_no_grid():
    """Smooth gradients, wide and hard edges: what leaks from low frequencies would count first at 1/8."""
    x = np.linspace(-1, 1, 128, dtype=np.float32)
    slope = x[None, None, :, None] * x[None, :, None, None] * np.ones((1, 1, 1, 3), np.float32)
    assert all(value <= 0.0 for value in measure(slope).values())
    offsets = np.random.default_rng(0).uniform(-0.8, 0.8, 40)
    edges = np.concatenate([np.where(slope * 0 + x[None, None, :, None] > offset, 0.8, -0.8) for offset in offsets])
    assert max(measure(np.float32(edges)).values()) < 0.5


def test_sizes_batches_and_flat_images():
    batch = noise(0, n=6, size=(96, 130))
    assert measure(batch) == pytest.approx(measure(batch[:1], batch[1:]), abs=1e-5)
    assert measure(batch.swapaxes(1, 2)) == pytest.approx(measure(batch), abs=1e-5)
    small = noise(0, n=40, size=(32, 40))
    assert measure(small + stripes(40, 4, 10.0), batch)["1/4"] > measure(small, batch)["1/4"] + 1.0  # mixed sizes
    for size in [(64, 64), (40, 50)]:
        flat = np.full((2, *size, 3), 0.3, np.float32)
        assert all(abs(value) < 1e-4 for value in measure(flat).values())
        assert 0.0 < measure(flat + stripes(size[1], 2, 0.02))["1/2"] < 0.5  # lost in the rounding to 8 bits
    for size in [(31, 31), (1, 1)]:
        energy = GridEnergy()
        energy.update(np.zeros((1, *size, 3), np.float32))
        assert np.isnan([energy.worst, *energy.result().values()]).all()


def test_the_alternation_of_the_demo(demo):
    """The mean over all smooth blocks was measured as 20.6, of the targets 0.1; these are means of means of images."""
    generated, targets = demo
    np.testing.assert_allclose(alternation(generated, targets), [17.2, 28.2, 19.3, 0.7], atol=0.1)
    assert np.abs(alternation(targets, targets)).max() < 1.0


def test_the_alternation_of_stripes_noise_and_slopes():
    flat = np.zeros((1, 48, 64, 3), np.float32)
    assert alternation(flat + stripes(64, 2, 3.0), flat) == pytest.approx([4 * 3.0**2 / 2])  # nothing along columns
    checks = stripes(64, 2, 3.0) * stripes(48, 2, 127.5).swapaxes(1, 2)
    assert alternation(flat + checks, flat) == pytest.approx([4 * 3.0**2])
    white = noise(0, n=4, channels=1, deviation=3.0)
    np.testing.assert_allclose(alternation(white, np.zeros_like(white)), 4 * [3.0**2], rtol=0.05)
    slope = np.linspace(-0.5, 0.5, 64, dtype=np.float32)[:, None] + flat
    assert alternation(slope, flat) == pytest.approx([-((127.5 / 63) ** 2) / 2])


def test_alternation_counts_where_the_target_is_smooth():
    """Blocks with an edge of more than 20 levels in the target, and pixels that fill no block, are left out."""
    target = np.zeros((3, 40, 50, 3), np.float32)
    target[:, :, 20:] = 21 / 127.5  # an edge in the second column of blocks
    target[1, 20:] += 1.0  # and one in the second row
    target[2] = noise(0, n=1, size=(40, 50), deviation=80.0)
    generated = target.copy()
    generated[:, :16, :16] += stripes(16, 2, 2.0)
    values = alternation(generated, target)
    np.testing.assert_allclose(values[:2], [8.0 / 4, 8.0 / 2], rtol=1e-3)
    assert np.isnan(values[2])
