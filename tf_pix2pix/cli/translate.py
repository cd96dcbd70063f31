"""Translates images with a trained model.

pix2pix translate --model=runs/mine sketch.png --output=photo.png   one image
pix2pix translate --model=runs/mine sketches/ --output=photos/      a folder, or "sketches/a*.png"
pix2pix translate --model=exported/model-float16.tflite sketches/ --output=photos/
pix2pix translate --model=http://localhost:8501/v1/models/pix2pix sketches/ --output=photos/
pix2pix translate --model=runs/colorize --make_inputs photos/ --output=out/   makes them gray first

A model is a run directory, an exported SavedModel, .tflite or .onnx file, or the address of a
TensorFlow Serving model. Each result has the size of its image and the bit depth of the targets.
Images that were translated before are skipped: the same command continues after an interruption.
"""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tf_pix2pix.cli.command import FLAGFILE, Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.errors import InputError, RunError, format_list

FLAGS = [
    Flag("model", "the model: a path or an address, see above", required=True),
    Flag("output", "the folder for the results; for a single image also a .png, .tif or .npy file", required=True),
    Flag(
        "output_format",
        "file format of the results",
        choices=("png", "tiff", "npy"),
        auto="the ending of --output, otherwise npy for floats and png for all else",
    ),
    Flag("checkpoint", "checkpoint of a run: best (on the validation split), latest, or a step", default="best"),
    Flag(
        "resize",
        "translate at the image's own size, or resize it to the training size and the result back",
        default="native",
        choices=("native", "train"),
    ),
    Flag("side_by_side", "the images are side-by-side pairs: translate the half that is the input", bool, False),
    Flag(
        "direction",
        "with --side_by_side: AtoB translates the left half, BtoA the right one",
        choices=("AtoB", "BtoA"),
        auto="as in training",
        requires="side_by_side",
    ),
    Flag("make_inputs", "the images are photos: make the inputs from them, as training with --task does", bool, False),
    Flag("enlarge", "super_resolution: enlarge the images by --task_scale of the training", bool, False),
    Flag("samples", "number of variants of each image, with dropout as noise (run directories only)", int, minimum=1),
    Flag("noise_seed", "random seed of the variants", int, 0, requires="samples"),
    Flag(
        "max_pixels",
        "translate images with more pixels in overlapping tiles",
        int,
        auto="as many as fit in 2 GB of memory",
        minimum=1,
    ),
    Flag("overwrite", "also translate the images that were translated before", bool, False),
]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 some images could not be translated, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, {"Flags": [*FLAGS, FLAGFILE]}), argv)


def _run(argv: list[str]) -> None:
    given, words = parse_flags(argv, FLAGS)
    settings = {flag.name: flag.default for flag in FLAGS} | given
    if not words:
        raise InputError("no images given: name files, folders or patterns after the flags; --help shows examples")
    model = Path(settings["model"])
    if "checkpoint" in given and model.exists() and not (model / "config.json").exists():
        raise InputError("--checkpoint requires a run directory as --model")
    with start_up_notes_hidden():
        from tf_pix2pix import files, images
        from tf_pix2pix.translation import Translator
    paths = list(_image_files(words, images.EXTENSIONS))
    ending = _ending(settings, Translator.sides_of(settings["model"]))
    outputs = _outputs(paths, words, Path(settings["output"]), settings["samples"], ending)
    files.check_writable(next(iter(outputs.values()))[0].parent, "--output")
    jobs = {path: out for path, out in outputs.items() if settings["overwrite"] or not all(o.exists() for o in out)}
    if len(jobs) < len(outputs):
        print(f"skipped {len(outputs) - len(jobs)} of {len(outputs)}: translated before; --overwrite repeats them")
    if not jobs:
        return
    with start_up_notes_hidden():
        translator = Translator.load(settings["model"], settings["checkpoint"], settings["max_pixels"])
    _translate_all(translator, jobs, settings)


def _image_files(words: Sequence[str], extensions: Sequence[str]) -> Iterator[Path]:
    """Yields the image files among the words, which are files, folders and patterns; each file once."""
    seen = set()
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = (file for file in path.iterdir() if file.suffix.lower() in extensions and file.name[0] != ".")
            found = sorted(file for file in inside if not file.is_dir())
            if not found:
                raise InputError(f"{word}: contains no images ({', '.join(extensions)})")
        elif path.exists():
            found = [path]
        else:
            found = sorted(Path(match) for match in glob.glob(word, recursive=True) if os.path.isfile(match))
            if not found:
                raise InputError(f"{word}: no such file or folder, and no file matches it as a pattern")
        yield from (file for file in found if not (file.resolve() in seen or seen.add(file.resolve())))


