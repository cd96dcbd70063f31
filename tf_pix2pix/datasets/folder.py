"""Pairs from a folder of one's own: side-by-side pictures, or two sub-folders of pictures paired by file stem.

Either may lie directly in the folder or in its sub-folders train, val and test; so may plain photos, for tasks.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs, decode_pair, decode_picture
from tf_pix2pix.errors import InputError, format_list

SPLITS = ("train", "val", "test")
HELD_OUT = 0.1  # the share of pairs held out where no split is given

Files = dict[str, tuple[Path, ...]]  # file stem -> the side-by-side picture or photo, or (A, B)


def load(
    folder: str,
    *,
    input_dir: str | None = None,
    target_dir: str | None = None,
    mask_dir: str | None = None,
    photos: bool = False,
) -> dict[str, Pairs]:
    """The splits "train", "val", "test" of a folder; files that are no pictures are passed over.

    Without a val folder a tenth of the pairs is held out of train, by a hash of the file name, so always the same ones;
    without a test folder val is test. Both are said.

    Args:
      input_dir, target_dir: names of the sub-folders with A and B; needed where there are not exactly two.
      mask_dir: name of the sub-folder with a gray picture for each training pair, of the same name and size: the
        weights of its pixels in the loss.
      photos: the pictures are plain photos; each is both A and B, the same array.

    Raises:
      InputError: nothing there, no pictures, files without partner, or no way to tell what is paired with what.
    """
    found = find(folder, input_dir, target_dir, photos, mask_dir=mask_dir)
    files = hold_out(found, folder, "photos" if photos else "pairs")
    if "test" not in files:
        files["test"] = files["val"]
        print(f"{folder}: no test folder; val is used as test")
    splits = {split: _pairs(list(files[split].values()), photos) for split in SPLITS}
    if mask_dir:
        masks = find_masks(Path(folder, "" if "" in found else "train", mask_dir), files["train"])
        splits["train"] = _masked(splits["train"], [masks[stem] for stem in files["train"]])
    return splits


def refuse(message: str, paths: Sequence[Path]) -> None:
    """What `find` does with files that do not pair: raises InputError."""
    raise InputError(message)


def find(
    folder: str | Path,
    input_dir: str | None = None,
    target_dir: str | None = None,
    photos: bool = False,
    unpaired: Callable[[str, Sequence[Path]], None] = refuse,
    mask_dir: str | None = None,
) -> dict[str, Files]:
    """The files of each split that the folder has; of a folder without splits, all under "". Raises as load does.

    Args:
      unpaired: gets (message, paths) of files that do not pair, which are left out if it returns.
      mask_dir: a sub-folder that holds no side.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder} is no folder")
    given = [split for split in SPLITS if (root / split).is_dir()]
    if given and "train" not in given:
        raise InputError(
            f"{root} has a sub-folder {given[0]} but none called train; put the training pairs into {root}/train"
        )
    if photos:
        return {split: _photos(root / split, unpaired) for split in given or [""]}
    return {split: _files(root / split, input_dir, target_dir, unpaired, mask_dir) for split in given or [""]}


def hold_out(files: dict[str, Files], folder: str | Path, what: str = "pairs") -> dict[str, Files]:
    """What `find` found, with "train" and "val" in any case: where there is no val, a tenth of train; it is said."""
    files = dict(files)
    if "" in files:
        files["train"] = files.pop("")
    if "val" not in files:
        files["train"], files["val"] = _hold_out(files["train"], Path(folder))
        counts = f"{len(files['val'])} {what} held out by file name, {len(files['train'])} to train on"
        print(f"{folder}: no val folder; {counts}")
    return files


def _files(
    folder: Path,
    input_dir: str | None,
    target_dir: str | None,
    unpaired: Callable = refuse,
    mask_dir: str | None = None,
) -> Files:
    """Finds the pairs of one split: file stem -> paths."""
    if input_dir is None and (pictures := _pictures(folder)):
        return {stem: (path,) for stem, path in _by_stem(pictures, unpaired).items()}
    inside = (path for path in folder.iterdir() if path.is_dir() and path.name != mask_dir)
    sub_folders = sorted(path.name for path in inside if any(map(is_picture, path.iterdir())))
    there = f"the sub-folders with pictures are {', '.join(sub_folders) or 'none'}"
    if input_dir is not None:
        sides = (input_dir, target_dir)
        if missing := [side for side in sides if side not in sub_folders]:
            raise InputError(f"{folder} has no pictures in a sub-folder {missing[0]}; {there}")
    elif len(sub_folders) == 2:
        sides = tuple(sub_folders)
        print(f"{folder}: A is {sides[0]}, B is {sides[1]}, paired by file name")
    elif len(sub_folders) > 2:
        raise InputError(f"{folder}: {there}; say with --input_dir and --target_dir which two hold the pairs")
    elif data_sets := [path for path in sorted(folder.iterdir()) if _looks_like_pairs(path)]:
        raise InputError(
            f"{folder}: contains neither side-by-side images nor two sub-folders with images; choose a data set in it: "
            f"{format_list(data_sets)}"
        )
    else:
        raise InputError(f"{folder} has no pictures ({', '.join(images.EXTENSIONS)}), nor have its sub-folders")
    return match(*(folder / side for side in sides), unpaired)


