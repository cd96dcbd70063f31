"""Measures the speed of tf_pix2pix and of its peers in turns (turns.py) and prints README's tables. Linux only.

  pip install -e '.[onnx,benchmark]' && python benchmarks/speed.py                   all groups; hours on two cores
  python benchmarks/speed.py --group=step,inference --repetitions=20 --json=speed.json
  python benchmarks/speed.py --group=pipeline --data_dir=DIR                         side-by-side pairs DIR/train/*.jpg

Tables go to stdout, progress goes to stderr. Times are medians, with the range from the 10th to the 90th percentile.
Ratios compare times of the same round. If a contestant fails, its row names the reason and the exit code is 1.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

from groups import GROUPS

PACKAGES = ("tensorflow", "keras", "torch", "ai-edge-litert", "onnxruntime")  # reported with their versions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", type=words, default=[*GROUPS], help=f"comma-separated: {', '.join(GROUPS)} [all]")
    parser.add_argument(
        "--repetitions", type=int, default=20, help="timed repetitions of each contestant, after 3 warm-ups [20]"
    )
    parser.add_argument("--data_dir", type=Path, help="pipeline: folder with train/*.jpg [the built-in set]")
    parser.add_argument("--json", type=Path, help="write all single times to this JSON file")
    parser.add_argument("--max_gb", type=float, default=20, help="growth: skip cases that need more memory [20]")
    parser.add_argument("--filters", type=int, default=64, help="filters of the first layers [64]")
    parser.add_argument(
        "--cases", type=cases, default=[(256, 1), (256, 4), (128, 16)], help="step: SIZExBATCH,... [256x1,256x4,128x16]"
    )
    parser.add_argument("--size", type=int, default=256, help="inference, tiles, precision: image size [256]")
    parser.add_argument(
        "--growth", type=numbers, default=[128, 256, 512, 1024], help="growth: image sizes [128,256,512,1024]"
    )
    parser.add_argument(
        "--megapixels", type=numbers, default=[1, 4, 16, 64, 100], help="tiles: image areas [1,4,16,64,100]"
    )
    args = parser.parse_args()
    if unknown := [name for name in args.group if name not in GROUPS]:
        parser.error(f"--group={unknown[0]}: unknown group; choose from {', '.join(GROUPS)}")
    if args.data_dir and not any((args.data_dir / "train").glob("*.jpg")):
        parser.error(f"--data_dir={args.data_dir}: no train/*.jpg in this folder")
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
    """Parses 256x1,256x4 into [(256, 1), (256, 4)]."""
    return [tuple(int(number) for number in word.split("x")) for word in words(text)]


def machine() -> str:
    """The processor, its cores, their load (other work slows PyTorch's threads most) and the versions."""
    processor = platform.machine()
    with open("/proc/cpuinfo") as file:
        processor = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), processor)
    installed = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}
    versions = [f"{name} {installed[name]}" for name in PACKAGES if name in installed]
    cores = f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}"
    return f"{processor}, {cores}; Python {platform.python_version()}, {', '.join(versions)}"


if __name__ == "__main__":
    sys.exit(main())
