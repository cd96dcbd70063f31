"""Data sets made of data sets: pairs combined into side-by-side files, cut, resized, split, and packed into shards.

Each function reads a folder in one of the layouts that training reads, and fills another one. What it was asked for is
recorded there (prepare.json), so that the same call goes on where it was stopped. All raise InputError.
"""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tf_pix2pix.datasets.folder import SPLITS, Files, find, is_picture, match
from tf_pix2pix.datasets.pairs import check_sizes
from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.files import atomic_write
from tf_pix2pix.preparing import pictures, sharding, splitting
from tf_pix2pix.preparing.output import Job, carry_out, check_apart

JPEG, DEEP = (".jpg", ".jpeg"), (".tif", ".tiff", ".npy")


def combine(
    folders: Sequence[str],  # A and B, or one folder with these two in it
    output: str,
    *,
    input_dir: str | None = None,  # one folder: the sub-folder with A
    target_dir: str | None = None,
    quality: int | None = None,  # write pairs of JPEGs as JPEGs of this quality; None: as PNG
    overwrite: bool = False,
) -> None:
    """Two folders -> side-by-side files OUTPUT/[SPLIT/]NAME.png (of TIFF and NPY: the same), A left."""
    if len(folders) == 2:
        found = _match_splits(*map(Path, folders))
    else:
        found = _found(folders[0], input_dir, target_dir)
        if any(len(paths) == 1 for files in found.values() for paths in files.values()):
            raise InputError(f"{folders[0]} holds single pictures; give two folders, or one that has two with pictures")
    jobs = [
        Job(paths, (Path(output, split, stem + _ending(paths, quality)),), partial(_combine, paths, quality))
        for split, stem, paths in _each(found)
    ]
    _do("combine", folders, output, jobs, overwrite, input_dir=input_dir, target_dir=target_dir, quality=quality)
    _say_done(output, found, "side-by-side file", jobs)


def _match_splits(a: Path, b: Path) -> dict[str, Files]:
    for folder in (a, b):
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder")
    splits = [split for split in SPLITS if (a / split).is_dir() or (b / split).is_dir()]
    for folder in (side / split for side in (a, b) for split in splits):
        if not folder.is_dir():
            raise InputError(f"{folder} is missing: both folders need the same of {', '.join(SPLITS)}")
    found = {split: match(a / split, b / split) for split in splits or [""]}
    if not any(found.values()):
        raise InputError(f"{a} and {b} have no pictures")
    return found


def _combine(paths: tuple[Path, Path], quality: int | None, targets: Sequence[Path]) -> None:
    a, b = map(pictures.read, paths)
    try:
        check_sizes(paths, [side.pixels.shape[:2] for side in (a, b)])
        joined = pictures.join(a, b)
    except InputError as error:
        raise InputError(f"{error}; the command resize brings both to one") from None
    except ValueError as error:
        raise InputError(f"{paths[0]} and {paths[1]}: {error}") from None
    pictures.write(targets[0], joined, quality)


def cut(
    folder: str,
    output: str,
    *,
    sides: tuple[str, str] = ("A", "B"),  # names of the two folders
    quality: int | None = None,
    overwrite: bool = False,
) -> None:
    """Side-by-side files -> two folders, OUTPUT/[SPLIT/]A/NAME.png and OUTPUT/[SPLIT/]B/NAME.png."""
    found = _single_files(folder)
    jobs = [
        Job(
            paths,
            tuple(Path(output, split, side, stem + _ending(paths, quality)) for side in sides),
            partial(_cut, paths[0], quality),
        )
        for split, stem, paths in _each(found)
    ]
    _do("cut", [folder], output, jobs, overwrite, sides=sides, quality=quality)
    _say_done(output, found, "pair", jobs)
    if sides[0] > sides[1]:
        print(f"the first by name is {sides[1]}: train with --input_dir={sides[0]} --target_dir={sides[1]}")


