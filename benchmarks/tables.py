"""Markdown tables of measurements: medians, ranges from the 10th to the 90th percentile, ratios within rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from turns import Measured

MEMORY = "peak memory, GB (after imports)"  # the header of `memory_cell`


@dataclass(frozen=True)
class Table:
    """A title, the header without its empty first cell, the rows, and the measurements behind them."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    measured: Sequence[Measured]

    def lines(self) -> list[str]:
        header = ["", *self.header]
        return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *self.rows)]


def rows_of(measured: Sequence[Measured], columns: int, cells: Callable[[Measured], Sequence[str]]) -> list[list[str]]:
    """One row each: the label and the cells, or why the contestant failed. columns: the number of cells."""
    rows = []
    for one in measured:
        failed = [f"failed: {(one.failure or '').replace('|', '/')}", *[""] * (columns - 1)]
        rows.append([one.label, *(failed if one.failure else cells(one))])
    return rows


def named(measured: Sequence[Measured], name: str) -> Measured:
    return next(one for one in measured if one.name == name)


def digits(value: float) -> str:
    """Formats a number with three significant digits, or as an integer from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def median_and_range(values: Sequence[float]) -> list[str]:
    """Two cells: the median, and the range."""
    low, high = np.percentile(values, [10, 90])
    return [digits(np.median(values)), f"{digits(low)} to {digits(high)}"]


def ratio_cell(seconds: Sequence[float], reference: Sequence[float]) -> str:
    """The time relative to the reference in the same round: the median and the range."""
    if not seconds or not reference:  # one of them failed
        return "-"
    ratios = np.divide(seconds, reference)
    low, high = np.percentile(ratios, [10, 90])
    return f"{np.median(ratios):.2f} ({low:.2f} to {high:.2f})"


def memory_cell(one: Measured) -> str:
    """Resident memory of the process in GB: the peak, and in parentheses the value after imports."""
    return f"{one.facts['peak_gb']:.2f} ({one.facts['imported_gb']:.2f})"
