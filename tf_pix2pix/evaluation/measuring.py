"""Measures: the metrics of all images of an evaluation, collected in parts; memory holds numbers, not images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_pix2pix.evaluation.label_consistency import LabelConsistency
from tf_pix2pix.intervals import Interval, mean_interval
from tf_pix2pix.metrics import METRICS, PAIRED_METRICS, ConfusionMatrix, GridEnergy, alternation, measure_pairs
from tf_pix2pix.metrics.paired import ms_ssim_scales
from tf_pix2pix.palettes import Palette, color_codes
from tf_pix2pix.sides import Side

_OVERALL = ("class_accuracy", "mean_iou")  # of all images together
THOROUGH = 200  # images; SSIM of three answers takes as long as all metrics of the model, a tenth of its translation
MODEL = "model"  # among the trivial answers, in tables of confusion matrices
Answer = Callable[[Any], Any]  # input images -> generated images, float32 [n, h, w, c] in [-1, 1]


class Part(NamedTuple):
    """Some images of one size: [n, h, w, c] of their sides; `input` is None for two folders."""

    input: np.ndarray | None
    generated: np.ndarray
    target: np.ndarray


class Measures:
    """The metrics of generated images against their targets.

    `measure` depends on its part alone; call it from any thread, and pass its result to `add` in the order of the
    images. `accumulate` also wants the order of the images.
    """

    def __init__(
        self,
        target: Side,  # of the targets and generated images
        palette: Palette | None,  # of the targets, if classes are compared; other colors count as the nearest
        input_side: Side | None = None,
        answers: dict[str, Answer] | None = None,  # trivial answers
        image_count: int = 0,  # more than THOROUGH leave out slow metrics of the trivial answers
        sets: Sequence[Any] = (),  # accumulators of metrics.distributions and metrics.inception
        per_image: dict[str, Callable] | None = None,  # further metrics of an image: (gen_output, target_image) -> [n]
        consistency: LabelConsistency | None = None,
    ):
        self._target, self._input, self._palette = target, input_side, palette
        self._answers, self._sets, self._per_image = answers or {}, sets, per_image or {}
        self._consistency = consistency
        self._answer_metrics = dict(PAIRED_METRICS)
        if image_count > THOROUGH:
            del self._answer_metrics["ssim"]
        names = [MODEL, *self._answers] if palette else []
        self._confusion = {name: ConfusionMatrix(len(palette.colors)) for name in names if palette}
        self._grids = GridEnergy(), GridEnergy()
        self._scales: set[int] = set()
        self.values: dict[str, list[float]] = {}  # metric -> a value for each image
        self._target_alternation: list[float] = []
        self._answer_values: dict[str, dict[str, list[float]]] = {name: {} for name in self._answers}
        self.count = 0

    def measure(self, part: Part) -> dict[str, Any]:
        """The values of each image, and of each trivial answer."""
        gen_output, target_image = map(self._target.to_float_array, (part.generated, part.target))
        values = measure_pairs(gen_output, target_image)
        if self._target.depth != "uint8":
            values |= _in_file_units(part)
        for name, metric in self._per_image.items():
            values[name] = metric(gen_output, target_image)
        confused = {}
        if self._palette:
            target_ids, gen_ids = (_classes(one, self._palette) for one in (part.target, part.generated))
            values["pixel_accuracy"] = np.equal(target_ids, gen_ids).mean(axis=(1, 2))
            confused[MODEL] = target_ids, gen_ids
        answers = {}
        if part.input is not None and self._input is not None and self._answers:
            input_image = self._input.to_float_array(part.input)
            for name, answer in self._answers.items():
                answered = np.asarray(answer(input_image), np.float32)
                answers[name] = {metric: of(answered, target_image) for metric, of in self._answer_metrics.items()}
                if self._palette:
                    ids = _classes(self._target.from_float(answered).numpy(), self._palette)
                    answers[name]["pixel_accuracy"] = np.equal(target_ids, ids).mean(axis=(1, 2))
                    confused[name] = target_ids, ids
        return {
            "values": values,
            "target_alternation": alternation(target_image, target_image),
            "answers": answers,
            "confused": confused,
            "scales": ms_ssim_scales(target_image.shape[1:3]),
        }

    def add(self, measured: dict[str, Any]) -> None:
        """Collects the result of `measure`."""
        _extend(self.values, measured["values"])
        self._target_alternation += map(float, measured["target_alternation"])
        for name, values in measured["answers"].items():
            _extend(self._answer_values[name], values)
        for name, ids in measured["confused"].items():
            self._confusion[name].update(*ids)
        self._scales.add(measured["scales"])
        self.count += len(measured["target_alternation"])

    def accumulate(self, part: Part) -> None:
        """Adds images to the metrics of the whole set."""
        gen_output, target_image = map(self._target.to_float_array, (part.generated, part.target))
        for grid, batch in zip(self._grids, (gen_output, target_image), strict=True):
            grid.update(batch)
        for one in self._sets:
            one.update(gen_output, target_image)
        if self._consistency and part.input is not None:
            self._consistency.update(part.input, gen_output, target_image)

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The entry "metrics" of metrics.json, in the order of METRICS. Sorts all patches: takes seconds."""
        found = {name: _summary(values) for name, values in self.values.items()}
        if "ms_ssim" in found:
            found["ms_ssim"]["note"] = f"{format_range(self._scales)} of 5 scales fit the images"
        if "alternation" in found:
            found["alternation"]["targets"] = _number(mean_interval(self._target_alternation).value)
        if self._confusion:
            labels = self._confusion[MODEL].results()
            found |= {name: {"value": _number(labels[name]), "n": self.count} for name in _OVERALL}
            found["pixel_accuracy"]["value"] = _number(labels["pixel_accuracy"])  # images of different sizes weigh more
        if self._grids[0].worst == self._grids[0].worst:
            generated, targets = (grid.result() for grid in self._grids)
            note = ", ".join(f"{stride}: {generated[stride]:.1f} ({targets[stride]:.1f})" for stride in generated)
            found["grid_energy"] = {
                "value": _number(self._grids[0].worst),
                "n": self.count,
                "targets": _number(self._grids[1].worst),
                "note": f"cycles a pixel, and the targets': {note}",
            }
        for one in self._sets:
            found |= one.results()
        return {name: found[name] for name in METRICS if name in found and found[name].get("value") is not None}

    def trivial(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The entry "trivial" of metrics.json; `behind`: how far an answer is behind the model, image by image."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for answer, metrics in self._answer_values.items():
            for name, values in metrics.items():
                summary = found.setdefault(answer, {})[name] = _summary(values)
                interval = self._behind(name, values)
                if np.isfinite(interval.low):
                    summary["behind"] = interval._asdict()
            if answer in found and answer in self._confusion:
                labels = self._confusion[answer].results()
                found[answer] |= {name: {"value": _number(labels[name]), "n": self.count} for name in _OVERALL}
        return found

    def _behind(self, metric: str, values: Sequence[float]) -> Interval:
        """How far the values of an answer are behind the model's: positive where the model is better."""
        difference = np.subtract(self.values[metric], values)
        known = difference[np.isfinite(difference)]
        return mean_interval(known if METRICS[metric].higher_is_better else -known)

    def labels(self) -> dict[str, Any] | None:
        """The entry "labels" of metrics.json."""
        if self._palette is None:
            return None
        confusion = self._confusion[MODEL]
        per_class = confusion.per_class()
        names = self._palette.names or [",".join(map(str, color)) for color in self._palette.colors]
        return {
            "classes": list(names),
            "colors": [_as_rgb(color) for color in self._palette.colors],
            "confusion": confusion.counts.tolist(),
            "class_accuracy": [_number(value) for value in per_class["accuracy"]],
            "iou": [_number(value) for value in per_class["iou"]],
        }

    def label_consistency(self) -> dict[str, Any] | None:
        """The entry "label_consistency" of metrics.json."""
        return self._consistency.results() if self._consistency else None

    def left_out(self, found: dict[str, Any]) -> list[str]:
        """One line for each metric that these images do not have; `found`: the result of `metrics`."""
        lines = [line for one in self._sets for line in one.left_out()]
        if "grid_energy" not in found:
            lines.append("grid_energy: needs images of at least 32x32 pixels")
        if "alternation" not in found:
            lines.append("alternation: no target has a smooth block of 16x16 pixels")
        if "lpips" in self.values and "lpips" not in found:
            lines.append("lpips: the images are too small")
        if "psnr" not in found:
            lines.append("psnr: all images equal their targets")
        return lines


def _classes(label_maps: np.ndarray, palette: Palette) -> np.ndarray:
    """uint8 [n, h, w, c] -> the classes of the same or nearest colors, [n, h, w]."""
    return palette.classify(color_codes(label_maps))[0]


def _in_file_units(part: Part) -> dict[str, np.ndarray]:
    """L1 and root mean squared error of each image, in the units of the files."""
    difference = part.generated.astype(np.float64) - part.target
    return {
        "l1_file": np.abs(difference).mean(axis=(1, 2, 3)),
        "rmse_file": np.sqrt(np.square(difference).mean(axis=(1, 2, 3))),
    }


def _extend(lists: dict[str, list[float]], values: dict[str, np.ndarray]) -> None:
    for name, array in values.items():
        lists.setdefault(name, []).extend(map(float, np.asarray(array)))


def _summary(values: Sequence[float]) -> dict[str, Any]:
    """The mean of finite values, with its interval."""
    array = np.array(values, np.float64)
    infinite = int(np.isinf(array).sum())
    interval = mean_interval(array[np.isfinite(array)])
    summary: dict[str, Any] = {"value": _number(interval.value), "n": interval.n}
    if np.isfinite(interval.low):  # one image has no interval
        summary |= {"low": interval.low, "high": interval.high}
    if infinite:
        summary["note"] = f"{infinite} of {len(array)} images equal their targets, without error; they are left out"
    return summary


def _number(value: float) -> float | None:
    """A number for JSON, which has no nan."""
    return float(value) if np.isfinite(value) else None


def format_range(numbers: set[int]) -> str:
    """{3} -> "3", {3, 4, 5} -> "3 to 5"."""
    return f"{min(numbers)}" if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def _as_rgb(color: Sequence[int]) -> list[int]:
    return list(color) * 3 if len(color) == 1 else list(color)[:3]