def _found(folder: str, input_dir: str | None, target_dir: str | None, single: bool = False) -> dict[str, Files]:
    """The files of a set in either layout. Says which other sub-folders with pictures, masks say, are left behind."""
    found = find(folder, input_dir, target_dir, photos=single)
    sides = {path.parent for _, _, paths in _each(found) if len(paths) == 2 for path in paths}
    beside = {child for side in sides for child in side.parent.iterdir() if child.is_dir()} - sides
    if others := sorted(str(child) for child in beside if any(map(is_picture, child.iterdir()))):
        print(f"left behind, because they are no side: {format_list(others)}")
    return found


def _single_files(folder: str) -> dict[str, Files]:
    found = find(folder)
    if any(len(paths) == 2 for files in found.values() for paths in files.values()):
        raise InputError(f"{folder} holds two folders with pictures, not side-by-side files")
    return found


def _cut(path: Path, quality: int | None, targets: Sequence[Path]) -> None:
    picture = pictures.read(path)
    try:
        halves = pictures.cut(picture)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    for target, half in zip(targets, halves, strict=True):
        pictures.write(target, half, quality)


def resize(
    folder: str,
    output: str,
    *,
    size: tuple[int, int] | None = None,  # (height, width) of each side
    longest_side: int | None = None,  # or: keep the proportions, and bring the longer one of height and width to this
    resize_a: str | None = None,  # one of images.RESIZE_METHODS; None: nearest for palettes, bicubic for the rest
    resize_b: str | None = None,
    single: bool = False,  # the files are plain photos, not pairs side by side
    input_dir: str | None = None,
    target_dir: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
) -> None:
    """A set in either layout -> the same layout in another size. A side-by-side file's halves are resized apart."""
    found = _found(folder, input_dir, target_dir, single)
    methods = (resize_a, resize_b)
    jobs = []
    for split, stem, paths in _each(found):
        for side, path in enumerate(paths):
            target = Path(output, split, _sub_folder(path, paths), stem + _ending([path], quality))
            own_methods = methods[side : side + 1] if len(paths) == 2 or single else methods
            make = partial(_resize, path, size, longest_side, own_methods, quality)
            jobs.append(Job((path,), (target,), make))
    settings = dict(size=size, longest_side=longest_side, resize_a=resize_a, resize_b=resize_b, single=single)
    settings |= dict(input_dir=input_dir, target_dir=target_dir, quality=quality)
    _do("resize", [folder], output, jobs, overwrite, **settings)
    _say_done(output, found, "photo" if single else "pair", jobs)


def _resize(
    path: Path,
    size: tuple[int, int] | None,
    longest_side: int | None,
    methods: Sequence[str | None],  # of the whole, or of both halves
    quality: int | None,
    targets: Sequence[Path],
) -> None:
    picture = pictures.read(path)
    try:
        parts = pictures.cut(picture) if len(methods) == 2 else (picture,)
    except ValueError as error:
        raise InputError(f"{path}: {error}; --photos accepts it as one image") from None
    new_size = size or pictures.longest_side(parts[0].pixels.shape[:2], longest_side)
    resized = [pictures.resize(part, new_size, method) for part, method in zip(parts, methods, strict=True)]
    pictures.write(targets[0], pictures.join(*resized) if len(resized) == 2 else resized[0], quality)


