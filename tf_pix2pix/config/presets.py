"""Default settings of the tasks (TASK_SETTINGS) and of the presets (PRESETS), among them the paper's."""

from typing import Any

# The settings of tasks: field -> the tasks that use it, with their defaults.
TASK_SETTINGS: dict[str, dict[str, Any]] = {
    "task_scale": {"super_resolution": 4},
    "task_sigma": {"edges": 1.5, "soft_edges": 1.0, "sketch": 4.0, "denoise": 25.0, "deblur": 2.0},
    "task_share": {"inpaint": 0.2},
}

# A restoration must not invent detail: no adversarial loss, no dropout. benchmarks/tasks.py measures it.
_RESTORING = dict(dropout=0.0, gan_weight=0.0, learning_rate=1e-3, schedule="linear")

# One row for each published model (paper, appendix 6.2). Side A is the left half of a file.
PRESETS: dict[str, dict[str, Any]] = {
    "facades": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "cityscapes": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "maps": dict(direction="AtoB", epochs=200, batch_size=1),
    "edges2shoes": dict(direction="AtoB", epochs=15, batch_size=4, jitter=False, flip=False),
    "edges2handbags": dict(direction="AtoB", epochs=15, batch_size=4, jitter=False, flip=False),
    # The direction is a guess: no source at hand says which half of the published files is the day.
    "night2day": dict(direction="AtoB", epochs=17, batch_size=4),
    # Your own pairs: label maps to photos, low to high resolution, one style to another. Averaged weights improve every
    # metric on real label maps (README). Anatomy has a left and a right: no flip.
    "labels": dict(resize_a="nearest", ema_decay=0.999),
    "medical": dict(fit="cover", flip=False, residual=True, **_RESTORING),
    "style": dict(ema_decay=0.999),
    # Tasks on photos. In Lab, the network learns the colors only.
    "colorize": dict(task="colorize", color_space="lab", ema_decay=0.999),
    **{task: dict(task=task, ema_decay=0.999) for task in ("edges", "soft_edges", "sketch")},
    # Residual where the network adds detail; for denoise it does not help: a U-Net cannot reproduce each pixel's noise.
    **{task: dict(task=task, residual=True, **_RESTORING) for task in ("super_resolution", "deblur")},
    **{task: dict(task=task, **_RESTORING) for task in ("denoise", "inpaint")},
    # The built-in set, and a result after minutes on a plain CPU.
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
