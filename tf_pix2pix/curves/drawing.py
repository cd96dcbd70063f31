"""Draws one diagram of curves.png with matplotlib."""

import math
from typing import Any

import numpy as np

from tf_pix2pix.best import best_trivial
from tf_pix2pix.curves.history import History
from tf_pix2pix.curves.panels import ADVERSARIAL, BLUE, GRAY, GREEN, INK, VERMILLION, Panel

RUN_COLORS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
LINE_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1)))  # of a panel's lines, where the color tells the run
# Both discriminator losses have this value if the discriminator cannot tell real from generated pairs.
UNDECIDED = {
    "vanilla": (math.log(2), "ln 2: cannot tell"),
    "lsgan": (0.25, "1/4: cannot tell"),
    "hinge": (1.0, "1: cannot tell"),
}


def run_colors(count: int) -> list[str]:
    return [RUN_COLORS[index % len(RUN_COLORS)] for index in range(count)]


def draw(axes, panel: Panel, histories: list[History]) -> None:
    """Draws a panel into matplotlib's axes."""
    single = len(histories) == 1
    shown: list[float] = []  # values that the axis must show
    for history, run_color in zip(histories, run_colors(len(histories)), strict=True):
        for number, (key, (_, color)) in enumerate(panel.lines.items()):
            steps, values = history.values(key)
            style = {"color": color} if single else {"color": run_color, "linestyle": LINE_STYLES[number]}
            if len(steps):
                shown += _draw_line(axes, steps, values, key.startswith(("val_", "train_")), single, style)
    level = panel.level
    if panel is ADVERSARIAL:
        level = UNDECIDED.get(histories[0].config.adversarial_loss)
    if level:
        shown.append(_draw_level(axes, *level, GRAY))
    if single:
        shown += _mark_best(axes, panel, histories[0])
    _scale_axes(axes, panel.scale, shown, max(history.last for history in histories))
    _write_title(axes, panel, single, set().union(*(history.keys for history in histories)))


def _draw_line(axes, steps, values, evaluation: bool, single: bool, style: dict[str, Any]) -> list[float]:
    """Draws one line; returns the extremes that the axis must show."""
    if evaluation:
        axes.plot(steps, values, marker="o", markersize=3 if len(steps) < 50 else 0, linewidth=1.8, zorder=3, **style)
        return [values.min(), values.max()]
    smooth = _smooth(values)
    if single and len(values) <= 400:
        axes.plot(steps, values, linewidth=0.6, alpha=0.35, zorder=1, **style)
    elif single:  # as a band, in which nine of ten values lie
        parts = [np.percentile(part, [5, 95]) for part in np.array_split(values, 200)]
        middles = [part.mean() for part in np.array_split(steps, 200)]
        axes.fill_between(middles, *np.transpose(parts), color=style["color"], alpha=0.2, linewidth=0, zorder=1)
    axes.plot(steps, smooth, linewidth=1.5, zorder=2, **style)
    return [smooth.min(), smooth.max(), *np.percentile(values, [2, 98])]


def _smooth(values: np.ndarray) -> np.ndarray:
    """A moving average over a fifteenth of the values, with a Hann window."""
    window = np.hanning(len(values) // 15 + 3)[1:-1]
    start = (len(window) - 1) // 2
    total, weight = (np.convolve(row, window)[start : start + len(values)] for row in (values, np.ones(len(values))))
    return total / weight


def _draw_level(axes, value: float, label: str, color: str) -> float:
    """Draws a dashed line to compare with, labeled at its right end."""
    axes.axhline(value, color=color, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    place = {"xy": (1, value), "xycoords": ("axes fraction", "data"), "textcoords": "offset points", "xytext": (-2, 2)}
    _write(axes, label, place, ha="right", va="bottom", color=color, fontsize=8)
    return value


def _write(axes, text: str, place: dict[str, Any], **style) -> None:
    """Writes text with a white outline, which keeps it readable on lines."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2.5, foreground="white")]
    axes.annotate(text, **place, **style, parse_math=False, path_effects=outline, zorder=5)


def _mark_best(axes, panel: Panel, history: History) -> list[float]:
    """Marks the best step in a panel of evaluations, and draws the best trivial answer; returns the values drawn."""
    drawn = []
    best = history.best() or {}
    keys = [key for key in panel.lines if key.startswith("val_") and not key.endswith("_targets")]
    for key in keys:
        color = panel.lines[key][1]
        if math.isfinite(value := best.get(key, math.nan)):
            late = best["step"] > history.last / 2
            style = {"markersize": 7, "markerfacecolor": "white", "markeredgewidth": 2, "color": color}
            axes.plot(best["step"], value, "o", zorder=4, clip_on=False, **style)
            place = {"xy": (best["step"], value), "textcoords": "offset points", "xytext": (-8 if late else 8, 6)}
            style = {"ha": "right" if late else "left", "color": color, "fontsize": 9, "fontweight": "bold"}
            _write(axes, f"{value:.3g}", place, **style)
        trivial = best_trivial(history.trivial, key.removeprefix("val_"))
        if trivial and math.isfinite(trivial[1]):
            drawn.append(_draw_level(axes, trivial[1], trivial[0], color if len(keys) > 1 else INK))
    return drawn


def _scale_axes(axes, scale: str, shown: list[float], last: int) -> None:
    """Sets limits and ticks."""
    from matplotlib.ticker import LogLocator

    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    if scale == "log" and low > 0:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        low = low if scale == "near" else min(low, 0.0)
        pad = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_ylim(low - pad if low else 0.0, max(high + pad, 0.05) if scale == "percent" else high + pad)
        axes.locator_params(axis="y", nbins=5)
    axes.yaxis.set_major_formatter((lambda value, _: f"{value:.0%}") if scale == "percent" else _format_tick)
    axes.yaxis.set_minor_formatter("")
    axes.set_xlim(0, last)
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(which="both", labelsize=8.5, colors="#555555", length=0)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#BBBBBB")


def _format_tick(value: float, _) -> str:
    return np.format_float_positional(value, precision=4, fractional=False, trim="-")


def _write_title(axes, panel: Panel, single: bool, keys: set[str]) -> None:
    """Writes the title, and below it the labels of the lines in their colors."""
    axes.set_title(
        panel.title,
        loc="left",
        fontsize=10.5,
        fontweight="bold",
        color=INK,
        pad=20 if any(label for label, _ in panel.lines.values()) else 8,
    )
    handles, labels = [], []
    for number, (key, (label, color)) in enumerate(panel.lines.items()):
        if label and key in keys:
            style = {"color": color} if single else {"color": GRAY, "linestyle": LINE_STYLES[number]}
            handles += axes.plot([], [], linewidth=2, **style)
            labels.append(label)
    if labels:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "borderpad": 0, "ncols": 3}
        look = {"frameon": False, "fontsize": 8.5, "handlelength": 1.5, "columnspacing": 1.2}
        axes.legend(handles, labels, labelcolor="linecolor", **place, **look)
