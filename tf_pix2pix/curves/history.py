"""History: the records of a run as arrays, its best evaluation and the best trivial answer."""

import math
from typing import Any

import numpy as np

from tf_pix2pix import checkpoints
from tf_pix2pix.errors import InputError
from tf_pix2pix.metrics.descriptions import METRICS
from tf_pix2pix.run import METRICS as RECORDS
from tf_pix2pix.run import Run


class History:
    """The `name`, `config` and `records` of a run, the `keys` in its records, and the `last` step.

    Raises:
      InputError: the run has no records yet.
    """

    def __init__(self, run: Run):
        self.name, self.config, self.records = run.directory.resolve().name, run.config, run.records()
        self.keys = {key for record in self.records for key in record}
        self._saved_best = checkpoints.steps(run.checkpoints, "best")
        self.last = max((record["step"] for record in self.records), default=0)
        if not self.last:
            path, every = run.directory / RECORDS, run.config.log_every
            raise InputError(f"{path}: no records yet; train for {every} steps (--log_every) first")

    def values(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps, values) of a key, without values that are not finite."""
        pairs = [(record["step"], record[key]) for record in self.records if key in record]
        steps, values = np.array(pairs, dtype=float).reshape(-1, 2).T
        finite = np.isfinite(values)
        return steps[finite], values[finite]

    @property
    def best_by(self) -> str:
        """The metric that chooses the best checkpoint."""
        return self.config.best_by or ("mean_iou" if "val_mean_iou" in self.keys else "l1")

    def best(self) -> dict[str, Any] | None:
        """The evaluation of the best checkpoint; without that file the first one with the best value."""
        key = f"val_{self.best_by}"
        evaluations = [record for record in self.records if math.isfinite(record.get(key, math.nan))]
        if saved := [record for record in evaluations if record["step"] in self._saved_best[-1:]]:
            return saved[-1]
        choose = max if METRICS[self.best_by].higher_is_better else min
        return choose(evaluations, key=lambda record: record[key], default=None)

    def trivial(self, metric: str) -> tuple[float, str] | None:
        """The value and the name of the best trivial answer by a metric."""
        answers: dict[str, Any] = next((record["trivial"] for record in self.records if "trivial" in record), {})
        values = [(value[metric], name) for name, value in answers.items() if metric in value]
        if not values or metric not in METRICS:
            return None
        return max(values) if METRICS[metric].higher_is_better else min(values)
