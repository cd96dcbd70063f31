"""Makes data sets from data sets: combines pairs into side-by-side files, cuts, resizes, splits, packs into shards.

Each function reads a folder in one of the layouts that training reads, and fills another folder. It records its
arguments there (prepare.json), so that the same call resumes where it was stopped. All functions raise InputError.
"""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tf_pix2pix.datasets.folder import SPLITS, Files
from tf_pix2pix.datasets.pairs import check_sizes
from tf_pix2pix.errors import InputError
from tf_pix2pix.files import atomic_write
from tf_pix2pix.preparing import file_images, sharding, splitting
from tf_pix2pix.preparing.layouts import each_pair, find_files, find_side_by_side, find_two_folders, side_folder
from tf_pix2pix.preparing.output import Job, check_apart, run_jobs

_JPEG, _KEPT = {".jpg", ".jpeg"}, {".tif", ".tiff", ".npy"}  # _KEPT: written in their own format


def combine(
    folders: Sequence[str],  # A and B, or one folder that holds both
    output: str,
    *,
    input_dir: str | None = None,  # one folder: the sub-folder with A
    target_dir: str | None = None,
    quality: int | None = None,  # write pairs of JPEGs as JPEGs of this quality; None: as PNG
    overwrite: bool = False,
) -> None:
    """Joins two folders into side-by-side files OUTPUT/[SPLIT/]NAME.png (TIFF and NPY keep their format), A left."""
    found = find_two_folders(folders, input_dir, target_dir)
    jobs = [
        Job(paths, (Path(output, split, stem + _extension(paths, quality)),), partial(_combine, paths, quality))
        for split, stem, paths in each_pair(found)
    ]
    _run("combine", folders, output, jobs, overwrite, input_dir=input_dir, target_dir=target_dir, quality=quality)
    _print_count(output, found, "side-by-side file", jobs)


def _combine(paths: tuple[Path, Path], quality: int | None, targets: Sequence[Path]) -> None:
    a, b = map(file_images.read, paths)
    try:
        check_sizes(paths, [side.pixels.shape[:2] for side in (a, b)])
        joined = file_images.join(a, b)
    except InputError as error:
        raise InputError(f"{error}; resize them first, with pix2pix prepare resize") from None
    except ValueError as error:
        raise InputError(f"{paths[0]} and {paths[1]}: {error}") from None
    file_images.write(targets[0], joined, quality)


def cut(
    folder: str,
    output: str,
    *,
    sides: tuple[str, str] = ("A", "B"),  # the names of the two folders
    quality: int | None = None,
    overwrite: bool = False,
) -> None:
    """Cuts side-by-side files into two folders, OUTPUT/[SPLIT/]A/NAME.png and OUTPUT/[SPLIT/]B/NAME.png."""
    found = find_side_by_side(folder)
    jobs = []
    for split, stem, paths in each_pair(found):
        name = stem + _extension(paths, quality)
        targets = tuple(Path(output, split, side, name) for side in sides)
        jobs.append(Job(paths, targets, partial(_cut, paths[0], quality)))
    _run("cut", [folder], output, jobs, overwrite, sides=sides, quality=quality)
    _print_count(output, found, "pair", jobs)
    if sides[0] > sides[1]:
        print(f"{sides[1]} comes first by name; train with --input_dir={sides[0]} --target_dir={sides[1]}")


def _cut(path: Path, quality: int | None, targets: Sequence[Path]) -> None:
    image = file_images.read(path)
    try:
        halves = file_images.cut(image)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    for target, half in zip(targets, halves, strict=True):
        file_images.write(target, half, quality)


def resize(
    folder: str,
    output: str,
    *,
    size: tuple[int, int] | None = None,  # (height, width) of each side
    longest_side: int | None = None,  # instead: the longer one of height and width; keeps the aspect ratio
    resize_a: str | None = None,  # a key of images.RESIZE_METHODS; None: nearest for palettes, otherwise bicubic
    resize_b: str | None = None,
    photos: bool = False,  # plain photos, not pairs
    input_dir: str | None = None,
    target_dir: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
) -> None:
    """Resizes a set and keeps its layout. The halves of side-by-side files are resized separately."""
    found = find_files(folder, input_dir, target_dir, photos)
    methods = (resize_a, resize_b)
    jobs = []
    for split, stem, paths in each_pair(found):
        for side, path in enumerate(paths):
            target = Path(output, split, side_folder(path, paths), stem + _extension([path], quality))
            own_methods = methods[side : side + 1] if len(paths) == 2 or photos else methods
            make = partial(_resize, path, size, longest_side, own_methods, quality)
            jobs.append(Job((path,), (target,), make))
    settings = dict(size=size, longest_side=longest_side, resize_a=resize_a, resize_b=resize_b, photos=photos)
    settings |= dict(input_dir=input_dir, target_dir=target_dir, quality=quality)
    _run("resize", [folder], output, jobs, overwrite, **settings)
    _print_count(output, found, "photo" if photos else "pair", jobs)


