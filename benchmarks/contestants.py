"""What the contestants of speed.py do: each function builds it, in a process of its own (turns.py), and returns it.

No framework is loaded by importing this: the functions do that. Pictures are random, float32 in [-1, 1].
"""

import math
import os
from pathlib import Path

import numpy as np
from turns import Work

MATRIX = 2048  # rows and columns of the matrices multiplied


def random_pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def unet_depth(size: int) -> int:
    """Halvings of the project's default U-Net for size x size pixels (networks.unet_depth, without TensorFlow)."""
    return next(depth for depth in range(8, 0, -1) if size % 2**depth == 0)


# A training step: `batch_size` pairs of size x size pixels, all losses fetched.


def tf_pix2pix_step(size: int, batch_size: int, filters: int, **fields) -> Work:
    """The step of the train command. fields: others of TrainConfig."""
    import multiply_adds
    import tensorflow as tf

    from tf_pix2pix.config import TrainConfig
    from tf_pix2pix.training.step import build_state, make_train_step

    channels = dict(input_channels=3, output_channels=3)
    config = TrainConfig(crop_size=(size, size), batch_size=batch_size, filters=filters, **channels, **fields)
    state = build_state(config, total_steps=1_000_000)
    train_step = make_train_step(state, config)
    pair = [tf.constant(side) for side in random_pictures(2, batch_size, size, size, 3)]
    shape = (batch_size, size, size, 3)
    generator = multiply_adds.of_layers(state.generator, shape)
    discriminator = multiply_adds.of_layers(state.discriminator, shape, shape)
    facts = {"multiply_adds": multiply_adds.of_step(generator, discriminator)}
    return Work(lambda: [float(loss) for loss in train_step(*pair).values()], facts=facts)


def keras_step(size: int, batch_size: int, filters: int) -> Work:
    """The step of keras_peer.py."""
    import keras_peer
    import multiply_adds
    import tensorflow as tf

    generator = keras_peer.unet(size, filters, unet_depth(size))
    discriminator = keras_peer.patchgan(size, filters)
    train_step = keras_peer.make_train_step(generator, discriminator)
    pair = [tf.constant(side) for side in random_pictures(2, batch_size, size, size, 3)]
    shape = (batch_size, size, size, 3)
    layers = multiply_adds.of_layers(generator, shape), multiply_adds.of_layers(discriminator, shape, shape)
    facts = {"multiply_adds": multiply_adds.of_step(*layers, discriminator_calls=2)}
    return Work(lambda: [float(loss) for loss in train_step(*pair)], facts=facts)


def torch_step(size: int, batch_size: int, filters: int, memory_format: str) -> Work:
    """The step of pytorch_peer.py, eager. memory_format: contiguous_format or channels_last."""
    import pytorch_peer
    import torch

    torch.set_num_threads(os.cpu_count())
    layout = getattr(torch, memory_format)
    networks = [pytorch_peer.UNet(depth=unet_depth(size), filters=filters), pytorch_peer.PatchGAN(filters=filters)]
    networks = [pytorch_peer.initialise(network).to(memory_format=layout) for network in networks]
    train_step = pytorch_peer.make_train_step(*networks)
    pair = random_pictures(2, batch_size, 3, size, size)
    pair = [torch.from_numpy(side).contiguous(memory_format=layout) for side in pair]
    return Work(lambda: [loss.item() for loss in train_step(*pair)])


# The floor: what this machine multiplies and adds at best.


def tensorflow_sgemm() -> Work:
    import tensorflow as tf

    sides = [tf.constant(side) for side in random_pictures(2, MATRIX, MATRIX)]
    product = tf.function(tf.matmul)
    return Work(lambda: product(*sides).numpy(), facts={"multiply_adds": MATRIX**3})


def torch_sgemm() -> Work:
    import torch

    torch.set_num_threads(os.cpu_count())
    sides = [torch.from_numpy(side) for side in random_pictures(2, MATRIX, MATRIX)]
    return Work(lambda: torch.mm(*sides).numpy(), facts={"multiply_adds": MATRIX**3})


# Inference: `batch_size` pictures of size x size pixels, from numpy to numpy.


def export(directory: Path, size: int, filters: int, name: str) -> Work:
    """Writes an untrained generator into a folder, in the format of that name. Facts: megabytes by file name."""
    from tf_pix2pix import exporting, inference, model_card, runs
    from tf_pix2pix.config import TrainConfig
    from tf_pix2pix.exporting.artifact import Options, Source

    config = TrainConfig(crop_size=(size, size), filters=filters, input_channels=3, output_channels=3)
    generator = runs.build_generator(config)
    max_pixels = inference.max_pixels(generator)
    card = exporting.make_card(directory, config, generator, 0, max_pixels)
    source = Source(generator, (size, size), 3, 3, train_inputs=[], card=card)
    precisions = ("float32", "float16", "dynamic_int8")  # int8 needs pictures to be calibrated with
    options = Options(tflite_precision=precisions, batch_sizes=(1,), max_pixels=max_pixels)
    megabytes = {}
    for artifact in exporting.EXPORTERS[name](source, directory, options):
        files = [artifact.path]
        if artifact.path.is_dir():
            model_card.write_card(artifact.path, card)  # into files exporters write it themselves
            files = [file for file in artifact.path.rglob("*") if file.is_file()]
        megabytes[artifact.path.name] = sum(file.stat().st_size for file in files) / 1e6
    return Work(lambda: None, facts={"megabytes": megabytes})


