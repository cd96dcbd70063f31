"""History: the records of a run as arrays, its best evaluation and its trivial answers."""

import numpy as np

from tf_pix2pix.best import Record, best_evaluation, saved_trivial
from tf_pix2pix.errors import InputError
from tf_pix2pix.run import METRICS, Run


class History:
    """The `name`, `config`, `records` and `trivial` answers of a run, the `keys` in its records, and the `last` step.

    Raises:
      InputError: the run has no records yet.
    """

    def __init__(self, run: Run):
        self.name, self.config, self.records = run.directory.resolve().name, run.config, run.records()
        self.keys = {key for record in self.records for key in record}
        self.trivial = saved_trivial(self.records)
        self.last = max((record["step"] for record in self.records), default=0)
        if not self.last:
            path, every = run.directory / METRICS, run.config.log_every
            raise InputError(f"{path}: no records yet; train for {every} steps (--log_every) first")

    def values(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps, values) of a key, without values that are not finite."""
        pairs = [(record["step"], record[key]) for record in self.records if key in record]
        steps, values = np.array(pairs, dtype=float).reshape(-1, 2).T
        finite = np.isfinite(values)
        return steps[finite], values[finite]

    def best(self) -> Record | None:
        """The evaluation of the best checkpoint."""
        return best_evaluation(self.records, self.config.best_metric)