def _resize(
    path: Path,
    size: tuple[int, int] | None,
    longest_side: int | None,
    methods: Sequence[str | None],  # of the whole image, or of its two halves
    quality: int | None,
    targets: Sequence[Path],
) -> None:
    image = file_images.read(path)
    try:
        parts = file_images.cut(image) if len(methods) == 2 else (image,)
    except ValueError as error:
        raise InputError(f"{path}: {error}; for plain photos pass --photos") from None
    new_size = size or file_images.longest_side(parts[0].pixels.shape[:2], longest_side)
    resized = [file_images.resize(part, new_size, method) for part, method in zip(parts, methods, strict=True)]
    file_images.write(targets[0], file_images.join(*resized) if len(resized) == 2 else resized[0], quality)


def split(
    folder: str,
    output: str,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),  # of train, val and test
    counts: Sequence[int | None] | None = None,  # instead: numbers of pairs; None: the rest
    group: str | None = None,  # a regular expression; names with equal matches stay together
    seed: int = 0,
    hard_link: bool = False,  # link the files instead of copying them
    input_dir: str | None = None,
    target_dir: str | None = None,
    overwrite: bool = False,
) -> None:
    """Divides a set, already split or not, into train, val and test; the files stay the same byte for byte."""
    found = find_files(folder, input_dir, target_dir)
    pooled: Files = {}
    for _, stem, paths in each_pair(found):
        if stem in pooled:
            raise InputError(f"{pooled[stem][0]} and {paths[0]}: the same name; rename one")
        pooled[stem] = paths
    groups = splitting.group_names(list(pooled), group)
    wanted = splitting.wanted_counts(len(pooled), fractions, counts)
    chosen = splitting.assign(groups, wanted, seed)
    jobs = []
    for name, stems in zip(SPLITS, chosen, strict=False):
        for paths in (pooled[stem] for stem in stems):
            for path in paths:
                target = Path(output, name, side_folder(path, paths), path.name)
                jobs.append(Job((path,), (target,), partial(_copy, path, hard_link)))
    settings = dict(fractions=fractions, counts=counts, group=group, seed=seed, hard_link=hard_link)
    _run("split", [folder], output, jobs, overwrite, **settings, input_dir=input_dir, target_dir=target_dir)
    sizes = ", ".join(f"{name} {len(stems)}" for name, stems in zip(SPLITS, chosen, strict=False) if stems)
    print(f"{len(pooled)} pairs in {len(groups)} groups split into {output}: {sizes}")


def _copy(path: Path, hard_link: bool, targets: Sequence[Path]) -> None:
    with atomic_write(targets[0]) as partial_path:
        partial_path.unlink(missing_ok=True)
        if not hard_link:
            shutil.copy2(path, partial_path)
            return
        try:
            os.link(path.resolve(), partial_path)
        except OSError as error:
            raise InputError(f"{path}: cannot be linked ({error.strerror}); leave out --hard_link to copy") from None


def shards(
    folder: str,
    output: str,
    *,
    shard_mb: int = 128,  # the approximate size of a shard in MB
    photos: bool = False,  # plain photos, not pairs
    input_dir: str | None = None,
    target_dir: str | None = None,
    overwrite: bool = False,
) -> None:
    """Packs a set into shards that training reads (datasets/shards.py); they hold the files byte for byte."""
    found = find_files(folder, input_dir, target_dir, photos)
    jobs = sharding.plan(folder, found, Path(output), shard_mb * 10**6, photos)
    settings = dict(shard_mb=shard_mb, photos=photos, input_dir=input_dir, target_dir=target_dir)
    _run("shards", [folder], output, jobs, overwrite, **settings)
    things, flag = ("photos", " and a --task") if photos else ("pairs", "")
    print(f"{len(each_pair(found))} {things} in {len(jobs)} shards in {output}; train with --dataset={output}{flag}")


def _run(command: str, folders: Sequence[str], output: str, jobs: Sequence[Job], overwrite: bool, **settings) -> None:
    paths = [Path(folder) for folder in folders]
    check_apart(Path(output), paths, jobs)
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    record = {"command": command, "folders": [str(path.resolve()) for path in paths], **settings}
    run_jobs(jobs, Path(output), record=record, overwrite=overwrite)


def _extension(paths: Sequence[Path], quality: int | None) -> str:
    """The extension of a file made from these: TIFF and NPY are kept, and JPEG with a quality; others become PNG."""
    extensions = {path.suffix.lower() for path in paths}
    if extensions <= _KEPT:
        return ".npy" if ".npy" in extensions else ".tif"
    return ".jpg" if quality is not None and extensions <= _JPEG else ".png"


def _print_count(output: str, found: dict[str, Files], thing: str, jobs: Sequence[Job]) -> None:
    count = len(each_pair(found))
    print(f"{count} {thing}{'s' if count != 1 else ''} in {output}")
    to_png = [job for job in jobs if any(target.suffix == ".png" for target in job.targets)]
    if any(path.suffix.lower() in _JPEG for job in to_png for path in job.sources):
        print("JPEG files were written as PNG, which is larger but loses no detail; --quality=95 writes JPEG instead")
