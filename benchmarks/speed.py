"""How fast it is: README's tables, every contestant measured in turns with the others (turns.py). Linux.

  pip install -e '.[onnx,benchmark]' && python benchmarks/speed.py                   all of them, hours on two cores
  python benchmarks/speed.py --group=step,inference --repetitions=20 --json=speed.json
  python benchmarks/speed.py --group=pipeline --data_dir=DIR                         DIR/train/*.jpg, pairs side by side

Tables go to stdout, progress to stderr. Times are medians, and ranges from the 10th to the 90th percentile; ratios are
those within each round, their median and range. The exit code is 1 where a contestant failed; its row says why.
"""

import argparse
import dataclasses
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import contestants
import numpy as np
from tables import MEMORY, Table, digits, median_and_range, memory_cell, named, ratio_cell, rows_of
from turns import Contestant, Measured, in_turns, once, say

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("tensorflow", "keras", "torch", "ai-edge-litert", "onnxruntime")
OURS, PEER = "tf_pix2pix", "PyTorch"
STEP_IMPORTS = ("tf_pix2pix.training.step",)
GROWTH_BATCHES, GROWTH_REPETITIONS = (1, 4, 16), 3
START_UP_REPETITIONS = 5
PRECISION_REPETITIONS = 3  # a step in half precision takes a CPU a minute


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", type=words, default=[*GROUPS], help=f"of {', '.join(GROUPS)} [all]")
    parser.add_argument(
        "--repetitions", type=int, default=20, help="of each contestant, after 3 that do not count [20]"
    )
    parser.add_argument("--data_dir", type=Path, help="pipeline: the folder with train/*.jpg [drawn buildings]")
    parser.add_argument("--json", type=Path, help="a file that all seconds are written to")
    parser.add_argument("--max_gb", type=float, default=20, help="growth: what would take more memory is left out [20]")
    parser.add_argument("--filters", type=int, default=64, help="of the networks' first layers [64]")
    parser.add_argument("--cases", type=cases, default=[(256, 1), (256, 4), (128, 16)], help="step: PIXELSxBATCH,...")
    parser.add_argument("--size", type=int, default=256, help="inference, tiles, precision: pixels [256]")
    parser.add_argument("--growth", type=numbers, default=[128, 256, 512, 1024], help="growth: pixels,...")
    parser.add_argument("--megapixels", type=numbers, default=[1, 4, 16, 64, 100], help="tiles: megapixels,...")
    args = parser.parse_args()
    if unknown := [name for name in args.group if name not in GROUPS]:
        parser.error(f"--group={unknown[0]} is unknown; choose of {', '.join(GROUPS)}")
    if args.data_dir and not any((args.data_dir / "train").glob("*.jpg")):
        parser.error(f"--data_dir={args.data_dir}: there is no {args.data_dir}/train/*.jpg")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    record = {"machine": machine(), "tables": []}
    print(record["machine"], flush=True)
    for name in args.group:
        for table in GROUPS[name](args):
            print(f"\n{table.title}\n\n" + "\n".join(table.lines()), flush=True)
            raw = [dataclasses.asdict(one) for one in table.measured]
            record["tables"].append({"group": name, "title": table.title, "contestants": raw})
            if args.json:
                args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(any(one["failure"] for table in record["tables"] for one in table["contestants"]))


def words(text: str) -> list[str]:
    return text.split(",")


def numbers(text: str) -> list[int]:
    return [int(word) for word in words(text)]


def cases(text: str) -> list[tuple[int, int]]:
    """256x1,256x4 -> [(256, 1), (256, 4)]."""
    return [tuple(int(number) for number in word.split("x")) for word in words(text)]


def machine() -> str:
    """The processor, its cores, the versions, and how busy it is: other work slows PyTorch's threads most."""
    processor = platform.machine()
    with open("/proc/cpuinfo") as file:
        processor = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), processor)
    installed = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}
    versions = [f"{name} {installed[name]}" for name in PACKAGES if name in installed]
    cores = f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}"
    return f"{processor}, {cores}; Python {platform.python_version()}, {', '.join(versions)}"


def milliseconds(one: Measured) -> list[str]:
    return median_and_range(1e3 * np.array(one.seconds))


def in_both_formats(make, options: dict) -> list[Contestant]:
    """PyTorch with both memory formats, of which the faster is kept."""
    formats = {"contiguous": "contiguous_format", "channels last": "channels_last"}
    return [
        Contestant(PEER, make, {**options, "memory_format": layout}, ("pytorch_peer",), variant=variant)
        for variant, layout in formats.items()
    ]


# The groups, each the tables that it gives.


