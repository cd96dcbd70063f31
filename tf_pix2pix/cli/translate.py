"""Translates pictures with a trained model. The results have the pictures' own sizes, and the run's targets' depth.

python -m tf_pix2pix.cli.translate --model=runs/mine sketch.png --output=photo.png      one picture
python -m tf_pix2pix.cli.translate --model=runs/mine sketches/ --output=photos/         a folder, or "sketches/a*.png"
python -m tf_pix2pix.cli.translate --model=exported/model-float16.tflite sketches/ --output=photos/
python -m tf_pix2pix.cli.translate --model=http://localhost:8501/v1/models/pix2pix sketches/ --output=photos/
python -m tf_pix2pix.cli.translate --model=runs/colorize --task photos/ --output=again/  plain photos, made gray first

A model is a run directory, an exported SavedModel, .tflite or .onnx file, or the address of a TensorFlow Serving model.
A picture that was translated before is left out, so that the same command goes on where it was stopped.
"""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tf_pix2pix.cli.command import Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.errors import InputError, RunError, format_list

FLAGS = [
    Flag("model", "what to translate with"),
    Flag("output", "the folder that the results go to; with a single picture, a .png, .tif or .npy file may be given"),
    Flag(
        "output_format",
        "what the results are written as (default: as --output ends, or npy for floats and png for all else)",
        choices=("png", "tiff", "npy"),
    ),
    Flag("checkpoint", "of a run: best (on the held-out pairs), latest, or a step", default="best"),
    Flag(
        "resize",
        "translate in the picture's own size, or resized to the size trained on and back",
        default="native",
        choices=("native", "train"),
    ),
    Flag("side_by_side", "the pictures are pairs side by side: translate the half that is the input", bool, False),
    Flag("direction", "which half is the input; A is left (default: as the run)", choices=("AtoB", "BtoA")),
    Flag("task", "the pictures are plain photos: make the inputs of them as in training with a task", bool, False),
    Flag(
        "enlarge", "super_resolution: make small pictures as many times larger as the model was trained to", bool, False
    ),
    Flag("samples", "so many variants of each picture, with dropout as noise (a run only)", int),
    Flag("noise_seed", "of the variants; the same seed gives the same ones", int, 0),
    Flag("max_pixels", "pictures with more go through in overlapping tiles (default: what 2 GB of memory allow)", int),
    Flag("overwrite", "translate again what was translated before", bool, False),
]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 some pictures could not be translated, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, FLAGS), argv)


def _run(argv: list[str]) -> None:
    given, words = parse_flags(argv, FLAGS)
    settings = {flag.name: flag.default for flag in FLAGS} | given
    for name in ("model", "output"):
        if not settings[name]:
            raise InputError(f"--{name} is missing; --help shows examples")
    if not words:
        raise InputError("no picture is given: name files, folders or patterns after the flags; --help shows examples")
    for name in ("samples", "max_pixels"):
        if settings[name] is not None and settings[name] < 1:
            raise InputError(f"--{name}={settings[name]} is too small; the least is 1")
    for name, other in (("direction", "side_by_side"), ("noise_seed", "samples")):
        if name in given and not settings[other]:
            raise InputError(f"--{name} is of no use without --{other}")
    if (
        "checkpoint" in given
        and Path(settings["model"]).exists()
        and not Path(settings["model"], "config.json").exists()
    ):
        raise InputError("--checkpoint is of no use without a run directory as --model")
    with start_up_notes_hidden():
        from tf_pix2pix import files, images
        from tf_pix2pix.translation import Translator
    paths = list(_pictures(words, images.EXTENSIONS))
    ending = _ending(settings, Translator.config_of(settings["model"]))
    outputs = _outputs(paths, words, Path(settings["output"]), settings["samples"], ending)
    files.check_writable(next(iter(outputs.values()))[0].parent, "--output")
    jobs = {path: out for path, out in outputs.items() if settings["overwrite"] or not all(o.exists() for o in out)}
    if len(jobs) < len(outputs):
        print(f"{len(outputs) - len(jobs)} of {len(outputs)} were translated before; --overwrite does them again")
    if not jobs:
        return
    with start_up_notes_hidden():
        translator = Translator.load(settings["model"], settings["checkpoint"], settings["max_pixels"])
    _translate_all(translator, jobs, settings)


