"""Training: `train` puts a run together; step.py is the mathematics, loop.py what is shown and kept on the way."""

import contextlib
import dataclasses
import math
import re
from pathlib import Path

import tensorflow as tf

from tf_pix2pix import checkpoints, files, runs, tasks
from tf_pix2pix.config import TrainConfig, format_value
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, RunError, error_line, format_list
from tf_pix2pix.formats import with_formats
from tf_pix2pix.input_pipeline import PreparedPairs, prepare, with_channels
from tf_pix2pix.palettes import Snapped, find_palette, fitting, read_palette
from tf_pix2pix.training.loop import run_loop, write_examples
from tf_pix2pix.training.step import build_state

FIRST_PHOTOS = 8  # looked at before all are read, where a task needs colours


def train(config: TrainConfig, output_dir: str | Path) -> Path:
    """Trains a run, or goes on with the one in output_dir; returns the path of the last sample grid.

    Raises:
      InputError: the config, the pairs or output_dir do not allow it; nothing was written.
      RunError: the run failed; what was learned up to the last checkpoint is kept.
    """
    run_dir = Path(output_dir)
    nearest = {f"resize_{'ab'[_number(side, config)]}": "nearest" for side in config.palette_sides}
    config = dataclasses.replace(config, **nearest)
    runs.check(run_dir, config)
    splits = load_pairs(
        config.dataset,
        data_dir=config.data_dir,
        size=config.jitter_size,
        input_dir=config.input_dir,
        target_dir=config.target_dir,
        mask_dir=config.mask_dir,
        photos=config.task is not None,
    )
    if config.task:
        _check_photos(splits["train"], config)
    own_palettes = _palettes(run_dir, config, splits["train"])
    colors = {_number(side, config): palette.colors for side, palette in own_palettes.items()}
    sources = [Snapped(pairs, colors) for pairs in (splits["train"], splits["val"].spread(config.eval_pairs))]
    prepared = [
        _prepared(sources[0].pairs, config, config.jitter_size),
        _prepared(sources[1].pairs, config, config.crop_size),
    ]
    for side, palette in own_palettes.items():
        counts = sources[0].counts(_number(side, config))
        own_palettes[side] = dataclasses.replace(palette, counts=counts)
        for split, source in zip(("train", "val"), sources, strict=True):
            source.report(_number(side, config), f"{side} pictures ({split})")
    prepared = with_formats(prepared, config)
    wanted = None if config.task else config.input_channels  # the task decides
    train_pairs, held_out = with_channels(prepared, wanted, config.output_channels)
    config = _as_in_the_files(config, train_pairs)
    runs.check(run_dir, config)  # again: now all of it is known
    encoding = runs.make_encoding(config, own_palettes)
    total_steps = _total_steps(config, len(train_pairs))
    with tf.distribute.get_strategy().scope():
        state = build_state(config, total_steps, encoding)
    try:
        with files.locked(run_dir, "trains in"):
            print(
                f"{len(train_pairs)} {'photos' if config.task else 'pairs'} to train on, {len(held_out)} held out; "
                f"{config.task or config.direction}, {format_value(config.crop_size)} pixels; "
                f"generator {state.generator.count_params():,} parameters, discriminator "
                f"{f'{state.discriminator.count_params():,}' if config.gan_weight else 'none'}; run directory {run_dir}"
            )
            if saved := checkpoints.steps(run_dir / "checkpoints", "step"):
                checkpoints.restore(run_dir / "checkpoints" / f"step-{saved[-1]:08d}", state.checkpoint())
                _say_what_changed(run_dir, config, total_steps, len(train_pairs), len(held_out))
                write_examples(run_dir, config, train_pairs, held_out)  # a run may be older than they are
            start_step = int(state.step)
            if start_step >= total_steps:
                done = f"{run_dir} is at step {start_step} of {total_steps}"
                print(f"nothing left to do: {done}; raise --epochs or --steps to go on")
                return run_dir / "samples" / f"step_{start_step:08d}.png"
            if own_palettes:
                runs.write_palettes(run_dir, own_palettes)
            runs.write_config(run_dir, config)
            runs.forget_after(run_dir, start_step if saved else -1)
            if start_step:
                print(f"resuming at step {start_step} of {total_steps}")
            return run_loop(config, run_dir, state, encoding, train_pairs, held_out, total_steps)
    except BrokenPipeError:  # whoever read our output has gone
        raise
    except tf.errors.OpError as error:
        unreadable = re.search(r"InputError: (.*)", error.message)  # a picture that could be read before
        raise RunError(f"{unreadable[1] if unreadable else error_line(error)}; {_kept(run_dir)}") from error
    except OSError as error:
        raise RunError(f"{error.filename or run_dir}: {error.strerror or error}; {_kept(run_dir)}") from error


