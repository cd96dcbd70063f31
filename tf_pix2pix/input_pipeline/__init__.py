"""From pairs of images to batches of (input_image, target_image), float32 [n, h, w, c] in [-1, 1].

resolve.py decides both sides from the survey; examples.py converts and resizes each pair once; batches.py draws order,
crop and mirroring afresh each time.
"""

from tf_pix2pix.input_pipeline.batches import center_crop, example_index, training_batches, validation_batches
from tf_pix2pix.input_pipeline.examples import make_example, prepare_examples
from tf_pix2pix.input_pipeline.resolve import resolve

__all__ = [
    "center_crop",
    "example_index",
    "make_example",
    "prepare_examples",
    "resolve",
    "training_batches",
    "validation_batches",
]