def keras_generator(size: int, batch_size: int, filters: int) -> Work:
    """The Keras model in a tf.function, as training draws its samples."""
    from tf_pix2pix import inference, runs
    from tf_pix2pix.config import TrainConfig

    config = TrainConfig(crop_size=(size, size), filters=filters, input_channels=3, output_channels=3)
    translate = inference.make_translate(runs.build_generator(config))
    pictures = random_pictures(batch_size, size, size, 3)
    return Work(lambda: translate(pictures).numpy())


def exported(path: Path, size: int, batch_size: int) -> Work:
    """A file of `export` as the Translator runs it; one that takes a single picture is called `batch_size` times."""
    from tf_pix2pix import runtimes

    loaders = {"": runtimes.load_saved_model, ".tflite": runtimes.load_tflite, ".onnx": runtimes.load_onnx}
    runtime = loaders[path.suffix](path)
    pictures = random_pictures(batch_size, size, size, 3)
    calls = batch_size if path.suffix == ".tflite" else 1
    return Work(lambda: [runtime.generate(part) for part in np.split(pictures, calls)])


def torch_generator(size: int, batch_size: int, filters: int, memory_format: str) -> Work:
    """The U-Net of pytorch_peer.py, eager. memory_format: contiguous_format or channels_last."""
    import pytorch_peer
    import torch

    torch.set_num_threads(os.cpu_count())
    layout = getattr(torch, memory_format)
    network = pytorch_peer.initialise(pytorch_peer.UNet(depth=unet_depth(size), filters=filters))
    network = network.to(memory_format=layout).eval()
    pictures = torch.from_numpy(random_pictures(batch_size, 3, size, size)).contiguous(memory_format=layout)

    def translate():
        with torch.inference_mode():
            return network(pictures).numpy()

    return Work(translate)


# The input pipeline: an epoch of 256x256, from its start, because what an iterator has ready while others have their
# turn is no work of the repetition. Facts: pairs, of an epoch.

LOAD_SIZE, CROP_SIZE = 286, 256


def write_pairs(directory: Path, count: int) -> Work:
    """Writes buildings of the built-in set as side-by-side JPEGs, 256x512, into directory/train and directory/val."""
    from PIL import Image

    from tf_pix2pix import images
    from tf_pix2pix.datasets import synthetic_facades

    for index in range(count):
        file = directory / ("val" if index < count // 10 else "train") / f"{index}.jpg"
        file.parent.mkdir(exist_ok=True)
        pair = synthetic_facades.facade(0, index, (CROP_SIZE, CROP_SIZE))
        Image.fromarray(images.join_side_by_side(*pair)).save(file, quality=95)
    return Work(lambda: None)


def tf_pix2pix_pipeline(data_dir: Path, cache_bytes: float) -> Work:
    """The input pipeline of the train command. cache_bytes: the set is kept in memory where it is no larger."""
    from tf_pix2pix.datasets import load_pairs
    from tf_pix2pix.input_pipeline import prepare, training_batches, with_channels

    sizes = dict(size=(LOAD_SIZE, LOAD_SIZE), resize_b="nearest", cache_bytes=cache_bytes)
    prepared = prepare(load_pairs(str(data_dir))["train"], direction="BtoA", **sizes)
    (prepared,) = with_channels([prepared], None, None)
    options = dict(batch_size=1, crop_size=(CROP_SIZE, CROP_SIZE), flip=True, seed=0)
    batches = training_batches(prepared, **options, steps=len(prepared))
    return Work(lambda: _go_through(batches), facts={"pairs": len(prepared)})


def torch_pipeline(data_dir: Path) -> Work:
    """The same in PyTorch: a DataLoader with a process for each core, which it keeps."""
    import pytorch_peer
    import torch

    paths = sorted((data_dir / "train").glob("*.jpg"))
    loader = torch.utils.data.DataLoader(
        pytorch_peer.SideBySide(paths, LOAD_SIZE, CROP_SIZE),
        batch_size=1,
        shuffle=True,
        num_workers=os.cpu_count(),
        persistent_workers=True,
    )
    return Work(lambda: _go_through(loader), facts={"pairs": len(paths)})


def _go_through(batches) -> None:
    for _ in batches:
        pass


# Large pictures.


def tiled(path: Path, megapixels: float) -> Work:
    """A label map of so many megapixels through a SavedModel's Translator; a single tile of it has been through."""
    from tf_pix2pix.datasets import synthetic_facades
    from tf_pix2pix.translation import Translator

    translator = Translator.from_saved_model(path)
    _, label_map = synthetic_facades.facade(0, 0, (500, 500))
    side = round(math.sqrt(megapixels * 1e6))
    times = -(-side // 500)
    picture = np.tile(label_map, (times, times, 1))[:side, :side]
    tile = math.isqrt(translator.max_pixels)
    translator.translate(picture[:tile, :tile])
    return Work(lambda: translator.translate(picture))