def step(args) -> Iterator[Table]:
    """Training steps, against PyTorch, plain Keras and the multiply-adds alone."""
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
    header = ["ms a step", "range", "images/s", f"times {OURS}'s", "share of sgemm's rate", MEMORY]
    ours = named(measured, OURS)
    steps = [one for one in measured if "sgemm" not in one.name]
    sgemms = [one for one in measured if "sgemm" in one.name]
    rates = {one.name: one.facts["multiply_adds"] / np.median(one.seconds) for one in sgemms if not one.failure}
    fastest = max(rates, key=rates.get, default=None)

    def cells(one):
        seconds = np.median(one.seconds)
        work = one.facts.get("multiply_adds") or ours.facts.get("multiply_adds")  # PyTorch's are ours
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
    """The generator as Keras runs it, and as each exported file runs, against PyTorch."""
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
            title += f" (a TFLite file takes one picture at a time: {batch_size} calls)" if batch_size > 1 else ""
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
    """Writes an untrained generator into a folder; the megabytes of each file, by its name."""
    say(f"Exporting {', '.join(formats)}")
    options = dict(directory=directory, size=args.size, filters=args.filters)
    entered = [
        Contestant(f"export, {name}", contestants.export, {**options, "name": name}, ("tf_pix2pix.exporting",))
        for name in formats
    ]
    return {file: size for one in map(once, entered) for file, size in one.facts.get("megabytes", {}).items()}


def pipeline(args) -> Iterator[Table]:
    """Pairs a second from side-by-side JPEGs, against a DataLoader with PIL."""
    with tempfile.TemporaryDirectory() as directory:
        data_dir = args.data_dir or Path(directory)
        if args.data_dir is None:
            say("Drawing buildings")
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


def start_up(args) -> Iterator[Table]:
    """From a command to its help, and to the end of the first training step."""
    title = "Start-up"
    say(title)
    train = ["run_train.py", "--dataset=synthetic_facades", "--log_every=1"]
    commands = {
        "`run_train.py --help`": ["run_train.py", "--help"],
        "`run_export.py --help`": ["run_export.py", "--help"],
        "`pix2pix translate --help`": ["-m", "tf_pix2pix", "translate", "--help"],
        "to the first step at 256x256": [*train, "--crop_size=256", "--load_size=286", "--steps=100"],
        "to the first step of `--preset=demo`, 128x128": [*train, "--preset=demo"],
    }
    measured = [Measured(name) for name in commands]
    for number in range(1 + START_UP_REPETITIONS):
        for one in (one for one in measured if not one.failure):
            try:
                command = commands[one.name]
                seconds = help_seconds(command) if "--help" in command else first_step_seconds(command)
            except RuntimeError as error:
                one.failure, one.seconds = str(error), []
                say(f"{one.name} failed: {error}")
                continue
            say(f"  {one.name}: {seconds:.3g} s")
            if number:  # the first reads the files from the disk
                one.seconds.append(seconds)
    header = ["s", "range"]
    yield Table(title, header, rows_of(measured, len(header), lambda one: median_and_range(one.seconds)), measured)


def help_seconds(command: list[str]) -> float:
    began = time.perf_counter()
    process = subprocess.run([sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(last_line(process.stderr))
    return seconds


def first_step_seconds(command: list[str]) -> float:
    """Until metrics.jsonl has the losses of the first step; then the command is stopped."""
    with tempfile.TemporaryDirectory() as directory:
        metrics, messages = Path(directory, "run", "metrics.jsonl"), Path(directory, "stderr")
        with open(messages, "w") as stderr:
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *command, f"--output_dir={metrics.parent}"],
                cwd=REPOSITORY,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            while not (metrics.exists() and "gen_l1_loss" in metrics.read_text()):
                if process.poll() is not None:
                    raise RuntimeError(last_line(messages.read_text()))
                time.sleep(0.01)
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without a word"])[-1]


def growth(args) -> Iterator[Table]:
    """What a step takes in time and memory, over sizes and batch sizes; "-" is more than --max_gb."""
    title = f"Growth: s a step and GB at its peak, {GROWTH_REPETITIONS} steps after one that does not count"
    say(title)
    measured, cells = [], {}
    by_pixels = sorted(itertools.product(args.growth, GROWTH_BATCHES), key=lambda cell: cell[0] ** 2 * cell[1])
    for size, batch_size in by_pixels:
        variant, pixels = f"{size}x{size}, batch {batch_size}", size**2 * batch_size
        guess = estimated_gb(measured, pixels)
        if guess > args.max_gb or any(one.failure for one in measured):
            say(f"  {variant} is left out, about {guess:.1f} GB")
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
    """Peak memory of a step, on a straight line over pixels x batch through those measured; 0: they are too few."""
    points = [(one.facts["pixels"], one.facts["peak_gb"]) for one in measured if not one.failure]
    if len({x for x, _ in points}) < 2:
        return 0.0
    slope, fixed = np.polyfit(*zip(*points, strict=True), 1)
    return float(fixed + slope * pixels)


def tiles(args) -> Iterator[Table]:
    """Large pictures through an exported generator, in tiles where they are too large for a whole."""
    title = f"Large pictures through a SavedModel of the {args.size}x{args.size} generator"
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
    header = ["s", "s a megapixel", "repetitions", MEMORY]

    def cells(one):
        seconds = np.median(one.seconds)
        return [digits(seconds), digits(seconds / one.facts["megapixels"]), f"{len(one.seconds)}", memory_cell(one)]

    yield Table(title, header, rows_of(measured, len(header), cells), measured)


def precision(args) -> Iterator[Table]:
    """The step with what the train command offers to make it faster, against its default."""
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
    header = ["ms a step", "range", "times the default's", MEMORY]
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


if __name__ == "__main__":
    sys.exit(main())
