"""Builds the work of the contestants of speed.py; turns.py calls each function in a process of its own.

Importing this module imports no framework; the functions do. Images are random, float32 in [-1, 1].
"""

import math
import os
from pathlib import Path

import numpy as np
from turns import Work

MATRIX = 2048  # rows and columns of the matrices to multiply


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def unet_depth(size: int) -> int:
    """Depth of the default U-Net for size x size pixels: networks.unet_depth without importing TensorFlow."""
    return next(depth for depth in range(8, 0, -1) if size % 2**depth == 0)


def untrained_run(directory: Path, size: int, filters: int, **fields):
    """A run of RGB images that has not begun; nothing is written."""
    from tf_pix2pix.config import TrainConfig
    from tf_pix2pix.run import Run
    from tf_pix2pix.sides import Side, Sides

    return Run(directory, TrainConfig(crop_size=(size, size), filters=filters, **fields), Sides(Side(3), Side(3)))


# A training step on `batch_size` pairs of size x size pixels; it fetches all losses.


def tf_pix2pix_step(size: int, batch_size: int, filters: int, **fields) -> Work:
    """The step of the train command. fields: other fields of TrainConfig."""
    import multiply_adds
    import tensorflow as tf

    from tf_pix2pix.training.step import build_state, make_train_step

    run = untrained_run(Path("unused"), size, filters, batch_size=batch_size, **fields)
    state = build_state(run, total_steps=1_000_000)
    train_step = make_train_step(state, run.config)
    pair = [tf.constant(side) for side in random_images(2, batch_size, size, size, 3)]
    shape = (batch_size, size, size, 3)
    generator = multiply_adds.count_layers(state.generator, shape)
    discriminator = multiply_adds.count_layers(state.discriminator, shape, shape)
    facts = {"multiply_adds": multiply_adds.count_step(generator, discriminator)}
    return Work(lambda: [float(loss) for loss in train_step(*pair).values()], facts=facts)


def keras_step(size: int, batch_size: int, filters: int) -> Work:
    """The step of keras_peer.py."""
    import keras_peer
    import multiply_adds
    import tensorflow as tf

    generator = keras_peer.unet(size, filters, unet_depth(size))
    discriminator = keras_peer.patchgan(size, filters)
    train_step = keras_peer.make_train_step(generator, discriminator)
    pair = [tf.constant(side) for side in random_images(2, batch_size, size, size, 3)]
    shape = (batch_size, size, size, 3)
    layers = multiply_adds.count_layers(generator, shape), multiply_adds.count_layers(discriminator, shape, shape)
    facts = {"multiply_adds": multiply_adds.count_step(*layers, discriminator_calls=2)}
    return Work(lambda: [float(loss) for loss in train_step(*pair)], facts=facts)


def torch_step(size: int, batch_size: int, filters: int, memory_format: str) -> Work:
    """The step of pytorch_peer.py, eager. memory_format: contiguous_format or channels_last."""
    import pytorch_peer
    import torch

    torch.set_num_threads(os.cpu_count())
    layout = getattr(torch, memory_format)
    networks = [pytorch_peer.UNet(depth=unet_depth(size), filters=filters), pytorch_peer.PatchGAN(filters=filters)]
    networks = [pytorch_peer.initialize(network).to(memory_format=layout) for network in networks]
    train_step = pytorch_peer.make_train_step(*networks)
    pair = random_images(2, batch_size, 3, size, size)
    pair = [torch.from_numpy(side).contiguous(memory_format=layout) for side in pair]
    return Work(lambda: [loss.item() for loss in train_step(*pair)])


# The lower bound: the highest rate of multiply-adds on this machine.


def tensorflow_sgemm() -> Work:
    import tensorflow as tf

    sides = [tf.constant(side) for side in random_images(2, MATRIX, MATRIX)]
    product = tf.function(tf.matmul)
    return Work(lambda: product(*sides).numpy(), facts={"multiply_adds": MATRIX**3})


def torch_sgemm() -> Work:
    import torch

    torch.set_num_threads(os.cpu_count())
    sides = [torch.from_numpy(side) for side in random_images(2, MATRIX, MATRIX)]
    return Work(lambda: torch.mm(*sides).numpy(), facts={"multiply_adds": MATRIX**3})


# Inference on `batch_size` images of size x size pixels, from numpy to numpy.