def _as_in_the_files(config: TrainConfig, pairs: Pairs) -> TrainConfig:
    """The config with what the pictures of both sides are; the inputs of a task are what it makes."""
    input_format, output_format = pairs.formats
    input_channels, output_channels = (side.shape[2] for side in pairs.read(0)[:2])
    if config.task:
        input_channels = tasks.TASKS[config.task].input_channels or output_channels
        if config.input_channels not in (None, input_channels):
            raise InputError(
                f"input_channels={config.input_channels}, but {config.task} makes {input_channels}; leave it out"
            )
    return dataclasses.replace(
        config,
        input_channels=input_channels,
        output_channels=output_channels,
        input_depth=input_format.depth,
        output_depth=output_format.depth,
        input_range=input_format.range,
        output_range=output_format.range,
    )


def _number(side: str, config: TrainConfig) -> int:
    """Of a side, "input" or "target", in a source's pairs: 0 is A, 1 is B."""
    return int((side == "target") == (config.direction == "AtoB"))


def _palettes(run_dir: Path, config: TrainConfig, pairs: Pairs) -> runs.Palettes:
    """The palettes of the run, or for a new one those given, or found in the pictures."""
    if (run_dir / "config.json").exists():  # written after the palettes: without it, theirs are of no run
        return runs.read_palettes(run_dir, config)
    given = config.palette and read_palette(config.palette)
    palettes = {}
    for side in config.palette_sides:
        number, what = _number(side, config), f"the {side} side ({'AB'[_number(side, config)]})"
        palette = fitting(given, pairs, number, what) if given else find_palette(pairs, number, what)
        asked = config.input_channels if side == "input" else config.output_channels
        palettes[side] = palette.widened(asked or 0)
        print(f"{what} has {len(palettes[side].colors)} colours: palette.json in {run_dir}")
    return palettes


def _total_steps(config: TrainConfig, train_pairs: int) -> int:
    return config.steps or math.ceil(config.epochs * train_pairs / config.batch_size)


def _say_what_changed(run_dir: Path, config: TrainConfig, total_steps: int, train_pairs: int, held_out: int) -> None:
    """Says what makes a resumed run another than the one that was never stopped."""
    counts = {"train_pairs": train_pairs, "held_out_pairs": held_out}
    before = next((record for record in runs.read_metrics(run_dir) if "train_pairs" in record), counts)
    if changed := [f"{name} {before[name]} -> {now}" for name, now in counts.items() if before[name] != now]:
        print(f"the data are no longer those that the run began with ({', '.join(changed)}); it goes on with these")
    planned = _total_steps(runs.read_config(run_dir), before["train_pairs"])
    if config.schedule == "linear" and planned != total_steps:
        print(f"the linear schedule was to end at step {planned} and now ends at {total_steps}: the rate rises again")


def _prepared(pairs: Pairs, config: TrainConfig, size: tuple[int, int]) -> PreparedPairs:
    return prepare(
        pairs,
        direction=config.direction,
        size=size,
        fit=config.fit,
        resize_a=config.resize_a,
        resize_b=config.resize_b,
        photos=config.task is not None,
        max_bad=config.max_bad_images,
        cache_bytes=config.cache_gb * 1e9,
    )


def _check_photos(pairs: Pairs, config: TrainConfig) -> None:
    """Raises InputError where the first photos that are read show that they are none for the task."""
    if not tasks.TASKS[config.task].needs_color:
        return
    some, seen = pairs.spread(FIRST_PHOTOS), {}
    for index, name in enumerate(some.names):
        with contextlib.suppress(InputError):  # an unreadable one is named later, with all others
            seen[name] = some.read(index)[config.direction == "AtoB"]
    if seen and all(map(tasks.is_gray, seen.values())):
        raise InputError(
            f"the photos are gray ({format_list([*seen], most=3)}), but task={config.task} learns from "
            "photos in colour; give others as dataset, or another task"
        )


def _kept(run_dir: Path) -> str:
    """What is left of a run that failed."""
    if saved := checkpoints.steps(run_dir / "checkpoints", "step"):
        return f"the checkpoint of step {saved[-1]} is kept, the same command goes on from there"
    return "no checkpoint had been written yet"