def _pictures(words: Sequence[str], extensions: Sequence[str]) -> Iterator[Path]:
    """The picture files that files, folders and patterns stand for, each once."""
    seen = set()
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = (file for file in path.iterdir() if file.suffix.lower() in extensions and file.name[0] != ".")
            found = sorted(file for file in inside if not file.is_dir())
            if not found:
                raise InputError(f"{word} holds no pictures ({', '.join(extensions)})")
        elif path.exists():
            found = [path]
        else:
            found = sorted(Path(match) for match in glob.glob(word, recursive=True) if os.path.isfile(match))
            if not found:
                raise InputError(f"{word} does not exist, and matches nothing as a pattern")
        yield from (one for one in found if not (one.resolve() in seen or seen.add(one.resolve())))


def _ending(settings: dict[str, Any], config) -> str:
    """How results are called: as --output, --output_format, or as suits the model's config, where it has one."""
    from tf_pix2pix.images import EXTENSIONS, WRITTEN

    output, asked = Path(settings["output"]), settings["output_format"]
    is_float = config is not None and config.output_depth == "float32"
    format = asked or ("npy" if is_float else "png")
    allowed = WRITTEN[asked] if asked else [ending for endings in WRITTEN.values() for ending in endings]
    ending = WRITTEN[format][0]
    if output.suffix.lower() in EXTENSIONS and not output.is_dir():
        if output.suffix.lower() not in allowed:
            others = "" if asked else f", or {' or '.join(other for other in allowed if other != ending)}"
            raise InputError(
                f"--output={output}: results are {format.upper()} files; call it {output.with_suffix(ending)}{others}"
            )
        ending = output.suffix
    if is_float and ending.lower() == ".png":
        raise InputError("the model gives floats, which PNG does not hold; take --output_format=npy or tiff")
    return ending


def _outputs(
    paths: list[Path], words: list[str], output: Path, samples: int | None, ending: str
) -> dict[Path, list[Path]]:
    """The files that each picture's results go to, checked: none twice, none among the inputs."""
    if output.suffix == ending and not output.is_dir():
        if len(words) > 1 or len(paths) > 1 or Path(words[0]).is_dir():
            raise InputError(f"--output={output} is one file, but there are several pictures; give a folder")
        targets = {paths[0]: output}
    elif inside := [path for path in paths if path.resolve().parent == output.resolve()]:
        raise InputError(
            f"--output={output} is where {inside[0].name} is that is to be translated; choose another folder"
        )
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
                raise InputError(f"{result} is one of the pictures to translate; choose another --output")
            if sources.setdefault(result, path) != path:
                both = f"{sources[result]} and {path} would both become {result}"
                raise InputError(f"{both}; translate them into two folders")
    return outputs


def _translate_all(translator, jobs: dict[Path, list[Path]], settings: dict[str, Any]) -> None:
    """Translates each picture into its files. Raises RunError at the end where some could not be."""
    from tqdm import tqdm

    from tf_pix2pix import images

    direction = settings["direction"] or (translator.config and translator.config.direction)
    if settings["side_by_side"] and not direction:
        raise InputError("a server does not say which half is the input; give --direction=AtoB (left) or BtoA (right)")
    options = {name: settings[name] for name in ("resize", "samples", "noise_seed", "enlarge")}
    options["make_inputs"] = settings["task"]
    translator.check(**options)
    failed, strange = [], []
    for path, results in tqdm(jobs.items(), unit="picture", disable=None):
        try:
            picture = images.decode(path.read_bytes())
            if settings["side_by_side"]:  # of the target, a task makes the input
                picture = images.split_side_by_side(picture)[(direction == "BtoA") != settings["task"]]
            translated = translator.translate(picture, **options)
            if pixels := translator.count_unknown_colors(picture):
                strange.append(f"{path} ({pixels / (picture.shape[0] * picture.shape[1]):.2%} of its pixels)")
            for result, variant in zip(results, translated if settings["samples"] else [translated], strict=True):
                result.parent.mkdir(parents=True, exist_ok=True)
                images.write(result, variant)
        except (ValueError, OSError, RunError) as error:  # InputError is a ValueError
            failed.append(str(path))
            said = f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else f"{path}: {error}"
            tqdm.write(f"error: {said}", file=sys.stderr)
    print(f"{len(jobs) - len(failed)} of {len(jobs)} pictures translated into {settings['output']}")
    if strange:
        print(
            f"{len(strange)} have colours that the model's palette has not, which were taken for the nearest: "
            f"{format_list(strange, most=3)}",
            file=sys.stderr,
        )
    if failed:
        raise RunError(f"{len(failed)} of {len(jobs)} pictures could not be translated: {format_list(failed)}")


if __name__ == "__main__":
    sys.exit(main())
