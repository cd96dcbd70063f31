"""Measures the cost of the health line: of training steps with and without its measurements, and of an evaluation.

  python benchmarks/health.py [--cases=256x1,128x1] [--filters=64] [--rounds=40]

Both kinds of step run in turns in one process. Each step measures the gradients, although training does it only at
every 20th: the cost is an upper bound. It compares steps of the same round: the median of the ratios, and their range
from the 25th to the 75th percentile. Other work on the machine disturbs processor time less than wall time.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from speed import cases

EVAL_EVERY, EVAL_PAIRS = 1000, 100  # TrainConfig's defaults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=cases, default=[(256, 1), (128, 1)], help="SIZExBATCH,... [256x1,128x1]")
    parser.add_argument("--filters", type=int, default=64, help="filters of the first layers [64]")
    parser.add_argument("--rounds", type=int, default=40, help="steps of each kind [40]")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for size, batch_size in args.cases:
        print(measure(size, batch_size, args.filters, args.rounds), flush=True)


def measure(size: int, batch_size: int, filters: int, rounds: int) -> str:
    """One line on the cost at one size."""
    import tensorflow as tf

    from tf_pix2pix import TrainConfig
    from tf_pix2pix.cpu.settings import keep_freed_memory
    from tf_pix2pix.losses import ADVERSARIAL_LOSSES
    from tf_pix2pix.run import Run
    from tf_pix2pix.sides import Side, Sides
    from tf_pix2pix.training.health.validation import ValidationImages, innermost_activations
    from tf_pix2pix.training.step import build_state, make_train_step

    keep_freed_memory()

    def build(log_every):
        config = TrainConfig(crop_size=(size, size), batch_size=batch_size, filters=filters, log_every=log_every)
        run = Run(Path("not written"), config, Sides(Side(3), Side(3)))
        state = build_state(run, 10**6)
        return run, state, make_train_step(state, config, run.codec)

    rng = np.random.default_rng(0)
    batch = [tf.constant(rng.uniform(-1, 1, (batch_size, size, size, 3)), tf.float32) for _ in range(2)]
    run, state, with_health = build(log_every=1)
    loss = ADVERSARIAL_LOSSES["vanilla"]
    ADVERSARIAL_LOSSES["vanilla"] = loss._replace(threshold=None)  # no accuracies
    _, _, without = build(log_every=10**9)  # no gradient norms
    seconds: dict[str, list[np.ndarray]] = {"with": [], "without": []}
    for round_number in range(rounds + 3):
        for name, step in (("with", with_health), ("without", without)):
            started = np.array([time.monotonic(), time.process_time()])
            float(step(*batch)["gen_l1_loss"])
            if round_number >= 3:  # the first traces
                seconds[name].append(np.array([time.monotonic(), time.process_time()]) - started)
    ADVERSARIAL_LOSSES["vanilla"] = loss
    ratios = np.array(seconds["with"]) / np.array(seconds["without"]) - 1.0
    wall, processor = (
        f"{middle:+.1%} ({low:+.1%} to {high:+.1%})"
        for low, middle, high in np.percentile(ratios, [25, 50, 75], axis=0).T
    )
    step_seconds = float(np.median(seconds["without"], axis=0)[0])

    found = ValidationImages(innermost_activations(state.generator, run.codec))
    images = [part[:1] for part in batch]
    found.update(images[0], images[1], images[1])
    started = time.monotonic()
    found = ValidationImages(innermost_activations(state.generator, run.codec))
    for _ in range(EVAL_PAIRS):
        found.update(images[0], images[1], images[1])
    found.results()
    evaluation = time.monotonic() - started
    share = evaluation / (EVAL_EVERY * step_seconds)
    return (
        f"{size}x{size}, batch size {batch_size}, {filters} filters: step {1000 * step_seconds:.0f} ms, measurements "
        f"{wall} of wall time, {processor} of processor time; {EVAL_PAIRS} validation images {evaluation:.1f} s, "
        f"{share:.2%} of {EVAL_EVERY} steps"
    )


if __name__ == "__main__":
    main()
