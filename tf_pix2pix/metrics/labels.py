"""Metrics of label maps: how many pixels of generated label maps have the class of their target."""

import numpy as np

from tf_pix2pix import images


def class_ids(label_map, palette: np.ndarray) -> np.ndarray:
    """Label map, float32 [n, h, w, c] in [-1, 1], in the colors of the palette -> its row numbers, int64 [n, h, w]."""
    place_values = 256 ** np.arange(palette.shape[1])
    own, codes = palette @ place_values, images.from_float(label_map).numpy() @ place_values
    order = np.argsort(own)
    return order[np.searchsorted(own, codes, sorter=order)]


class ConfusionMatrix:
    """Counts pixels by their class in the target and in the generated label map.

    Attributes:
      counts: int64 [k, k], rows: the target's class, columns: the generated one.
    """

    def __init__(self, class_count: int):
        self.counts = np.zeros((class_count, class_count), np.int64)

    def update(self, target_ids: np.ndarray, gen_ids: np.ndarray) -> None:
        """Adds label maps of equal shape, whole numbers below `class_count`."""
        class_count = len(self.counts)
        pairs = np.ravel(target_ids).astype(np.int64) * class_count + np.ravel(gen_ids)
        self.counts += np.bincount(pairs, minlength=class_count**2).reshape(class_count, class_count)

    def per_class(self) -> dict[str, np.ndarray]:
        """The metrics of each class.

        Returns:
          float64 [k] each. `accuracy`: the share of the class's target pixels that are right; nan if no target has the
          class. `iou`: right pixels over those that have the class in the target or in the generated label map; nan if
          none has.
        """
        right = np.diagonal(self.counts)
        in_targets, generated = self.counts.sum(axis=1), self.counts.sum(axis=0)
        with np.errstate(invalid="ignore"):
            return {"accuracy": right / in_targets, "iou": right / (in_targets + generated - right)}

    def results(self) -> dict[str, float]:
        """The metrics of the FCN-score (Long et al. 2015, section 5), over the pixels of all images.

        Returns:
          `pixel_accuracy`: the share of pixels with the right class. `class_accuracy`: the accuracy of each class,
          averaged over the classes that occur in a target. `mean_iou`: the intersection over union of each class,
          averaged over the classes that occur in a target or a generated label map. nan without pixels.
        """
        total = self.counts.sum()
        if not total:
            return dict.fromkeys(("pixel_accuracy", "class_accuracy", "mean_iou"), float("nan"))
        per_class = self.per_class()
        return {
            "pixel_accuracy": float(np.trace(self.counts) / total),
            "class_accuracy": float(np.nanmean(per_class["accuracy"])),
            "mean_iou": float(np.nanmean(per_class["iou"])),
        }
