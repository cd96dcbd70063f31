"""curves.png: a run's losses, validation metrics, health and speed, drawn from metrics.jsonl.

history.py reads the records, panels.py lists the diagrams, and drawing.py draws one of them.
"""

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

from tf_pix2pix.best import compare, format_metrics
from tf_pix2pix.curves.drawing import draw, run_colors
from tf_pix2pix.curves.history import History
from tf_pix2pix.curves.panels import INK, ROWS
from tf_pix2pix.files import atomic_write
from tf_pix2pix.run import Run

WIDTH, HEADING, TITLE, MARGIN = 12.0, 0.5, 0.75, 0.35  # inches


def write_curves(run: Run) -> Path:
    """Draws curves.png of a run directory anew. Raises InputError if the run has no records yet."""
    return plot_runs([run], run.directory / "curves.png")


def plot_runs(runs: Sequence[Run], path: Path) -> Path:
    """Draws the curves of one run, or of several over each other, as a PNG. Raises InputError as `curves_png`."""
    png = curves_png(runs)
    with atomic_write(path) as partial:
        partial.write_bytes(png)
    return path


def curves_png(runs: Sequence[Run]) -> bytes:
    """The curves as a PNG of 1200 pixels' width.

    One run's lines have colors of their own, and its best step is marked. Several runs have one color each.

    Raises:
      InputError: a run has no records yet.
    """
    from matplotlib.figure import Figure  # slow to import; unlike pyplot, it has no global state

    histories = [History(run) for run in runs]
    keys = set().union(*(history.keys for history in histories))
    rows = [(height, [panel for panel in row if panel.lines.keys() & keys]) for height, row in ROWS]
    rows = [(height, row) for height, row in rows if row]
    total = HEADING + sum(TITLE + height for height, _ in rows) + MARGIN
    figure = Figure((WIDTH, total), dpi=100, facecolor="white")
    _write_heading(figure, histories, total)
    bottom = total - HEADING
    for height, row in rows:
        bottom -= TITLE + height
        width = (WIDTH - 0.3) / len(row)
        for column, panel in enumerate(row):
            left = 0.7 + column * width
            axes = figure.add_axes((left / WIDTH, bottom / total, (width - 0.7) / WIDTH, height / total))
            draw(axes, panel, histories)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a folder's name
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _write_heading(figure, histories: list[History], total: float) -> None:
    """Writes the run's name and its best step; of several runs their names in their colors."""
    if len(histories) > 1:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=color, linewidth=3) for color in run_colors(len(histories))]
        names = [f" {history.name}, {history.last:,} steps" for history in histories]  # a leading "_" would hide it
        place = {"loc": "upper left", "bbox_to_anchor": (0.6 / WIDTH, 1 - 0.1 / total), "borderaxespad": 0}
        legend = figure.legend(handles, names, **place, frameon=False, ncols=4, fontsize=10, handlelength=1.2)
        for text in legend.get_texts():
            text.set_parse_math(False)
        return
    (history,) = histories
    style = {"x": 0.7 / WIDTH, "va": "top", "color": INK, "parse_math": False}
    figure.text(y=1 - 0.18 / total, s=history.name, fontsize=14, fontweight="bold", **style)
    figure.text(y=1 - 0.47 / total, s=_summary(history), fontsize=10, **style)


def _summary(history: History) -> str:
    """The steps done, the best step, and whether it is better than the best trivial answer."""
    parts = [f"{history.last:,} steps"]
    metric, best = history.config.best_metric, history.best()
    if best:
        value = format_metrics({metric: best.get(f"val_{metric}", math.nan)})
        parts += [f"best at step {best['step']:,} (circles): {value}", compare(best, history.trivial, metric)]
    return "; ".join(filter(None, parts))