def split(
    folder: str,
    output: str,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),  # of train, val and test
    counts: Sequence[int | None] | None = None,  # instead: so many; None: the rest
    group: str | None = None,  # a regular expression; names in which it finds the same stay together
    seed: int = 0,
    hard_link: bool = False,  # link the files instead of copying them
    input_dir: str | None = None,
    target_dir: str | None = None,
    overwrite: bool = False,
) -> None:
    """A set in either layout, split already or not -> the same files, byte for byte, under train, val and test."""
    found = _found(folder, input_dir, target_dir)
    pooled: Files = {}
    for _, stem, paths in _each(found):
        if stem in pooled:
            raise InputError(f"{pooled[stem][0]} and {paths[0]} have the same name; rename one")
        pooled[stem] = paths
    groups = splitting.group_of(list(pooled), group)
    wanted = splitting.wanted_counts(len(pooled), fractions, counts)
    chosen = splitting.assign(groups, wanted, seed)
    jobs = []
    for name, stems in zip(SPLITS, chosen, strict=False):
        for paths in (pooled[stem] for stem in stems):
            for path in paths:
                target = Path(output, name, _sub_folder(path, paths), path.name)
                jobs.append(Job((path,), (target,), partial(_copy, path, hard_link)))
    settings = dict(fractions=fractions, counts=counts, group=group, seed=seed, hard_link=hard_link)
    _do("split", [folder], output, jobs, overwrite, **settings, input_dir=input_dir, target_dir=target_dir)
    got = ", ".join(f"{name} {len(stems)}" for name, stems in zip(SPLITS, chosen, strict=False) if stems)
    print(f"{len(pooled)} pairs in {len(groups)} groups split into {output}: {got}")


def _copy(path: Path, hard_link: bool, targets: Sequence[Path]) -> None:
    with atomic_write(targets[0]) as beside:
        beside.unlink(missing_ok=True)
        if not hard_link:
            shutil.copy2(path, beside)
            return
        try:
            os.link(path.resolve(), beside)
        except OSError as error:
            raise InputError(f"{path} cannot be linked ({error.strerror}); leave out --hard_link to copy") from None


def shards(
    folder: str,
    output: str,
    *,
    shard_mb: int = 128,  # a shard has about so many MB
    single: bool = False,  # the files are plain photos, not pairs side by side
    input_dir: str | None = None,
    target_dir: str | None = None,
    overwrite: bool = False,
) -> None:
    """A set in either layout -> shards that training reads (datasets/shards.py), the files in them byte for byte."""
    found = _found(folder, input_dir, target_dir, single)
    jobs = sharding.plan(folder, found, Path(output), shard_mb * 10**6, single)
    settings = dict(shard_mb=shard_mb, single=single, input_dir=input_dir, target_dir=target_dir)
    _do("shards", [folder], output, jobs, overwrite, **settings)
    what, flag = ("photos", " and a --task") if single else ("pairs", "")
    count = sum(map(len, found.values()))
    print(f"{count} {what} in {len(jobs)} shards in {output}; train with --dataset={output}{flag}")


def _do(command: str, folders: Sequence[str], output: str, jobs: Sequence[Job], overwrite: bool, **settings) -> None:
    paths = [Path(folder) for folder in folders]
    check_apart(Path(output), paths, jobs)
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    record = {"command": command, "folders": [str(path.resolve()) for path in paths], **settings}
    carry_out(jobs, Path(output), record=record, overwrite=overwrite)


def _each(found: dict[str, Files]):
    """(split, stem, paths) of every pair."""
    return [(split, stem, paths) for split, files in found.items() for stem, paths in files.items()]


def _sub_folder(path: Path, paths: Sequence[Path]) -> str:
    """The name of the side that a file of a pair lies in; of a side-by-side file, nothing."""
    return path.parent.name if len(paths) == 2 else ""


def _ending(paths: Sequence[Path], quality: int | None) -> str:
    """Of the file made of these: TIFF and NPY stay what they are, JPEGs do with a quality, the rest becomes PNG."""
    endings = {path.suffix.lower() for path in paths}
    if endings <= {*DEEP}:
        return ".npy" if ".npy" in endings else ".tif"
    return ".jpg" if quality is not None and endings <= {*JPEG} else ".png"


def _say_done(output: str, found: dict[str, Files], what: str, jobs: Sequence[Job]) -> None:
    count = len(_each(found))
    print(f"{count} {what}{'s' if count != 1 else ''} in {output}")
    if any(path.suffix.lower() in JPEG for job in jobs for path in job.sources) and any(
        target.suffix == ".png" for job in jobs for target in job.targets
    ):
        print("JPEGs became PNG files, which lose nothing more but are larger; --quality=95 writes JPEGs again")