def _ending(settings: dict[str, Any], sides) -> str:
    """Returns the file ending of results: from --output, --output_format, or the depth of the model's targets."""
    from tf_pix2pix.images import EXTENSIONS, WRITTEN

    output, asked = Path(settings["output"]), settings["output_format"]
    is_float = sides is not None and sides.target.depth == "float32"
    file_format = asked or ("npy" if is_float else "png")
    allowed = WRITTEN[asked] if asked else [ending for endings in WRITTEN.values() for ending in endings]
    ending = WRITTEN[file_format][0]
    if output.suffix.lower() in EXTENSIONS and not output.is_dir():
        if output.suffix.lower() not in allowed:
            others = "" if asked else f", or {' or '.join(other for other in allowed if other != ending)}"
            raise InputError(
                f"--output={output}: results are {file_format.upper()} files; use {output.with_suffix(ending)}{others}"
            )
        ending = output.suffix
    if is_float and ending.lower() == ".png":
        raise InputError("the model's results are floats, which PNG cannot store; use --output_format=npy or tiff")
    return ending


def _outputs(
    paths: list[Path], words: list[str], output: Path, samples: int | None, ending: str
) -> dict[Path, list[Path]]:
    """Returns the result files of each image. Raises InputError if two are the same, or one is also an input."""
    if output.suffix == ending and not output.is_dir():
        if len(words) > 1 or len(paths) > 1 or Path(words[0]).is_dir():
            raise InputError(f"--output={output}: one file for several images; choose a folder")
        targets = {paths[0]: output}
    elif inside := [path for path in paths if path.resolve().parent == output.resolve()]:
        raise InputError(f"--output={output}: contains the input {inside[0].name}; choose another folder")
    else:
        targets = {path: output / f"{path.stem}{ending}" for path in paths}
    numbers = [""] if samples is None else [f"_{number}" for number in range(1, samples + 1)]
    outputs = {
        path: [target.with_name(f"{target.stem}{number}{target.suffix}") for number in numbers]
        for path, target in targets.items()
    }
    inputs = {path.resolve() for path in paths}
    sources: dict[Path, Path] = {}
    for path, results in outputs.items():
        for result in results:
            if result.resolve() in inputs:
                raise InputError(f"--output={output}: would replace the input {result}; choose another")
            if sources.setdefault(result, path) != path:
                both = f"{sources[result]} and {path} would both become {result}"
                raise InputError(f"{both}; translate them into two folders")
    return outputs


def _translate_all(translator, jobs: dict[Path, list[Path]], settings: dict[str, Any]) -> None:
    """Translates each image into its result files. Raises RunError at the end if some failed."""
    from tqdm import tqdm

    from tf_pix2pix import images
    from tf_pix2pix.scales import is_far

    direction = settings["direction"] or (translator.config and translator.config.direction)
    if settings["side_by_side"] and not direction:
        raise InputError("--side_by_side with a server requires --direction: AtoB (left half) or BtoA (right half)")
    options = {name: settings[name] for name in ("resize", "samples", "noise_seed", "make_inputs", "enlarge")}
    translator.check(**options)
    failed, with_unknown_colors, far_scales, pair_count = [], [], [], 0
    for path, results in tqdm(jobs.items(), unit="image", disable=None):
        try:
            image = images.decode(path.read_bytes())
            if settings["side_by_side"]:  # inputs are made from the target half
                image = images.split_side_by_side(image)[(direction == "BtoA") != settings["make_inputs"]]
            translated = translator.translate(image, **options)
            if pixels := translator.count_unknown_colors(image):
                with_unknown_colors.append(f"{path} ({pixels / (image.shape[0] * image.shape[1]):.2%} of its pixels)")
            pair_count += not settings["side_by_side"] and translator.looks_like_pair(image)
            if settings["resize"] == "native" and not settings["enlarge"]:
                scale = translator.relative_scale(image.shape[:2])
                far_scales += [scale] if scale and is_far(scale) else []
            for result, variant in zip(results, translated if settings["samples"] else [translated], strict=True):
                result.parent.mkdir(parents=True, exist_ok=True)
                images.write(result, variant)
        except (ValueError, OSError, RunError) as error:  # InputError is a ValueError
            failed.append(str(path))
            message = f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else f"{path}: {error}"
            tqdm.write(f"error: {message}", file=sys.stderr)
    print(f"translated {len(jobs) - len(failed)} of {len(jobs)} images into {settings['output']}")
    if with_unknown_colors:
        print(
            f"{len(with_unknown_colors)} have colors that the model's palette lacks, replaced by the nearest: "
            f"{format_list(with_unknown_colors, most=3)}",
            file=sys.stderr,
        )
    _print_notes(len(jobs), pair_count, far_scales)
    if failed:
        raise RunError(f"{len(failed)} of {len(jobs)} images could not be translated: {format_list(failed)}")


def _print_notes(count: int, pair_count: int, far_scales: Sequence[float]) -> None:
    """Prints how many of the translated images look like pairs, or were seen at a scale far from that of training."""
    if pair_count:
        look = "looks like a side-by-side pair" if pair_count == 1 else "look like side-by-side pairs"
        print(f"{pair_count} of {count} images {look}; --side_by_side translates the input half", file=sys.stderr)
    if far_scales:
        ends = [f"{end(far_scales):.2g}" for end in (min, max)]
        times = ends[0] if ends[0] == ends[1] else " to ".join(ends)
        print(
            f"{len(far_scales)} of {count} images {'is' if len(far_scales) == 1 else 'are'} seen at {times} times the "
            "scale of training; --resize=train translates at the trained scale",
            file=sys.stderr,
        )