def export(directory: Path, size: int, filters: int, name: str) -> Work:
    """Exports an untrained generator to a folder. name: a key of EXPORTERS. Facts: megabytes by file name."""
    from tf_pix2pix import exporting, inference, model_card
    from tf_pix2pix.exporting.artifact import Options, Source

    run = untrained_run(directory, size, filters)
    generator = run.build_generator()
    max_pixels = inference.max_pixels(generator)
    card = exporting.make_card(run, generator, 0, max_pixels)
    source = Source(run, generator, card, train_inputs=[])
    precisions = ("float32", "float16", "dynamic_int8")  # int8 would need images for calibration
    options = Options(tflite_precision=precisions, batch_sizes=(1,), max_pixels=max_pixels)
    megabytes = {}
    for artifact in exporting.EXPORTERS[name](source, directory, options):
        files = [artifact.path]
        if artifact.path.is_dir():
            model_card.write_card(artifact.path, card)  # exporters write it into single files themselves
            files = [file for file in artifact.path.rglob("*") if file.is_file()]
        megabytes[artifact.path.name] = sum(file.stat().st_size for file in files) / 1e6
    return Work(lambda: None, facts={"megabytes": megabytes})


def keras_generator(size: int, batch_size: int, filters: int) -> Work:
    """The Keras model in a tf.function, as training generates its samples."""
    from tf_pix2pix import inference

    translate = inference.make_translate(untrained_run(Path("unused"), size, filters).build_generator())
    image = random_images(batch_size, size, size, 3)
    return Work(lambda: translate(image).numpy())


def exported(path: Path, size: int, batch_size: int) -> Work:
    """An export as the Translator runs it; a TFLite file, whose batch size is 1, runs `batch_size` times."""
    from tf_pix2pix import runtimes

    loaders = {"": runtimes.load_saved_model, ".tflite": runtimes.load_tflite, ".onnx": runtimes.load_onnx}
    runtime = loaders[path.suffix](path)
    image = random_images(batch_size, size, size, 3)
    calls = batch_size if path.suffix == ".tflite" else 1
    return Work(lambda: [runtime.generate(part) for part in np.split(image, calls)])


def torch_generator(size: int, batch_size: int, filters: int, memory_format: str) -> Work:
    """The U-Net of pytorch_peer.py, eager. memory_format: contiguous_format or channels_last."""
    import pytorch_peer
    import torch

    torch.set_num_threads(os.cpu_count())
    layout = getattr(torch, memory_format)
    network = pytorch_peer.initialize(pytorch_peer.UNet(depth=unet_depth(size), filters=filters))
    network = network.to(memory_format=layout).eval()
    image = torch.from_numpy(random_images(batch_size, 3, size, size)).contiguous(memory_format=layout)

    def translate():
        with torch.inference_mode():
            return network(image).numpy()

    return Work(translate)


# The input pipeline: one epoch at 256x256 per repetition, with a new iterator, because an iterator that goes on would
# prefetch during the turns of other contestants. Facts: the number of pairs per epoch.

LOAD_SIZE, CROP_SIZE = 286, 256


def write_pairs(directory: Path, count: int) -> Work:
    """Writes pairs of the built-in set as side-by-side JPEGs of 256x512 into directory/train and directory/val."""
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
    """The input pipeline of the train command. cache_bytes: it keeps a set of up to this size in memory."""
    from tf_pix2pix.datasets import load_pairs
    from tf_pix2pix.input_pipeline import prepare_examples, training_batches
    from tf_pix2pix.sides import Side, Sides

    sides = Sides(Side(3, resize="nearest"), Side(3))
    pairs = load_pairs(str(data_dir), direction="BtoA")["train"]
    examples = prepare_examples(pairs, sides, size=(LOAD_SIZE, LOAD_SIZE), cache_bytes=cache_bytes)
    options = dict(batch_size=1, crop_size=(CROP_SIZE, CROP_SIZE), flip=True, seed=0)
    batches = training_batches(examples, sides, **options, steps=len(examples))
    return Work(lambda: _iterate(batches), facts={"pairs": len(examples)})


def torch_pipeline(data_dir: Path) -> Work:
    """The same in PyTorch: a DataLoader with one persistent worker process per core."""
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
    return Work(lambda: _iterate(loader), facts={"pairs": len(paths)})


def _iterate(batches) -> None:
    for _ in batches:
        pass


# Large images.


def tiled(path: Path, megapixels: float) -> Work:
    """Translates a label map of this many megapixels with a SavedModel, after one tile as a warm-up."""
    from tf_pix2pix.datasets import synthetic_facades
    from tf_pix2pix.translation import Translator

    translator = Translator.from_saved_model(path)
    _, label_map = synthetic_facades.facade(0, 0, (500, 500))
    side = round(math.sqrt(megapixels * 1e6))
    times = -(-side // 500)
    image = np.tile(label_map, (times, times, 1))[:side, :side]
    tile = math.isqrt(translator.max_pixels)
    translator.translate(image[:tile, :tile])
    return Work(lambda: translator.translate(image))
