"""The groups of speed.py: each measures its contestants and yields tables."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import contestants
import numpy as np
from start_up import start_up
from tables import MEMORY, Table, digits, median_and_range, memory_cell, named, ratio_cell, rows_of
from turns import Contestant, Measured, in_turns, once, say

OURS, PEER = "tf_pix2pix", "PyTorch"
STEP_IMPORTS = ("tf_pix2pix.training.step",)
GROWTH_BATCHES, GROWTH_REPETITIONS = (1, 4, 16), 3
PRECISION_REPETITIONS = 3  # a step in half precision takes a minute on a CPU


def milliseconds(one: Measured) -> list[str]:
    return median_and_range(1e3 * np.array(one.seconds))


def in_both_formats(make, options: dict) -> list[Contestant]:
    """PyTorch in both memory formats; the faster one is kept."""
    formats = {"contiguous": "contiguous_format", "channels last": "channels_last"}
    return [
        Contestant(PEER, make, {**options, "memory_format": layout}, ("pytorch_peer",), variant=variant)
        for variant, layout in formats.items()
    ]


def step(args) -> Iterator[Table]:
    """Training steps against PyTorch, plain Keras and bare matrix multiplication."""
    for size, batch_size in args.cases:
        title = f"Training step, {size}x{size}, batch {batch_size}"
        say(title)
        options = dict(size=size, batch_size=batch_size, filters=args.filters)
        entered = [
            Contestant(OURS, contestants.tf_pix2pix_step, options, STEP_IMPORTS, tuned=True),
            *in_both_formats(contestants.torch_step, options),
            Contestant("plain Keras", contestants.keras_step, options, ("keras_peer",)),
            Contestant("TensorFlow's sgemm", contestants.tensorflow_sgemm, {}, ("tensorflow",)),
            Contestant("PyTorch's sgemm", contestants.torch_sgemm, {}, ("torch",)),
        ]
        yield step_table(title, in_turns(entered, args.repetitions), batch_size)


def step_table(title: str, measured: Sequence[Measured], batch_size: int) -> Table:
    header = ["ms per step", "range", "images/s", f"times {OURS}'s", "share of sgemm's rate", MEMORY]
    ours = named(measured, OURS)
    steps = [one for one in measured if "sgemm" not in one.name]
    sgemms = [one for one in measured if "sgemm" in one.name]
    rates = {one.name: one.facts["multiply_adds"] / np.median(one.seconds) for one in sgemms if not one.failure}
    fastest = max(rates, key=rates.get, default=None)

    def cells(one):
        seconds = np.median(one.seconds)
        work = one.facts.get("multiply_adds") or ours.facts.get("multiply_adds")  # PyTorch has as many as ours
        share = f"{work / seconds / rates[fastest]:.0%}" if work and fastest else "-"
        ratio = ratio_cell(one.seconds, ours.seconds)
        return [*milliseconds(one), digits(batch_size / seconds), ratio, share, memory_cell(one)]

    rows = rows_of(steps, len(header), cells) + rows_of([one for one in sgemms if one.failure], len(header), cells)
    if fastest and not ours.failure:
        work = ours.facts["multiply_adds"]
        seconds = work / rates[fastest]
        name = f"{OURS}'s {digits(work / 1e9)} G multiply-adds at {fastest} rate, {2e-9 * rates[fastest]:.0f} GFLOP/s"
        rows.append([name, digits(1e3 * seconds), "", digits(batch_size / seconds), "", "100%", ""])
    return Table(title, header, rows, measured)


def inference(args) -> Iterator[Table]:
    """The generator in Keras and in each export format, against PyTorch."""
    litert = "ai_edge_litert.interpreter"
    files = {
        "SavedModel": ("saved_model", "tensorflow"),
        "TFLite float32": ("model-float32.tflite", litert),
        "TFLite float16": ("model-float16.tflite", litert),
        "TFLite dynamic_int8": ("model-dynamic_int8.tflite", litert),
        "ONNX Runtime": ("model.onnx", "onnxruntime"),
    }
    header = ["ms", "range", f"times {PEER}'s", "file, MB"]
    with tempfile.TemporaryDirectory() as directory:
        megabytes = export(args, Path(directory), ("saved_model", "tflite", "onnx"))
        for batch_size in (1, 8):
            title = f"Inference, {args.size}x{args.size}, batch {batch_size}"
            title += f" (TFLite: {batch_size} calls with batch 1)" if batch_size > 1 else ""
            say(title)
            options = dict(size=args.size, batch_size=batch_size)
            built = {**options, "filters": args.filters}
            entered = [Contestant("Keras", contestants.keras_generator, built, STEP_IMPORTS, tuned=True)]
            for name, (file, library) in files.items():
                its_own = {**options, "path": Path(directory, file)}
                entered.append(
                    Contestant(name, contestants.exported, its_own, ("tf_pix2pix.runtimes", library), tuned=True)
                )
            entered += in_both_formats(contestants.torch_generator, built)
            measured = in_turns(entered, args.repetitions)
            peer = named(measured, PEER)

            def cells(one, peer=peer):
                size = digits(megabytes[files[one.name][0]]) if one.name in files else ""
                return [*milliseconds(one), ratio_cell(one.seconds, peer.seconds), size]

            yield Table(title, header, rows_of(measured, len(header), cells), measured)


def export(args, directory: Path, formats: tuple[str, ...]) -> dict[str, float]:
    """Exports an untrained generator to a folder. Returns megabytes by file name."""
    say(f"Exporting {', '.join(formats)}")
    options = dict(directory=directory, size=args.size, filters=args.filters)
    entered = [
        Contestant(f"export, {name}", contestants.export, {**options, "name": name}, ("tf_pix2pix.exporting",))
        for name in formats
    ]
    return {file: size for one in map(once, entered) for file, size in one.facts.get("megabytes", {}).items()}


def pipeline(args) -> Iterator[Table]:
    """Pairs per second from side-by-side JPEGs, against a DataLoader with PIL."""
    with tempfile.TemporaryDirectory() as directory:
        data_dir = args.data_dir or Path(directory)
        if args.data_dir is None:
            say("Drawing the built-in set")
            options = dict(directory=data_dir, count=400)
            once(Contestant("drawing", contestants.write_pairs, options, ("tf_pix2pix.datasets",)))
        title = "Input pipeline, resized to 286x286, cropped to 256x256, mirrored, batch 1"
        say(title)
        options = dict(data_dir=data_dir)
        ours, imports = contestants.tf_pix2pix_pipeline, ("tf_pix2pix.input_pipeline",)
        entered = [
            Contestant(f"{OURS}, kept in memory", ours, {**options, "cache_bytes": 2e9}, imports, tuned=True),
            Contestant(f"{OURS}, decoded each time", ours, {**options, "cache_bytes": 0}, imports, tuned=True),
            Contestant("DataLoader and PIL", contestants.torch_pipeline, options, ("pytorch_peer",)),
        ]
        measured = in_turns(entered, args.repetitions, warm_ups=1)
    header = ["pairs/s", "range", "times the DataLoader's rate"]
    peer = named(measured, "DataLoader and PIL")

    def cells(one):
        return [*median_and_range(one.facts["pairs"] / np.array(one.seconds)), ratio_cell(peer.seconds, one.seconds)]

    yield Table(title, header, rows_of(measured, len(header), cells), measured)


def growth(args) -> Iterator[Table]:
    """Time and memory of a step for several image sizes and batch sizes; "-" means more than --max_gb."""
    title = f"Growth: s per step and peak GB, {GROWTH_REPETITIONS} steps after an uncounted one"
    say(title)
    measured, cells = [], {}
    by_pixels = sorted(itertools.product(args.growth, GROWTH_BATCHES), key=lambda cell: cell[0] ** 2 * cell[1])
    for size, batch_size in by_pixels:
        variant, pixels = f"{size}x{size}, batch {batch_size}", size**2 * batch_size
        guess = estimated_gb(measured, pixels)
        if guess > args.max_gb or any(one.failure for one in measured):
            say(f"  {variant}: skipped, about {guess:.1f} GB")
            continue
        options = dict(size=size, batch_size=batch_size, filters=args.filters)
        entered = Contestant(OURS, contestants.tf_pix2pix_step, options, STEP_IMPORTS, tuned=True, variant=variant)
        (one,) = in_turns([entered], GROWTH_REPETITIONS, warm_ups=1)
        one.facts["pixels"] = pixels
        measured.append(one)
        if not one.failure:
            cells[size, batch_size] = f"{digits(np.median(one.seconds))} s, {one.facts['peak_gb']:.1f} GB"
    header = [f"batch {batch_size}" for batch_size in GROWTH_BATCHES]
    rows = [[f"{size}x{size}", *(cells.get((size, batch), "-") for batch in GROWTH_BATCHES)] for size in args.growth]
    rows += rows_of([one for one in measured if one.failure], len(header), lambda one: [])
    yield Table(title, header, rows, measured)


def estimated_gb(measured: Sequence[Measured], pixels: int) -> float:
    """Peak GB of a step with this many pixels, extrapolated linearly; 0 if fewer than two sizes were measured."""
    points = [(one.facts["pixels"], one.facts["peak_gb"]) for one in measured if not one.failure]
    if len({x for x, _ in points}) < 2:
        return 0.0
    slope, fixed = np.polyfit(*zip(*points, strict=True), 1)
    return float(fixed + slope * pixels)


def tiles(args) -> Iterator[Table]:
    """Large images through an exported generator, in tiles if they are too large to run as a whole."""
    title = f"Large images through a SavedModel of the {args.size}x{args.size} generator"
    measured = []
    with tempfile.TemporaryDirectory() as directory:
        export(args, Path(directory), ("saved_model",))
        say(title)
        for megapixels in args.megapixels:
            options = dict(path=Path(directory, "saved_model"), megapixels=megapixels)
            name, imports = f"{megapixels} MP", ("tf_pix2pix.translation",)
            entered = Contestant(name, contestants.tiled, options, imports, tuned=True)
            measured += in_turns([entered], max(1, min(args.repetitions, 16 // megapixels)), warm_ups=0)
            measured[-1].facts["megapixels"] = megapixels
    header = ["s", "s per megapixel", "repetitions", MEMORY]

    def cells(one):
        seconds = np.median(one.seconds)
        return [digits(seconds), digits(seconds / one.facts["megapixels"]), f"{len(one.seconds)}", memory_cell(one)]

    yield Table(title, header, rows_of(measured, len(header), cells), measured)


def precision(args) -> Iterator[Table]:
    """The step with XLA and in half precision, against the default."""
    title = f"Training step, {args.size}x{args.size}, batch 1, XLA and precision"
    say(title)
    options = dict(size=args.size, batch_size=1, filters=args.filters)
    settings = {
        "default": {},
        "`--xla`": {"xla": True},
        "`--precision=mixed_bfloat16`": {"precision": "mixed_bfloat16"},
        "`--precision=mixed_float16`": {"precision": "mixed_float16"},
    }
    entered = [
        Contestant(name, contestants.tf_pix2pix_step, {**options, **fields}, STEP_IMPORTS, tuned=True)
        for name, fields in settings.items()
    ]
    measured = in_turns(entered, PRECISION_REPETITIONS, warm_ups=1)
    header = ["ms per step", "range", "times the default's", MEMORY]
    default = named(measured, "default")

    def cells(one):
        return [*milliseconds(one), ratio_cell(one.seconds, default.seconds), memory_cell(one)]

    yield Table(title, header, rows_of(measured, len(header), cells), measured)


GROUPS = {
    "step": step,
    "inference": inference,
    "pipeline": pipeline,
    "start_up": start_up,
    "growth": growth,
    "tiles": tiles,
    "precision": precision,
}
