"""Settings to start from: TASK_SETTINGS, each task's own, and PRESETS, the paper's among them."""

from typing import Any

# What a task needs to know beside the photo: field -> the tasks that have it, with their defaults.
TASK_SETTINGS: dict[str, dict[str, Any]] = {
    "task_scale": {"super_resolution": 4},
    "task_sigma": {"edges": 1.5, "soft_edges": 1.0, "sketch": 4.0, "denoise": 25.0, "deblur": 2.0},
    "task_share": {"inpaint": 0.2},
}

# What is to be restored is not to be invented: no adversary, no noise. Figures: benchmarks/tasks.py.
_RESTORING = dict(dropout=0.0, gan_weight=0.0, learning_rate=1e-3, schedule="linear")

# One row per published model (paper, appendix 6.2). The files' left side is A.
PRESETS: dict[str, dict[str, Any]] = {
    "facades": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "cityscapes": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "maps": dict(direction="AtoB", epochs=200, batch_size=1),
    "edges2shoes": dict(direction="AtoB", epochs=15, batch_size=4, jitter=False, flip=False),
    "edges2handbags": dict(direction="AtoB", epochs=15, batch_size=4, jitter=False, flip=False),
    # The direction is ours: no source at hand says which side of the published files is the day.
    "night2day": dict(direction="AtoB", epochs=17, batch_size=4),
    # Pairs of one's own: label maps to photos, low to high resolution, one style to another. The average of the weights
    # is better in every figure on real label maps (README); anatomy has a left and a right.
    "labels": dict(resize_a="nearest", ema_decay=0.999),
    "medical": dict(fit="cover", flip=False, residual=True, **_RESTORING),
    "style": dict(ema_decay=0.999),
    # Tasks from plain photos. In Lab a net has the colours alone to learn.
    "colorize": dict(task="colorize", color_space="lab", ema_decay=0.999),
    **{task: dict(task=task, ema_decay=0.999) for task in ("edges", "soft_edges", "sketch")},
    # Residual where detail is to be added; noise, of which each pixel has its own, is more than a U-Net gives back.
    **{task: dict(task=task, residual=True, **_RESTORING) for task in ("super_resolution", "deblur")},
    **{task: dict(task=task, **_RESTORING) for task in ("denoise", "inpaint")},
    # Not published models: the built-in set, and something to look at after minutes on a plain CPU.
    "synthetic_facades": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "demo": dict(
        direction="BtoA",
        resize_b="nearest",
        crop_size=(128, 128),
        filters=32,
        steps=2500,
        schedule="linear",
        sample_every=500,
        eval_every=500,
        checkpoint_every=500,
    ),
}
