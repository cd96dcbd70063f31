"""Label consistency: do generated photos show what their label maps ask for?

A label network, trained once on real photos, reads the labels of generated photos. They are compared with the label
maps from which the photos were generated: the paper's FCN-score (section 4.1), for any label maps and photos. The
network is a U-Net, not FCN-8s, so compare values with those of real photos and of other runs, not with published ones.
Real photos are a reference, not a ceiling: generated photos can score higher (docs/benchmarks.md). Judge a run by its
images too.
"""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.evaluation.label_network import STEPS, train_label_network
from tf_pix2pix.inference import make_translate
from tf_pix2pix.intervals import pooled_interval
from tf_pix2pix.metrics import ConfusionMatrix
from tf_pix2pix.palettes import color_codes
from tf_pix2pix.run import Run

LABEL_METRICS = ("pixel_accuracy", "class_accuracy", "mean_iou")


class LabelConsistency:
    """Compares the labels that the label network reads from photos with the label maps of the photos.

    Attributes:
      palette: the classes.
      counts: "generated" and "targets" -> the confusion matrix of each image, int64 [k, k]; rows: its label map.
    """

    def __init__(self, network: Run):
        """network: from `train_label_network`."""
        self.network = network
        assert network.sides.target.palette
        self.palette = network.sides.target.palette
        self._read = make_translate(network.generator("latest"))
        self.counts: dict[str, list[np.ndarray]] = {"generated": [], "targets": []}

    def update(self, label_maps: np.ndarray, gen_output: np.ndarray, target_image: np.ndarray) -> None:
        """Adds images of one size.

        Args:
          label_maps: the inputs, uint8 [n, h, w, c]; pixels of other colors than the palette's count as the nearest.
          gen_output, target_image: generated and real photos, float32 [n, h, w, c] in [-1, 1].
        """
        labels = self.network.sides.target
        asked = self._classes(np.stack([labels.convert(label_map, restore=True) for label_map in label_maps]))
        for name, photos in (("generated", gen_output), ("targets", target_image)):
            for pair in zip(asked, self._classes(images.from_float(self._read(photos)).numpy()), strict=True):
                matrix = ConfusionMatrix(len(self.palette.colors))
                matrix.update(*pair)
                self.counts[name].append(matrix.counts)

    def _classes(self, label_maps: np.ndarray) -> np.ndarray:
        return self.palette.classify(color_codes(label_maps))[0]

    def results(self) -> dict[str, Any]:
        """`pixel_accuracy`, `class_accuracy` and `mean_iou` over all pixels.

        Returns:
          "generated", and "targets" for reference -> metric -> {"value", "low", "high", "n"}, the 95 % interval of
          several images; "network": its run directory.
        """
        found = {name: _summarize(np.stack(counts)) for name, counts in self.counts.items()}
        return {**found, "network": f"{self.network.directory}"}


def _summarize(counts: np.ndarray) -> dict[str, dict[str, float]]:
    """Confusion matrices [n, k, k] -> metric -> {"value", "low", "high", "n"}."""
    found = {}
    for name in LABEL_METRICS:

        def statistic(total: np.ndarray, name: str = name) -> float:
            matrix = ConfusionMatrix(len(total))
            matrix.counts = total
            return matrix.results()[name]

        interval = pooled_interval(statistic, counts)
        found[name] = {key: value for key, value in interval._asdict().items() if np.isfinite(value)}
    return found


def label_consistency(
    run: Run,
    pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    palette: str | os.PathLike | None = None,
    steps: int = STEPS,
) -> dict[str, Any]:
    """The label consistency of a run's generated photos.

    Args:
      pairs: (input_image, gen_output, target_image), float32 [n, h, w, c] in [-1, 1], read once.
      palette, steps: as in `train_label_network`.

    Returns:
      As LabelConsistency.results.

    Raises:
      InputError, RunError: as `train_label_network`.
    """
    consistency = LabelConsistency(train_label_network(run.config, run.sides, palette=palette, steps=steps))
    for input_image, gen_output, target_image in pairs:
        consistency.update(run.sides.input.from_float(input_image).numpy(), gen_output, target_image)
    return consistency.results()
