"""LPIPS with random weights, against the networks written out in numpy.

With the same kind of weights, it equals the package lpips 0.1.4 to 2e-8 (alex and vgg, pairs of 96x80 pixels).
"""

import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from tf_pix2pix.errors import InputError
from tf_pix2pix.metrics.lpips import Lpips

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (2, 2, 40, 35, 3)).astype(np.float32)
# convolutions as in torchvision: number, input and output channels, kernel size
LAYERS = {
    "alex": [[(0, 3, 64, 11)], [(3, 64, 192, 5)], [(6, 192, 384, 3)], [(8, 384, 256, 3)], [(10, 256, 256, 3)]],
    "vgg": [
        [(0, 3, 64, 3), (2, 64, 64, 3)],
        [(5, 64, 128, 3), (7, 128, 128, 3)],
        [(10, 128, 256, 3), (12, 256, 256, 3), (14, 256, 256, 3)],
        [(17, 256, 512, 3), (19, 512, 512, 3), (21, 512, 512, 3)],
        [(24, 512, 512, 3), (26, 512, 512, 3), (28, 512, 512, 3)],
    ],
}


def random_state(network: str, lin: str = "lin{}") -> dict[str, np.ndarray]:
    """Random weights by the names of lpips.LPIPS(net=network).state_dict()."""
    rng = np.random.default_rng(1)
    state = {
        "scaling_layer.shift": np.float32([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1),
        "scaling_layer.scale": np.float32([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1),
    }
    for part, layers in enumerate(LAYERS[network]):
        for number, inputs, outputs, size in layers:
            kernel = rng.normal(size=(outputs, inputs, size, size)) / np.sqrt(inputs * size**2 / 2)
            state[f"net.slice{part + 1}.{number}.weight"] = kernel.astype(np.float32)
            state[f"net.slice{part + 1}.{number}.bias"] = 0.1 * rng.normal(size=outputs).astype(np.float32)
        state[f"{lin.format(part)}.model.1.weight"] = rng.uniform(0, 1, (1, outputs, 1, 1)).astype(np.float32)
    return state


@pytest.fixture(scope="module", params=LAYERS)
def weights(request, tmp_path_factory):
    """(network, its random weights, their file)."""
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    state = random_state(request.param)
    save_file(state, path)
    return request.param, state, path


def lpips_written_out(network, state, image, other):
    """Zhang et al. 2018, eq. 1, for one pair [h, w, 3]."""

    def windows(x, size, stride):
        return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]

    def features(x):
        x = (x.transpose(2, 0, 1) - state["scaling_layer.shift"][0]) / state["scaling_layer.scale"][0]
        for part, layers in enumerate(LAYERS[network]):
            for place, (number, _, _, size) in enumerate(layers):
                if place == 0 and part in ((1, 2) if network == "alex" else (1, 2, 3, 4)):
                    x = windows(x, 3 if network == "alex" else 2, 2).max(axis=(3, 4))
                padding = {11: 2, 5: 2, 3: 1}[size]
                padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
                seen = windows(padded, size, 4 if size == 11 else 1)
                x = np.tensordot(state[f"net.slice{part + 1}.{number}.weight"], seen, axes=((1, 2, 3), (0, 3, 4)))
                x = np.maximum(x + state[f"net.slice{part + 1}.{number}.bias"][:, np.newaxis, np.newaxis], 0)
            yield x / np.sqrt((x**2).sum(axis=0))

    total = 0.0
    for part, (a, b) in enumerate(zip(features(image), features(other), strict=True)):
        weight = state[f"lin{part}.model.1.weight"].reshape(-1, 1, 1)
        total += (weight * (a - b) ** 2).sum(axis=0).mean()
    return total


def test_lpips_is_its_definition(weights):
    network, state, path = weights
    lpips = Lpips(path)
    assert lpips.network == network
    expected = [lpips_written_out(network, state, *pair) for pair in zip(*IMAGES, strict=True)]
    assert min(expected) > 0.1
    np.testing.assert_allclose(lpips(*IMAGES), expected, rtol=1e-4)


def test_equal_images_have_no_distance_and_smallest_images_one(weights):
    lpips = Lpips(weights[2])
    np.testing.assert_array_equal(lpips(IMAGES[0], IMAGES[0]), [0, 0])
    side = lpips.smallest_side
    assert (lpips(*IMAGES[:, :, :side, :side]) > 0).all()
    with pytest.raises(InputError, match=f"lpips: images have {side - 1}x{side} pixels; .* at least {side}x{side}"):
        lpips(*IMAGES[:, :, : side - 1, :side])


def test_gray_is_repeated_and_alpha_ignored(weights):
    lpips = Lpips(weights[2])
    gray = IMAGES[..., :1]
    rgba = np.concatenate([np.repeat(gray, 3, axis=4), IMAGES[..., 1:2]], axis=4)
    np.testing.assert_array_equal(lpips(*gray), lpips(*rgba))


def test_files_with_the_other_names_of_the_heads(tmp_path):
    """A state dict names them twice; which name save_model keeps is its choice."""
    save_file(random_state("alex"), tmp_path / "lin.safetensors")
    save_file(random_state("alex", "lins.{}"), tmp_path / "lins.safetensors")
    np.testing.assert_array_equal(*(Lpips(tmp_path / f"{name}.safetensors")(*IMAGES) for name in ("lin", "lins")))


def damaged(path):
    path.write_bytes(path.read_bytes()[:1000])


def text(path):
    path.write_text("not weights")


def without(*keys):
    return lambda path: save_file({k: v for k, v in random_state("alex").items() if not k.startswith(keys)}, path)


def of_other_shapes(path):
    state = random_state("alex")
    state["net.slice3.6.weight"] = state["net.slice3.6.weight"][:, :100].copy()
    save_file(state, path)


@pytest.mark.parametrize(
    "spoil, problem",
    [
        (damaged, r": damaged, or not a .safetensors file \("),
        (text, r": damaged, or not a .safetensors file \("),
        (without("net.slice4"), r": not the weights of LPIPS \(alex or vgg\); make the file with"),
        (without("lin"), r": not the weights of LPIPS"),
        (without("scaling_layer"), r": not the weights of LPIPS"),
        (without("net.slice2.3.bias"), r": not the weights of LPIPS"),
        (of_other_shapes, r": not the weights of LPIPS"),
        (lambda path: path.unlink(), r": no such file; make the file with .*save_model"),
    ],
)
def test_damaged_and_other_files(tmp_path, spoil, problem):
    path = tmp_path / "lpips.safetensors"
    save_file(random_state("alex"), path)
    spoil(path)
    with pytest.raises(InputError, match=problem) as error:
        Lpips(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_without_safetensors(tmp_path, monkeypatch):
    text(tmp_path / "lpips.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(InputError, match=r"pip install 'tf_pix2pix\[lpips\]'"):
        Lpips(tmp_path / "lpips.safetensors")