def _looks_like_pairs(folder: Path) -> bool:
    """Whether a folder has side-by-side images, two sub-folders with images, or a train folder."""
    if not folder.is_dir() or folder.name.startswith("."):
        return False
    inside = list(folder.iterdir())
    with_images = [path for path in inside if path.is_dir() and any(map(is_picture, path.iterdir()))]
    return any(map(is_picture, inside)) or len(with_images) == 2 or (folder / "train").is_dir()


def match(folder_a: Path, folder_b: Path, unpaired: Callable = refuse) -> Files:
    """The pairs of two folders' pictures, by file stem; `unpaired` as for find."""
    a, b = (_by_stem(_pictures(folder), unpaired) for folder in (folder_a, folder_b))
    if alone := sorted([a[stem] for stem in a.keys() - b.keys()] + [b[stem] for stem in b.keys() - a.keys()]):
        count = "1 picture" if len(alone) == 1 else f"{len(alone)} pictures"
        unpaired(
            f"{count} without a partner of the same name in the other folder: {format_list(alone)}. "
            "Add the partners or remove these",
            alone,
        )
    return {stem: (a[stem], b[stem]) for stem in a if stem in b}


def find_masks(folder: Path, files: Files, unpaired: Callable = refuse) -> dict[str, Path]:
    """A folder's masks, by file stem, which must be there for all of these pairs; `unpaired` as for find."""
    if not folder.is_dir():
        raise InputError(f"mask_dir: {folder} is no folder")
    masks = _by_stem(_pictures(folder), unpaired)
    if missing := [stem for stem in files if stem not in masks]:
        unpaired(
            f"{folder} has no mask for {len(missing)} of {len(files)} training pairs: {format_list(missing)}; each pair "
            "needs one of its name; one that is white all over weighs all pixels alike",
            [files[stem][0] for stem in missing],
        )
    return masks


def _photos(folder: Path, unpaired: Callable = refuse) -> Files:
    """Finds the photos of one split: file stem -> path."""
    if pictures := _pictures(folder):
        return {stem: (path,) for stem, path in _by_stem(pictures, unpaired).items()}
    inside = (path for path in folder.iterdir() if path.is_dir())
    sub_folders = sorted(path.name for path in inside if any(map(is_picture, path.iterdir())))
    there = f"its sub-folders {', '.join(sub_folders)} have" if sub_folders else "nor have its sub-folders"
    raise InputError(
        f"{folder} has no pictures ({', '.join(images.EXTENSIONS)}), {there}; a task takes a folder of plain photos"
    )


def _pictures(folder: Path) -> list[Path]:
    """The pictures directly in a folder, in order of their names."""
    return sorted(filter(is_picture, folder.iterdir()))


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in images.EXTENSIONS and not path.name.startswith(".")


def _by_stem(paths: Sequence[Path], unpaired: Callable = refuse) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        if path.stem in by_stem:
            both = by_stem[path.stem], path
            unpaired(f"{both[0]} and {both[1]} have the same name but for the ending; rename or remove one", both)
        by_stem[path.stem] = path
    return by_stem


def _hold_out(files: Files, root: Path) -> tuple[Files, Files]:
    if len(files) < 2:
        raise InputError(f"{root} has a single pair or photo; two are needed, one to train on and one to look at")
    by_hash = sorted(files, key=lambda stem: hashlib.sha256(stem.encode()).digest())
    held_out = set(by_hash[: max(1, round(HELD_OUT * len(files)))])
    return (
        {stem: paths for stem, paths in files.items() if stem not in held_out},
        {stem: paths for stem, paths in files.items() if stem in held_out},
    )


def _pairs(files: Sequence[tuple[Path, ...]], photos: bool) -> Pairs:
    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        encoded = [read_file(path) for path in files[index]]
        return (decode_picture(files[index][0], encoded[0]),) * 2 if photos else decode_pair(files[index], encoded)

    return Pairs(names=[" and ".join(map(str, paths)) for paths in files], read=read)


def _masked(pairs: Pairs, masks: Sequence[Path]) -> Pairs:
    """The pairs with a mask each."""

    def read(index: int) -> tuple[np.ndarray, ...]:
        pair = pairs.read(index)
        return *pair, read_mask(masks[index], pair[0].shape[:2])

    return replace(pairs, read=read)


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The mask of a pair of (height, width) -> uint8 [h, w, 1]. Raises InputError where it is no mask of it."""
    mask = decode_picture(path, read_file(path))
    if mask.dtype != np.uint8 or mask.shape[2] > 1:
        raise InputError(f"mask {path} is no gray picture of 8 bits, black for 0 and white for 1; convert it")
    if mask.shape[:2] != size:
        sizes = [f"{width}x{height}" for height, width in (mask.shape[:2], size)]
        raise InputError(f"mask {path} is {sizes[0]}, its pair {sizes[1]} (width x height): they need one size")
    return mask


def read_file(path: Path) -> bytes:
    """A file's bytes. Raises InputError naming the file where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error}") from None
